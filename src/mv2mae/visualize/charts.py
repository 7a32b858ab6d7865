"""Charts of runs: what their logs and tests say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mv2mae.visualize.style import COLOURS, styled

Logs = Mapping[str, pd.DataFrame]
"""Tables as `runs.read_log` gives them, by the name of the run."""

_LOSSES = {  # name in the log -> title of the panel, baseline's name
    "self_target": ("self-view loss, target", "baseline_target"),
    "self_source": ("self-view loss, source", "baseline_source"),
    "cross_target": ("cross-view loss, target", "baseline_target"),
    "cross_source": ("cross-view loss, source", "baseline_source"),
}
_SMOOTH_FROM = 60
"""Logged points from which a running mean is drawn over them."""


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


@dataclass(frozen=True)
class _Panel:
    title: str
    y_label: str
    draw: Callable[[Axes, pd.DataFrame, str], bool]
    """Draws one run in one colour; False if its log has nothing for this panel."""
    finish: Callable[[Axes], object]


def curves_figure(logs: Logs) -> Figure:
    """What happened during training, a colour for each run, a panel for each quantity that any of them logged.

    The four losses are divided by the loss of predicting each tubelet's mean on the same batch (dashed line at 1):
    batches differ in how hard they are, and below that line something is learnt. Points are held-out performances.
    """
    with styled():
        panels = [panel for panel in _panels() if _has_data(panel, logs)]
        columns = min(3, max(1, len(panels)))
        lines = -(-max(1, len(panels)) // columns)
        figure = Figure(figsize=(10, 2.3 * lines + 0.5), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for axis, panel in zip(axes, panels, strict=False):
            for (_, log), colour in zip(logs.items(), _cycle(len(logs)), strict=True):
                panel.draw(axis, log, colour)
            axis.set(title=panel.title, ylabel=panel.y_label, xlabel="step")
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.finish(axis)
        for axis in axes[len(panels) :]:
            axis.remove()
        figure.legend(handles=_legend(logs), loc="outside upper center", ncols=min(6, len(logs) + 3), frameon=False)
        return figure


def _legend(logs: Logs) -> list[Line2D]:
    smooth = any(len(log) >= _SMOOTH_FROM for log in logs.values())
    names = {name for log in logs.values() for name in log.columns}
    colours = zip(logs, _cycle(len(logs)), strict=True)
    handles = [Line2D([], [], color=colour, lw=2, label=name) for name, colour in colours]
    handles.append(Line2D([], [], color="#777", lw=1.6, label="training" + (", running mean" if smooth else "")))
    if any(name.startswith("held_out/") for name in names):
        handles.append(Line2D([], [], color="#777", marker="o", ls="", ms=4, label="held out"))
    if any(name in names for name in ("train/baseline_target", "held_out/baseline_target")):
        handles.append(Line2D([], [], color="black", ls="--", lw=1, label="predicting the mean"))
    return handles


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _has_data(panel: _Panel, logs: Logs) -> bool:
    scratch = Figure().subplots()
    return any([panel.draw(scratch, log, "black") for log in logs.values()])


def _panels() -> list[_Panel]:
    def at_one(axis: Axes) -> None:
        axis.axhline(1, color="black", ls="--", lw=1)
        # the first steps of an untrained decoder lie far above and would flatten all that follows
        low, high = axis.get_ylim()
        axis.set_ylim(max(0, low), max(1.05, min(high, 1.25)))

    def percent(axis: Axes) -> None:
        axis.set_ylim(0, 1)
        axis.yaxis.set_major_formatter(PercentFormatter(1))

    def from_zero(axis: Axes) -> None:
        axis.set_ylim(bottom=0)

    def powers(axis: Axes) -> None:
        axis.set_ylim(bottom=0)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))

    def at_zero(axis: Axes) -> None:
        axis.axhline(0, color="black", lw=0.8)

    losses = [_Panel(title, "loss / mean baseline", _loss(name), at_one) for name, (title, _) in _LOSSES.items()]
    return [
        *losses,
        _Panel("training loss", "cross-entropy", _plain_loss, from_zero),
        _Panel("training top-1", "accuracy", _line("train/top1"), percent),
        _Panel("nearest neighbours", "top-1", _line("probe/knn_top1", marker="o", smooth=False), percent),
        _Panel("source gain", "rise of the loss", _line("held_out/source_gain", marker="o"), at_zero),
        _Panel("effective tokens", "tokens", _line("train/effective_tokens"), from_zero),
        _Panel("learning rate", "rate", _line("train/lr", smooth=False), powers),
        _Panel("speed", "clips / s", _line("speed/clips_per_s"), from_zero),
        _Panel("waiting for data", "share of the time", _line("speed/data_wait_share"), percent),
    ]


def _line(name: str, *, marker: str = "", smooth: bool = True) -> Callable[[Axes, pd.DataFrame, str], bool]:
    def draw(axis: Axes, log: pd.DataFrame, colour: str) -> bool:
        values = log[name].dropna() if name in log else pd.Series(dtype=float)
        _draw_line(axis, values, colour, marker=marker, smooth=smooth)
        return len(values) > 0

    return draw


def _plain_loss(axis: Axes, log: pd.DataFrame, colour: str) -> bool:
    """The loss of a log that has no parts: fine-tuning."""
    return "train/self_target" not in log and _line("train/loss")(axis, log, colour)


def _loss(name: str) -> Callable[[Axes, pd.DataFrame, str], bool]:
    baseline = _LOSSES[name][1]

    def draw(axis: Axes, log: pd.DataFrame, colour: str) -> bool:
        found = False
        for stage in ("train", "held_out"):
            key, below = f"{stage}/{name}", f"{stage}/{baseline}"
            # a model without cross-view decoder logs 0 for its losses: nothing to show
            if key not in log or below not in log or not (log[key].fillna(0) != 0).any():
                continue
            share = (log[key] / log[below]).dropna()
            found = True
            if stage == "train":
                _draw_line(axis, share, colour)
            else:
                axis.plot(share.index, share, "o", ms=3.5, color=colour, mec="white", mew=0.5, zorder=3)
        return found

    return draw


def _draw_line(axis: Axes, values: pd.Series, colour: str, *, marker: str = "", smooth: bool = True) -> None:
    if len(values) < _SMOOTH_FROM or not smooth:
        axis.plot(values.index, values, color=colour, lw=1.4, marker=marker, ms=3.5)
        return
    axis.plot(values.index, values, color=colour, lw=0.7, alpha=0.3)
    mean = values.rolling(max(3, len(values) // 25), center=True, min_periods=1).mean()
    axis.plot(mean.index, mean, color=colour, lw=1.6)


def accuracy_figure(rows: Sequence[AccuracyRow], *, chance: float, title: str = "") -> Figure:
    """Top-1 accuracies as bars with 95 % intervals, against chance."""
    with styled():
        series = list(dict.fromkeys(row.series for row in rows))
        colour = dict(zip(series, _cycle(len(series)), strict=True))
        figure = Figure(figsize=(8.5, 0.36 * len(rows) + 1.15), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(rows))[::-1]
        values = np.array([row.accuracy for row in rows])
        errors = np.abs(np.array([[row.low, row.high] for row in rows]).T - values)
        axis.barh(places, values, xerr=errors, height=0.66, color=[colour[row.series] for row in rows], alpha=0.85,
                  error_kw={"ecolor": "#222", "elinewidth": 1.2, "capsize": 3})  # fmt: skip
        for place, row in zip(places, rows, strict=True):
            text = f"{row.accuracy:.3f}  ({row.num} test items)"
            axis.text(max(row.high, row.accuracy) + 0.015, place, text, va="center", fontsize=8)
        line = axis.axvline(chance, color="black", ls="--", lw=1, label=f"chance, {chance:.3f}")
        names = [row.name if i == 0 or row.name != rows[i - 1].name else "" for i, row in enumerate(rows)]
        axis.set_yticks(places, names)
        axis.tick_params(axis="y", length=0)
        axis.set(xlim=(0, 1.28), xticks=np.arange(0, 1.01, 0.2), title=title)
        axis.set_xlabel("top-1 accuracy, with 95 % interval")
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
                    axis.text(x, y, count, ha="center", va="center", fontsize=8,
                              color="black" if shares[y, x] > 0.55 else "white")  # fmt: skip
        bar = figure.colorbar(image, ax=axis, shrink=0.8, format=PercentFormatter(1))
        bar.set_label("share of the true class's videos")
        bar.outline.set_visible(False)
        return figure
