"""What the figures share: colours, type sizes, a grid of frames with labelled rows, weights laid over frames.

Figures are made with matplotlib's objects alone; nothing here touches pyplot or leaves a global setting changed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from mv2mae.model.tubelets import Size3

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")
"""Okabe and Ito's, which the colour-blind can tell apart; their yellow is left out: too pale on white."""
HEAT = "inferno"
"""For weights over frames: rises in lightness alone, and its bright end stands out of a grey picture."""
MARK = "#00E5FF"
"""For outlines on pictures; a colour that neither skin, clothes nor HEAT have."""
TRUE_MARK = "#7CFF00"
"""For where something really is; drawn dashed, so that colour alone does not tell."""
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # names of classes and runs may hold dollars
    "axes.titlesize": 9.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
}
"""Settings under which charts are made: `with styled(): ...`."""

WHISKERS: dict[str, Any] = {"ecolor": "#222", "elinewidth": 1.2, "capsize": 3}
"""How intervals are drawn upon bars."""
MOST_MOMENTS = 8
"""Side by side in a still picture."""
_MAX_CELL, _LABEL, _GAP, _HEAD, _EDGE, _WIDTH, _MIN_WIDTH = 1.35, 1.5, 0.04, 0.26, 0.06, 10.3, 7.0
"""Inches; the edge is room at the right for an outline around the last tubelet."""


def styled() -> AbstractContextManager[None]:
    """A context in which `STYLE` holds; the settings before it come back."""
    return matplotlib.rc_context(STYLE)


@dataclass(frozen=True)
class FrameRow:
    """One row of a grid: what it shows, a smaller second line, and its frames."""

    label: str
    frames: UInt8[np.ndarray, "k h w 3"]
    detail: str = ""


@dataclass(frozen=True)
class Bar:
    """What the colours of `HEAT` mean: a title, and names for some places between 0 and 1."""

    label: str
    ticks: Mapping[float, str]


@dataclass(frozen=True)
class FrameGrid:
    """A figure of frames: `axes[row][column]`."""

    figure: Figure
    axes: list[list[Axes]]


def short_name(run: str) -> str:
    """The last two parts of a run's path, which say enough above a picture."""
    return "/".join(run.rstrip("/").split("/")[-2:])


def bare(axis: Axes) -> None:
    """Axes of a picture: without ticks and frame."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def write_note(figure: Figure, lines: Sequence[str], left: float = 0.08) -> None:
    """The lines of a note at the foot of a figure, so many inches from its edge."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 0.08 / height, "\n".join(lines), fontsize=8, va="bottom", color="#444")


def colour_bar(figure: Figure, bar: Bar) -> None:
    """A bar for `HEAT` at the lower right of a figure."""
    width, height = figure.get_size_inches()
    box = (1 - 2.75 / width, 0.36 / height, 2.3 / width, 0.11 / height)
    axis = figure.add_axes(box, label="colour bar")
    drawn = figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), cax=axis, orientation="horizontal")
    drawn.set_ticks(list(bar.ticks), labels=list(bar.ticks.values()))
    axis.tick_params(labelsize=8, length=2)
    axis.set_title(bar.label, fontsize=8, pad=3)


def note_lines(note: str, figure_width: float, *, bar: bool) -> list[str]:
    """A note broken into lines for a figure of that many inches, with room for a colour bar beside it."""
    return textwrap.wrap(note, int((figure_width - (3.1 if bar else 0.2)) * 16.5))


