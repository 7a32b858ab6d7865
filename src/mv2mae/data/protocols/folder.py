"""Your own videos: a folder whose paths say which group and view each video belongs to.

A pattern such as `{group}/{view}.mp4` or `{label}/{group}_{view}.avi` names the parts of a path. A part takes
any characters but `/`; the same name may come twice and must then agree. `*` stands for any characters but `/`.
"""

from __future__ import annotations

import re
from pathlib import Path

from mv2mae.data.manifest import make_frame
from mv2mae.data.protocols.base import Indexed, Protocol, video_files
from mv2mae.errors import InputError

PLACEHOLDERS = ("group", "view", "label", "subject", "setup")
DEFAULT_PATTERN = "{group}/{view}.mp4"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over a path relative to the folder.

    Raises:
        InputError: unknown placeholders, or no {group} or {view}.
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
    if not {"group", "view"} <= seen:
        raise InputError(f"pattern {pattern!r} must hold {{group}} and {{view}}, as {DEFAULT_PATTERN!r} does")
    return re.compile("".join(parts))


def index(root: Path, pattern: str = "") -> Indexed:
    """All videos below `root` whose relative path fits the pattern (default `{group}/{view}.mp4`).

    Labels, subjects and setups written as numbers keep them; words become 0, 1, ... in sorted order, and the
    words of the labels are returned as class names. Files that do not fit are returned as unmatched.

    Raises:
        InputError: a wrong pattern, or no file that fits.
    """
    pattern = pattern or DEFAULT_PATTERN
    regex = compile_pattern(pattern)
    rows: list[dict[str, object]] = []
    unmatched: list[str] = []
    for file in video_files(root):
        match = regex.fullmatch(file)
        if match is None:
            unmatched.append(file)
        else:
            rows.append({"path": str(root.absolute() / file), **match.groupdict()})
    if not rows:
        found = f"found for instance {unmatched[0]}" if unmatched else "found no video files"
        raise InputError(f"no file below {root} fits the pattern {pattern!r}; {found}")
    _separate_groups(rows)
    names = {column: _number(rows, column) for column in ("label", "subject", "setup")}
    return Indexed(frame=make_frame(rows), unmatched=tuple(unmatched), class_names=names["label"])


def _separate_groups(rows: list[dict[str, object]]) -> None:
    """Where one name stands for several performances (walk/take1, run/take1), the other parts join the group's name."""
    if len({(row["group"], row["view"]) for row in rows}) == len(rows):
        return
    for row in rows:
        row["group"] = "/".join(str(value) for key, value in row.items() if key not in ("path", "view"))


def _number(rows: list[dict[str, object]], column: str) -> tuple[str, ...]:
    """Replaces the words of a column by numbers, in place; returns the words (none if they were numbers)."""
    words = {str(row[column]) for row in rows if column in row}
    if all(word.isdecimal() for word in words):
        return ()
    ordered = sorted(words)
    for row in rows:
        row[column] = ordered.index(str(row[column]))
    return tuple(ordered)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


PROTOCOL = Protocol(name="folder", index=index)
