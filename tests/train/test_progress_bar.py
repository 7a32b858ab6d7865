"""The bar of a training says where it stands in every terminal."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from mv2mae.train.log import _bar_columns

VALUES = "loss 4.62  clips/s 1.42  cross gain -0.003"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_shows_steps_time_and_every_value(width):
    bar = Progress(*_bar_columns(width))
    bar.add_task("pre-training", total=126_000, completed=12_000, values=VALUES)
    screen = io.StringIO()
    Console(width=width, file=screen).print(bar.get_renderable())
    said = screen.getvalue().split()
    assert "…" not in screen.getvalue()
    assert {"12000/126000", "left", *VALUES.split()} <= set(said)
    assert ("pre-training" in said) == (width >= 80)
