"""Data sets whose file names say everything: a regular expression, and columns made of its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Listing, instance
from mv2mae.errors import InputError

Columns = Callable[[pd.DataFrame], Mapping[str, Any]]
"""From the parts of the names (text, a column each) to columns of the manifest."""


def name_index(
    *,
    title: str,
    example: str,
    name: str,
    group: str,
    columns: Columns | None = None,
    limits: Mapping[str, range] | None = None,
) -> Callable[[Listing], Indexed]:
    """The index of a data set with fixed names, at any depth below its folder.

    Args:
        title: of the data set, for messages.
        example: of a name, for messages.
        name: regular expression with named groups, for the end of a path from the beginning of a name on. Those called
            `view`, `subject`, `setup` and `label` (a number from 1 on) are columns of the manifest.
        group: the column `group`, with the named groups in braces, and `{folder}`, what stands before the name: empty,
            or a relative path that ends in /.
        columns: makes further columns, or others.
        limits: numbers that a named group may have; other files do not belong to the data set.

    Returns:
        a function that raises InputError where no file fits. A file whose group and view another one has
        already is set aside.
    """
    regex = re.compile(rf"\A(?P<folder>.*/)?{name}\Z", re.DOTALL | re.ASCII)

    def index(listing: Listing) -> Indexed:
        parts, unmatched = named_videos(listing, regex, title, example, limits or {})
        groups = [group.format_map(row) for row in parts.to_dict("records")]
        made = pd.DataFrame({"path": parts["path"], "group": groups})
        for column in parts.columns.intersection(["view", "subject", "setup", "label"]):
            made[column] = parts[column].astype(int) if parts[column].str.isdecimal().all() else parts[column]
        if "label" in made:
            made["label"] -= 1
        frame = make_frame(made if columns is None else made.assign(**columns(parts)))
        frame, problems = without_doubles(frame)
        return Indexed(frame=frame, unmatched=unmatched, problems=problems)

    return index


def named_videos(
    listing: Listing, regex: re.Pattern[str], title: str, example: str, limits: Mapping[str, range]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The named groups of the videos that fit, as text, and `path`; and the files that do not fit.

    Raises:
        InputError: none fits.
    """
    files, groups = listing.files, list(regex.groupindex)
    assert len(groups) == regex.groups, "every group of a name's pattern has a name"
    found = {place: match.groups("") for place, file in enumerate(files) if (match := regex.match(file))}
    parts = pd.DataFrame(list(found.values()), columns=groups, index=list(found), dtype=object)
    fits = pd.Series(True, index=parts.index)
    for column, allowed in limits.items():
        fits &= parts[column].astype(int).between(allowed.start, allowed.stop - 1)
    if not fits.any():
        raise no_video(listing, title, example)
    names = pd.Series(files, dtype=object)
    parts = parts[fits].assign(path=f"{listing.root}/" + names)
    return parts, tuple(names.drop(parts.index))


def without_doubles(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[tuple[str, str], ...]]:
    """Sets aside rows whose group and view an earlier row has: copies of a video in two folders."""
    double = frame.duplicated(["group", "view"])
    if not double.any():
        return frame, ()
    first: dict[tuple[str, object], str] = {}
    problems = []
    for path, group, view in zip(frame["path"], frame["group"], frame["view"], strict=True):
        if first.setdefault((group, view), path) != path:
            problems.append((path, f"group {group}, view {view} is {first[group, view]} already"))
    return frame[~double].reset_index(drop=True), tuple(problems)


def no_video(listing: Listing, title: str, example: str) -> InputError:
    """The error for a folder in which nothing fits."""
    return InputError(f"no {title} video below {listing.root}: expected names as {example}, {instance(listing)}")
