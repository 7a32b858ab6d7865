"""A study's picture: measured values with their intervals, the paper's beside."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mv2mae.tables.measure import Measured, Results
from mv2mae.tables.spec import Column
from mv2mae.visualize.style import COLOURS, styled

_ABREAST = 4
"""Panels beside each other, at the most."""


def figure_of(results: Results, columns: Sequence[tuple[Column, str]]) -> Figure:
    """A panel for each column: a curve over the rows' places where the table has an axis, else a point for each row.

    Args:
        columns: which to draw, with their titles.
    """
    cells = [[m for m in results.cells if m.cell.column is column] for column, _ in columns]
    titles = [f"{title}, %" for _, title in columns]
    with styled():
        if results.plan.table.x_title:
            figure = Figure(figsize=(4.6 * len(columns) + 1.2, 3.4), layout="constrained")
            for axis, found, title in zip(figure.subplots(1, len(cells), squeeze=False)[0], cells, titles, strict=True):
                _draw_curve(axis, found)
                axis.set(xlabel=results.plan.table.x_title, ylabel=title)
            return figure
        abreast = min(_ABREAST, len(cells))
        down = math.ceil(len(cells) / abreast)
        height = 1.0 + 0.28 * max(map(len, cells))
        figure = Figure(figsize=(2.6 * abreast + 2.0, height * down), layout="constrained")
        axes = figure.subplots(down, abreast, squeeze=False)
        for place, (axis, found, title) in enumerate(zip(axes.flat, cells, titles, strict=False)):
            _draw_points(axis, found, named=place % abreast == 0)
            axis.set_title(textwrap.fill(title, 30), fontsize=9)
        for axis in axes.flat[len(cells) :]:
            axis.set_visible(False)
        return figure


def _reach(found: Sequence[Measured]) -> tuple[list[float], list[list[float]]]:
    """Values and the lengths of their whiskers, in percent."""
    done = [m.estimate for m in found if m.estimate is not None]
    values = [100 * e.value for e in done]
    return values, [[100 * (e.value - e.interval[0]) for e in done], [100 * (e.interval[1] - e.value) for e in done]]


def _draw_curve(axis: Axes, found: Sequence[Measured]) -> None:
    x = [_place(m) for m in found if m.estimate is not None]
    if x:
        values, reach = _reach(found)
        axis.errorbar(x, values, yerr=reach, marker="o", capsize=3, color=COLOURS[0], label="measured, 95 % interval")
    told = [(_place(m), 100 * m.paper) for m in found if m.paper is not None]
    if told:
        axis.plot(*zip(*told, strict=True), "D--", mfc="none", color=COLOURS[1], lw=1, label="the paper's")
    axis.set_xticks([_place(m) for m in found], [m.cell.row.name for m in found])
    if x or told:
        axis.legend(frameon=False)


def _draw_points(axis: Axes, found: Sequence[Measured], *, named: bool) -> None:
    heights = [-place for place, m in enumerate(found) if m.estimate is not None]
    if heights:
        values, reach = _reach(found)
        axis.errorbar(values, heights, xerr=reach, fmt="o", ms=5, capsize=3, color=COLOURS[0])
    told = [(100 * m.paper, -place) for place, m in enumerate(found) if m.paper is not None]
    if told:
        axis.plot(*zip(*told, strict=True), "D", mfc="none", color=COLOURS[1])
    names = [m.cell.row.name if named else "" for m in found]
    axis.set_yticks([-place for place in range(len(found))], names)
    axis.set_ylim(0.6 - len(found), 0.6)
    axis.grid(axis="x", alpha=0.4)


def _place(m: Measured) -> float:
    return m.cell.row.x if m.cell.row.x is not None else 0.0
