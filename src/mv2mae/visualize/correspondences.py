"""Which token of the source view a target token looks at most: pairs of places, and lines between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import ConnectionPatch
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from mv2mae.model.attention_maps import CrossAttentionMaps
from mv2mae.model.motion import motion_energy
from mv2mae.model.tubelets import Size3, grid_of
from mv2mae.visualize.figures import place_of
from mv2mae.visualize.strips import MOVING_DPI, Mark, outline, rendered, whole
from mv2mae.visualize.style import COLOURS, bare, frame_titles, note_lines, write_note

MAX_LINES = len(COLOURS)
"""More could not be told apart by their colour."""
WEAK = 1.5
"""Times the uniform weight below which a match says little; its line is dashed."""
_SIDE, _GAP = 2.3, 0.28
"""Of a picture, and between the two of a pair; inches."""
_MOVES = 0.2
"""Share of the largest motion among a moment's masked tokens from which one counts as moving."""
_NAME: dict[str, Any] = {"fontsize": 8.5, "weight": "bold", "va": "bottom"}
_FIGURE: dict[str, Any] = {"fontsize": 7.5, "weight": "bold", "ha": "center", "va": "center", "zorder": 6}
"""How the names of the views are written, and the weight of a match."""
_NOTE = (
    "Each line joins a {kind}tubelet of the target with the visible tubelet of the source, of the same moment, that "
    "it looks at most ({layer}). Figures: its weight, in multiples of the uniform one; below {weak:g} the line is "
    "dashed: next to no preference. "
)


@dataclass(frozen=True)
class Matches:
    """The best source token of each of q target tokens."""

    queries: Int[np.ndarray, " q"]
    """Tokens of the target."""
    best: Int[np.ndarray, " q"]
    """Tokens of the source."""
    confidence: Float[np.ndarray, " q"]
    """The attention to the best token, in multiples of the uniform weight: 1 = no preference."""


def best_matches(
    maps: CrossAttentionMaps,
    queries: Sequence[int] | Int[Tensor, " q"],
    grid: Size3,
    *,
    head: int | None = None,
    same_moment: bool = True,
) -> Matches:
    """The visible source token that each target token looks at most.

    Args:
        maps: of one pair with one source view.
        queries: tokens of the target.
        grid: tokens along time, height and width.
        head: one head of the attention; by default their mean.
        same_moment: look at the source's tokens of the query's own moment alone. A query without any is left out.
    """
    looking = torch.as_tensor(queries, dtype=torch.long)
    weights = maps.over_source()[0, :, looking].cpu()
    weights = (weights.mean(dim=0) if head is None else weights[head]) * maps.weights.shape[-1]
    if same_moment:
        frame = grid[1] * grid[2]
        elsewhere = looking[:, None] // frame != torch.arange(weights.shape[1])[None] // frame
        weights = weights.masked_fill(elsewhere, float("nan"))
    found = ~weights.isnan().all(dim=1)
    best = weights[found].nan_to_num(-1.0).max(dim=1)
    return Matches(looking[found].numpy(), best.indices.numpy(), best.values.numpy())


def moving_tokens(
    clip: Shaped[Tensor, "c t h w"], masked_idx: Int[Tensor, " m"], tubelet_size: Size3, *, time: int, count: int = 6
) -> list[int]:
    """The masked tokens of one moment that move most: those that move at all, no neighbours as far as can be had."""
    grid = grid_of(clip[None], tubelet_size)
    energy = motion_energy(clip[None], tubelet_size)[0]
    there = [int(token) for token in masked_idx if place_of(int(token), grid)[0] == time]
    least = _MOVES * max((float(energy[token]) for token in there), default=0.0)
    there = sorted((token for token in there if energy[token] >= least), key=lambda token: -float(energy[token]))
    chosen: list[int] = []
    for apart in (2, 1):
        for token in there:
            if len(chosen) < count and all(_distance(token, other, grid) >= apart for other in chosen):
                chosen.append(token)
    return sorted(chosen)


def _distance(a: int, b: int, grid: Size3) -> int:
    (_, y, x), (_, v, u) = place_of(a, grid), place_of(b, grid)
    return max(abs(y - v), abs(x - u))


