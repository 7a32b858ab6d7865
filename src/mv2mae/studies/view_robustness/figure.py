"""How far features depend on the camera, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mv2mae.studies.view_robustness.results import AngleShare, EncoderRobustness, GalleryRetrieval, RobustnessResult
from mv2mae.visualize.style import COLOURS, WHISKERS, short_name, styled

_MOST_NUMBERS = 10
"""With more views than that, numbers in the cells would overlap."""
_WIDTH = 0.38
"""Of a bar, where a pair of bars takes 1."""


def robustness_figure(result: RobustnessResult) -> Figure:
    """Accuracy across views and by angle, retrieval across views, similarity of features; the untrained encoder too."""
    encoders = result.encoders
    colours = dict(zip(encoders, COLOURS, strict=False))
    with styled():
        figure = Figure(figsize=(11, 7.6), layout="constrained")
        (matrix, angle), (retrieval, cosine) = figure.subplots(2, 2)
        _matrix(matrix, result)
        _angles(angle, result, colours)
        _retrieval(retrieval, result, colours)
        _cosines(cosine, result, colours)
        handles: list[Artist] = [Patch(color=colour, label=short_name(name)) for name, colour in colours.items()]
        handles.append(Line2D([], [], color="black", ls="--", lw=1, label="chance"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        tested = f"{result.test_performances} test performances of {result.manifest}"
        figure.suptitle(f"{short_name(next(iter(encoders)))} over views: {tested}", fontsize=10.5)
        return figure


def _matrix(axis: Axes, result: RobustnessResult) -> None:
    """Top-1 by training view (rows) and test view (columns); what the encoder saw is marked."""
    tables = [{(c.train_view, c.test_view): c.value for c in found.accuracy} for found in result.encoders.values()]
    rows, columns = list(dict.fromkeys(train for train, _ in tables[0])), result.views
    values = np.array([[tables[0].get((r, c), np.nan) for c in columns] for r in rows])
    low, high = 0.0, max(np.nanmax(values), 2 * result.chance)
    image = axis.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    if max(values.shape) <= _MOST_NUMBERS:
        for (y, x), value in np.ndenumerate(values):
            cells = [table[rows[y], columns[x]] for table in tables if (rows[y], columns[x]) in table]
            text = "\n".join([f"{value:.2f}", *(f"({other:.2f})" for other in cells[1:])]) if cells else ""
            colour = "black" if (value - low) / (high - low) > 0.55 else "white"
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    seen = result.views_of_training
    axis.set_xticks(range(len(columns)), [f"{c} *" if c in seen else c for c in columns])
    axis.set_yticks(range(len(rows)), rows)
    title = f"top-1 of a {result.probe} probe" + (" (in brackets: untrained encoder)" if len(tables) > 1 else "")
    axis.set(title=title, ylabel="probe learnt from view")
    axis.set_xlabel("tested on view" + (" (* seen in the encoder's training)" if seen else ""))
    axis.tick_params(labelsize=8 if max(values.shape) <= _MOST_NUMBERS else 5.5)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.85, format=PercentFormatter(1, decimals=0))
    bar.outline.set_visible(False)


def _angles(axis: Axes, result: RobustnessResult, colours: Mapping[str, str]) -> None:
    """Accuracy and retrieval by the angle between two cameras; without angles, same view against other views."""
    encoders = result.encoders
    if any(found.accuracy_by_angle for found in encoders.values()):
        for name, found in encoders.items():
            _line(axis, found.accuracy_by_angle, colours[name])
        ticks = sorted({point.angle for found in encoders.values() for point in found.accuracy_by_angle})
        axis.set(xlabel="degrees between the cameras of training and test", xticks=ticks)
    else:
        for shift, (name, found) in _side_by_side(encoders):
            _bars(axis, shift, [_mean_cell(found, same) for same in (True, False)], colours[name])
        axis.set_xticks(range(2), ["same view", "another view"])
    axis.axhline(result.chance, color="black", ls="--", lw=1)
    axis.set(title=f"top-1 of a {result.probe} probe that learnt from one view", ylim=(0, None))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _line(axis: Axes, points: Sequence[AngleShare], colour: str) -> None:
    angles, values = [point.angle for point in points], [point.value for point in points]
    low, high = zip(*(point.interval for point in points), strict=True)
    reach = [np.subtract(values, low), np.subtract(high, values)]
    axis.errorbar(angles, values, yerr=reach, color=colour, marker="o", ms=4, capsize=3, lw=1.4)


def _mean_cell(found: EncoderRobustness, same: bool) -> tuple[float, float, float]:
    """Mean top-1 over cells of one view each; no interval, since the cells share their videos."""
    views = {cell.test_view for cell in found.accuracy}
    cells = [c.value for c in found.accuracy if c.train_view in views and (c.train_view == c.test_view) == same]
    return float(np.mean(cells)) if cells else np.nan, 0.0, 0.0


def _side_by_side(encoders: Mapping[str, EncoderRobustness]) -> list[tuple[float, tuple[str, EncoderRobustness]]]:
    """Each encoder's name and what it reached, with how far its bars stand from the middle."""
    return [((place - (len(encoders) - 1) / 2) * _WIDTH, item) for place, item in enumerate(encoders.items())]


