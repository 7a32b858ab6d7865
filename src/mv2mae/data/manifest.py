"""The manifest: the table of videos, one row each, as CSV or Parquet.

Columns: `path` (relative to the manifest's folder, or absolute), `group` (the performance), `view` (the
camera: a number or a name), `label` (class, from 0), `subject`, `setup` (numbers or names), `start`, `end` (the part
of the file to use, in seconds of its time stamps), `fps`, `frames`, `width`, `height` (as displayed), `part` (`train`,
`val` or `test` where an official list of the data set says so), `synchronised` (false where the videos of a group do
not run on one clock; such a group serves fusion, not pre-training pairs). Only the first three must be there. Further
columns are the user's own: they are kept, and queries may ask for them.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from mv2mae.data.remote import is_url, local_copy
from mv2mae.data.tables import (
    as_text,
    check_size,
    numbers_column,
    numbers_or_names,
    own_column,
    read_csv,
    read_parquet,
    require_columns,
    views_column,
    words_of,
)
from mv2mae.data.video import VideoError, VideoInfo, available_cores, read_info
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, write_json
from mv2mae.text import first_line

COLUMNS = (
    "path",
    "group",
    "view",
    "label",
    "subject",
    "setup",
    "start",
    "end",
    "fps",
    "frames",
    "width",
    "height",
    "part",
    "synchronised",
    "rate",
)
"""A manifest's columns, in the order in which they are written; the last three only where they say something."""
REQUIRED = ("path", "group", "view")
PART_OF_FILE, VIEW_OF_GROUP = ["path", "start", "end"], ["group", "view"]
"""What no two rows may have in common."""
_INTEGERS = ("label", "frames", "width", "height")
_NUMBERS_OR_NAMES = ("subject", "setup")
_FLOATS = ("start", "end", "fps", "rate")
TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
PARTS = ("train", "val", "test")
_BOUNDS = {"rate": (0.001, 1e5), "fps": (0.0, 1e6), "frames": (0.0, 1e12), "width": (0.0, 1e6), "height": (0.0, 1e6)}
_TRUTH = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}


def sample_manifest() -> Path:
    """The manifest of the sample set that comes with the package."""
    return Path(str(resources.files("mv2mae.data"))) / "sample" / "manifest.csv"


def manifest_file(manifest: str | Path) -> Path:
    """Where a manifest lies: a path, or that of `sample`."""
    return sample_manifest() if str(manifest) == "sample" else Path(manifest)


def read_manifest(path: str | Path, *, may_repeat: bool = False) -> pd.DataFrame:
    """Reads and checks a manifest.

    Args:
        path: a .csv or .parquet file or its URL, or `sample` for the set that comes with the package.
        may_repeat: let rows through that repeat a part of a file or a view of a group.

    Returns:
        one row a video with all of `COLUMNS` and the user's own, missing values empty (`synchronised` true): paths
        absolute, `view` integers if all of them are and text otherwise, so that queries such as `view in [2, 3]`
        work; `start` and `end` in seconds, `fps` and `rate` in frames a second, `width` and `height` in pixels.

    Raises:
        InputError: no such file, misspelt or missing columns, values of the wrong kind, duplicate rows, no rows.
    """
    if str(path) == "synthetic-stream":
        raise InputError("synthetic-stream is drawn in pre-training and leaves no videos; give --data MANIFEST")
    file = sample_manifest() if str(path) == "sample" else local_copy(path)
    if not file.is_file():
        raise InputError(f"no manifest at {file}; make one with `mv2mae index`, or give `sample` for the sample set")
    frame = _typed(read_table(file), str(file))
    _check_rows(frame, str(file))
    if not may_repeat:
        check_repeats(frame, str(file))
    folder = str(path).rpartition("/")[0] if is_url(path) else os.path.dirname(os.path.abspath(file))
    frame["path"] = [_absolute(p, folder) for p in frame["path"]]
    return frame


