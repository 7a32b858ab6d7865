"""Held-out clips as a pre-training rebuilt them at several steps, from the pictures in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from mv2mae.runs import SNAPSHOTS_FOLDER
from mv2mae.visualize.report import Table
from mv2mae.visualize.style import styled

_GIVEN = 4
"""Rows of clips.webp for each pair: target, its visible tubelets, source, its visible tubelets."""
_PALE, _GAP = 245, 2
_WIDTH, _LABEL, _HEAD, _LARGEST = 10.3, 1.1, 0.3, 1.3
"""Inches: of the whole, of the names at the left and above, of a picture at most."""


def snapshot_figure(run: Path, about: Mapping[str, Any]) -> Figure:
    """A row for each pair, frame and decoder; columns are what is given, then the steps.

    Args:
        run: the run's folder.
        about: what its snapshots.json says.

    Raises:
        OSError, ValueError, KeyError, IndexError: pictures are missing, or not as `about` says.
    """
    frames, decoders, pairs = about["frames"], about["decoders"], about["pairs"]
    steps = sorted(map(int, about["steps"]))
    given = _tiles(run / SNAPSHOTS_FOLDER / "clips.webp", pairs * _GIVEN, len(frames))
    made = [
        _tiles(run / SNAPSHOTS_FOLDER / f"step={step:08d}.webp", pairs * len(decoders), len(frames)) for step in steps
    ]
    rows, names = [], []
    for pair in range(pairs):
        for column, frame in enumerate(frames):
            target, visible, _, source = given[_GIVEN * pair : _GIVEN * (pair + 1), column]
            for k, decoder in enumerate(decoders):
                other = source if decoder == "cross-view" else np.full_like(source, _PALE)
                rows.append([target, visible, other, *(sheet[len(decoders) * pair + k, column] for sheet in made)])
                names.append(f"{decoder}\nclip {pair + 1}, frame {frame + 1}")
    last = "source" if "cross-view" in decoders else ""
    return _mosaic(np.array(rows), names, ["target", "visible", last, *(f"step {step:,}" for step in steps)])


def _mosaic(tiles: UInt8[np.ndarray, "r k h w 3"], rows: list[str], columns: list[str]) -> Figure:
    """Pictures in rows and columns with their names: in one piece, since an axis for each would take seconds."""
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    high, wide, height, width, _ = tiles.shape
    with styled():
        side = min(_LARGEST, (_WIDTH - _LABEL) / wide)
        figure = Figure(figsize=(_LABEL + wide * side, _HEAD + high * side * height / width))
        inches = figure.get_size_inches()
        axis = figure.add_axes((_LABEL / inches[0], 0, 1 - _LABEL / inches[0], 1 - _HEAD / inches[1]))
        axis.imshow(tiles.swapaxes(1, 2).reshape(high * height, wide * width, 3), aspect="auto")
        axis.set_xticks((np.arange(wide) + 0.5) * width, columns)
        axis.set_yticks((np.arange(high) + 0.5) * height, rows)
        axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
    return figure


def _tiles(path: Path, rows: int, columns: int) -> UInt8[np.ndarray, "r k h w 3"]:
    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    return sheet[: rows * height, : columns * width].reshape(rows, height, columns, width, 3).swapaxes(1, 2)


def snapshot_table(about: Mapping[str, Any]) -> Table:
    """Mean error of the pairs at every step, by decoder."""
    steps = sorted(about["steps"], key=int)
    rows: list[list[str | float]] = []
    for decoder in about["decoders"]:
        errors = (about["steps"][step][decoder] for step in steps)
        rows.append([decoder, *(sum(values) / len(values) for values in errors)])
    return Table(
        header=["error", *(f"step {int(step):,}" for step in steps)],
        rows=rows,
        caption="How far the predictions in these pictures are off, mean over the clips.",
    )
