"""Cutting to the person before scaling: a box for each video, from a file or from what moves.

A file of boxes is a CSV or Parquet table with `left, top, right, bottom` in pixels as displayed (right and bottom not
included), and `path` or else `group` and `view` to say whose. (`detect.py` asks a detector.)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from mv2mae.data.columns import as_text
from mv2mae.data.manifest import read_table
from mv2mae.data.pixels import Converter
from mv2mae.data.video import frames_between
from mv2mae.errors import InputError

Edges = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels as displayed; right and bottom are not included."""
_SIDES = ["left", "top", "right", "bottom"]
_LOOK_SIDE = 90
"""Short side in pixels at which motion is looked for."""
_NOISE = 8.0
"""Changes below this many grey levels are noise."""
_TAIL = 0.02
"""Share of the motion that may stay outside on each side."""
_MARGIN = 0.15
"""Room around the motion as a share of its extent."""
_MIN_SHARE = 0.4
"""Smallest side of a box as a share of the frame's short side."""


def read_boxes(file: str | Path, frame: pd.DataFrame) -> list[Edges | None]:
    """The box of each row of a manifest, None where the file has none.

    Args:
        file: CSV or Parquet; paths in it are absolute or relative to its folder.
        frame: a manifest with absolute paths.

    Raises:
        InputError: the file cannot be read, lacks columns, or holds boxes without extent.
    """
    if not Path(file).is_file():
        raise InputError(f"no boxes at {file}; give a CSV or Parquet file")
    table = read_table(Path(file))
    by_path = "path" in table
    needed = [*_SIDES, *(["path"] if by_path else ["group", "view"])]
    missing = [name for name in needed if name not in table]
    if missing:
        raise InputError(
            f"{file} lacks the column {', '.join(missing)}; boxes need {', '.join(_SIDES)} and path, or group and view"
        )
    try:
        edges = table[_SIDES].astype("float64").round().astype("int64").to_numpy()
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: left, top, right and bottom must be numbers of pixels ({error})") from error
    empty = (edges[:, 2:] <= edges[:, :2]).any(axis=1) | (edges[:, :2] < 0).any(axis=1)
    if empty.any():
        raise InputError(
            f"{file}: data row {int(empty.argmax()) + 1} is {edges[empty.argmax()].tolist()}, which is no box"
        )
    if by_path:
        folder = os.path.dirname(os.path.abspath(file))
        names: list[object] = [os.path.normpath(os.path.join(folder, str(path))) for path in table["path"]]
        wanted: list[object] = list(frame["path"])
    else:
        names = list(zip(table["group"].map(as_text), table["view"].map(as_text), strict=True))
        wanted = list(zip(frame["group"].map(as_text), frame["view"].map(as_text), strict=True))
    left, top, right, bottom = edges.T.tolist() if len(edges) else ([], [], [], [])
    found: dict[object, Edges] = dict(zip(names, zip(left, top, right, bottom, strict=True), strict=True))
    return [found.get(name) for name in wanted]


def motion_box(path: str, start: float | None, end: float | None, height: int, width: int) -> Edges:
    """The square in which a video moves, over its whole length, with room around it.

    Every video of a set is treated alike, whatever its view. Without motion it is the largest square in the middle.

    Args:
        path: the video.
        start, end: the part to look at, in seconds on its clock.
        height, width: of a frame as displayed.
    """
    convert, before, energy = Converter(min(_LOOK_SIDE, height, width)), None, None
    for _, frame in frames_between(path, start, end):
        grey = convert(frame).mean(axis=2, dtype=np.float32)
        if before is not None:
            change = np.abs(grey - before)
            moved = np.maximum(change - np.median(change) - _NOISE, 0)  # the median: flicker of the whole picture
            energy = moved if energy is None else energy + moved
        before = grey
    if energy is None or energy.sum() == 0:
        side = min(height, width)
        return _square((width / 2, height / 2), side, height, width)
    scale = height / energy.shape[0]
    left, right = _extent(energy.sum(axis=0))
    top, bottom = _extent(energy.sum(axis=1))
    return square_around((left * scale, top * scale, right * scale, bottom * scale), height, width)


def square_around(extent: tuple[float, float, float, float], height: int, width: int) -> Edges:
    """A square round something (left, top, right, bottom in pixels) with room around it, inside the frame."""
    left, top, right, bottom = extent
    side = max(max(right - left, bottom - top) * (1 + 2 * _MARGIN), _MIN_SHARE * min(height, width))
    return _square(((left + right) / 2, (top + bottom) / 2), side, height, width)


def cut(pixels: UInt8[np.ndarray, "h w 3"], box: Edges) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The part of a frame inside a box; empty where the box lies outside."""
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]


# ---------------------------------------------------------------------------------------------------------


def _extent(profile: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Where all but the tails of a distribution lies."""
    share = np.concatenate([[0], np.cumsum(profile) / profile.sum()])
    low, high = np.interp([_TAIL, 1 - _TAIL], share, np.arange(len(share)))
    return float(low), float(high)


def _square(centre: tuple[float, float], side: float, height: int, width: int) -> Edges:
    """A square moved into the frame; where it does not fit, as much of it as does."""
    w, h = min(round(side), width), min(round(side), height)
    left = min(max(round(centre[0] - w / 2), 0), width - w)
    top = min(max(round(centre[1] - h / 2), 0), height - h)
    return left, top, left + w, top + h
