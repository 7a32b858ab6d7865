"""A report: one HTML file with its style and pictures inside, which opens offline and can be sent by mail.

It knows nothing of what it reports: whoever writes one fills in a `Report`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from mv2mae.runs import write_atomically

DPI = 130
"""Sharp at the page's width on an ordinary screen, and still readable when zoomed."""
_LARGE_PNG = 350_000
"""Bytes above which a picture (frames of videos, mostly) is stored as WebP instead."""

Cell = str | int | float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure in the report."""

    figure: Figure
    caption: str
    """What is to be seen, and how to read it."""
    alt: str
    """The same in a few words, for those who cannot see it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; whole numbers are shown as they are, others with three digits after the point."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of {len(row)} cells under a header of {len(self.header)}: {list(row)}")

    def shown(self) -> list[list[str]]:
        """The cells as text."""
        return [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in self.rows]

    def numeric(self) -> list[bool]:
        """Whether each column holds figures (and goes to the right)."""
        columns = zip(*self.shown(), strict=True)
        return [all(cell[:1].isdigit() or cell[:1] in "-+<" for cell in column) for column in columns]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: paragraphs, then tables, then figures, then notes in small type."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that `write_report` puts on the page; every text is plain and is escaped."""

    title: str
    lead: Sequence[str]
    """Paragraphs: what was done, and what came out."""
    highlights: Sequence[tuple[str, str]] = ()
    """The few figures that matter most, each with what it is: ("0.45", "top-1 on an unseen camera")."""
    sections: Sequence[Section] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Machine, versions, durations, data: by name, at the end of the page."""


def write_report(path: Path, report: Report) -> Path:
    """Write a report in one piece: a reader sees the old page or the new one, never half.

    Returns:
        `path`.
    """
    environment = Environment(
        loader=PackageLoader("mv2mae.visualize", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(report=report, data_uri=data_uri)
    write_atomically(path, page)
    return path


def data_uri(figure: Figure) -> str:
    """A figure as an address that holds the picture itself."""
    kind, picture = "png", encoded(figure, "png")
    if len(picture) > _LARGE_PNG:
        kind, picture = "webp", encoded(figure, "webp")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as PNG or WebP; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    if kind == "webp":
        figure.savefig(buffer, format="webp", dpi=DPI, facecolor="white", pil_kwargs={"quality": 88, "method": 4})
    else:
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
