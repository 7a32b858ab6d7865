"""Pictures of clips: what the model weighs, sees, rebuilds and attends to (the paper's Figures 2 and 5).

Every function returns a matplotlib `Figure` that belongs to nobody else; save it, or hand it to `report`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mv2mae.model.motion import effective_number, motion_weights
from mv2mae.model.tubelets import Size3, grid_of
from mv2mae.visualize.attention import CrossAttentionMaps, most_moving_masked_token
from mv2mae.visualize.reconstruct import STATISTICS_NOTES, Reconstruction, greyed
from mv2mae.visualize.style import (
    MARK,
    FrameGrid,
    FrameRow,
    chosen_times,
    frame_grid,
    frame_titles,
    frames_at,
    overlaid,
)


def motion_figure(
    clip: Shaped[Tensor, "c t h w"],
    tubelet_size: Size3,
    temperatures: Sequence[float | None],
    *,
    frame_seconds: float | None = None,
) -> Figure:
    """Motion weights over the frames, a row for each temperature (Figure 2); None = uniform weights.

    Each row's colours run from 0 to its own largest weight, so that uniform weights are bright everywhere.

    Args:
        frame_seconds: seconds between two frames of the clip, for the titles.
    """
    grid = grid_of(clip[None], tubelet_size)
    times = chosen_times(grid[0])
    frames = frames_at(clip, times, tubelet_size[0])
    rows = [FrameRow("clip", frames)]
    num_tokens = grid[0] * grid[1] * grid[2]
    for temperature in temperatures:
        weights = motion_weights(clip[None], tubelet_size, temperature)
        effective, largest = float(effective_number(weights)), float(weights.max())
        shares = (weights / largest).reshape(grid)[times].cpu().numpy()
        label = "uniform" if temperature is None else f"temperature {temperature:.3g}"
        detail = f"effective tokens\n{effective:.0f} of {num_tokens}\nlargest: {largest * num_tokens:.3g} x uniform"
        rows.append(FrameRow(label, overlaid(frames, shares, tubelet_size), detail))
    note = "How much each tubelet counts in the loss. The first frame of each tubelet is shown."
    made = frame_grid(rows, frame_titles(times, tubelet_size[0], frame_seconds), note=note, bar=True)
    made.colour_bar("weight, as a share of the row's largest", low="0", high="1")
    return made.figure


def reconstruction_figure(made: Reconstruction, tubelet_size: Size3, *, frame_seconds: float | None = None) -> Figure:
    """Target, masked target, each decoder's prediction, and the source (Figure 5)."""
    times = chosen_times(grid_of(made.target[None], tubelet_size)[0])

    def row(label: str, clip: Tensor, detail: str = "") -> FrameRow:
        return FrameRow(label, frames_at(clip, times, tubelet_size[0]), detail)

    about = {
        "self-view": "from the visible\ntarget alone",
        "cross-view": "from the visible\ntarget and source",
        "wrong source": "cross-view, source of\nanother performance",
    }
    rows = [row("target", made.target), row("masked target", made.masked_target, "what is visible")]
    for name, prediction in made.predictions.items():
        rows.append(row(name, prediction.clip, f"{about[name]}\nerror {prediction.error:.3f}"))
    if "cross-view" in made.predictions:
        rows += [row("masked source", made.masked_source, "what is visible"), row("source", made.source)]
    note = (
        f"{STATISTICS_NOTES[made.statistics]} Error: mean squared, over masked tubelets, in the normalised scale; "
        f"predicting each tubelet's mean scores {made.baseline:.3f}."
    )
    if "cross-view" not in made.predictions:
        note += " This model has no cross-view decoder."
    return frame_grid(rows, frame_titles(times, tubelet_size[0], frame_seconds), note=note).figure


