"""Text files that come with a data set: labels, official lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One line that is not empty."""

    place: str
    """Where it stands, for messages: `FILE, line 3`."""
    text: str


def read_lines(file: Path) -> list[Line]:
    """The lines of a file that are not empty, stripped; bytes that are no UTF-8 become question marks."""
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    return [Line(f"{file}, line {i}", line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
