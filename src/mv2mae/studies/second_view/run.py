"""The study from beginning to end: `mv2mae second-view`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from rich.console import Console

from mv2mae.config import PairConfig, SecondViewConfig
from mv2mae.evaluate.tables import print_table
from mv2mae.files import make_writable, write_csv, write_figure
from mv2mae.studies.second_view.figure import RISES, cells, second_view_figure
from mv2mae.studies.second_view.measure import second_view
from mv2mae.studies.second_view.results import SECOND_VIEW_NAME, SecondViewResult
from mv2mae.weights import find_weights

_NOTES = (
    "at: degrees. self, cross: losses over the mean baseline. gain: cross below self, on the same tokens; the two",
    "decoders differ, so believe it only as far as another room's source costs: the last columns are the rise of",
    "the cross-view loss with no source, with mask tokens for it (a decoder never met either), with another room's",
    "source and with one of the same room.",
)


def run_second_view(
    weights: str, data: PairConfig, config: SecondViewConfig, out: str | Path, *, device: str = "cpu"
) -> None:
    """Measure, print, and write `second_view.json`, `second_view.png` and the rows, `second_view.csv`.

    Raises:
        InputError: as `measure`, or a folder that cannot be written.
    """
    out = Path(out)
    find_weights(weights)  # or a folder would be made for results that cannot be
    make_writable(out)
    result, rows = second_view(weights, data, config, device=device)
    print_second_view(result)
    result.write(out / SECOND_VIEW_NAME)
    write_csv(out / "second_view.csv", rows)
    write_figure(out / "second_view.png", second_view_figure(result), dpi=150)
    print(f"  wrote {out / SECOND_VIEW_NAME}, {out / 'second_view.png'} and {out / 'second_view.csv'}")


def print_second_view(result: SecondViewResult) -> None:
    """The table by angle, and what a reader has to know of it."""
    told = "cameras known" if result.known_cameras else "cameras not told"
    columns = ["at", "tokens", "self", "cross", "gain", "95 %", *RISES.values()]
    rows = [cells(row) for row in result.angles]
    parts = [list(part) for _, part in groupby(rows, key=lambda row: row[0])]
    print_table(Console(), f"{result.weights} on {result.on}; {told}", columns, parts)
    for line in _NOTES:
        print(f"  {line}")
    if result.on.startswith("videos"):
        print("  Rooms and people of these videos may have been trained on: then gains may be rooms learnt by heart.")
