"""Clips as one can look at them: what is visible on grey, and what was predicted in its place."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from mv2mae.model.tubelets import (
    Size3,
    denormalised,
    grid_of,
    take_tokens,
    to_unit,
    tubelet_statistics,
    tubelets,
    untubelets,
)

Statistics = Literal["true", "visible"]
"""Whose mean and deviation a prediction is shown with; see `filled`."""

MASKED_GREY = 128


def greyed(
    clip: UInt8[Tensor, "c t h w"], visible_idx: Int[Tensor, " k"], tubelet_size: Size3
) -> UInt8[Tensor, "c t h w"]:
    """A clip with its masked tubelets grey."""
    parts = tubelets(clip[None], tubelet_size)
    shown = torch.full_like(parts, MASKED_GREY)
    shown[:, visible_idx] = parts[:, visible_idx]
    return untubelets(shown, grid_of(clip[None], tubelet_size), tubelet_size)[0]


def filled(
    clip: UInt8[Tensor, "c t h w"],
    masked_idx: Int[Tensor, " m"],
    prediction: Float[Tensor, "m d"],
    tubelet_size: Size3,
    statistics: Statistics = "true",
    *,
    floor: float = 0.0,
) -> UInt8[Tensor, "c t h w"]:
    """A clip whose masked tubelets are replaced by their prediction; the visible ones keep their very pixels.

    Args:
        prediction: of the masked tokens, in the normalised scale.
        statistics: the mean and deviation that the predictions get, since the model predicts neither: `true`, those of
            each tubelet itself; `visible`, for all of them the mean of the clip's visible tubelets.
        floor: least deviation in the normalised scale (`target_floor`).
    """
    pixels = tubelets(clip[None], tubelet_size)
    shown = to_unit(pixels)
    if statistics == "true":
        parts = denormalised(prediction[None], take_tokens(shown, masked_idx[None]), floor)
    else:
        mean, deviation = _visible_statistics(shown, masked_idx)
        parts = prediction[None].unflatten(-1, pixels.shape[2:]) * deviation + mean
    pixels = pixels.clone()
    pixels[:, masked_idx] = (parts * 255).round().clamp(0, 255).to(torch.uint8)
    return untubelets(pixels, grid_of(clip[None], tubelet_size), tubelet_size)[0]


def _visible_statistics(
    parts: Float[Tensor, "1 n p c"], masked_idx: Int[Tensor, " m"]
) -> tuple[Shaped[Tensor, "1 1 1 c"], Shaped[Tensor, "1 1 1 c"]]:
    """Mean over the visible tubelets of their mean and of their deviation, for each colour."""
    is_visible = torch.ones(parts.shape[1], dtype=torch.bool)
    is_visible[masked_idx] = False
    mean, deviation = tubelet_statistics(parts[:, is_visible])
    return mean.mean(dim=1, keepdim=True), deviation.mean(dim=1, keepdim=True)
