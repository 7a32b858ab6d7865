"""Which tokens are masked: removed before the encoder, and to be predicted.

Everywhere `visible_idx` names tokens that are kept and encoded, `masked_idx` those that are not.
The draw is a hash of (seed of the clip, token), not a stream of random numbers: it is the same on every
device, in every batch and on every rank, and needs no generator to be stored with a checkpoint.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from mv2mae.config import Masking, ModelConfig
from mv2mae.model.tubelets import Size3

# splitmix64 (Steele, Lea, Flood 2014), its constants written as signed 64-bit integers
_GAMMA, _MIX1, _MIX2 = -7046029254386353131, -4658895280553007687, -7723592293110705685
_AS_SOURCE, _AS_DECODED, _AS_FURTHER = 0x5DEECE66D, 0x1D872B41, 0x369DEA0F31A53F85
"""Tell what a view shows as a source, and what of it is decoded, from what it keeps as a target; and further masks."""


class Masks(NamedTuple):
    """Which tokens are kept and which are predicted, for the target (view 0) and each source."""

    visible_idx: Int[Tensor, "b v k"]
    masked_idx: Int[Tensor, "b v m"]
    source_idx: Int[Tensor, "b v s"] | None = None
    """What each view shows as a source, where that is not what it keeps as a target (`source_mask_ratio`)."""

    @property
    def shown_idx(self) -> Int[Tensor, "b v s"]:
        """The tokens of each view that the cross-view decoder sees where the view is a source."""
        return self.visible_idx if self.source_idx is None else self.source_idx


def masks_of_views(config: ModelConfig, seeds: Int[Tensor, " b"], num_views: int) -> Masks:
    """The masks of items with so many views each, independent for each view; they follow from the items' seeds."""
    each_view = (seeds[:, None] * 4 + torch.arange(num_views, device=seeds.device)).flatten()
    shape = (len(seeds), num_views)
    visible, masked = draw_masks(each_view, config.grid, config.mask_ratio, config.masking)
    shown = None
    if config.source_mask_ratio is not None:
        shown, _ = draw_masks(each_view ^ _AS_SOURCE, config.grid, config.source_mask_ratio, "random")
        shown = shown.unflatten(0, shape)
    return Masks(visible.unflatten(0, shape), masked.unflatten(0, shape), shown)


def training_masks(config: ModelConfig, seeds: Int[Tensor, " b"], num_views: int) -> Masks:
    """What a step trains on: of each item `num_masks` masks after one another, the first that of `masks_of_views`, of
    whose masked tokens `num_decoded` are left to be predicted. Sources show the same with all of them.
    """
    each = config.num_masks
    further = torch.arange(each, device=seeds.device) * _AS_FURTHER
    masks = masks_of_views(config, (seeds[:, None] ^ further).flatten(), num_views)
    if each > 1 and masks.source_idx is not None:
        masks = masks._replace(source_idx=repeated(masks.source_idx[::each], each))
    if config.num_decoded < config.num_masked:
        each_view = (seeds[:, None] * 4 + torch.arange(num_views, device=seeds.device))[:, None] ^ further[:, None]
        order = token_noise(each_view.flatten() ^ _AS_DECODED, config.num_masked).argsort(dim=1)
        chosen = order[:, : config.num_decoded].sort(dim=1).values.view(*masks.masked_idx.shape[:2], -1)
        masks = masks._replace(masked_idx=masks.masked_idx.gather(2, chosen))
    return masks


def repeated(values: Shaped[Tensor, "b *rest"], times: int) -> Shaped[Tensor, "bk *rest"]:
    """Each item `times` times, after one another."""
    return values if times == 1 else values[:, None].expand(-1, times, *values.shape[1:]).flatten(0, 1)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's is arithmetic and drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX1
    x = (x ^ _shift_right(x, 27)) * _MIX2
    return x ^ _shift_right(x, 31)


def token_noise(seeds: Int[Tensor, " b"], num: int) -> Int[Tensor, "b num"]:
    """Uniform integers in [0, 2^63), one for each clip and token, from the clip's seed alone."""
    token = torch.arange(1, num + 1, device=seeds.device, dtype=torch.int64)
    bits = _mix(_mix(seeds.long())[:, None] + token * _GAMMA)
    return _shift_right(bits, 1)


def random_masking(
    seeds: Int[Tensor, " b"], grid: Size3, ratio: float
) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """Mask int(ratio n) of a clip's n tokens, anywhere in space and time (Section 4.2).

    Returns:
        `visible_idx` and `masked_idx`, each in rising order.
    """
    t, h, w = grid
    order = token_noise(seeds, t * h * w).argsort(dim=1)
    num_masked = int(ratio * t * h * w)
    return order[:, num_masked:].sort(dim=1).values, order[:, :num_masked].sort(dim=1).values


def tube_masking(seeds: Int[Tensor, " b"], grid: Size3, ratio: float) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """Mask int(ratio h w) places of the frame at all times, as VideoMAE does.

    Returns:
        `visible_idx` and `masked_idx`, each in rising order.
    """
    t, h, w = grid
    visible, masked = random_masking(seeds, (1, h, w), ratio)
    steps = torch.arange(t, device=seeds.device)[:, None] * (h * w)
    return (steps + visible[:, None]).flatten(1), (steps + masked[:, None]).flatten(1)


def frame_masking(seeds: Int[Tensor, " b"], grid: Size3, ratio: float) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """Mask int(ratio t) of a clip's t moments as a whole: what they show is nowhere to be seen but in other views.

    Returns:
        `visible_idx` and `masked_idx`, each in rising order.
    """
    t, h, w = grid
    places = torch.arange(h * w, device=seeds.device)
    visible, masked = random_masking(seeds, (t, 1, 1), ratio)
    return (visible[..., None] * (h * w) + places).flatten(1), (masked[..., None] * (h * w) + places).flatten(1)


_MASKINGS = {"random": random_masking, "tube": tube_masking, "frame": frame_masking}


def draw_masks(
    seeds: Int[Tensor, " b"], grid: Size3, ratio: float, masking: Masking
) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """`random_masking`, `tube_masking` or `frame_masking`, by name."""
    return _MASKINGS[masking](seeds, grid, ratio)
