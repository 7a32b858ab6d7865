"""Rows of pictures over the frames of a clip, before it is decided whether they stand still or move.

`Strips.still` lays the moments side by side, a row for each strip: for paper. `Strips.moving` lays the strips side by
side and plays them: for slides. Both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from torch import Tensor

from mv2mae.model.tubelets import Size3
from mv2mae.visualize.style import (
    MARK,
    Bar,
    FrameRow,
    bare,
    chosen_times,
    colour_bar,
    frame_grid,
    frame_titles,
    frames_at,
    note_lines,
    overlaid,
    write_note,
)

MOVING_DPI = 110
_CELL, _GAP, _HEAD, _TEXT, _MOST_STRIPS = 1.75, 0.12, 0.34, 0.17, 5
"""Of a moving picture; inches."""


@dataclass(frozen=True)
class Mark:
    """An outline around the tubelet at (time, row, column) of the grid."""

    place: Size3
    colour: str = MARK
    dashed: bool = False


@dataclass(frozen=True)
class Strip:
    """One picture over time: what it shows, smaller lines below that, all its frames, outlines."""

    label: str
    frames: UInt8[np.ndarray, "t h w 3"]
    detail: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Strips:
    """Pictures over the same frames, with what is to be said about all of them."""

    rows: Sequence[Strip]
    tubelet_size: Size3
    frame_seconds: float | None = None
    """Seconds between two frames, for the titles; None = not known."""
    note: str = ""
    """A sentence or two that must not get lost when the picture is passed on."""
    bar: Bar | None = None
    keep: int | None = None
    """A tubelet time that a still picture must show."""
    columns: int = _MOST_STRIPS
    """Most strips side by side in a moving picture."""

    def still(self) -> Figure:
        """The first frame of each tubelet time (at most eight of them), a row for each strip."""
        step = self.tubelet_size[0]
        times = chosen_times(len(self.rows[0].frames) // step, keep=self.keep)
        rows = [FrameRow(row.label, row.frames[[t * step for t in times]], row.detail) for row in self.rows]
        titles = frame_titles(times, step, self.frame_seconds)
        made = frame_grid(rows, titles, note=self.note, bar=self.bar is not None)
        for axes, row in zip(made.axes, self.rows, strict=True):
            for mark in row.marks:
                if mark.place[0] in times:
                    outline(axes[times.index(mark.place[0])], mark, self.tubelet_size)
        if self.bar is not None:
            colour_bar(made.figure, self.bar)
        return made.figure

    def moving(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """One picture for each frame of the clip, the strips side by side."""
        figure, axes, title = self._stage()
        canvas = FigureCanvasAgg(figure)
        images = [axis.imshow(row.frames[0], aspect="auto") for axis, row in zip(axes, self.rows, strict=True)]
        step = self.tubelet_size[0]
        titles = frame_titles(range(len(self.rows[0].frames)), 1, self.frame_seconds)
        for frame, text in enumerate(titles):
            title.set_text(text)
            for axis, image, row in zip(axes, images, self.rows, strict=True):
                image.set_data(row.frames[frame])
                for patch in list(axis.patches):
                    patch.remove()
                for mark in row.marks:
                    if mark.place[0] == frame // step:
                        outline(axis, mark, self.tubelet_size)
            yield rendered(canvas)

    def _stage(self) -> tuple[Figure, list[Axes], Text]:
        """An empty figure: a place for each strip, its text above it, the note below, a title for the moment."""
        columns = min(self.columns, len(self.rows))
        lines = -(-len(self.rows) // columns)
        height, width = self.rows[0].frames.shape[1:3]
        counts = [row.detail.count("\n") + bool(row.detail) for row in self.rows]
        texts = [_TEXT * (1.3 + max(counts[line * columns : (line + 1) * columns])) for line in range(lines)]
        cell_height = _CELL * height / width
        full_width = max(columns * (_CELL + _GAP) + _GAP, 5.0)
        note = note_lines(self.note, full_width, bar=self.bar is not None)
        foot = max(0.1 + 0.16 * len(note), 0.68 if self.bar else 0.0) + 0.08
        full_height = _HEAD + lines * (cell_height + _GAP) + sum(texts) + foot
        figure = Figure(figsize=(full_width, full_height), dpi=MOVING_DPI)
        left = (full_width - columns * (_CELL + _GAP) + _GAP) / 2
        axes = []
        for i, row in enumerate(self.rows):
            line, column = divmod(i, columns)
            x, above = left + column * (_CELL + _GAP), line * (cell_height + _GAP) + sum(texts[:line])
            top = full_height - _HEAD - above
            name, detail = (top - 0.02) / full_height, (top - 1.15 * _TEXT) / full_height
            figure.text(x / full_width, name, row.label, fontsize=9.5, weight="bold", va="top")
            figure.text(x / full_width, detail, row.detail, fontsize=7.5, va="top", color="#444", linespacing=1.2)
            box = (
                x / full_width,
                (top - texts[line] - cell_height) / full_height,
                _CELL / full_width,
                cell_height / full_height,
            )
            axis = figure.add_axes(box)
            bare(axis)
            axes.append(axis)
        if note:
            write_note(figure, note)
        if self.bar is not None:
            colour_bar(figure, self.bar)
        title = figure.text(0.5, 1 - 0.1 / full_height, "", fontsize=9.5, ha="center", va="top")
        return figure, axes, title


def outline(axis: Axes, mark: Mark, tubelet_size: Size3, *, around: float = 0.02) -> None:
    """A frame around one tubelet of a picture; `around`: how far from it, as a share of the picture's width."""
    _, y, x = mark.place
    around += 0.03 if mark.dashed else 0  # outside of a plain one at the same place
    edge = around * (axis.get_xlim()[1] - axis.get_xlim()[0])
    corner = (x * tubelet_size[2] - 0.5 - edge, y * tubelet_size[1] - 0.5 - edge)
    sides = (tubelet_size[2] + 2 * edge, tubelet_size[1] + 2 * edge)
    for colour, width in (("black", 3.0), (mark.colour, 1.5)):
        dashes = (0, (2.2, 1.4)) if mark.dashed and colour != "black" else "-"
        axis.add_patch(
            Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=width, linestyle=dashes, clip_on=False)
        )


def rendered(canvas: FigureCanvasAgg) -> UInt8[np.ndarray, "h w 3"]:
    """A figure's pixels, an even number of rows and columns of them, as video codecs want."""
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return pixels[:height, :width].copy()


def whole(clip: Shaped[Tensor, "c t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a clip as pictures."""
    return frames_at(clip, range(clip.shape[1]), 1)


def tinted(
    clip: Shaped[Tensor, "c t h w"], weights: Float[np.ndarray, "times rows columns"], tubelet_size: Size3
) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a clip, grey, coloured by the weights of their tubelets (0 to 1; NaN = pale)."""
    return overlaid(whole(clip), weights.repeat(tubelet_size[0], axis=0), tubelet_size)
