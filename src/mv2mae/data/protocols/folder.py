"""Your own videos: a folder whose paths say which group and view each video belongs to, or a table that does.

A pattern such as `{group}/{view}.mp4` or `{label}/{group}_{view}.avi` names the parts of a path. A part takes
any characters but `/`; the same name may come twice and must then agree. `*` stands for any characters but `/`.
A table is a CSV or Parquet file with a manifest's columns, whose paths are relative to the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mv2mae.data.manifest import check_columns, make_frame, read_table
from mv2mae.data.protocols.base import Indexed, Listing, Protocol, instance
from mv2mae.errors import InputError

PLACEHOLDERS = ("group", "view", "label", "subject", "setup")
DEFAULT_PATTERN = "{group}/{view}.mp4"
FLAT_PATTERN = "{view}.*"
"""Of videos that are all of one take."""


def compile_pattern(pattern: str, *, needed: Sequence[str] = ("group", "view")) -> re.Pattern[str]:
    """The pattern as a regular expression over a path relative to the folder.

    Raises:
        InputError: unknown placeholders, or one that is needed is missing.
    """
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", pattern)):
        raise InputError(f"pattern {pattern!r} has an unpaired brace; write placeholders as {{group}}")
    parts, seen = [], set()
    for literal, name in re.findall(r"([^{}]*)(?:\{([^{}]*)\})?", pattern):
        parts.append(re.escape(literal).replace(r"\*", "[^/]*"))
        if not name:
            continue
        if name not in PLACEHOLDERS:
            raise InputError(f"pattern {pattern!r}: {{{name}}} is unknown; use {_listed(PLACEHOLDERS)}")
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
        seen.add(name)
    if not set(needed) <= seen:
        hint = "; for the videos of one take give --group NAME" if "view" in seen else ""
        raise InputError(
            f"pattern {pattern!r} must hold {{group}} and {{view}}, as {DEFAULT_PATTERN!r} does{hint}"
            if "group" in needed
            else f"pattern {pattern!r} must hold {{view}}, as {FLAT_PATTERN!r} does"
        )
    return re.compile("".join(parts))


def index(listing: Listing) -> Indexed:
    """All videos whose relative path fits the pattern (default `{group}/{view}.mp4`), or that the table names.

    Labels written as whole numbers keep them; words and codes such as 1.1 become 0, 1, ... in sorted order, and are
    returned as class names. Subjects and setups stay what they are. Files that do not fit are returned as unmatched.

    Raises:
        InputError: a wrong pattern or table, both of them, or no file that fits.
    """
    if listing.table and (other := listing.pattern or listing.group):
        what = "pattern" if listing.pattern else "group"
        raise InputError(f"{what} {other!r} and table {listing.table!r} exclude each other; give one")
    return _from_table(listing) if listing.table else _from_paths(listing)


def _from_paths(listing: Listing) -> Indexed:
    pattern = listing.pattern or (FLAT_PATTERN if listing.group else DEFAULT_PATTERN)
    regex = compile_pattern(pattern, needed=("view",) if listing.group else ("group", "view"))
    rows: list[dict[str, str]] = []
    unmatched: list[str] = []
    named = [file for file in (*listing.others, *listing.texts) if _names_ending(pattern) and regex.fullmatch(file)]
    for file in sorted([*listing.files, *named]):
        match = regex.fullmatch(file)
        if match is None:
            unmatched.append(file)
        else:
            given = {"group": listing.group} if listing.group else {}
            rows.append({"path": f"{listing.root}/{file}", **match.groupdict(), **given})
    if not rows:
        raise InputError(f"no file below {listing.root} fits the pattern {pattern!r}; {instance(listing)}")
    _separate_groups(rows)
    frame, class_names = _numbered(pd.DataFrame(rows, dtype=object))
    return Indexed(frame=make_frame(frame), unmatched=tuple(unmatched), class_names=class_names)


def _names_ending(pattern: str) -> bool:
    """Whether a pattern says how names end, so that what fits it is meant, whatever that ending is."""
    return re.search(r"\.[A-Za-z0-9]+$", pattern) is not None


def _from_table(listing: Listing) -> Indexed:
    """The rows of a table; files that are not there are set aside, those that it does not name are unmatched."""
    file = Path(listing.table)
    if not file.is_file():
        raise InputError(f"no table at {file}; give a .csv or .parquet file with the columns path, group and view")
    frame = check_columns(read_table(file), str(file))
    frame["path"] = [os.path.normpath(os.path.join(listing.root, str(path))) for path in frame["path"]]
    is_there = frame["path"].map(os.path.isfile).astype(bool)
    named = set(frame["path"])
    unmatched = tuple(video for video in listing.files if os.path.normpath(f"{listing.root}/{video}") not in named)
    problems = tuple((path, f"is in {file}, but there is no such file") for path in frame["path"][~is_there])
    if not is_there.any():
        raise InputError(f"none of the {len(frame)} videos of {file} is there; paths are relative to {listing.root}")
    frame, class_names = _numbered(frame[is_there].reset_index(drop=True))
    return Indexed(frame=make_frame(frame, str(file)), unmatched=unmatched, class_names=class_names, problems=problems)


def _separate_groups(rows: list[dict[str, str]]) -> None:
    """Where one name stands for several performances (walk/take1, run/take1), the other parts join the group's name."""
    if len({(row["group"], row["view"]) for row in rows}) == len(rows):
        return
    for row in rows:
        row["group"] = "/".join(str(value) for key, value in row.items() if key not in ("path", "view"))


def _numbered(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Labels that are words, or codes such as 1.1, become numbers; and the words."""
    if "label" not in frame or pd.api.types.is_numeric_dtype(frame["label"]):
        return frame, ()
    words = sorted({str(word) for word in frame["label"].dropna()})
    numbers = {int(float(word)) for word in words if re.fullmatch(r"[0-9]{1,15}(\.0+)?", word)}
    if len(numbers) == len(words):
        return frame, ()
    number = {word: i for i, word in enumerate(words)}
    return frame.assign(label=frame["label"].map(lambda word: number.get(str(word)))), tuple(words)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


PROTOCOL = Protocol(name="folder", index=index, options=("pattern", "table", "group"))
