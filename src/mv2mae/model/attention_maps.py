"""Where the cross-view decoder looks in the source view (Figure 5) and the encoder in its own, as they were trained.

The model runs its fused attention as always. What goes into the chosen layer is caught on the way, and that one
layer's weights are written out from it: no second model, no slow attention anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.model.calling import check_finite
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import Block, CrossBlock, attention_maps
from mv2mae.model.masking import Masks
from mv2mae.model.pretraining import MV2MAE


@dataclass(frozen=True)
class CrossAttentionMaps:
    """The weights of the target's tokens over the visible tokens of the source view or views."""

    weights: Float[Tensor, "b heads n k"]
    """For each of the target's n tokens, in the clip's order, its weights over k source tokens; they sum to 1."""
    source_idx: Int[Tensor, "b k"]
    """Which token of the source each column is; token j of source i counts as i n + j."""
    masks: Masks
    """View 0 is the target."""

    def over_source(self) -> Float[Tensor, "b heads n m"]:
        """The weights at all m = s n tokens of the s sources, NaN at masked ones, where the decoder cannot look."""
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
    cameras: Float[Tensor, "b v 16"] | None = None,
    layer: int = -1,
) -> CrossAttentionMaps:
    """The cross-attention of one decoder block while it rebuilds the target with the help of the source.

    Args:
        source: one source clip, or s of them; pixels in [0, 1], or uint8.
        target: the target clip of the same moment.
        seeds: one for each item, from which its masks follow.
        cameras: of the target and its sources, where they are known (`model.cameras`).
        layer: block of the cross-view decoder, from 1, or from the end as -1.

    Raises:
        InputError: if the model has no cross-view decoder or not so many blocks, or its weights give no numbers.
    """
    place = _place(layer, len(_cross_blocks(model)), "the cross-view decoder")
    return _maps(model, slice(place, place + 1), source, target, seeds, cameras)[0]


def cross_attention_layers(
    model: MV2MAE,
    source: Shaped[Tensor, "b c t h w"] | Shaped[Tensor, "b s c t h w"],
    target: Shaped[Tensor, "b c t h w"],
    *,
    seeds: Int[Tensor, " b"],
    cameras: Float[Tensor, "b v 16"] | None = None,
) -> list[CrossAttentionMaps]:
    """`cross_attention_maps` of every block of the cross-view decoder, first to last, from one pass.

    Raises:
        InputError: if the model has no cross-view decoder.
    """
    return _maps(model, slice(None), source, target, seeds, cameras)


def _maps(
    model: MV2MAE, chosen: slice, source: Tensor, target: Tensor, seeds: Tensor, cameras: Tensor | None
) -> list[CrossAttentionMaps]:
    layers = [block.cross_attention for block in _cross_blocks(model)[chosen]]
    num_views = 2 if source.ndim == 5 else 1 + source.shape[1]
    masks = model.draw_masks(len(target), num_views, target.device, seeds)
    with torch.no_grad(), caught_inputs(layers) as inputs:
        model(source, target, seeds=seeds, masks=masks, cameras=cameras)
        maps = []
        for attention, caught in zip(layers, inputs, strict=True):
            # the decoder serves all targets in one call, view by view within an item; view 0 is the item's own
            given = (x if x is None else x.unflatten(0, (len(target), -1))[:, 0] for x in caught)
            maps.append(attention.maps(*given))
    check_finite("the attention weights", *maps)
    order = torch.cat([masks.visible_idx[:, 0], masks.masked_idx[:, 0]], dim=1)  # as the decoder's tokens stand
    n = order.shape[1]
    offsets = n * torch.arange(num_views - 1, device=order.device)[:, None]
    source_idx = (masks.shown_idx[:, 1:] + offsets).flatten(1)
    places = order[:, None, :, None]
    return [
        CrossAttentionMaps(torch.empty_like(w).scatter_(2, places.expand_as(w), w), source_idx, masks) for w in maps
    ]


def check_cross_view(model: MV2MAE) -> None:
    """Whether there is cross-attention to look at.

    Raises:
        InputError: if the model has no cross-view decoder.
    """
    if model.cross_decoder is None:
        raise InputError(
            "this model has no cross-view decoder (it was pre-trained with cross_view_weight=0), so there is no "
            "cross-attention to show; give a run with cross_view_weight > 0"
        )


@torch.no_grad()
def encoder_attention_maps(
    encoder: Encoder,
    clip: Shaped[Tensor, "b c t h w"],
    queries: Int[Tensor, "b q"],
    *,
    layers: Sequence[int] = (-1,),
) -> Float[Tensor, "l b heads q n"]:
    """The self-attention of some tokens over all tokens of their clip, nothing masked, in the chosen blocks.

    Args:
        clip: pixels in [0, 1], or uint8.
        queries: the tokens that look, as numbers in the clip.
        layers: blocks of the encoder, from 1, or from the end as -1.

    Raises:
        InputError: if the encoder has not so many blocks, or a tubelet does not divide the clip.
    """
    places = [_place(layer, len(encoder.blocks), "the encoder") for layer in layers]
    numbers = sorted(set(places))
    blocks = [encoder.blocks[number] for number in numbers]
    with caught_inputs(blocks) as inputs:
        encoder(clip)
    maps = {}
    for number, block, (x, *_) in zip(numbers, blocks, inputs, strict=True):
        assert isinstance(block, Block)
        q, k, _ = block.attention.project(block.norm1(x))
        wanted = queries[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3])
        maps[number] = attention_maps(q.gather(2, wanted), k)
    check_finite("the attention weights", *maps.values())
    return torch.stack([maps[place] for place in places])


def _cross_blocks(model: MV2MAE) -> list[CrossBlock]:
    check_cross_view(model)
    assert model.cross_decoder is not None
    return [block for block in model.cross_decoder.blocks if isinstance(block, CrossBlock)]


def _place(layer: int, depth: int, what: str) -> int:
    """Which of `depth` blocks a layer is, from 0; layers count from 1, or from the end as -1."""
    if layer == 0 or not -depth <= layer <= depth:
        raise InputError(f"layer={layer}: {what} has {depth} blocks; choose 1 to {depth}, or -1 for the last")
    return layer - 1 if layer > 0 else depth + layer


@contextmanager
def caught_inputs(modules: Sequence[torch.nn.Module]) -> Iterator[list[tuple[Tensor, ...]]]:
    """The positional inputs of the modules' calls within the block, in the order of the calls."""
    inputs: list[tuple[Tensor, ...]] = []

    def keep(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        inputs.append(args)

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
