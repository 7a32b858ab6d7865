"""Curves of runs: what their logs say, over the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
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
_MOST_POINTS = 400
"""Points of a line beyond which neighbours are averaged: a page has no more pixels for them."""
_CEILING = 1.25
"""The first steps of an untrained decoder lie far above and would flatten all that follows."""


@dataclass(frozen=True)
class _Panel:
    title: str
    y_label: str
    draw: Callable[[Axes, pd.DataFrame, _Pen], bool]
    """Draws one run; False if its log has nothing for this panel."""
    finish: Callable[[Axes], object]
    told: str = ""
    """How to read it, where the caption of the whole group does not say so."""


@dataclass(frozen=True)
class _Pen:
    colour: str
    dashes: str = "-"


@dataclass(frozen=True)
class CurveGroup:
    """Panels that belong together."""

    title: str
    caption: str
    """How to read them, and what good looks like."""
    panels: tuple[_Panel, ...]


def curve_groups(logs: Logs) -> list[CurveGroup]:
    """The groups of panels for which any of the logs has something."""
    found = []
    scratch = Figure().subplots()
    for group in _groups():
        panels = tuple(
            panel for panel in group.panels if any([panel.draw(scratch, log, _Pen("black")) for log in logs.values()])
        )
        if panels:
            caption = " ".join(filter(None, [group.caption, *(panel.told for panel in panels)]))
            found.append(CurveGroup(group.title, caption, panels))
    return found


def curves_figure(logs: Logs, groups: Sequence[CurveGroup] | None = None) -> Figure:
    """What happened during training, a colour for each run, a panel for each quantity that any of them logged.

    The four losses are divided by the loss of predicting each tubelet's mean on the same batch (dashed line at 1):
    batches differ in how hard they are, and below that line something is learnt. Points are held-out performances.

    Args:
        groups: of `curve_groups`; by default all.
    """
    panels = [panel for group in (curve_groups(logs) if groups is None else groups) for panel in group.panels]
    columns = min(2 if len(panels) == 4 else 3, max(1, len(panels)))
    lines = -(-max(1, len(panels)) // columns)
    with styled():
        figure = Figure(
            figsize=(min(10, 5 * columns), 2.3 * lines + 0.5), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
        )
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for axis, panel in zip(axes, panels, strict=False):
            for log, pen in zip(logs.values(), _pens(len(logs)), strict=True):
                panel.draw(axis, log, pen)
            axis.set(title=panel.title, ylabel=panel.y_label, xlabel="step")
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.finish(axis)
        for axis in axes[len(panels) :]:
            axis.remove()
        if handles := _legend(logs, {panel.title for panel in panels}):
            figure.legend(handles=handles, loc="outside upper center", ncols=min(3 * columns, 6), frameon=False)
        return figure


def _legend(logs: Logs, titles: set[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=pen.colour, ls=pen.dashes, lw=2, label=name)
        for name, pen in zip(logs, _pens(len(logs)), strict=True)
        if len(logs) > 1
    ]
    if not titles & _TRAINING_TITLES:
        return handles
    smooth = any(len(log) >= _SMOOTH_FROM for log in logs.values())
    names = {name for log in logs.values() for name in log.columns}
    handles.append(Line2D([], [], color="#777777", lw=1.6, label="training" + (", running mean" if smooth else "")))
    if any(name.startswith("held_out/") for name in names):
        handles.append(Line2D([], [], color="#777777", marker="o", ls="", ms=4, label="held out"))
    if titles & {title for title, _ in _LOSSES.values()}:
        handles.append(Line2D([], [], color="black", ls="--", lw=1, label="predicting the mean"))
    return handles


def _pens(count: int) -> list[_Pen]:
    """A colour for each run, and another kind of dashes where the colours come round again."""
    dashes = ("-", "--", ":", "-.")
    return [_Pen(COLOURS[i % len(COLOURS)], dashes[i // len(COLOURS) % len(dashes)]) for i in range(count)]


def _at_one(axis: Axes) -> None:
    axis.axhline(1, color="black", ls="--", lw=1)
    low, high = axis.get_ylim()
    axis.set_ylim(max(0, low), max(1.05, min(high, _CEILING)))


def _percent(axis: Axes) -> None:
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PercentFormatter(1))


def _from_zero(axis: Axes) -> None:
    axis.set_ylim(bottom=0)


def _powers(axis: Axes) -> None:
    axis.set_ylim(bottom=0)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))


def _at_zero(axis: Axes) -> None:
    axis.axhline(0, color="black", lw=0.8)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))


_TRAINING_TITLES = {*(title for title, _ in _LOSSES.values()), "training loss", "training top-1"}
"""Panels that show training and held-out values beside each other."""


_CROSS_TOLD = (
    "Cross below self: by which share the cross-view loss lies below the self-view loss on the same tokens: the "
    "measure of what the other camera is worth. Circles are performances whose rooms or people are not trained on, "
    "pale squares those held out of the rooms of training, where a gain may be rooms learnt by heart. Good is a clear "
    "rise of the circles above 0."
)
_GAIN_TOLD = (
    "Source gain: the rise of the cross-view loss when each target is given the source of another performance; "
    "circles and squares as before."
)
_TOKENS_TOLD = (
    "Effective tokens: how many tubelets of a clip the motion weights really count; as many as a clip has = all alike, "
    "1 = a single one decides."
)
_NEIGHBOURS_TOLD = (
    "Nearest neighbours: share of labelled clips whose nearest neighbours among others have the same label; good is "
    "above chance and rising."
)


def _groups() -> list[CurveGroup]:
    losses = [_Panel(title, "loss / mean baseline", _loss(name), _at_one) for name, (title, _) in _LOSSES.items()]
    return [
        CurveGroup(
            "Losses",
            "Each loss is divided by that of predicting every tubelet's mean on the same batch: 1.0, the dashed line, "
            "is the mean baseline: nothing learnt. A good run stays there for a while, then falls below it and goes on "
            "falling. Circles are the held-out performances: they should fall with the line; if they turn "
            "up again, the training videos are learnt by heart. Self-view: rebuilt from the view's own visible "
            "tubelets; cross-view: with those of the other camera too, and so it should come to lie lower. "
            f"What lies above {_CEILING} is cut off.",
            tuple(losses),
        ),
        CurveGroup(
            "Use of the other camera, motion, neighbours",
            "",
            (
                _Panel("cross below self", "share of the loss", _checks(_cross_gain), _at_zero, _CROSS_TOLD),
                _Panel("source gain", "rise of the loss", _checks(_source_gain), _at_zero, _GAIN_TOLD),
                _Panel("effective tokens", "tokens", _line("train/effective_tokens"), _from_zero, _TOKENS_TOLD),
                _Panel(
                    "nearest neighbours",
                    "top-1",
                    _line("probe/knn_top1", marker="o", smooth=False),
                    _percent,
                    _NEIGHBOURS_TOLD,
                ),
            ),
        ),
        CurveGroup(
            "Loss and accuracy in training",
            "On augmented training clips (of fine-tuning: with labels; of contrastive pre-training: finding the other "
            "view of the same performance in the batch). Good is a loss that falls steadily; near 100 % says only "
            "that the training videos are known, not how new ones fare: for that see the test.",
            (
                _Panel("training loss", "cross-entropy", _plain_loss, _from_zero),
                _Panel("training top-1", "accuracy", _line("train/top1", held_out="held_out/top1"), _percent),
            ),
        ),
        CurveGroup(
            "Learning rate, speed, waiting",
            "Learning rate: warm-up, then a cosine down. Speed: level is good; dips come from other work on the "
            "machine or slow storage. Waiting for data: the share of the time in which nothing was computed because "
            "no clip was there; good is below 10 %, above it more workers or prepared videos help.",
            (
                _Panel("learning rate", "rate", _line("train/lr", smooth=False), _powers),
                _Panel("speed", "clips / s", _line("speed/clips_per_s"), _from_zero),
                _Panel("waiting for data", "share of the time", _line("speed/data_wait_share"), _percent),
            ),
        ),
    ]


def _line(
    name: str, *, marker: str = "", smooth: bool = True, held_out: str = ""
) -> Callable[[Axes, pd.DataFrame, _Pen], bool]:
    def draw(axis: Axes, log: pd.DataFrame, pen: _Pen) -> bool:
        values = log[name].dropna() if name in log else pd.Series(dtype=float)
        _draw_line(axis, values, pen, marker=marker, smooth=smooth)
        if held_out in log:
            _draw_points(axis, log[held_out].dropna(), pen)
        return len(values) > 0

    return draw


def _cross_gain(log: pd.DataFrame, check: str) -> pd.Series:
    names = f"{check}/cross_target", f"{check}/self_target"
    if not set(names) <= set(log) or not (log[names[0]].fillna(0) != 0).any():  # no cross-view decoder
        return pd.Series(dtype=float)
    return (1 - log[names[0]] / log[names[1]]).dropna()


def _source_gain(log: pd.DataFrame, check: str) -> pd.Series:
    name = f"{check}/source_gain"
    return log[name].dropna() if name in log else pd.Series(dtype=float)


def _checks(of: Callable[[pd.DataFrame, str], pd.Series]) -> Callable[[Axes, pd.DataFrame, _Pen], bool]:
    """A value on performances of rooms or people that are not trained on, and pale on those of trained ones."""

    def draw(axis: Axes, log: pd.DataFrame, pen: _Pen) -> bool:
        found = False
        for check, marker, alpha in (("held_out", "s", 0.35), ("unseen", "o", 1.0)):
            values = thinned(of(log, check))
            axis.plot(values.index, values, color=pen.colour, ls=pen.dashes, lw=1.4, marker=marker, ms=3.5, alpha=alpha)
            found |= len(values) > 0
        return found

    return draw


def _plain_loss(axis: Axes, log: pd.DataFrame, pen: _Pen) -> bool:
    """The loss of a log that has no parts: fine-tuning, contrastive pre-training."""
    return "train/self_target" not in log and _line("train/loss", held_out="held_out/loss")(axis, log, pen)


def _loss(name: str) -> Callable[[Axes, pd.DataFrame, _Pen], bool]:
    baseline = _LOSSES[name][1]

    def draw(axis: Axes, log: pd.DataFrame, pen: _Pen) -> bool:
        found = False
        for stage in ("train", "held_out"):
            key, below = f"{stage}/{name}", f"{stage}/{baseline}"
            # a model without cross-view decoder logs 0 for its losses: nothing to show
            if key not in log or below not in log or not (log[key].fillna(0) != 0).any():
                continue
            share = (log[key] / log[below]).dropna()
            found = True
            if stage == "train":
                _draw_line(axis, share, pen)
            else:
                _draw_points(axis, share, pen)
        return found

    return draw


def _draw_line(axis: Axes, values: pd.Series, pen: _Pen, *, marker: str = "", smooth: bool = True) -> None:
    if len(values) < _SMOOTH_FROM or not smooth:
        values = thinned(values)
        axis.plot(values.index, values, color=pen.colour, ls=pen.dashes, lw=1.4, marker=marker, ms=3.5)
        return
    mean = thinned(values.rolling(max(3, len(values) // 25), center=True, min_periods=1).mean())
    values = thinned(values)
    axis.plot(values.index, values, color=pen.colour, lw=0.7, alpha=0.3)
    axis.plot(mean.index, mean, color=pen.colour, ls=pen.dashes, lw=1.6)


def _draw_points(axis: Axes, values: pd.Series, pen: _Pen) -> None:
    values = thinned(values)
    axis.plot(values.index, values, "o", ms=3.5, color=pen.colour, mec="white", mew=0.5, zorder=3)


def thinned(values: pd.Series) -> pd.Series:
    """A curve of at most `_MOST_POINTS` points: means over neighbouring ones, each at the mean of their steps.

    The first and the last point stay as they are.
    """
    if len(values) <= _MOST_POINTS:
        return values
    inner = values.iloc[1:-1]
    place = pd.RangeIndex(len(inner)) * (_MOST_POINTS - 2) // len(inner)
    steps = pd.Series(inner.index.to_numpy(dtype=float)).groupby(place).mean()
    means = pd.Series(inner.groupby(place).mean().to_numpy(), index=steps.to_numpy())
    return pd.concat([values.iloc[:1], means, values.iloc[-1:]])