def frame_grid(rows: Sequence[FrameRow], titles: Sequence[str], *, note: str = "", bar: bool = False) -> FrameGrid:
    """Rows of frames under column titles, with a note below.

    Args:
        rows: each with as many frames as there are titles.
        note: a sentence or two that must not get lost when the picture is passed on.
        bar: leave room for a colour bar.
    """
    columns = len(titles)
    height, width = rows[0].frames.shape[1:3]
    cell = min(_MAX_CELL, (_WIDTH - _LABEL) / columns - _GAP)
    cell_height = cell * height / width
    figure_width = max(_LABEL + columns * (cell + _GAP) + _EDGE, _MIN_WIDTH)
    lines = note_lines(note, figure_width, bar=bar)
    foot = max(0.1 + 0.16 * len(lines), 0.68 if bar else 0.0) + 0.06
    figure_height = _HEAD + len(rows) * (cell_height + _GAP) + foot
    figure = Figure(figsize=(figure_width, figure_height))
    axes = []
    for r, row in enumerate(rows):
        bottom = figure_height - _HEAD - (r + 1) * (cell_height + _GAP) + _GAP
        boxes = [
            (_x / figure_width, bottom / figure_height, cell / figure_width, cell_height / figure_height)
            for _x in (_LABEL + c * (cell + _GAP) for c in range(columns))
        ]
        axes.append([_picture(figure, box, frame) for box, frame in zip(boxes, row.frames, strict=True)])
        _row_label(axes[-1][0], row)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8, pad=3)
    if lines:
        write_note(figure, lines)
    return FrameGrid(figure, axes)


def _picture(figure: Figure, box: tuple[float, float, float, float], frame: np.ndarray) -> Axes:
    axis = figure.add_axes(box)
    axis.imshow(frame, interpolation="nearest", aspect="auto")
    bare(axis)
    return axis


def _row_label(axis: Axes, row: FrameRow) -> None:
    place: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "ha": "right",
        "annotation_clip": False,
    }
    lines = row.detail.count("\n") + 1 if row.detail else 0
    axis.annotate(row.label, (0, 0.5), xytext=(-8, 5.5 * lines), va="center", fontsize=9.5, weight="bold", **place)
    if row.detail:
        axis.annotate(
            row.detail,
            (0, 0.5),
            xytext=(-8, 5.5 * lines - 9),
            va="top",
            fontsize=8,
            color="#444",
            linespacing=1.25,
            **place,
        )


def chosen_times(num_times: int, *, keep: int | None = None) -> list[int]:
    """At most `MOST_MOMENTS` of the tubelets' times, evenly spread from the first to the last, `keep` among them."""
    count = min(num_times, MOST_MOMENTS)
    times = np.linspace(0, num_times - 1, count).round().astype(int)
    if keep is not None and keep not in times:
        times[np.abs(times - keep).argmin()] = keep
    return times.tolist()


def frame_titles(times: Sequence[int], tubelet_frames: int, frame_seconds: float | None) -> list[str]:
    """A title for the first frame of each chosen tubelet time, with its moment where that is known."""
    frames = [time * tubelet_frames for time in times]
    if frame_seconds is None:
        return [f"frame {frame + 1}" for frame in frames]
    return [f"frame {frame + 1}, {frame * frame_seconds:.2f} s" for frame in frames]


def frames_at(
    clip: Shaped[Tensor, "c t h w"], times: Sequence[int], tubelet_frames: int
) -> UInt8[np.ndarray, "k h w 3"]:
    """The first frame of each of the chosen tubelet times, as pictures."""
    frames = clip[:, [time * tubelet_frames for time in times]].permute(1, 2, 3, 0).cpu()
    if frames.is_floating_point():
        frames = (frames * 255).round().clamp(0, 255)
    return frames.numpy().astype(np.uint8)


def overlaid(
    frames: UInt8[np.ndarray, "k h w 3"], weights: Float[np.ndarray, "k rows columns"], tubelet_size: Size3
) -> UInt8[np.ndarray, "k h w 3"]:
    """Grey frames tinted by the weights of their tubelets, 0 to 1; where a weight is NaN the frame is pale."""
    grey = (frames @ np.array([0.299, 0.587, 0.114]))[..., None] / 255
    blocks = weights.repeat(tubelet_size[1], axis=1).repeat(tubelet_size[2], axis=2)
    colours = matplotlib.colormaps[HEAT](np.nan_to_num(blocks))[..., :3]
    tinted = 0.42 * grey + 0.58 * colours
    shown = np.where(np.isnan(blocks)[..., None], 0.72 + 0.28 * grey, tinted)
    return (shown * 255).round().clip(0, 255).astype(np.uint8)
