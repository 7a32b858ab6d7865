"""What a data set must say about itself, and what its index is made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Split:
    """A public division into training and test videos: two pandas queries over the manifest's columns.

    Where the official division is a list of names, the index writes the list's parts into the column `part`, and
    the queries read that.
    """

    train: str
    test: str
    num_videos: tuple[int, int] = (0, 0)
    """Of the training and the test part, as published; 0 = not known, or other from folder to folder."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies below a folder: names only, nothing is opened to make it."""

    root: Path
    """The folder, absolute and without `..`."""
    files: Sequence[str]
    """Its video files: relative paths with / between the parts."""
    texts: Sequence[str] = ()
    """Its .txt files (labels, official lists), likewise."""
    undecodable: tuple[str, ...] = ()
    """Files that have no UTF-8 name, and can stand in no manifest; with the odd bytes escaped."""
    pattern: str = ""
    """Of `folder` only: how groups and views are written in the paths."""
    table: str = ""
    """Of `folder` only: a table of the videos, in place of a pattern."""


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What was found below a folder."""

    frame: pd.DataFrame
    """A manifest's table, media columns still empty."""
    unmatched: tuple[str, ...] = ()
    """Video files whose names do not belong to the data set, relative to the folder."""
    class_names: tuple[str, ...] = ()
    """Names of the labels 0, 1, ... where the folder itself tells them."""
    problems: tuple[tuple[str, str], ...] = ()
    """What belongs to the data set and was set aside: (file or line, reason)."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A data set: `index(listing)` makes rows of its videos, `splits` divides them."""

    name: str
    index: Callable[[Listing], Indexed]
    splits: dict[str, Split] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    """Names of the labels 0, 1, ...; empty where they are unknown or differ from folder to folder."""
    options: tuple[str, ...] = ()
    """Fields of a listing that a user may set: of `folder`, `pattern` and `table`."""


VIDEO_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
"""What counts as a video file."""


def list_folder(root: Path, *, pattern: str = "", table: str = "") -> Listing:
    """All video and text files below a folder at any depth, in sorted order; hidden files are left out."""
    found: dict[str, list[str]] = {"video": [], "text": []}
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link that leads in a circle
            subfolders.clear()
            continue
        visited.add(real)
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        for name in names:
            ending = os.path.splitext(name)[1].lower()
            if not name.startswith(".") and (ending in VIDEO_ENDINGS or ending == ".txt"):
                found["text" if ending == ".txt" else "video"].append(prefix + name)
    return Listing(
        root=Path(os.path.abspath(root)),  # without .., as manifests write paths
        files=sorted(filter(_is_text, found["video"])),
        texts=sorted(filter(_is_text, found["text"])),
        undecodable=tuple(sorted(ascii(name) for names in found.values() for name in names if not _is_text(name))),
        pattern=pattern,
        table=table,
    )


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes that the file system handed out as surrogates
        return False
    return True
