"""Pictures of clips: what the model weighs, sees, rebuilds and attends to (the paper's Figures 2 and 5).

`..._strips` give the pictures before it is decided whether they stand still or move; `..._figure` give matplotlib
`Figure`s that belong to nobody else: save them, or hand them to `report`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import Figure
from torch import Tensor

from mv2mae.config import MotionScale
from mv2mae.model.attention_maps import CrossAttentionMaps
from mv2mae.model.motion import effective_number, most_moving_token, motion_weights
from mv2mae.model.pictures import greyed
from mv2mae.model.tubelets import Size3, grid_of
from mv2mae.visualize.reconstruct import STATISTICS_NOTES, Reconstruction
from mv2mae.visualize.strips import Mark, Strip, Strips, tinted, whole
from mv2mae.visualize.style import TRUE_MARK, Bar
from mv2mae.visualize.truth import TruePlace

Row = tuple[str, Float[np.ndarray, "s t h w"]]
"""Attention under a name: relative to uniform, over the tokens of s clips, NaN where nothing can be seen."""
_WRONG = "wrong source"


def motion_strips(
    clip: Shaped[Tensor, "c t h w"],
    tubelet_size: Size3,
    temperatures: Sequence[float | None],
    *,
    own: float | None = None,
    scale: MotionScale = "normalised",
    frame_seconds: float | None = None,
) -> Strips:
    """Motion weights over the frames, a row for each temperature (Figure 2); None = uniform weights.

    Each row's colours run from 0 to its own largest weight, so that uniform weights are bright everywhere.

    Args:
        own: the one among the temperatures that the model was trained with, to be named so.
        scale: of the frames on which the temperatures stand.
        frame_seconds: seconds between two frames of the clip, for the titles.
    """
    grid = grid_of(clip[None], tubelet_size)
    rows = [Strip("clip", whole(clip))]
    num_tokens = grid[0] * grid[1] * grid[2]
    for temperature in temperatures:
        weights = motion_weights(clip[None], tubelet_size, temperature, scale=scale)
        effective, largest = float(effective_number(weights)), float(weights.max())
        shares = (weights / largest).reshape(grid).cpu().numpy()
        label = "uniform" if temperature is None else f"temperature {temperature:.3g}"
        detail = f"effective tokens\n{effective:.0f} of {num_tokens}\nlargest: {largest * num_tokens:.3g} x uniform"
        if own is not None and temperature == own:
            detail += "\n(the model's own)"
        rows.append(Strip(label, tinted(clip, shares, tubelet_size), detail))
    note = (
        "How much each tubelet counts in the loss. Effective tokens: the weights are worth as much as so many equal "
        "ones (the exponential of their entropy)."
    )
    bar = Bar("weight, as a share of the row's largest", {0: "0", 1: "1"})
    return Strips(rows, tubelet_size, frame_seconds, note, bar)


def motion_figure(
    clip: Shaped[Tensor, "c t h w"],
    tubelet_size: Size3,
    temperatures: Sequence[float | None],
    *,
    frame_seconds: float | None = None,
) -> Figure:
    """`motion_strips` at up to eight moments; the first frame of each tubelet is shown."""
    return motion_strips(clip, tubelet_size, temperatures, frame_seconds=frame_seconds).still()


def reconstruction_strips(
    made: Reconstruction, tubelet_size: Size3, *, names: Sequence[str] = ("", ""), frame_seconds: float | None = None
) -> Strips:
    """Target, masked target, each decoder's prediction, and the source (Figure 5).

    Args:
        names: of the target's and the source's video.
    """
    about = {
        "self-view": "from the visible\ntarget alone",
        "cross-view": "from the visible\ntarget and source",
        _WRONG: f"cross-view, with\n{made.wrong_kind}",
    }
    rows = [
        Strip("target", whole(made.target), names[0]),
        Strip("masked target", whole(made.masked_target), "what is visible"),
    ]
    for name, prediction in made.predictions.items():
        rows.append(Strip(name, whole(prediction.clip), f"{about[name]}\nerror {prediction.error:.3f}"))
    if "cross-view" in made.predictions and made.source is not None and made.masked_source is not None:
        if not made.masked_source.equal(made.source):
            rows.append(Strip("masked source", whole(made.masked_source), "what is visible"))
        rows.append(Strip("source", whole(made.source), names[1]))
        if made.wrong_source is not None:
            rows.append(Strip(_WRONG, whole(made.wrong_source), made.wrong_kind))
    note = (
        f"{STATISTICS_NOTES[made.statistics]} Error: mean squared, over masked tubelets, in the normalised scale; "
        f"predicting each tubelet's mean scores {made.baseline:.3f}."
    )
    if "cross-view" not in made.predictions and made.source is not None:
        note += " This model has no cross-view decoder."
    return Strips(rows, tubelet_size, frame_seconds, note)


def reconstruction_figure(made: Reconstruction, tubelet_size: Size3, *, frame_seconds: float | None = None) -> Figure:
    """`reconstruction_strips` at up to eight moments."""
    return reconstruction_strips(made, tubelet_size, frame_seconds=frame_seconds).still()


def attention_strips(
    sources: Shaped[Tensor, "s c t h w"],
    target: Shaped[Tensor, "c t h w"],
    rows: Sequence[Row],
    tubelet_size: Size3,
    *,
    query: int,
    visible_idx: Shaped[Tensor, " k"],
    reconstruction: Shaped[Tensor, "c t h w"] | None = None,
    names: Sequence[str] = ("", ""),
    frame_seconds: float | None = None,
    true: TruePlace | None = None,
) -> Strips:
    """Where in the source (or sources) a decoder looks to rebuild one tubelet of the target (Figure 5).

    Args:
        rows: the attention to be shown, for instance a head in each row.
        query: the target's token.
        visible_idx: of the target.
        reconstruction: the cross-view prediction as a clip, for a row of its own.
        names: of the target's and the source's video.
        true: where the source sees what the query shows, if that is known.
    """
    grid = grid_of(target[None], tubelet_size)
    place = place_of(query, grid)
    masked_target = greyed(target, visible_idx, tubelet_size)
    is_masked = query not in visible_idx.tolist()
    at_query = [Mark(place)]
    above = [
        Strip("target", whole(target), _lines(names[0], "the query is outlined"), at_query),
        Strip("masked target", whole(masked_target), "what is visible", at_query),
    ]
    if reconstruction is not None:
        above.append(Strip("cross-view", whole(reconstruction), "prediction", at_query))
    truly = [] if true is None else [Mark((place[0], *divmod(k, grid[2])), TRUE_MARK, dashed=True) for k in true.places]
    for clip in sources:
        above.append(Strip("source", whole(clip), names[1], truly))
    below, high, peak = _attention_rows(sources, rows, tubelet_size, truly)
    hides = any(np.isnan(weights).any() for _, weights in rows)
    note = _ATTENTION_NOTE.format(
        what=f"a {'masked' if is_masked else 'visible'} tubelet of the target",
        where="the visible tubelets of the source; pale ones are masked, the model cannot look there"
        if hides
        else "all tubelets of the source",
        peak=peak,
    )
    if true is not None:
        note += f" {true_words(true)}"
    if reconstruction is not None:
        note += " " + STATISTICS_NOTES["true"]
    return Strips([*above, *below], tubelet_size, frame_seconds, note, times_uniform(high), place[0])


def encoder_attention_strips(
    clip: Shaped[Tensor, "c t h w"],
    rows: Sequence[Row],
    tubelet_size: Size3,
    *,
    query: int,
    name: str = "",
    frame_seconds: float | None = None,
) -> Strips:
    """Where in its own view, nothing masked, one token of the encoder looks.

    Args:
        rows: the attention to be shown, over the tokens of this one clip.
        query: the token.
        name: of the video.
    """
    place = place_of(query, grid_of(clip[None], tubelet_size))
    first = Strip("clip", whole(clip), _lines(name, "the query is outlined"), [Mark(place)])
    below, high, peak = _attention_rows(clip[None], rows, tubelet_size)
    note = _ATTENTION_NOTE.format(what="a tubelet", where="all tubelets of its own view, nothing masked", peak=peak)
    return Strips([first, *below], tubelet_size, frame_seconds, note, times_uniform(high), place[0])


def attention_figure(
    source: Shaped[Tensor, "c t h w"] | Shaped[Tensor, "s c t h w"],
    target: Shaped[Tensor, "c t h w"],
    maps: CrossAttentionMaps,
    tubelet_size: Size3,
    *,
    query: int | None = None,
    head: int | None = None,
    reconstruction: Shaped[Tensor, "c t h w"] | None = None,
    frame_seconds: float | None = None,
) -> Figure:
    """`attention_strips` of one layer's maps at up to eight moments.

    Args:
        maps: of the pair.
        query: the target's token; by default the masked one with the largest motion weight.
        head: one head of the attention; by default their mean.
        reconstruction: the cross-view prediction as a clip, for a row of its own.
    """
    sources = source[None] if source.ndim == 4 else source
    if query is None:
        query = most_moving_token(target, maps.masks.masked_idx[0, 0], tubelet_size)
    weights = relative_to_uniform(maps, query, grid_of(target[None], tubelet_size))
    row = ("mean of heads", weights.mean(axis=0)) if head is None else (f"head {1 + head}", weights[head])
    return attention_strips(
        sources,
        target,
        [row],
        tubelet_size,
        query=query,
        visible_idx=maps.masks.visible_idx[0, 0],
        reconstruction=reconstruction,
        frame_seconds=frame_seconds,
    ).still()


def true_words(true: TruePlace) -> str:
    """What the dashed outlines are, and how much of the token the source sees."""
    if not true.places:
        return "By true depth, what it shows lies outside of the source's picture."
    return f"Dashed: where the source has it, by true depth; {true.seen:.0%} of it is in sight there."


def relative_to_uniform(maps: CrossAttentionMaps, query: int, grid: Size3) -> Float[np.ndarray, "heads s t h w"]:
    """The attention of one target token over the sources: 1 is what a query that does not care gives each token."""
    weights = maps.over_source()[0, :, query] * maps.weights.shape[-1]
    return weights.reshape(len(weights), -1, *grid).cpu().numpy()


def times_uniform(high: float) -> Bar:
    """The bar of attention maps, which run from 0 to `high` times the uniform weight."""
    return Bar("attention weight, x uniform", {0: "0", 1 / high: "1", 1: f"{high:.3g}"})


def scale_end(weights: Sequence[Float[np.ndarray, "..."]]) -> float:
    """Where the colours of attention maps end: at the largest weight, but never below twice the uniform one.

    A query that does not care is then seen as such: everything has the same middle colour.
    """
    return max(2.0, *(float(np.nanmax(each)) for each in weights))


def place_of(token: int, grid: Size3) -> Size3:
    """Time, row and column of a token."""
    t, y, x = np.unravel_index(token, grid)
    return int(t), int(y), int(x)


_ATTENTION_NOTE = (
    "Attention of the query, {what}, over {where}. 1 = uniform, no preference. The outlined one gets the most, {peak}."
)


def _attention_rows(
    clips: Shaped[Tensor, "s c t h w"], rows: Sequence[Row], tubelet_size: Size3, further: Sequence[Mark] = ()
) -> tuple[list[Strip], float, str]:
    """A strip for each row and clip, the end of their common scale, and the largest weights as text."""
    high = scale_end([weights for _, weights in rows])
    made, peaks = [], []
    for label, weights in rows:
        source, *place = (int(i) for i in np.unravel_index(np.nanargmax(weights), weights.shape))
        peaks.append(f"{np.nanmax(weights):.3g}")
        for i, (clip, part) in enumerate(zip(clips, weights, strict=True)):
            marks = [Mark((place[0], place[1], place[2]))] if i == source else []
            made.append(Strip("attention", tinted(clip, part / high, tubelet_size), label, [*marks, *further]))
    few = ", ".join(peaks) if len(peaks) <= 4 else f"{min(peaks, key=float)} to {max(peaks, key=float)}"
    return made, high, f"{few} times the uniform weight" + (" (row by row)" if 1 < len(peaks) <= 4 else "")


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
