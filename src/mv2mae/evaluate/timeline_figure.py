"""A long video at a glance: the likeliest class and the probabilities of the top classes over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mv2mae.visualize.style import COLOURS, styled

_OTHERS = "#BBBBBB"


def timeline_figure(
    starts: Float[np.ndarray, " windows"],
    ends: Float[np.ndarray, " windows"],
    probabilities: Float[np.ndarray, "windows classes"],
    classes: Sequence[str],
    segments: Sequence[Mapping[str, Any]],
    *,
    title: str = "",
    top: int = 6,
) -> Figure:
    """Probabilities over time, each window at its middle; below, a band of the likeliest class.

    Args:
        starts, ends: seconds of each window.
        probabilities: NaN rows where nothing is known; the lines have gaps there.
        classes: names.
        segments: `start`, `end`, `label` (empty where nothing is known) of the band.
        title: above all.
        top: classes that get a line and a colour: those that are likeliest in most windows, then by their mean.
    """
    shown = _top_classes(probabilities, top)
    colour = dict(zip(shown, COLOURS, strict=False))
    by_name = {classes[k]: colour[k] for k in shown}
    middles = (starts + ends) / 2
    with styled():
        width = float(np.clip(4 + 0.12 * len(starts), 7, 16))
        figure = Figure(figsize=(width, 3.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        marker = "o" if len(starts) <= 60 else ""
        for k in shown:
            upper.plot(middles, probabilities[:, k], color=colour[k], lw=1.6, marker=marker, ms=3.5, label=classes[k])
        upper.set(ylim=(0, 1.02), ylabel="probability", title=title)
        upper.yaxis.set_major_formatter(PercentFormatter(1))
        for part in segments:
            if part["label"]:
                wide = part["end"] - part["start"]
                lower.barh(0, wide, left=part["start"], color=by_name.get(part["label"], _OTHERS), edgecolor="white")
                if wide > 0.011 * len(part["label"]) * (ends[-1] - starts[0]) * 7 / width:
                    place = part["start"] + wide / 2
                    lower.text(place, 0, part["label"], ha="center", va="center", fontsize=8, color="white")
        lower.set(xlim=(starts[0], ends[-1]), yticks=[], xlabel="seconds")
        lower.set_ylabel("likeliest", rotation=0, ha="right", va="center")
        lower.grid(visible=False)
        lower.spines["left"].set_visible(False)
        figure.legend(*upper.get_legend_handles_labels(), loc="outside right upper", frameon=False)
        return figure


def _top_classes(probabilities: np.ndarray, top: int) -> list[int]:
    """The classes that are likeliest in most windows, then those with the highest mean."""
    known = probabilities[~np.isnan(probabilities).any(axis=1)]
    wins = np.bincount(known.argmax(axis=1), minlength=known.shape[1])
    return np.lexsort((-known.mean(axis=0), -wins))[: min(top, len(COLOURS))].tolist()
