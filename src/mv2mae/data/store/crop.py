"""Cutting to the person before scaling: a box for each video, from a file, from what moves, or from a detector.

A file of boxes is a CSV or Parquet table with `left, top, right, bottom` in pixels as displayed (right and bottom not
included), and `path` or else `group` and `view` to say whose. The detector is one of transformers, an extra
(`pip install -e '.[detect]'`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8

from mv2mae.data.manifest import read_table
from mv2mae.data.pixels import Converter
from mv2mae.data.tables import as_text, require_columns
from mv2mae.data.video import VideoError, frames_between
from mv2mae.errors import InputError
from mv2mae.text import first_line

Edges = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels as displayed; right and bottom are not included."""
_SIDES = ["left", "top", "right", "bottom"]
_MOTION_SIDE = 90
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
    require_columns(table, needed, str(file), f"boxes need {', '.join(_SIDES)} and path, or group and view")
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
    convert, before, energy = Converter(min(_MOTION_SIDE, height, width)), None, None
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


Detector = Callable[[Sequence[UInt8[np.ndarray, "h w 3"]]], list[Float[np.ndarray, "k 4"]]]
"""Frames to the boxes of people in each: left, top, right, bottom as shares of the frame's width and height."""

_LOOKS = 8
"""Frames of a video that are looked at, spread evenly."""
_LOOK_SIDE = 480
"""Short side in pixels at which they are looked at."""
_SCORE = 0.5
"""How sure the detector must be."""
_BYSTANDER = 0.25
"""Who covers less than this share of the largest person's area in all frames is not part of the action."""


def person_box(path: str, start: float | None, end: float | None, height: int, width: int, detect: Detector) -> Edges:
    """The square that holds the people of a video in all frames that are looked at, with room around them.

    Args:
        path: the video.
        start, end: the part to look at, in seconds on its clock.
        height, width: of a frame as displayed.
        detect: finds people.

    Raises:
        VideoError: nobody was found.
    """
    convert = Converter(min(_LOOK_SIDE, height, width))
    count = sum(1 for _ in frames_between(path, start, end))
    wanted = set(np.linspace(0, max(count - 1, 0), _LOOKS).round().astype(int).tolist())
    looks = [convert(frame) for i, (_, frame) in enumerate(frames_between(path, start, end)) if i in wanted]
    found = [boxes for boxes in detect(looks) if len(boxes)] if looks else []
    if not found:
        raise VideoError(path, f"shows no person that the detector finds (in {len(looks)} frames)")
    boxes = np.concatenate(found)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    people = boxes[areas >= _BYSTANDER * areas.max()] * (width, height, width, height)
    (left, top), (right, bottom) = people[:, :2].min(axis=0), people[:, 2:].max(axis=0)
    return square_around((float(left), float(top), float(right), float(bottom)), height, width)


@lru_cache(maxsize=1)
def load_detector(model: str) -> Detector:
    """A detector of transformers: a folder, or a name on the Hugging Face hub (fetched on first use, safetensors only).

    Raises:
        InputError: transformers is not installed, there is no such model, or it knows no people.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection
    except ImportError as error:
        raise InputError("crop=person needs transformers; pip install -e '.[detect]'") from error
    try:
        processor = AutoImageProcessor.from_pretrained(model)
        network = AutoModelForObjectDetection.from_pretrained(model, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        said = f"detector={model} cannot be loaded ({first_line(error)}); give a folder or a model's name"
        raise InputError(said) from error
    person = [number for number, name in network.config.id2label.items() if str(name).lower() == "person"]
    if not person:
        raise InputError(f"detector={model} knows no class `person`; give another model")

    @torch.inference_mode()
    def detect(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "k 4"]]:
        out = network(**processor(images=list(frames), return_tensors="pt"))
        sizes = [(1, 1)] * len(frames)  # boxes as shares
        results = processor.post_process_object_detection(out, threshold=_SCORE, target_sizes=sizes)
        return [r["boxes"][torch.isin(r["labels"], torch.tensor(person))].clamp(0, 1).numpy() for r in results]

    return detect