def write_manifest(frame: pd.DataFrame, path: str | Path) -> Path:
    """Writes a manifest atomically (a temporary file, then a rename); by its ending CSV or Parquet.

    Paths below the manifest's folder are written relative to it, so that the folder can move.

    Raises:
        InputError: the table is no valid manifest, or the ending is neither .csv nor .parquet.
    """
    file = Path(path)
    check_ending(file)
    frame = _typed(frame, str(file))
    _check_rows(frame, str(file))
    check_repeats(frame, str(file))
    folder = os.path.dirname(os.path.abspath(file))
    frame["path"] = [_relative(p, os.path.join(folder, "")) for p in frame["path"]]
    usual = {"part": frame["part"].isna(), "synchronised": frame["synchronised"], "rate": frame["rate"].isna()}
    frame = frame.drop(columns=[column for column, says_nothing in usual.items() if says_nothing.all()])
    with atomic_write(file) as temporary:
        if file.suffix.lower() != ".parquet":
            separator = "\t" if file.suffix.lower() == ".tsv" else ","
            frame.to_csv(temporary, index=False, lineterminator="\n", sep=separator)
        else:
            frame.to_parquet(temporary, index=False, write_page_checksum=True)
    return file


def make_frame(rows: pd.DataFrame | Iterable[dict[str, object]], name: str = "the table") -> pd.DataFrame:
    """A manifest's table from rows that name the columns they fill, or from a table that has some of the columns.

    Raises:
        InputError: misspelt or missing columns, values of the wrong kind; `name` stands for the table in it.
    """
    known = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(COLUMNS))
    return _typed(known, name)


def read_table(file: str | Path) -> pd.DataFrame:
    """Reads a .csv or .tsv (every value as text) or .parquet file as it is.

    Raises:
        InputError: another ending, or a file that cannot be read.
    """
    file = Path(file)
    check_ending(file)
    check_size(file)
    try:
        if file.suffix.lower() != ".parquet":
            return read_csv(file)
        return read_parquet(file)
    except InputError:
        raise
    except Exception as error:  # pandas and pyarrow raise a dozen kinds
        raise InputError(f"{file} cannot be read as a table ({first_line(error)})") from error


def check_ending(file: Path) -> None:
    """Raises InputError unless a file ends in .csv or .parquet."""
    if file.suffix.lower() not in TABLE_ENDINGS:
        raise InputError(f"{file} ends in {file.suffix or 'nothing'}; give a .csv or a .parquet file")


