"""Your own videos: a folder whose paths say which group and view each video belongs to, or a table that does.

A pattern such as `{group}/{view}.mp4` or `{label}/{group}_{view}.avi` names the parts of a path. A part takes
any characters but `/`; the same name may come twice and must then agree. `*` stands for any characters but `/`.
With `{frame}` (or `{frame:06d}`) it names the numbered pictures of image sequences, in folders or in tars.
A table is a CSV or Parquet file with a manifest's columns, whose paths are relative to the folder.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mv2mae.data.images import open_sequence, sequence_name, tar_files
from mv2mae.data.manifest import check_columns, make_frame, read_table
from mv2mae.data.protocols.base import Indexed, Listing, Protocol, instance
from mv2mae.data.video import VideoError, is_there
from mv2mae.errors import InputError
from mv2mae.text import listed

PLACEHOLDERS = ("group", "view", "label", "subject", "setup")
FRAME = "frame"
DEFAULT_PATTERN = "{group}/{view}.mp4"
PICTURES_PATTERN = "{group}/{view}/{frame:06d}.jpg"
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
        if digits := re.fullmatch(rf"{FRAME}(?::0?(\d?)d)?", name):
            name = FRAME
            if name in seen or "/" in pattern.partition("{frame")[2]:
                raise InputError(f"pattern {pattern!r}: {{frame}} must stand once, in the name of a picture")
            parts.append(rf"(?P<{FRAME}>[0-9]{{{digits[1] or 1},}})")
            seen.add(name)
            continue
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{placeholder}}}" for placeholder in (*PLACEHOLDERS, FRAME))
            raise InputError(f"pattern {pattern!r}: {{{name}}} is unknown; use {known}")
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
    if "{frame" in listing.pattern:
        return _from_pictures(listing)
    if listing.rate:
        raise InputError(
            f"rate={listing.rate:g} is for image sequences, whose pattern has a {{frame}} as {PICTURES_PATTERN!r} has; "
            "for videos whose clock is wrong a manifest has a column `rate`"
        )
    return _from_table(listing) if listing.table else _from_paths(listing)


def _from_paths(listing: Listing) -> Indexed:
    pattern = listing.pattern or (FLAT_PATTERN if listing.group else DEFAULT_PATTERN)
    regex = compile_pattern(pattern, needed=("view",) if listing.group else ("group", "view"))
    rows: list[dict[str, str]] = []
    unmatched: list[str] = []
    # a pattern that says how names end means what fits it, whatever that ending is
    names_ending = re.search(r"\.[A-Za-z0-9]+$", pattern) is not None
    named = [file for file in (*listing.others, *listing.texts) if names_ending and regex.fullmatch(file)]
    for file in sorted([*listing.files, *named]):
        match = regex.fullmatch(file)
        if match is None:
            unmatched.append(file)
        else:
            given = {"group": listing.group} if listing.group else {}
            rows.append({"path": f"{listing.root}/{file}", **match.groupdict(), **given})
    frame, class_names = _frame_of(rows, listing, pattern, instance(listing))
    return Indexed(frame=frame, unmatched=tuple(unmatched), class_names=class_names)


def _from_pictures(listing: Listing) -> Indexed:
    """Image sequences; a tar is looked through as if it were a folder."""
    regex = compile_pattern(listing.pattern, needed=("view",) if listing.group else ("group", "view"))
    if not 0 < listing.rate < math.inf:
        raise InputError(f"pattern {listing.pattern!r} is of image sequences: give the pictures a second, as --rate 30")
    given = {"group": listing.group} if listing.group else {}
    files, problems = _with_tars(listing)
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    parts: dict[tuple[str, ...], dict[str, str]] = {}
    for file in files:
        if (match := regex.fullmatch(file)) is not None:
            key = file[: match.start(FRAME)], file[match.end(FRAME) :]
            found.setdefault(key, []).append((match[FRAME], file))
            parts[key] = {name: value for name, value in match.groupdict().items() if name != FRAME} | given
    rows: list[dict[str, str]] = []
    gaps: list[tuple[str, str]] = []
    unmatched = list(listing.files)
    for (before, after), numbered in sorted(found.items()):
        folder, _, stem = f"{listing.root}/{before}".rpartition("/")
        width = _width([number for number, _ in numbered])
        unmatched += [file for number, file in numbered if number != f"{int(number):0{width}d}"]
        rows.append({"path": sequence_name(folder, stem, width, after, listing.rate), **parts[before, after]})
        gaps += _gaps(rows[-1]["path"])
    reason = f"{problems[0][0]}: {problems[0][1]}" if problems else instance(listing)
    frame, class_names = _frame_of(rows, listing, listing.pattern, reason)
    used = frozenset(file for numbered in found.values() for _, file in numbered)
    used |= {file[: file.lower().index(".tar/") + 4] for file in used if ".tar/" in file.lower()}
    return Indexed(
        frame=frame,
        unmatched=tuple(sorted(set(unmatched))),
        class_names=class_names,
        problems=tuple(problems),
        used=used,
        gaps=tuple(gaps),
    )


def _with_tars(listing: Listing) -> tuple[list[str], list[tuple[str, str]]]:
    """All files that may be pictures, those in tars under the tar's name; and tars that cannot be read."""
    files, problems = [*listing.files, *listing.others, *listing.texts], []
    for tar in [file for file in listing.others if file.lower().endswith(".tar")]:
        try:
            files += [f"{tar}/{name}" for name in tar_files(listing.root / tar)]
        except VideoError as error:
            problems.append((tar, error.reason))
    return files, problems


