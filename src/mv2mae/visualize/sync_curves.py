"""How well the views of a group fit at every lag, pair by pair: the picture of `mv2mae sync`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mv2mae.data.sync import GroupSync, Pair, SyncReport
from mv2mae.files import atomic_write
from mv2mae.visualize.style import COLOURS, styled

_COLUMNS, _MOST_PAIRS, _MOST_POINTS = 3, 6, 600


def draw_sync(report: SyncReport, path: Path) -> Path | None:
    """Writes the curves of the groups that are not as they were; None where there is nothing to draw."""
    shown = [group for group in report.groups if group.pairs]
    if not shown:
        return None
    with atomic_write(path) as temporary:
        sync_figure(shown).savefig(temporary, format="png", dpi=110)
    return path


def sync_figure(groups: list[GroupSync]) -> Figure:
    """A panel a pair: agreement in standard deviations over the lag in seconds, and the lag that was taken."""
    panels = [(group, pair) for group in groups for pair in _chosen(group)]
    rows = -(-len(panels) // _COLUMNS)
    with styled():
        figure = Figure(figsize=(3.6 * min(_COLUMNS, len(panels)), 1.9 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, min(_COLUMNS, len(panels)), squeeze=False).ravel()
        for axis, (group, pair) in zip(axes, panels, strict=False):
            _panel(axis, group, pair)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        figure.supxlabel("by how much the second view shows things later, s", fontsize=8.5)
        figure.supylabel("agreement, standard deviations", fontsize=8.5)
        return figure


def _chosen(group: GroupSync) -> list[Pair]:
    """The pairs to show: of two views by sound rather than by motion, the surest first."""
    best: dict[tuple[int, int], Pair] = {}
    for pair in group.pairs:
        told = group.places[pair.second].evidence
        if (pair.first, pair.second) not in best or pair.evidence == told:
            best[pair.first, pair.second] = pair
    return sorted(best.values(), key=lambda pair: -pair.confidence)[:_MOST_PAIRS]


def _panel(axis: Axes, group: GroupSync, pair: Pair) -> None:
    lags, curve = _thinned(pair.lags, pair.curve)
    axis.plot(lags, curve, color=COLOURS[0], lw=0.8)
    first, second = group.places[pair.first], group.places[pair.second]
    names = f"{group.group}: {group.views[pair.first]}, {group.views[pair.second]}"
    if first.evidence and second.evidence:
        lag = second.offset - first.offset
        axis.axvline(lag, color=COLOURS[1], lw=1.2, ls="--")
        said = f"{lag:+.3f} s by {pair.evidence}, confidence {pair.confidence:.1f}"
    else:
        said = f"cannot be told by {pair.evidence}, confidence {pair.confidence:.1f}"
    axis.set_title(f"{names}\n{said}", fontsize=8)
    axis.margins(x=0)


def _thinned(lags: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Few enough points for a picture; of neighbours the highest, so that no peak gets lost."""
    width = max(1, len(lags) // _MOST_POINTS)
    num = len(lags) // width
    blocks = np.nan_to_num(curve[: num * width], nan=0.0).reshape(num, width)
    best = blocks.argmax(axis=1) + np.arange(num) * width
    return lags[best], curve[best]