def check_columns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with its columns named as a manifest names them, whatever their case; others are the user's own.

    Raises:
        InputError: a needed column is missing or not filled, two have one name, or one looks like a misspelt one.
    """
    lower = {str(c): str(c).strip().lower() for c in frame.columns}
    names = [lower[str(c)] if lower[str(c)] in COLUMNS else str(c).strip() for c in frame.columns]
    names = [
        re.sub(r"\.[0-9]+$", "", c) if re.sub(r"\.[0-9]+$", "", c) in names else c for c in names
    ]  # pandas' view.1
    if len(set(names)) < len(names):
        raise InputError(f"{name} has two columns {next(c for c in names if names.count(c) > 1)}; remove one")
    frame = frame.set_axis(names, axis=1)
    absent = [c for c in COLUMNS if c not in names]
    for own in (c for c in names if c not in COLUMNS):
        if close := difflib.get_close_matches(own.lower(), absent, n=1, cutoff=0.8):
            raise InputError(f"{name} has an unknown column {own}; rename it: did you mean {close[0]}?")
    require_columns(frame, REQUIRED, name, f"a manifest needs {', '.join(REQUIRED)}")
    for column in REQUIRED:
        empty = (frame[column].isna() | (frame[column].astype(str) == "")).to_numpy()
        if empty.any():
            rows = ", ".join(str(i + 1) for i in empty.nonzero()[0][:5])
            raise InputError(f"{name}: column {column} is empty in {empty.sum()} rows (data row {rows}); fill it")
    return frame


def check_repeats(frame: pd.DataFrame, name: str) -> None:
    """Raises InputError if two rows are the same part of a file, or the same view of a group."""
    for keys, what in ((PART_OF_FILE, "is listed twice"), (VIEW_OF_GROUP, "stands for two videos")):
        double = frame.duplicated(keys)
        if double.any():
            row = frame[double].iloc[0]
            said = ", ".join(f"{key} {row[key]}" for key in keys if not pd.isna(row[key]))
            alike = (frame["group"] == row["group"]) & (frame["view"] == row["view"])
            files = " and ".join(frame.loc[alike, "path"].astype(str).unique()[:2])
            raise InputError(f"{name}: {said} {what} ({double.sum()} such rows; {files}); remove the duplicates")


def check_synchronised(frame: pd.DataFrame) -> None:
    """Raises InputError if the videos of a group do not run on one clock, so that they make no pairs."""
    several = frame.groupby("group")["view"].transform("size") > 1
    apart = frame[several & ~frame["synchronised"]]
    if not apart.empty:
        raise InputError(
            f"{apart['group'].nunique()} of {frame['group'].nunique()} groups are not synchronised (manifest column "
            f"`synchronised`; first: {apart['group'].iloc[0]}): their views do not show the same moments, as pairs for "
            "pre-training must; leave them out with data.train_query=synchronised, or choose another manifest"
        )


def seconds_or_none(value: Any) -> float | None:
    """A `start` or `end` of a manifest; None where it is empty."""
    return None if pd.isna(value) else float(value)


def parts_of(frame: pd.DataFrame) -> list[tuple[float | None, float | None, float | None]]:
    """`start`, `end` and `rate` of each row; None where they are empty."""
    columns = (frame[name] if name in frame else [None] * len(frame) for name in ("start", "end", "rate"))
    return list(zip(*(map(seconds_or_none, column) for column in columns), strict=True))


def rates_of(frame: pd.DataFrame) -> list[float | None]:
    """`fps` of each row; None where it is empty."""
    return [seconds_or_none(value) for value in frame["fps"]] if "fps" in frame else [None] * len(frame)


def find_class_names(manifest: str | Path) -> Path | None:
    """The file with the names of a manifest's classes: STEM.classes.json or classes.json beside it, if there is one.

    Args:
        manifest: a file or its URL, or `sample`; what lies behind a URL is copied here.
    """
    return beside(manifest, f"{Path(str(manifest)).stem}.classes.json") or beside(manifest, "classes.json")


def write_beside(manifest: Path, name: str, values: Any) -> Path:
    """Writes STEM.name beside a manifest, as JSON; without values, removes what an earlier manifest had there."""
    file = manifest.with_name(f"{manifest.stem}.{name}")
    if values:
        write_json(file, values)
    else:
        file.unlink(missing_ok=True)
    return file


def copy_class_names(manifest: str | Path, out: Path) -> None:
    """Puts the names of a manifest's classes, if it has some, beside another manifest that was made from it."""
    source, target = find_class_names(manifest), out.with_name(f"{out.stem}.classes.json")
    if source is not None and source.resolve() != target.resolve():
        shutil.copyfile(source, target)


def refuse_overwriting(manifest: str | Path, out: str | Path, what: str) -> None:
    """Raises InputError if a file to write is the manifest itself, which is `what` (read, checked)."""
    if manifest_file(manifest).resolve() == Path(out).resolve():
        raise InputError(f"{out} is the manifest that is {what}, which is never overwritten; choose another name")


def beside(manifest: str | Path, name: str) -> Path | None:
    """The file of this name in a manifest's folder, if there is one; from behind a URL, its copy."""
    place = str(sample_manifest()) if str(manifest) == "sample" else str(manifest)
    try:
        file = local_copy(os.path.join(os.path.dirname(place), name))
    except InputError:  # nothing at that URL
        return None
    return file if file.is_file() else None


