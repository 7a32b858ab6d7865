"""Where the cross-attention falls, against chance, an untrained model and what geometry can reach, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mv2mae.studies.geometry.results import GeometryResult, LookerResult, Mean
from mv2mae.visualize.style import COLOURS, WHISKERS, short_name, styled

_LOOKS: dict[tuple[str, str], dict[str, Any]] = {
    ("model", "best head"): {"color": COLOURS[0], "marker": "o", "ls": "-"},
    ("untrained", "best head"): {"color": COLOURS[1], "marker": "s", "ls": "-"},
    ("uniform", ""): {"color": "#333333", "marker": "", "ls": "--"},
    ("on the person", ""): {"color": "#333333", "marker": "", "ls": ":"},
    ("same place", ""): {"color": COLOURS[2], "marker": "^", "ls": "-."},
    ("true place", ""): {"color": COLOURS[3], "marker": "D", "ls": "-."},
}
"""By looker and map, in the order of the legend; told apart by colour, marker and line."""
_TITLES = {
    "uniform": "chance: any visible token",
    "on the person": "chance: any on the person",
    "same place": "nearest to the same place in the frame",
    "true place": "nearest to the true projection",
}
_WIDTH = 0.36


def geometry_figure(result: GeometryResult) -> Figure:
    """Hits on the same part and within one token by angle; hits by decoder block and head, and by part of the body."""
    shown = {key: result.of(*key) for key in _LOOKS}
    with styled():
        figure = Figure(figsize=(15, 7.8), layout="constrained")
        (part, near, exact), (blocks, body, moved) = figure.subplots(2, 3)
        _by_angle(part, shown, "part_hit", "the peak is on the same part of the body")
        _by_angle(near, shown, "near_hit", "the peak is within one token of the true projection")
        _by_angle(exact, shown, "exact_hit", "the peak is the token nearest to it")
        _by_angle(moved, shown, "moved_hit", "near, of tokens that lie elsewhere in the source")
        _by_block(blocks, result, shown)
        _by_part(body, shown)
        for axis in (part, near, exact, moved, blocks, body):
            axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(*part.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        drawn = result.drawn
        what = f"{result.tokens:,} masked tokens on the body, {result.performances} performances"
        figure.suptitle(
            f"{short_name(result.weights)}, cross-attention: {what}, cameras {drawn['cameras']}, {drawn['difficulty']}",
            fontsize=10.5,
        )
        return figure


def _label(entry: LookerResult) -> str:
    return _TITLES.get(entry.looker) or entry.title


def _by_angle(axis: Axes, shown: Mapping[tuple[str, str], LookerResult], measure: str, title: str) -> None:
    """A line for each looker; intervals for the models, one a little beside the other."""
    ticks = [cell.angle for cell in next(iter(shown.values())).by_angle]
    reach = max(ticks[-1] - ticks[0], 20)
    for key, entry in shown.items():
        shift = {"model": -0.006, "untrained": 0.006}.get(entry.looker, 0.0) * reach
        points = [(cell.angle, cell.mean(measure)) for cell in entry.by_angle if cell.mean(measure).num]
        error = _error([found for _, found in points]) if entry.map else None
        values = [found.drawn for _, found in points]
        axis.errorbar(
            [angle + shift for angle, _ in points],
            values,
            yerr=error,
            label=_label(entry),
            ms=4,
            lw=1.4,
            capsize=3,
            **_LOOKS[key],
        )
    axis.set(title=title, xlabel="degrees between the cameras", ylim=(0, None))
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xlim(ticks[0] - 0.08 * reach, ticks[-1] + 0.08 * reach)


def _error(found: Sequence[Mean]) -> np.ndarray:
    """How far intervals reach below and above their values, [2, n]; NaN where there is nothing to count."""
    values = np.array([mean.drawn for mean in found])
    low, high = np.array([mean.interval or (np.nan, np.nan) for mean in found]).reshape(-1, 2).T
    return np.stack([np.subtract(values, low), np.subtract(high, values)]).clip(min=0)  # rounding


def _by_block(axis: Axes, result: GeometryResult, shown: Mapping[tuple[str, str], LookerResult]) -> None:
    """The mean of the heads of each block as a line, single heads as small marks, chance as lines."""
    for shift, name in ((-0.06, "model"), (0.06, "untrained")):
        style = _LOOKS[name, "best head"]
        means = {
            entry.block: entry.overall.part_hit
            for entry in result.lookers
            if entry.looker == name and entry.block is not None
        }
        spots, values = [block + shift for block in means], [mean.drawn for mean in means.values()]
        axis.errorbar(spots, values, yerr=_error(list(means.values())), ms=5, lw=1.4, capsize=3, **style)
        heads = [head for head in result.heads if head.looker == name]
        spots, values = [head.block + 2.2 * shift for head in heads], [head.part_hit.drawn for head in heads]
        hollow = {"facecolors": "none", "edgecolors": style["color"], "marker": style["marker"]}
        axis.scatter(spots, values, s=26, lw=1, **hollow)
    for name in ("uniform", "on the person"):
        style = _LOOKS[name, ""]
        axis.axhline(shown[name, ""].overall.part_hit.drawn, color=style["color"], ls=style["ls"], lw=1.4)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(title="same part, by block (filled: mean of its heads; hollow: each head)", ylim=(0, None))
    axis.set_xlabel("block of the cross-view decoder")
    axis.margins(x=0.2)


def _by_part(axis: Axes, shown: Mapping[tuple[str, str], LookerResult]) -> None:
    """Bars for the models' best heads, short lines for chance."""
    names = list(next(iter(shown.values())).by_part)
    for shift, name in ((-_WIDTH / 2, "model"), (_WIDTH / 2, "untrained")):
        found = [shown[name, "best head"].by_part[part].part_hit for part in names]
        spots, values = np.arange(len(names)) + shift, [mean.drawn for mean in found]
        colour = _LOOKS[name, "best head"]["color"]
        axis.bar(spots, values, _WIDTH, color=colour, alpha=0.85, yerr=_error(found), error_kw=WHISKERS)
    for name in ("uniform", "on the person"):
        style = _LOOKS[name, ""]
        for spot, part in enumerate(names):
            chance = shown[name, ""].by_part[part].part_hit
            if chance.num:
                reach = _WIDTH + 0.04
                axis.hlines(chance.drawn, spot - reach, spot + reach, color=style["color"], ls=style["ls"], lw=1.4)
    counts = [shown["uniform", ""].by_part[part].part_hit.num for part in names]
    axis.set_xticks(range(len(names)), [f"{name}\n({count:,})" for name, count in zip(names, counts, strict=True)])
    axis.grid(axis="x", visible=False)
    axis.set_title("same part, by the target token's part (tokens)")
