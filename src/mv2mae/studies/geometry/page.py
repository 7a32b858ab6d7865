"""The part of a report about where the cross-attention looks, as `mv2mae geometry` measured it."""

from __future__ import annotations

from mv2mae.evaluate.tables import number
from mv2mae.studies.geometry.figure import geometry_figure
from mv2mae.studies.geometry.results import GeometryResult
from mv2mae.studies.geometry.summary import PLACES, place_rows
from mv2mae.visualize.report import ReportFigure, Section, Table

_SHOWN = {
    ("model", "best head"): "the model, best head",
    ("untrained", "best head"): "untrained, best head",
    ("uniform", ""): "any visible token (chance)",
    ("on the person", ""): "any token on the person",
    ("same place", ""): "the same place in the frame",
    ("true place", ""): "the true place",
}
"""What looks, of geometry.json -> as text."""


def geometry_section(result: GeometryResult) -> Section:
    """How often attention falls on the same part of the body: a table, and the figure of the command."""
    drawn = result.drawn
    rows = [[name, *_cells(result, key)] for key, name in _SHOWN.items()]
    table = Table(
        header=["who looks", "same part", "95 % interval", "within one token", "nearest token", "off, in tokens"],
        rows=rows,
        caption=f"{result.tokens:,} masked tokens on the body, {result.performances} drawn performances, "
        f"cameras {drawn['cameras']}, {drawn['difficulty']}. Same part: the share of tokens whose attention peaks on "
        "the same part of the body in the other view.",
    )
    header = ["degrees", *(f"{name}{end}" for name in PLACES for end in ("", ": same place", ": difference"))]
    places = Table(
        header=header,
        rows=place_rows(result),
        caption="The best head against the same place in the frame, on the same tokens; differences with 95 % "
        "intervals. Near: at most one token from the true place. On it: the visible token nearest to it. Moved: near, "
        "of tokens whose true place is more than a token from their own. Cameras that look at one person show it at "
        "all but the same place up to 20 degrees: what near says there is little.",
    )
    picture = ReportFigure(
        figure=geometry_figure(result),
        caption="Good is a model well above chance and its untrained self, on the way to the true place; a model that "
        "only looks at the same place in the frame falls off as the cameras move apart.",
        alt="hits on the same part of the body by angle, block and part",
    )
    return Section(title="Where the cross-attention looks", tables=[table, places], figures=[picture])


def geometry_highlight(result: GeometryResult) -> tuple[str, str]:
    """The share of peaks on the same part, beside chance."""
    hit, chance = (result.of(*key).overall.part_hit.value for key in (("model", "best head"), ("uniform", "")))
    return number(hit), f"of attention's peaks are on the same part of the body; chance {number(chance)}"


def _cells(result: GeometryResult, key: tuple[str, str]) -> list[str]:
    found = result.of(*key).overall
    interval = found.part_hit.interval
    span = " to ".join(f"{end:.3f}" for end in interval) if interval else "-"
    others = (found.mean(name) for name in ("near_hit", "exact_hit", "distance"))
    return [number(found.part_hit.value), span, *(number(other.value) for other in others)]
