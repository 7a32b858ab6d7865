"""Videos given as arrays, tensors or a data set of one's own, kept as files so that all else can be done with them.

They are written once, without loss. Training then is what it is on files: it goes on where it was stopped, on several
devices and processes too, and what was trained can be tested, drawn and reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.manifest import make_frame, write_beside, write_manifest
from mv2mae.errors import InputError
from mv2mae.synthetic.encode import write_video

_SHAPE = "[views, frames, height, width, 3] or [views, 3, frames, height, width]"


def keep_videos(data: Any, folder: str | Path, *, labels: Sequence[int | str] | None = None, fps: float = 30.0) -> Path:
    """Writes given videos without loss, and their manifest.

    Args:
        data: an array or tensor [n, views, frames, height, width, 3] or [n, views, 3, frames, height, width]; or
            anything with a length and indices, such as a torch `Dataset`, whose items are one such performance each,
            (performance, label), or a dictionary with `views` and perhaps `label`, `group`, `subject`, `setup`. Pixels
            are uint8, or numbers from 0 to 1. Lengths and sizes may differ between items.
        folder: for the videos and `manifest.csv`; what is there of the same pixels is not written again.
        labels: a class for each performance, numbers from 0 or names; instead of those of the items.
        fps: frames a second.

    Returns:
        the manifest.

    Raises:
        InputError: another shape or range, not as many labels as performances, labels for some of them alone.
    """
    folder, rows = Path(folder), list[dict[str, Any]]()
    if labels is not None and len(labels) != len(data):
        raise InputError(f"{len(labels)} labels for {len(data)} performances; give one for each")
    for index in range(len(data)):
        views, about = _performance(data[index], f"item {index}")
        if labels is not None:
            about["label"] = labels[index]
        about.setdefault("group", f"{index:06d}")
        for number, view in enumerate(views, 1):
            file = folder / f"{_digest(view, fps)}.mp4"
            if not file.exists():
                write_video(file, view, fps=fps, crf=None)
            rows.append({**about, "path": str(file), "view": number})
    if not rows:
        raise InputError("no performance was given; the data are empty")
    classes = _numbered(rows)
    manifest = write_manifest(make_frame(pd.DataFrame(rows)), folder / "manifest.csv")
    write_beside(manifest, "classes.json", classes)
    return manifest


def _performance(item: Any, name: str) -> tuple[Iterator[UInt8[np.ndarray, "t h w 3"]], dict[str, Any]]:
    """The views of an item as frames, and what else it says."""
    if isinstance(item, dict):
        if "views" not in item:
            raise InputError(f"{name} has the keys {', '.join(map(str, item))}; expected `views`, {_SHAPE}")
        about = {key: _plain(item[key]) for key in ("label", "group", "subject", "setup") if key in item}
        return _views(item["views"], name), about
    if isinstance(item, (tuple, list)) and len(item) == 2 and np.ndim(_plain(item[1])) == 0:
        return _views(item[0], name), {"label": _plain(item[1])}
    return _views(item, name), {}


def _plain(value: Any) -> Any:
    value = value.cpu().numpy() if isinstance(value, Tensor) else value
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and value.size == 1 else value


def _views(views: Any, name: str) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
    if isinstance(views, (list, tuple)):  # of different lengths, perhaps
        parts = [_frames(np.asarray(view)[None], f"{name}, view {number}") for number, view in enumerate(views, 1)]
        return (part[0] for part in parts)
    return iter(_frames(np.asarray(views.cpu() if isinstance(views, Tensor) else views), name))


def _frames(pixels: np.ndarray, name: str) -> UInt8[np.ndarray, "v t h w 3"]:
    """Pixels of any accepted form as uint8, colours last."""
    if pixels.ndim != 5 or 3 not in (pixels.shape[-1], pixels.shape[1]) or 0 in pixels.shape:
        raise InputError(f"{name} has the shape {list(pixels.shape)}; expected {_SHAPE}")
    if pixels.shape[-1] != 3:
        pixels = pixels.transpose(0, 2, 3, 4, 1)
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1 + 1e-6:
            raise InputError(
                f"{name} holds {pixels.dtype} from {low:g} to {high:g}; expected uint8, or numbers from 0 to 1"
            )
        pixels = (pixels * 255).round().astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _digest(frames: np.ndarray, fps: float) -> str:
    return hashlib.blake2b(frames.tobytes() + repr((frames.shape, fps)).encode(), digest_size=12).hexdigest()


def _numbered(rows: list[dict[str, Any]]) -> list[str]:
    """Turns labels that are names into numbers, in alphabetical order; their names, if so."""
    labels = [row.get("label") for row in rows]
    if any(label is None for label in labels) and any(label is not None for label in labels):
        raise InputError("some performances have a label and some have none; give one for each, or none")
    if not any(isinstance(label, str) for label in labels):
        return []
    names = sorted({str(label) for label in labels})
    for row in rows:
        row["label"] = names.index(str(row["label"]))
    return names