def with_media_info(frame: pd.DataFrame, *, progress: bool = True) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Fills `fps`, `frames`, `width` and `height` by opening each video, in a thread a core; paths are absolute.

    Returns:
        the rows whose video can be read, and (path, reason) of each of the others.
    """
    paths = list(dict.fromkeys(frame["path"]))
    with ThreadPoolExecutor(available_cores()) as pool:
        found = pool.map(_probe_or_reason, paths)
        results = dict(zip(paths, track(found, "reading videos", len(paths), disable=not progress), strict=True))
    problems = [(path, info) for path, info in results.items() if isinstance(info, str)]
    infos = {path: info for path, info in results.items() if isinstance(info, VideoInfo)}
    kept = frame[[p in infos for p in frame["path"]]].reset_index(drop=True)
    mine = [infos[p] for p in kept["path"]]
    kept = kept.assign(
        fps=pd.array([round(i.fps, 6) for i in mine], dtype="float64"),
        frames=pd.array([i.num_frames for i in mine], dtype="Int64"),
        width=pd.array([i.width for i in mine], dtype="Int64"),
        height=pd.array([i.height for i in mine], dtype="Int64"),
    )
    return kept, problems


def _probe_or_reason(path: str) -> VideoInfo | str:
    try:
        return read_info(path)
    except VideoError as error:
        return error.reason


def _typed(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """All columns, in order and with their types."""
    frame = check_columns(frame, name)
    own = [column for column in frame.columns if column not in COLUMNS]
    frame = frame.reindex(columns=[*COLUMNS, *own]).reset_index(drop=True)
    columns: dict[str, object] = {"path": frame["path"].map(str), "group": frame["group"].map(as_text)}
    columns["view"] = views_column(frame["view"].map(as_text))
    for column in _INTEGERS:
        columns[column] = numbers_column(frame[column], column, name, "Int64")
    for column in _NUMBERS_OR_NAMES:
        columns[column] = numbers_or_names(frame[column])
    for column in _FLOATS:
        columns[column] = numbers_column(frame[column], column, name, "float64")
    columns["part"] = words_of(frame["part"], "part", name, dict(zip(PARTS, PARTS, strict=True))).astype("string")
    columns["synchronised"] = words_of(frame["synchronised"], "synchronised", name, _TRUTH).fillna(True).astype(bool)
    columns |= {column: own_column(frame[column]) for column in own}
    return pd.DataFrame(columns, columns=[*COLUMNS, *own])


def _check_rows(frame: pd.DataFrame, name: str) -> None:
    if frame.empty:
        raise InputError(f"{name} has no rows; a manifest has one row a video")
    negative = (frame["label"] < 0).fillna(False)
    if negative.any():
        row = frame[negative].iloc[0]
        raise InputError(
            f"{name}: {row['path']} has the label {row['label']} ({negative.sum()} such rows); "
            "classes count from 0; leave the label of an unlabelled video empty"
        )
    for column, (low, high) in _BOUNDS.items():
        if (wrong := ((frame[column] < low) | (frame[column] > high)).fillna(False)).any():
            row = frame[wrong].iloc[0]
            what = "frames a second" if column == "rate" else f"{column} from {low:g} on"
            raise InputError(f"{name}: {row['path']} has the {column} {row[column]:g}; give {what}, or nothing")
    backwards = frame["end"] <= frame["start"].fillna(0)
    if backwards.any():
        row = frame[backwards].iloc[0]
        raise InputError(f"{name}: {row['path']} ends at {row['end']} s, before it starts; correct start and end")


def _absolute(path: str, folder: str) -> str:
    """A path or URL on its own; a relative one is one below `folder`, which may be a URL too."""
    if is_url(path):
        return path
    return f"{folder}/{path}" if is_url(folder) else os.path.normpath(os.path.join(folder, path))


def _relative(path: str, folder: str) -> str:
    """A path below `folder`, which ends in a separator, relative to it; any other one absolute; URLs as they are."""
    if is_url(path):
        return path
    absolute = os.path.abspath(path)
    return absolute[len(folder) :].replace(os.sep, "/") if absolute.startswith(folder) else absolute
