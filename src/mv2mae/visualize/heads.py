"""All layers and heads of an attention at one glance, and the choice of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import Figure
from torch import Tensor

from mv2mae.config.pictures import Choice
from mv2mae.model.tubelets import Size3
from mv2mae.visualize.figures import Row, place_of, times_uniform
from mv2mae.visualize.strips import Mark, Strip, Strips, outline, tinted, whole
from mv2mae.visualize.style import Bar, FrameRow, colour_bar, frame_grid, overlaid


def choose(
    weights: Float[np.ndarray, "l heads s t h w"], names: Sequence[str], *, layer: Choice, heads: Choice
) -> list[Row]:
    """The chosen layers and heads of an attention, each under its name.

    Args:
        weights: of some layers (with `layer` a number: of that one alone), as `figures.Row` has them.
        names: of these layers.
        layer, heads: the choice, counted from 1; these must exist.
    """
    by_layer = [("mean of layers", weights.mean(axis=0))] if layer == "mean" else list(zip(names, weights, strict=True))
    rows: list[Row] = []
    for name, part in by_layer:
        if heads == "all":
            rows += [(f"{name}\nhead {head}", each) for head, each in enumerate(part, start=1)]
        elif heads == "mean":
            rows.append((f"{name}\nmean of heads", part.mean(axis=0)))
        else:
            rows.append((f"{name}\nhead {heads}", part[int(heads) - 1]))
    return rows


@dataclass(frozen=True)
class Overview:
    """A row for each layer, a column for the mean of its heads and for each head.

    Still, each cell is the attention's mean over the moments, laid over the frame of the query's moment; moving, it
    plays.
    """

    clip: Shaped[Tensor, "c t h w"]
    """Over which the attention is."""
    weights: Float[np.ndarray, "l heads t h w"]
    names: Sequence[str]
    """Of the layers."""
    tubelet_size: Size3
    query: int
    over: str
    """`the source view`, `its own view`."""
    frame_seconds: float | None = None
    marks_query: bool = False
    """Whether the query lies in this clip."""

    def still(self) -> Figure:
        """One frame, all layers and heads."""
        cells, titles = self._cells()
        place = place_of(self.query, self.weights.shape[2:])
        step = self.tubelet_size[0]
        frame = whole(self.clip)[place[0] * step][None]
        means = np.stack([[_mean_over_time(cell) for cell in line] for line in cells])
        high = self._scale(means)
        rows = [
            FrameRow(name, np.concatenate([overlaid(frame, mean[None] / high, self.tubelet_size) for mean in line]))
            for name, line in zip(self.names, means, strict=True)
        ]
        note = self._note(", mean over all moments")
        made = frame_grid(rows, titles, note=note, bar=True)
        if self.marks_query:
            for axes in made.axes:
                for axis in axes:
                    outline(axis, Mark(place), self.tubelet_size)
        colour_bar(made.figure, self._bar(high, means))
        return made.figure

    def moving(self) -> Iterator[np.ndarray]:
        """The same, moment by moment."""
        cells, titles = self._cells()
        shown = np.stack([np.stack(line) for line in cells])
        high = self._scale(shown)
        place = place_of(self.query, self.weights.shape[2:])
        marks = [Mark(place)] if self.marks_query else []
        strips = [
            Strip(title, tinted(self.clip, cell / high, self.tubelet_size), name, marks)
            for name, line in zip(self.names, shown, strict=True)
            for title, cell in zip(titles, line, strict=True)
        ]
        bar = self._bar(high, shown)
        return Strips(strips, self.tubelet_size, self.frame_seconds, self._note(), bar, columns=len(titles)).moving()

    def _cells(self) -> tuple[list[list[np.ndarray]], list[str]]:
        cells = [[layer.mean(axis=0), *layer] for layer in self.weights]
        return cells, ["mean of heads", *(f"head {1 + head}" for head in range(self.weights.shape[1]))]

    def _note(self, how: str = "") -> str:
        t, y, x = (1 + place for place in place_of(self.query, self.weights.shape[2:]))
        which = "the outlined tubelet" if self.marks_query else "the target's tubelet"
        note = (
            f"Attention of {which} (moment {t}, row {y}, column {x}) over {self.over}{how}. 1 = uniform, no preference."
        )
        return note + (" Pale places are masked." if np.isnan(self.weights).any() else "")

    @staticmethod
    def _scale(weights: np.ndarray) -> float:
        return max(2.0, float(np.nanpercentile(weights, 99.5)))

    @staticmethod
    def _bar(high: float, weights: np.ndarray) -> Bar:
        """The last tick says where larger weights are cut."""
        bar = times_uniform(high)
        above = float(np.nanmax(weights)) > high
        return Bar(bar.label, {**bar.ticks, 1: f"{high:.3g} or more"}) if above else bar


def _mean_over_time(weights: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, "h w"]:
    """The mean over the moments at which a place can be seen; NaN where it never can."""
    seen = ~np.isnan(weights)
    total = np.nansum(weights, axis=0)
    return np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
