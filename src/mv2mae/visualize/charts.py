"""Charts of tests: accuracies with intervals, who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mv2mae.visualize.style import COLOURS, WHISKERS, styled


@dataclass(frozen=True)
class AccuracyRow:
    """One bar of `accuracy_figure`: an accuracy (share, 0 to 1) with its 95 % interval and number of test items."""

    name: str
    accuracy: float
    low: float
    high: float
    num: int
    series: str = ""
    """Bars of one series share a colour (`single view`, `fused views`)."""


def accuracy_figure(rows: Sequence[AccuracyRow], *, chance: float) -> Figure:
    """Top-1 accuracies as bars with 95 % intervals, against chance.

    An interval without width is not drawn: that of one performance, or of answers that are all alike, tells nothing.
    """
    with styled():
        series = list(dict.fromkeys(row.series for row in rows))
        colour = dict(zip(series, [COLOURS[i % len(COLOURS)] for i in range(len(series))], strict=True))
        figure = Figure(figsize=(8.5, 0.36 * len(rows) + 1.15), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(rows))[::-1]
        values = np.array([row.accuracy for row in rows])
        bounds = np.array([[row.low, row.high] for row in rows], dtype=float)
        bounds[bounds[:, 0] == bounds[:, 1]] = np.nan
        errors = np.abs(bounds.T - values)
        colours = [colour[row.series] for row in rows]
        axis.barh(places, values, xerr=errors, height=0.66, color=colours, alpha=0.85, error_kw=WHISKERS)
        for place, row in zip(places, rows, strict=True):
            text = f"{row.accuracy:.3f}  ({row.num} test items)"
            axis.text(max(row.high, row.accuracy) + 0.015, place, text, va="center", fontsize=8)
        line = axis.axvline(chance, color="black", ls="--", lw=1, label=f"chance, {chance:.3f}")
        names = [row.name if i == 0 or row.name != rows[i - 1].name else "" for i, row in enumerate(rows)]
        axis.set_yticks(places, names)
        axis.tick_params(axis="y", length=0)
        axis.set(xlim=(0, 1.28), xticks=np.arange(0, 1.01, 0.2))
        axis.set_xlabel("top-1 accuracy, with 95 % interval", x=0.5 / 1.28)  # below the part that has ticks
        axis.spines["bottom"].set_bounds(0, 1)
        axis.grid(axis="y", visible=False)
        patches = [Patch(color=colour[name], alpha=0.85, label=name) for name in series if name]
        figure.legend(handles=[*patches, line], loc="outside upper center", ncols=len(patches) + 1, frameon=False)
        return figure


def confusion_figure(matrix: Shaped[np.ndarray, "k k"], classes: Sequence[str]) -> Figure:
    """Counts [true class, predicted class] as a matrix, coloured by the share of the true class."""
    with styled():
        counts = np.asarray(matrix)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        side = min(9.0, 2.6 + 0.42 * len(classes))
        figure = Figure(figsize=(side + 0.9, side), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(shares, cmap="cividis", vmin=0, vmax=1)
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(classes)), classes)
        axis.set(xlabel="predicted class", ylabel="true class")
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        if len(classes) <= 20:  # with more the numbers overlap, and the colours say enough
            for (y, x), count in np.ndenumerate(counts):
                if count:
                    ink = "#010101" if shares[y, x] > 0.55 else "#fefefe"
                    axis.text(x, y, count, ha="center", va="center", fontsize=8, color=ink)
        bar = figure.colorbar(image, ax=axis, shrink=0.8, format=PercentFormatter(1))
        bar.set_label("share of the true class's videos")
        bar.outline.set_visible(False)
        return figure
