"""A report: one HTML file with its style and pictures inside, which opens offline and can be sent by mail.

It knows nothing of what it reports: whoever writes one fills in a `ReportPage`.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from mv2mae.files import write_text

DPI = 130
"""Sharp at the page's width on an ordinary screen, and still readable when zoomed."""
_LARGE_PNG = 350_000
"""Bytes above which a picture (frames of videos, mostly) is stored as WebP instead."""
_LARGE_SVG = 300_000
"""Bytes above which a chart is stored as a picture after all."""
_INK, _PAPER = "var(--ink)", "var(--paper)"
_THEME = {
    "#000000": _INK,
    "#222222": _INK,
    "#333333": _INK,
    "#777777": "var(--soft)",
    "#ffffff": _PAPER,
    "#0072b2": "var(--blue)",
}
"""Colours of charts that follow the page's, light or dark."""

_NUMBER = re.compile(r"-?|[-+<]?\d[\d,.]*%?( to [-+]?[\d.]+)?")
"""What stands at the right of a column; a dash or nothing where there is no figure."""

Cell = str | int | float


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure in the report."""

    figure: Figure
    caption: str
    """What is to be seen, and how to read it."""
    alt: str
    """The same in a few words, for those who cannot see it."""
    kind: Literal["chart", "frames"] = "chart"
    """Charts become vector drawings in the page's colours, frames of videos stay pictures."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A moving picture in the report."""

    webp: bytes
    """Animated, endless."""
    still: bytes
    """One of its frames as WebP, for those who do not want things to move, and for print."""
    size: tuple[int, int]
    """Width and height in pixels."""
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; whole numbers are shown as they are, others with three digits after the point."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    folded: str = ""
    """If given, the table is hidden behind these words until one clicks them."""

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
        return [all(_NUMBER.fullmatch(cell) for cell in column) and any(c != "-" for c in column) for column in columns]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: paragraphs, then tables, figures, moving pictures, and notes in small type."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[ReportFigure] = ()
    clips: Sequence[Clip] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """All that `write_report` puts on the page; every text is plain and is escaped."""

    title: str
    lead: Sequence[str]
    """Paragraphs: what was done, and what came out."""
    highlights: Sequence[tuple[str, str]] = ()
    """The few figures that matter most, each with what it is: ("0.45", "top-1 on an unseen camera")."""
    sections: Sequence[Section] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Machine, versions, durations, data: by name, at the end of the page."""


def write_report(path: Path, report: ReportPage) -> Path:
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
    page = environment.get_template("report.html.j2").render(report=report, drawn=drawn, webp_uri=webp_uri)
    write_text(path, page)
    return path


def drawn(picture: ReportFigure) -> Markup:
    """A picture as HTML: a chart as SVG, all else (and what is too large for it) as an image."""
    if picture.kind == "chart":
        svg = inline_svg(picture.figure, picture.alt)
        if len(svg) <= _LARGE_SVG:
            return svg
    width = round(picture.figure.get_figwidth() * 100)
    return Markup('<img src="{}" alt="{}" width="{}">').format(data_uri(picture.figure), picture.alt, width)


def inline_svg(figure: Figure, alt: str) -> Markup:
    """A chart as SVG that takes the page's type and colours and refers to nothing outside of it."""
    buffer = io.StringIO()
    # the names of its parts follow from its alt text: two charts on a page must not share them
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", svg).replace("xlink:href", "href")
    wanted = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in wanted else "", svg)
    svg = re.sub(r"(?<=[: ])#[0-9a-f]{6}\b", lambda found: _THEME.get(found[0], found[0]), svg)
    width, height = figure.get_size_inches()
    head = Markup('<svg role="img" aria-label="{}" style="max-width:{:.0f}px" viewBox="0 0 {:.2f} {:.2f}">').format(
        alt, width * 96, width * 72, height * 72
    )
    return head + Markup(svg[svg.index(">") + 1 :].strip())


def data_uri(figure: Figure) -> str:
    """A figure as an address that holds the picture itself."""
    kind, picture = "png", encoded(figure, "png")
    if len(picture) > _LARGE_PNG:
        kind, picture = "webp", encoded(figure, "webp")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def webp_uri(picture: bytes) -> str:
    """A WebP file as an address that holds it."""
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"


def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as PNG or WebP; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    if kind == "webp":
        figure.savefig(buffer, format="webp", dpi=DPI, facecolor="white", pil_kwargs={"quality": 88, "method": 4})
    else:
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
