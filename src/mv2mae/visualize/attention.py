"""Where in the source view the cross-view decoder looks (Figure 5), from the model as it was trained.

The decoder runs its fused attention as always. What goes into the asked layer is caught on the way, and that one
layer's weights are written out from it: no second model, no slow attention anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.model.layers import CrossAttention
from mv2mae.model.motion import motion_energy
from mv2mae.model.pretraining import MV2MAE, Masks
from mv2mae.model.tubelets import Size3


@dataclass(frozen=True)
class CrossAttentionMaps:
    """The weights of the target's tokens over the visible tokens of the source view or views."""

    weights: Float[Tensor, "b heads n k"]
    """For each of the target's n tokens, in the clip's order, its weights over k source tokens; they sum to 1."""
    source_idx: Int[Tensor, "b k"]
    """Which token of the source each column is; token j of source i counts as i n + j."""
    masks: Masks
    """View 0 is the target."""

    def over_source(self) -> Float[Tensor, "b heads n s*n"]:
        """The weights at the source's own tokens, NaN at masked ones, where the decoder cannot look."""
        b, heads, n, _ = self.weights.shape
        num_sources = self.masks.visible_idx.shape[1] - 1
        full = self.weights.new_full((b, heads, n, num_sources * n), float("nan"))
        return full.scatter(3, self.source_idx[:, None, None].expand_as(self.weights), self.weights)


def cross_attention_maps(
    model: MV2MAE,
    source: Shaped[Tensor, "b c t h w"] | Shaped[Tensor, "b s c t h w"],
    target: Shaped[Tensor, "b c t h w"],
    *,
    seeds: Int[Tensor, " b"],
    layer: int = -1,
) -> CrossAttentionMaps:
    """The cross-attention of one decoder block while it rebuilds the target with the help of the source.

    Args:
        source: one source clip, or s of them; pixels in [0, 1], or uint8.
        target: the target clip of the same moment.
        seeds: one for each item, from which its masks follow.
        layer: block of the cross-view decoder, 0 to depth - 1, or from the end as -1.

    Raises:
        InputError: if the model has no cross-view decoder or not so many blocks.
    """
    attention = _asked_layer(model, layer)
    num_views = 2 if source.ndim == 5 else 1 + source.shape[1]
    masks = model.draw_masks(len(target), num_views, target.device, seeds)
    with torch.no_grad(), _caught(attention) as inputs:
        model(source, target, masks=masks)
        # the decoder serves all views in one call, view by view within an item; view 0 is the target
        x, memory = (tensor.unflatten(0, (len(target), num_views))[:, 0] for tensor in inputs[0])
        maps = attention.maps(x, memory)
    order = torch.cat([masks.visible_idx[:, 0], masks.masked_idx[:, 0]], dim=1)  # as the decoder's tokens stand
    weights = torch.empty_like(maps).scatter_(2, order[:, None, :, None].expand_as(maps), maps)
    n = maps.shape[2]
    offsets = n * torch.arange(num_views - 1, device=order.device)[:, None]
    return CrossAttentionMaps(weights, (masks.visible_idx[:, 1:] + offsets).flatten(1), masks)


def _asked_layer(model: MV2MAE, layer: int) -> CrossAttention:
    if model.cross_decoder is None:
        raise InputError(
            "this model has no cross-view decoder (it was pre-trained with cross_view_weight=0), so there is no "
            "cross-attention to show; give a run with cross_view_weight > 0"
        )
    depth = len(model.cross_decoder.blocks)
    if not -depth <= layer < depth:
        raise InputError(f"layer={layer}: the cross-view decoder has {depth} blocks; choose 0 to {depth - 1}")
    attention = model.cross_decoder.blocks[layer].cross_attention
    assert isinstance(attention, CrossAttention)
    return attention


@contextmanager
def _caught(module: torch.nn.Module) -> Iterator[list[tuple[Tensor, ...]]]:
    """The positional inputs of each call of `module` within the block."""
    inputs: list[tuple[Tensor, ...]] = []

    def keep(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        inputs.append(args)

    handle = module.register_forward_pre_hook(keep)
    try:
        yield inputs
    finally:
        handle.remove()


def most_moving_masked_token(
    clip: Shaped[Tensor, "c t h w"], masked_idx: Int[Tensor, " m"], tubelet_size: Size3
) -> int:
    """The masked token with the largest motion weight: the query that says most about moving parts."""
    energy = motion_energy(clip[None], tubelet_size)[0]
    return int(masked_idx[energy[masked_idx].argmax()])