def _bars(axis: Axes, shift: float, values: list[tuple[float, float, float]], colour: str) -> None:
    """Bars (value, way down, way up of the interval) of one encoder, beside those of the one before."""
    heights, down, up = zip(*values, strict=True)
    spots = np.arange(len(values)) + shift
    error = [down, up] if any(down) or any(up) else None
    axis.bar(spots, heights, _WIDTH, color=colour, alpha=0.85, yerr=error, error_kw=WHISKERS)
    axis.grid(axis="x", visible=False)


def _retrieval(axis: Axes, result: RobustnessResult, colours: Mapping[str, str]) -> None:
    """Recall@1 and mAP in each gallery, with chance."""
    first = result.first.retrieval
    keys = [(gallery, measure) for gallery in first for measure in ("recall_at_1", "map")]
    for shift, (name, found) in _side_by_side(result.encoders):
        _bars(axis, shift, [_with_interval(found.retrieval[g], m) for g, m in keys], colours[name])
    for spot, (gallery, measure) in enumerate(keys):
        chance = getattr(first[gallery], f"chance_{measure}")
        axis.hlines(chance, spot - _WIDTH - 0.04, spot + _WIDTH + 0.04, color="black", ls="--", lw=1)
    titles = {"recall_at_1": "recall@1", "map": "mAP"}
    names = {gallery: "all" if gallery == "all" else gallery.replace(" and ", "\nand ") for gallery in first}
    axis.set_xticks(range(len(keys)), [f"{titles[m]}\n{names[g]}\n({first[g].mean_gallery:.0f})" for g, m in keys])
    axis.set(title="finding the same performance in another view, among ...", ylim=(0, None))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _with_interval(found: GalleryRetrieval, measure: str) -> tuple[float, float, float]:
    value, (low, high) = getattr(found, measure), getattr(found, f"{measure}_interval")
    return value, value - low, high - value


def _cosines(axis: Axes, result: RobustnessResult, colours: Mapping[str, str]) -> None:
    """Mean cosine by what two videos have in common: bars for two views, diamonds for one."""
    relations = list(dict.fromkeys(cell.relation for cell in result.first.similarity))
    for shift, (name, found) in _side_by_side(result.encoders):
        cells = {(cell.relation, cell.view): cell.cosine for cell in found.similarity}
        across, within = ([cells.get((r, view), np.nan) for r in relations] for view in ("other view", "same view"))
        spots = np.arange(len(relations)) + shift
        axis.bar(spots, across, _WIDTH, color=colours[name], alpha=0.85)
        axis.plot(spots, within, "D", color="white", mec=colours[name], mew=1.6, ms=6, zorder=3)
    axis.axhline(0, color="black", lw=0.8)
    axis.grid(axis="x", visible=False)
    names = [relation.replace(", ", ",\n").replace(" and ", "\nand ") for relation in relations]
    axis.set_xticks(range(len(relations)), names)
    axis.set_title("mean cosine of two videos (bars: two views, diamonds: one)")
