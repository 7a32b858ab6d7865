"""From a folder of videos to a manifest: `mv2mae index`."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from mv2mae.data.calibration import CAMERAS_NAME, raw_cameras, read_calibration
from mv2mae.data.labels import alike
from mv2mae.data.manifest import check_ending, check_repeats, with_media_info, write_beside, write_manifest
from mv2mae.data.protocols import build_index
from mv2mae.errors import InputError
from mv2mae.files import make_writable
from mv2mae.text import counted

_CALIBRATIONS = ("cameras", "calibration", "calib", "rig")
"""What files or folders with known cameras are called, beside the videos."""
_CALIBRATION_ENDINGS = (".json", ".yml", ".yaml", ".csv", ".parquet")


def index(
    name: str,
    root: str | Path,
    out: str | Path,
    *,
    pattern: str = "",
    table: str = "",
    group: str = "",
    rate: float = 0.0,
    drop: str = "",
    media_info: bool = True,
) -> Path:
    """Find the videos of a data set, write the manifest and say what was found.

    Beside the manifest go `STEM.classes.json` where the labels have names, `STEM.cameras.json` where the data set
    tells where its cameras stood, and `STEM.report.json` with what was left out: files whose names do not fit, what
    belongs to the data set but cannot be used, videos that cannot be opened, videos left out by `drop`.

    Args:
        name: data set (`PROTOCOLS`).
        root: folder of the videos; of `lerobot` also hf:OWNER/NAME, on the command line.
        out: manifest to write, .parquet or .csv.
        pattern: of `folder`: where group, view and label stand in a path.
        table: of `folder`: a table with a manifest's columns in place of a pattern; its paths are relative to `root`.
        group: of `folder`: the group of all videos, where a pattern names no group.
        rate: of `folder`: pictures a second, where a pattern names image sequences (`{group}/{view}/{frame}.jpg`).
        drop: text file with the name of a video in each line; they are left out. NTU's lists of missing skeletons
            are such files; their videos exist, so that nothing is left out unless asked for.
        media_info: open each video for its rate, length and size.

    Raises:
        InputError: if nothing fits, nothing that fits can be opened, videos repeat one another, or `out` has another
            ending; what can be told without opening videos is told before.
    """
    out = Path(out)
    check_ending(out)
    make_writable(out.parent)
    found = build_index(name, root, pattern, table, group, rate)
    frame, dropped = _without(found.frame, Path(os.path.abspath(root)), drop) if drop else (found.frame, [])
    check_repeats(frame, f"what was found below {root}")
    total = len(frame)
    frame, broken = with_media_info(frame) if media_info else (frame, [])
    if frame.empty:
        raise InputError(f"none of the {total} videos below {root} can be opened; first: {': '.join(broken[0])}")
    write_manifest(frame, out)
    write_beside(out, "classes.json", list(found.class_names))  # an earlier index's numbers meant other classes
    cameras = write_beside(out, CAMERAS_NAME, raw_cameras(found.cameras) if found.cameras.name else None)
    report: dict[str, list[Any]] = {
        "unmatched": list(found.unmatched),
        "set_aside": [list(entry) for entry in found.problems],
        "broken": [list(entry) for entry in broken],
        "dropped": dropped,
        "gaps": [list(entry) for entry in found.gaps],
        "others": [other for other in found.others if not _is_own(Path(root, other), out)],
    }
    write_beside(out, "report.json", report)
    _say(frame, report, out)
    if same := alike(found.class_names):
        print(f"  the classes {' and '.join(same)} are two here, told apart by case alone; rename one if they are one")
    if found.cameras.name:
        cameras_known = len(found.cameras.rig) + len(found.cameras.takes)
        print(f"  {counted(cameras_known, 'known camera')} in {cameras.name}, where model.cameras=rays looks for them")
    _say_cameras(Path(root), out)
    return out


def _without(frame: pd.DataFrame, root: Path, file: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose video is not listed in a text file, and the paths of the others."""
    if not Path(file).is_file():
        raise InputError(f"no list at {file}; `drop` takes a text file with the name of a video in each line")
    lines = Path(file).read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    listed = {line.strip() for line in lines if line.strip()}
    is_listed = [not listed.isdisjoint(_spellings(path, root)) for path in frame["path"]]
    if not any(is_listed):
        raise InputError(f"no line of {file} names one of the {len(frame)} videos below {root}; give their file names")
    if all(is_listed):
        raise InputError(f"{file} names all of the {len(frame)} videos below {root}; nothing would be left")
    kept = frame[[not dropped for dropped in is_listed]].reset_index(drop=True)
    return kept, sorted(set(frame["path"][is_listed]))


def _is_own(file: Path, out: Path) -> bool:
    """Whether a file is one that an index writes."""
    return file.parent.resolve() == out.parent.resolve() and file.name.split(".")[0] == out.stem.split(".")[0]


def _spellings(path: str, root: Path) -> set[str]:
    """How a list may name a video: by its path or its name, with the ending or without, without NTU's `_rgb`."""
    relative = path.removeprefix(f"{root}{os.sep}").replace(os.sep, "/")
    stem = os.path.splitext(relative)[0]
    long = {relative, stem, stem.removesuffix("_rgb")}
    return long | {name.rsplit("/", 1)[-1] for name in long}


def _say(frame: pd.DataFrame, report: dict[str, list[Any]], out: Path) -> None:
    """Prints what was found and what was left out."""
    views = frame.groupby("group")["view"].size()
    sizes = ", ".join(f"{count:,} with {num}" for num, count in views.value_counts().sort_index().items())
    videos, rows = frame["path"].nunique(), len(frame)
    parts = "" if videos == rows else f" cut into {counted(rows, 'part')}"
    groups = counted(len(views), "group")
    print(f"{counted(videos, 'video')}{parts} in {groups} (views a group: {sizes}); wrote {out}")
    if not frame["synchronised"].all():
        print("  not synchronised: good for fine-tuning and fusion, no pairs for pre-training")
    said = {
        "unmatched": "do not fit the names",
        "set_aside": "were set aside",
        "broken": "cannot be opened",
        "dropped": "were left out as asked",
        "gaps": "lack pictures between others",
        "others": "other files are no videos by their endings",
    }
    for what, meaning in said.items():
        if report[what]:
            entry = report[what][0]
            first = ": ".join(entry) if isinstance(entry, list) else entry
            print(f"  {len(report[what]):,} {meaning}, listed in {out.stem}.report.json; first: {first}")


def _say_cameras(root: Path, out: Path) -> None:
    """Tells of a calibration beside the videos: that training finds it, or how to name it, or why it is of no use."""
    for file in sorted(root.iterdir()):
        if file.stem.lower() not in _CALIBRATIONS or not (file.is_dir() or file.suffix in _CALIBRATION_ENDINGS):
            continue
        try:
            num = len(read_calibration(file).rig)
        except InputError as error:
            if file.is_file():  # a folder of that name may hold videos
                print(f"  {file.name} cannot be used as known cameras: {error}")
            continue
        if file.resolve() == out.with_name(CAMERAS_NAME).resolve():
            told = ", beside the manifest, where training looks"
        else:
            told = f"; for model.cameras=rays add --data.cameras {quote(str(file))}"
        print(f"  {counted(num, 'known camera')} in {file}{told}")