def _width(numbers: Sequence[str]) -> int:
    """To how many digits numbers are filled up with zeros; 0 = not at all."""
    return 0 if all(str(int(number)) == number for number in numbers) else min(map(len, numbers))


def _gaps(path: str) -> list[tuple[str, str]]:
    """What is missing of an image sequence between its first and its last picture."""
    try:
        missing = open_sequence(path).missing
    except VideoError:  # which opening it will tell
        return []
    spans = [f"{low}" if low == high else f"{low} to {high}" for low, high in missing]
    return [(path, f"{listed(spans)} missing")] if spans else []


def _from_table(listing: Listing) -> Indexed:
    """The rows of a table; files that are not there are set aside, those that it does not name are unmatched."""
    file = Path(listing.table)
    if not file.is_file():
        raise InputError(f"no table at {file}; give a .csv or .parquet file with the columns path, group and view")
    frame = check_columns(read_table(file), str(file))
    frame["path"] = [os.path.normpath(os.path.join(listing.root, str(path))) for path in frame["path"]]
    exists = frame["path"].map(is_there).astype(bool)
    named = set(frame["path"])
    unmatched = tuple(video for video in listing.files if os.path.normpath(f"{listing.root}/{video}") not in named)
    problems = tuple((path, f"is in {file}, but there is no such file") for path in frame["path"][~exists])
    if not exists.any():
        raise InputError(f"none of the {len(frame)} videos of {file} is there; paths are relative to {listing.root}")
    frame, class_names = _numbered(frame[exists].reset_index(drop=True))
    return Indexed(frame=make_frame(frame, str(file)), unmatched=unmatched, class_names=class_names, problems=problems)


def _frame_of(
    rows: list[dict[str, str]], listing: Listing, pattern: str, instead: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The manifest of what fits a pattern, and the names of its labels; `instead` says what was found where none does.

    Where one name stands for several performances (walk/take1, run/take1), the other parts join the group's name.
    """
    if not rows:
        raise InputError(f"no file below {listing.root} fits the pattern {pattern!r}; {instead}")
    if len({(row["group"], row["view"]) for row in rows}) < len(rows):
        for row in rows:
            row["group"] = "/".join(str(value) for key, value in row.items() if key not in ("path", "view"))
    frame, class_names = _numbered(pd.DataFrame(rows, dtype=object))
    return make_frame(frame), class_names


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


PROTOCOL = Protocol(name="folder", index=index, options=("pattern", "table", "group", "rate"))
