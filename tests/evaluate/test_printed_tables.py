"""Tables of figures on terminals of any width."""

import io

import pytest
from rich.console import Console

from mv2mae.evaluate.tables import print_table

PARTS = [[["single view", "0.512", "0.401 to 0.620", "24"]], [["view left", "0.500", "", "12"]]]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_figure_is_cut_off(width):
    console = Console(file=io.StringIO(), width=width)
    print_table(console, "a run", ["", "top-1", "95 % interval", "videos"], PARTS)
    said = console.file.getvalue()
    for word in ("single view", "0.512", "0.401 to 0.620", "24", "view left", "0.500", "12"):
        assert word in said
    assert "…" not in said
    lines = "  single view: top-1 0.512, 95 % interval 0.401 to 0.620, videos 24" in said
    assert lines == (width < 60)
