"""The part of a report about where the cross-attention looks, as `mv2mae geometry` measured it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mv2mae.studies.geometry.figure import geometry_figure
from mv2mae.visualize.report import ReportFigure, Section, Table

_SHOWN = {
    ("model", "best head"): "the model, best head",
    ("untrained", "best head"): "untrained, best head",
    ("uniform", ""): "any visible token (chance)",
    ("on the person", ""): "any token on the person",
    ("same place", ""): "the same place in the frame",
    ("true place", ""): "the true place",
}
"""What looks, of geometry.json -> in words."""


def geometry_section(figures: Mapping[str, Any]) -> Section:
    """How often attention falls on the same part of the body: a table, and the figure of the command."""
    drawn = figures["drawn"]
    rows = [[name, *_cells(figures, key)] for key, name in _SHOWN.items()]
    table = Table(
        header=["who looks", "same part", "95 % interval", "within one token", "off, in tokens"],
        rows=rows,
        caption=f"{figures['tokens']:,} masked tokens on the body, {figures['performances']} drawn performances, "
        f"cameras {drawn['cameras']}, {drawn['difficulty']}. Same part: the share of tokens whose attention peaks on "
        "the same part of the body in the other view.",
    )
    picture = ReportFigure(
        figure=geometry_figure(figures),
        caption="Good is a model well above chance and its untrained self, on the way to the true place; a model that "
        "only looks at the same place in the frame falls off as the cameras move apart.",
        alt="hits on the same part of the body by angle, block and part",
    )
    return Section(title="Where the cross-attention looks", tables=[table], figures=[picture])


def geometry_highlight(figures: Mapping[str, Any]) -> tuple[str, str]:
    """The share of peaks on the same part, beside chance."""
    hit, chance = (_value(_overall(figures, key), "part_hit") for key in (("model", "best head"), ("uniform", "")))
    return _shown(hit), f"of attention's peaks are on the same part of the body; chance {_shown(chance)}"


def _overall(figures: Mapping[str, Any], key: tuple[str, str]) -> Mapping[str, Any]:
    looker, of = key
    found = (one for one in figures["lookers"] if one["looker"] == looker and (not of or one["map"] == of))
    return next(found)["overall"]


def _cells(figures: Mapping[str, Any], key: tuple[str, str]) -> list[str]:
    found = _overall(figures, key)
    interval = found["part_hit"]["interval"]
    span = " to ".join(f"{end:.3f}" for end in interval) if interval else "-"
    values = [_shown(_value(found, name)) for name in ("part_hit", "near_hit", "distance")]
    return [values[0], span, *values[1:]]


def _value(found: Mapping[str, Any], measure: str) -> float | None:
    """None where no token could be counted."""
    return found[measure]["value"]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
