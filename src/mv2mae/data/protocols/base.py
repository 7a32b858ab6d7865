"""What a data set must say about itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Split:
    """A public division into training and test videos: two pandas queries over the manifest's columns."""

    train: str
    test: str


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What was found below a folder."""

    frame: pd.DataFrame
    """A manifest's table, media columns still empty."""
    unmatched: tuple[str, ...] = ()
    """Video files whose names do not belong to the data set, relative to the folder."""
    class_names: tuple[str, ...] = ()
    """Names of the labels 0, 1, ...; empty where unknown."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A data set: `index(root, pattern)` finds its videos, `splits` divides them."""

    name: str
    index: Callable[[Path, str], Indexed]
    splits: dict[str, Split] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


VIDEO_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
"""What counts as a video file."""


def video_files(root: Path) -> list[str]:
    """Paths of all video files below a folder, relative to it, with / between the parts, in sorted order."""
    found, visited = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link that leads in a circle
            subfolders.clear()
            continue
        visited.add(real)
        for name in names:
            if name.lower().endswith(VIDEO_ENDINGS) and not name.startswith("."):
                found.append((Path(folder) / name).relative_to(root).as_posix())
    return sorted(found)
