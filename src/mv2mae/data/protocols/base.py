"""What a data set must say about itself, and what its index is made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mv2mae.data.cameras import Cameras


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


OFFICIAL = {
    "official": Split(train="part == 'train'", test="part == 'test'"),
    "official-val": Split(train="part == 'train'", test="part == 'val'"),
}
"""Of a data set that comes with lists of its parts."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies below a folder: names only, nothing is opened to make it."""

    root: Path
    """The folder, absolute and without `..`."""
    files: Sequence[str]
    """Its video files: relative paths with / between the parts."""
    texts: Sequence[str] = ()
    """Its .txt files (labels, official lists), likewise."""
    others: Sequence[str] = ()
    """Files with other endings, likewise; hidden ones are not listed."""
    undecodable: tuple[str, ...] = ()
    """Files that have no UTF-8 name, and can stand in no manifest; with the odd bytes escaped."""
    pattern: str = ""
    """Of `folder` only: how groups and views are written in the paths."""
    table: str = ""
    """Of `folder` only: a table of the videos, in place of a pattern."""
    group: str = ""
    """Of `folder` only: the group that all videos belong to."""
    rate: float = 0.0
    """Of `folder` only: pictures a second of image sequences."""

    def find(self, name: str) -> str | None:
        """The first file whose path ends in `/name`, videos left out."""
        return next((file for file in (*self.texts, *self.others) if f"/{file}".endswith(f"/{name}")), None)


Problems = list[tuple[str, str]]
"""(file or line, reason) of what was set aside."""


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What was found below a folder."""

    frame: pd.DataFrame
    """A manifest's table, media columns still empty."""
    unmatched: tuple[str, ...] = ()
    """Video files whose names do not belong to the data set, relative to the folder."""
    class_names: tuple[str, ...] = ()
    """Names of the labels 0, 1, ... where the folder itself tells them."""
    used: frozenset[str] = frozenset()
    """Files of image sequences, relative to the folder."""
    gaps: tuple[tuple[str, str], ...] = ()
    """Image sequences of which numbers are missing, and which."""
    others: tuple[str, ...] = ()
    """Files that are no videos by their names, relative to the folder."""
    cameras: Cameras = field(default_factory=Cameras)
    """Those that the folder itself tells of."""
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
    """Fields of a listing that a user may set: of `folder`, `pattern`, `table`, `group` and `rate`."""


VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".ogv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".mod", ".tod", ".ts", ".mts", ".m2ts", ".m2t", ".tp", ".trp"),
    *(".flv", ".f4v", ".mxf", ".dv", ".nut", ".ivf", ".obu", ".h264", ".264", ".avc", ".h265", ".265", ".hevc"),
    *(".h266", ".mjpg", ".mjpeg", ".y4m"),
)
"""What counts as a video file, in any case; a pattern that names another ending takes that, too."""


def list_folder(root: Path) -> Listing:
    """All files below a folder at any depth, in sorted order; hidden files are left out."""
    found: dict[str, list[str]] = {"video": [], "text": [], "other": []}
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
            if not name.startswith("."):
                kind = "video" if ending in VIDEO_ENDINGS else "text" if ending == ".txt" else "other"
                found[kind].append(prefix + name)
    return Listing(
        root=Path(os.path.abspath(root)),  # without .., as manifests write paths
        files=sorted(filter(is_text, found["video"])),
        texts=sorted(filter(is_text, found["text"])),
        others=sorted(filter(is_text, found["other"])),
        undecodable=tuple(sorted(ascii(name) for name in found["video"] if not is_text(name))),
    )


@dataclass(frozen=True)
class Line:
    """One line of a text file that is not empty."""

    place: str
    """Where it stands, for messages: `FILE, line 3`."""
    text: str


def read_lines(file: Path) -> list[Line]:
    """The lines of a file that are not empty, stripped; bytes that are no UTF-8 become question marks."""
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    return [Line(f"{file}, line {i}", line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]


def is_text(name: str) -> bool:
    """Whether a path is UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes that the file system handed out as surrogates
        return False
    return True


def instance(listing: Listing) -> str:
    """What was found where nothing fits, for messages."""
    if listing.files:
        return f"found for instance {listing.files[0]}"
    if listing.undecodable:
        return f"found for instance {listing.undecodable[0]}, whose name is no valid UTF-8: rename it"
    return "found no video files" + (f", but for instance {listing.others[0]}" if listing.others else "")