@dataclass(frozen=True)
class Correspondences:
    """Target and source side by side, lines between the tokens that belong together as the model sees it."""

    target: Shaped[Tensor, "c t h w"]
    source: Shaped[Tensor, "c t h w"]
    maps: CrossAttentionMaps
    tubelet_size: Size3
    layer: str
    """Name of the layer that the maps are of."""
    queries: Sequence[int] = ()
    """Target tokens; none = the masked ones that move most, at each moment."""
    names: Sequence[str] = ("", "")
    frame_seconds: float | None = None
    head: int | None = None

    def still(self) -> Figure:
        """The moments of the queries, at most four."""
        by_time = self._matches()
        times = sorted(by_time)
        if len(times) > 4:
            times = [times[i] for i in np.linspace(0, len(times) - 1, 4).round().astype(int)]
        figure, axes = self._stage(len(times), [match for time in times for match in by_time[time].queries])
        titles = frame_titles(times, self.tubelet_size[0], self.frame_seconds)
        for pair, time, title in zip(axes, times, titles, strict=True):
            self._draw(figure, pair, time, by_time[time])
            self._title(pair[0], title)
        return figure

    def moving(self) -> Iterator[np.ndarray]:
        """Every frame of the clip; lines change with the tubelet's moment."""
        by_time = self._matches()
        step = self.tubelet_size[0]
        titles = frame_titles(range(self.target.shape[1]), 1, self.frame_seconds)
        every = [int(query) for matches in by_time.values() for query in matches.queries]
        for frame, title in enumerate(titles):
            figure, (pair,) = self._stage(1, every)
            self._draw(figure, pair, frame // step, by_time.get(frame // step), frame=frame)
            self._title(pair[0], title)
            figure.set_dpi(MOVING_DPI)
            yield rendered(FigureCanvasAgg(figure))

    @staticmethod
    def _title(axis: Axes, title: str) -> None:
        above: dict[str, Any] = {"xytext": (0, 17), "xycoords": "axes fraction", "textcoords": "offset points"}
        axis.annotate(title, (1 + _GAP / 2 / _SIDE, 1), **above, ha="center", fontsize=9)

    def _matches(self) -> dict[int, Matches]:
        grid = grid_of(self.target[None], self.tubelet_size)
        masked = self.maps.masks.masked_idx[0, 0]
        found = {}
        for time in range(grid[0]):
            if self.queries:
                queries = [query for query in self.queries if place_of(query, grid)[0] == time]
            else:
                queries = moving_tokens(self.target, masked, self.tubelet_size, time=time)
            if queries:
                found[time] = best_matches(self.maps, queries[:MAX_LINES], grid, head=self.head)
        return found

    def _stage(self, num_pairs: int, queries: Sequence[int]) -> tuple[Figure, list[tuple[Axes, Axes]]]:
        """An empty figure: pairs of axes, two pairs a line, and the note."""
        side, gap, space, head = _SIDE, _GAP, 0.5, 0.52
        columns, lines = min(2, num_pairs), -(-num_pairs // 2)
        height = side * self.target.shape[2] / self.target.shape[3]
        width = columns * (2 * side + gap) + (columns - 1) * space + 0.2
        note = note_lines(self._note(queries), width, bar=False)
        foot = 0.16 * len(note) + 0.16
        total = head + lines * (height + head) - head + foot + 0.1
        figure = Figure(figsize=(width, total))
        axes = []
        for i in range(num_pairs):
            line, column = divmod(i, 2)
            left = 0.1 + column * (2 * side + gap + space)
            bottom = total - head - line * (height + head) - height
            pair = [
                figure.add_axes((x / width, bottom / total, side / width, height / total))
                for x in (left, left + side + gap)
            ]
            axes.append((pair[0], pair[1]))
        write_note(figure, note, left=0.1)
        return figure, axes

    def _draw(
        self, figure: Figure, pair: tuple[Axes, Axes], time: int, matches: Matches | None, *, frame: int | None = None
    ) -> None:
        frame = time * self.tubelet_size[0] if frame is None else frame
        sides = zip(pair, (self.target, self.source), ("target", "source"), self.names, strict=True)
        for axis, clip, what, name in sides:
            axis.imshow(whole(clip)[frame], interpolation="nearest", aspect="auto")
            bare(axis)
            text = f"{what}, {name}" if name else what
            place, align = (0.0, "left") if what == "target" else (1.0, "right")
            axis.text(place, 1.03, text, transform=axis.transAxes, ha=align, **_NAME)
        if matches is not None:
            self._lines(figure, pair, matches)

    def _lines(self, figure: Figure | SubFigure, pair: tuple[Axes, Axes], matches: Matches) -> None:
        grid = grid_of(self.target[None], self.tubelet_size)
        order = zip(matches.queries, matches.best, matches.confidence, COLOURS, strict=False)
        for query, best, confidence, colour in order:
            here, there = place_of(int(query), grid), place_of(int(best), grid)
            outline(pair[0], Mark(here, colour), self.tubelet_size, around=0)
            outline(pair[1], Mark(there, colour), self.tubelet_size, around=0)
            weak = confidence < WEAK
            width, dashes = (1.2, (0, (3, 2))) if weak else (2.0, "-")
            pen: dict[str, Any] = {"color": colour, "linewidth": width, "linestyle": dashes}
            ends = self._centre(here), self._centre(there)
            line = ConnectionPatch(*ends, "data", "data", axesA=pair[0], axesB=pair[1], **pen)
            line.set_path_effects([Stroke(linewidth=3.2 if weak else 4.0, foreground="white", alpha=0.7), Normal()])
            figure.add_artist(line)
            # of the target's tokens no two are the same, of the source's they may be
            place, text = self._centre(here), f"{confidence:.1f}"
            label = figure.text(*place, text, transform=pair[0].transData, color=colour, **_FIGURE)
            label.set_path_effects([Stroke(linewidth=2.2, foreground="white"), Normal()])

    def _centre(self, place: Size3) -> tuple[float, float]:
        _, height, width = self.tubelet_size
        return (place[2] + 0.5) * width - 0.5, (place[1] + 0.5) * height - 0.5

    def _note(self, queries: Sequence[int]) -> str:
        grid = grid_of(self.target[None], self.tubelet_size)
        anywhere = best_matches(self.maps, queries, grid, head=self.head, same_moment=False)
        frame = grid[1] * grid[2]
        same = int((anywhere.best // frame == anywhere.queries // frame).sum())
        # by chance in proportion to how many of the source's visible tokens each moment has
        moments = np.bincount(self.maps.source_idx[0].cpu().numpy() // frame, minlength=grid[0])
        chance = float((moments / moments.sum())[anywhere.queries // frame].sum())
        heads = "mean of heads" if self.head is None else f"head {1 + self.head}"
        hidden = set(self.maps.masks.masked_idx[0, 0].tolist())
        kind = "masked " if hidden.issuperset(queries) else ""
        note = _NOTE.format(kind=kind, layer=f"{self.layer}, {heads}", weak=WEAK)
        if len(queries) == 1:
            where = "the same" if same else "another"
            return note + f"Over all moments of the source its largest weight lies in {where} one."
        return note + (
            f"Over all moments of the source, {same} of these {len(queries)} tubelets look most at their own moment "
            f"(by chance {chance:.1f})."
        )
