"""Tables on the terminal that fit into 80 columns; in fewer they are lines, and no figure is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mv2mae.text import counted, listed

_WHOLE_NAME = 12
"""Letters of a name that stay on one line."""


def print_table(console: Console, title: str, columns: Sequence[str], parts: Iterable[Iterable[Sequence[str]]]) -> None:
    """A title, and a table under it: names to the left, numbers to the right, a line between its parts.

    Long names are broken at words; a terminal that is too narrow even so gets a line for each row instead, so that
    nothing is cut off.
    """
    console.print(Text(title, style="italic"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    kept = [[list(row) for row in rows] for rows in parts]
    cells = [list(columns), *(row for rows in kept for row in rows)]
    widths = [max(cell_len(row[place]) for row in cells if place < len(row)) for place in range(len(columns))]
    widths[0] = min(widths[0], _WHOLE_NAME)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=place > 0, min_width=widths[place])
    for rows in kept:
        for row in rows:
            table.add_row(*row)
        table.add_section()
    if sum(widths) + 2 * len(columns) <= console.width:  # a space and a rule between columns
        console.print(table)
        return
    for name, *values in (row for rows in kept for row in rows):
        said = ", ".join(f"{column} {value}" for column, value in zip(columns[1:], values, strict=False) if value)
        console.print(f"  {name}: {said}", soft_wrap=True, highlight=False, markup=False)


def number(value: float | None) -> str:
    """Three digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def interval(bounds: tuple[float, float] | Sequence[float], form: str = ".3f") -> str:
    """`0.250 to 0.450`."""
    return f"{bounds[0]:{form}} to {bounds[1]:{form}}"


def span(interval: Sequence[float], form: str = ".3f") -> str:
    """An interval as text; a dash where there is none or it has no width (one performance, or all answers alike)."""
    low, high = interval
    return "-" if np.isnan(low) or low == high else f"{low:{form}} to {high:{form}}"


def print_untrained(console: Console, num_videos: int, classes: Sequence[str]) -> None:
    """Test videos of classes that were never trained, if there are any."""
    if num_videos:
        what = f"{counted(num_videos, 'video shows', 'videos show')} {'a class' if len(classes) == 1 else 'classes'}"
        console.print(f"  {what} that nothing was trained on ({listed(classes)}): counted as errors", soft_wrap=True)