def attention_figure(
    source: Shaped[Tensor, "c t h w"] | Shaped[Tensor, "s c t h w"],
    target: Shaped[Tensor, "c t h w"],
    maps: CrossAttentionMaps,
    tubelet_size: Size3,
    *,
    item: int = 0,
    query: int | None = None,
    head: int | None = None,
    reconstruction: Shaped[Tensor, "c t h w"] | None = None,
    frame_seconds: float | None = None,
) -> Figure:
    """Where in the source (or sources) the decoder looks to rebuild one tubelet of the target (Figure 5).

    Args:
        maps: of a batch, in which the pair is `item`.
        query: the target's token; by default the masked one with the largest motion weight.
        head: one head of the attention; by default their mean.
        reconstruction: the cross-view prediction as a clip, for a row of its own.
    """
    grid = grid_of(target[None], tubelet_size)
    sources = source[None] if source.ndim == 4 else source
    if query is None:
        query = most_moving_masked_token(target, maps.masks.masked_idx[item, 0], tubelet_size)
    at_query = maps.over_source()[item, :, query]
    at_query = at_query.mean(dim=0) if head is None else at_query[head]
    # relative to uniform: 1 is what every visible token gets from a query that does not care
    weights = maps.weights.shape[-1] * at_query.reshape(len(sources), *grid).cpu().numpy()
    largest, peak = float(np.nanmax(weights)), _place(np.nanargmax(weights), weights.shape)
    query_place = _place(query, grid)
    times = chosen_times(grid[0], keep=query_place[0])

    def row(label: str, clip: Tensor, detail: str = "") -> FrameRow:
        return FrameRow(label, frames_at(clip, times, tubelet_size[0]), detail)

    masked_target = greyed(target, maps.masks.visible_idx[item, 0], tubelet_size)
    rows = [row("target", target, "the query\nis outlined"), row("masked target", masked_target, "what is visible")]
    if reconstruction is not None:
        rows.append(row("cross-view", reconstruction, "prediction"))
    num_target_rows = len(rows)
    for clip, part in zip(sources, weights, strict=True):
        frames = frames_at(clip, times, tubelet_size[0])
        tinted = overlaid(frames, part[times] / largest, tubelet_size)
        rows += [FrameRow("source", frames), FrameRow("attention", tinted, _head_name(head))]
    note = _ATTENTION_NOTE.format(largest=largest)
    if reconstruction is not None:
        note += " " + STATISTICS_NOTES["true"]
    made = frame_grid(rows, frame_titles(times, tubelet_size[0], frame_seconds), note=note, bar=True)
    for i in range(num_target_rows):
        _outline(made, i, times, query_place, tubelet_size)
    _outline(made, num_target_rows + 2 * peak[0] + 1, times, peak[1:], tubelet_size)
    made.colour_bar("attention weight, x uniform", low="0", high=f"{largest:.3g}")
    return made.figure


_ATTENTION_NOTE = (
    "Attention of the query over the visible tubelets of the source; pale tubelets are masked, the model cannot look "
    "there. The outlined one gets the most, {largest:.3g} times the uniform weight."
)


def _head_name(head: int | None) -> str:
    return "mean of heads" if head is None else f"head {head}"


def _place(index: int | np.integer, shape: Sequence[int]) -> list[int]:
    return [int(i) for i in np.unravel_index(index, tuple(shape))]


def _outline(made: FrameGrid, row: int, times: Sequence[int], place: Sequence[int], tubelet_size: Size3) -> None:
    """A frame around one tubelet, in the column of its time, if that is shown."""
    time, y, x = place
    if time not in times:
        return
    axis = made.axes[row][times.index(time)]
    edge = 0.02 * (axis.get_xlim()[1] - axis.get_xlim()[0])  # drawn around the tubelet, not over it
    corner = (x * tubelet_size[2] - 0.5 - edge, y * tubelet_size[1] - 0.5 - edge)
    sides = (tubelet_size[2] + 2 * edge, tubelet_size[1] + 2 * edge)
    for colour, width in (("black", 3.0), (MARK, 1.5)):
        axis.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=width, clip_on=False))
