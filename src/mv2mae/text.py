"""Counts and lists of names as text."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 video`, `1,200 videos`; the plural is the noun and an s unless given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def first_line(error: Exception) -> str:
    """What an error says, on one line: its first, or else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(names: Sequence[object], most: int = 6) -> str:
    """`a, b, c`; of more than `most` the first ones, dots and the last."""
    shown = [str(name) for name in names]
    return ", ".join(shown if len(shown) <= most else [*shown[: most // 2], "...", shown[-1]])
