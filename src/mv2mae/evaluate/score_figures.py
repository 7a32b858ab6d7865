"""Pictures of a test: who is taken for whom, whether probabilities can be believed, accuracy by view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mv2mae.evaluate.results import ReliabilityBin, Scored, TestResult
from mv2mae.files import write_figure
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure, confusion_figure
from mv2mae.visualize.style import COLOURS, styled

_DPI = 130
_MANY_CLASSES = 30


def write_score_figures(result: TestResult, folder: Path) -> list[Path]:
    """Write confusion.png, reliability.png and views.png into a folder; returns their paths."""
    made = {
        "confusion.png": confusion_of(result),
        "reliability.png": reliability_of(result),
        "views.png": views_figure(result),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in made.items():
        write_figure(folder / name, figure, dpi=_DPI, metadata={"Software": "mv2mae"})
    return [folder / name for name in made]


def reliability_of(result: TestResult) -> Figure:
    """`reliability_figure` of a test's single views and, where there are any, its fused ones."""
    series = {"single views": result.single_view.reliability}
    if result.fused:
        series["fused views"] = result.fused.reliability
    return reliability_figure(series)


def confusion_of(result: TestResult) -> Figure:
    """`confusion_figure` of a test's single views, with names that do not overlap."""
    classes = result.classes
    figure = confusion_figure(np.array(result.confusion), classes)
    if len(classes) > _MANY_CLASSES:  # names at the usual size and angle would overlap
        size = max(2.5, 8 * _MANY_CLASSES / len(classes))
        figure.axes[0].tick_params(labelsize=size, length=1)
        figure.axes[0].set_xticks(range(len(classes)), classes, rotation=90, ha="center", rotation_mode="default")
    return figure


def views_figure(result: TestResult) -> Figure:
    """Top-1 of each view, of all together and of the fused views, with 95 % intervals, against chance."""
    rows = []
    for view, top1 in result.per_view.items():
        low, high = result.per_view_interval[view]
        rows.append(AccuracyRow(f"view {view}", top1, low, high, result.per_view_num[view], "one view"))
    for name, found in (("all single views", result.single_view), ("fused views", result.fused)):
        if found:
            rows.append(accuracy_row(name, found, name))
    return accuracy_figure(rows, chance=result.chance)


def reliability_figure(series: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Accuracy over confidence, bin by bin, with the share of videos in each bin below.

    Args:
        series: bins by name. On the dashed line, probabilities mean what they say; below it the model is surer than it
            should be.
    """
    with styled():
        figure = Figure(figsize=(4.6, 5.0), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color="black", ls="--", lw=1, label="confidence = accuracy")
        for (name, bins), colour in zip(series.items(), COLOURS, strict=False):
            total = sum(part.num for part in bins)
            confidence, accuracy = [part.confidence for part in bins], [part.accuracy for part in bins]
            sizes = [12 + 150 * part.num / total for part in bins]
            upper.plot(confidence, accuracy, color=colour, lw=1, alpha=0.6)
            upper.scatter(confidence, accuracy, s=sizes, color=colour, alpha=0.85, edgecolor="white", label=name)
            middles = [(part.low + part.high) / 2 for part in bins]
            lower.step(middles, [part.num / total for part in bins], where="mid", color=colour, lw=1.4)
        upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="accuracy")
        upper.legend(frameon=False, loc="upper left")
        lower.set(ylim=(0, None), xlabel="probability of the likeliest class", ylabel="share")
        for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
            axis.set_major_formatter(PercentFormatter(1))
        return figure


def accuracy_row(name: str, found: Scored, series: str) -> AccuracyRow:
    """A bar with its interval."""
    low, high = found.top1_interval
    return AccuracyRow(name, found.top1, low, high, found.num, series)
