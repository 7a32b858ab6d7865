"""Random erasing, mixup and cutmix: options of fine-tuning, off in the paper. Boxes are constant over a clip's time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mv2mae.config import AugmentConfig
from mv2mae.data.device_memory import sent
from mv2mae.train.draws import Seeds, symmetric_beta, uniforms

ERASED_AREA, ERASED_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""Range of an erased box's share of the frame, and of its height over its width (timm's)."""
ERASED_COLOUR = (124, 116, 104)
"""ImageNet's mean, which is 0 to the model."""


def erase(clips: UInt8[Tensor, "b 3 t h w"], seeds: Seeds, chance: float) -> UInt8[Tensor, "b 3 t h w"]:
    """Fill a box of some clips, the same in every frame, with the mean colour (Zhong et al., 2020)."""
    draw, area, ratio, y, x = uniforms(seeds, 5, "erase").unbind(dim=1)
    area = ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])
    low, high = map(math.log, ERASED_RATIO)
    ratio = (low + ratio * (high - low)).exp()
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
    sides *= (draw < chance)[:, None]
    corner = torch.stack([y, x], dim=1) * (1 - sides)
    erased = _in_box(corner, corner + sides, *clips.shape[-2:])
    colour = sent(torch.tensor(ERASED_COLOUR, dtype=torch.uint8), clips.device)[:, None, None, None]
    return torch.where(sent(erased, clips.device)[:, None, None], colour, clips)


def mix(
    clips: UInt8[Tensor, "b 3 t h w"],
    labels: Int[Tensor, " b"],
    seeds: Seeds,
    config: AugmentConfig,
    *,
    num_classes: int,
    num_repeats: int,
) -> tuple[Float[Tensor, "b 3 t h w"], Float[Tensor, "b k"]]:
    """Blend each clip with one of the neighbouring video (mixup), or paste a box of that into it (cutmix).

    Videos 0 and 1 are neighbours, 2 and 3, and so on: who is mixed with whom then depends neither on the number of
    devices nor on accumulation. Each clip has a share of its own.

    Args:
        clips: of an even number of videos, `num_repeats` of each after one another.
        labels: of the clips.
        seeds: of the clips.
        config: alphas of mixup and cutmix; with both, each clip has one of them, by chance.
        num_classes: k.
        num_repeats: clips of a video.

    Returns:
        Clips in [0, 1], and for each its classes' shares, which sum to 1.
    """
    share = sent(_neighbours_share(seeds, config, *clips.shape[-2:]), clips.device)
    pixels = clips.float() / 255
    mixed = torch.lerp(pixels, _neighbours(pixels, num_repeats), share[:, None, None])
    targets = F.one_hot(labels, num_classes).float()
    return mixed, torch.lerp(targets, _neighbours(targets, num_repeats), share.mean(dim=(1, 2))[:, None])


def _neighbours(values: Tensor, num_repeats: int) -> Tensor:
    return values.unflatten(0, (-1, 2, num_repeats)).flip(1).flatten(0, 2)


def _neighbours_share(seeds: Seeds, config: AugmentConfig, height: int, width: int) -> Float[Tensor, "b h w"]:
    """The neighbour's share of each pixel: for mixup the same everywhere, for cutmix 1 within a box and 0 outside."""
    choice, share, y, x = uniforms(seeds, 4, "mix").unbind(dim=1)
    is_cut = (choice < 0.5) if config.mixup and config.cutmix else torch.full_like(choice, bool(config.cutmix)).bool()
    blend = symmetric_beta(share, config.mixup) if config.mixup else share
    side = symmetric_beta(share, config.cutmix).sqrt()[:, None] if config.cutmix else share[:, None]
    centre = torch.stack([y, x], dim=1)
    box = _in_box(centre - side / 2, centre + side / 2, height, width)
    return torch.where(is_cut[:, None, None], box.float(), blend.float()[:, None, None])


def _in_box(low: Float[Tensor, "b 2"], high: Float[Tensor, "b 2"], height: int, width: int) -> Bool[Tensor, "b h w"]:
    """Which pixels have their centre in a box, given by two corners (y, x) as shares of the frame."""
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) + 0.5) / width
    rows = (y >= low[:, :1]) & (y < high[:, :1])
    columns = (x >= low[:, 1:]) & (x < high[:, 1:])
    return rows[:, :, None] & columns[:, None, :]
