"""Crops, scaling and mirroring of clips: pure functions, each draw from a generator that is passed in.

Crops are cut and scaled in the loader, on uint8. Measured for a clip of 16 frames on one CPU core (crop 120 of
146x260 to 128 / 200 of 256x340 to 128 / 900 of 1080x1920 to 128 pixels, milliseconds a clip):
torch's uint8 antialiased bilinear `interpolate` on channels-last memory 0.6 / 1.0 / 26; the same on a channels-first
copy 1.5 / 2.2 / 51; on float32 5.4 / 7.1 / 107; `grid_sample` on float32 5.2 / 7.2 / 179 (and it aliases);
swscale frame by frame 3.8 / 3.5 / 31. The first is taken; it differs from float32 arithmetic by one grey level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.config import Crop
from mv2mae.data.pixels import scaled_size
from mv2mae.errors import InputError

MULTI_SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of multi-scale crops as shares of the short side (Table 15, from VideoMAE)."""


class Box(NamedTuple):
    """A rectangle of pixels: its first row and column, its height and width."""

    top: int
    left: int
    height: int
    width: int


def multi_scale_box(
    height: int, width: int, rng: np.random.Generator, *, scales: tuple[float, ...] = MULTI_SCALES
) -> Box:
    """A multi-scale crop: each side one of `scales` of the short side, the two at most one scale apart.

    The pair of scales is drawn uniformly from those allowed and the place from the 13 of the original: the 3x3
    grid of corners, edges and centre, and the four quarter points.
    """
    base = min(height, width)
    sides = [max(1, int(base * scale)) for scale in scales]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    box_height, box_width = pairs[rng.integers(len(pairs))]
    row, column = _PLACES[rng.integers(len(_PLACES))]
    top, left = (height - box_height) * row // 4, (width - box_width) * column // 4
    return Box(top, left, box_height, box_width)


_PLACES = [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)] + [(r, c) for r in (1, 3) for c in (1, 3)]
"""Places of a multi-scale crop in quarters of the space that is left, rows and columns."""


def random_resized_box(height: int, width: int, rng: np.random.Generator, *, min_side: float = 0.66) -> Box:
    """A crop of random area, shape and place.

    The area is uniform between `min_side`² and 1 of the square on the short side, the ratio width / height
    log-uniform in [3/4, 4/3], the place uniform; sides are cut at the frame's.
    """
    base = min(height, width)
    side = base * np.sqrt(rng.uniform(min_side**2, 1))
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)) / 2)
    box_height = int(np.clip(round(side / ratio), 1, height))
    box_width = int(np.clip(round(side * ratio), 1, width))
    top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
    return Box(int(top), int(left), box_height, box_width)


def centre_box(height: int, width: int) -> Box:
    """The largest square in the middle."""
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side, side)


def draw_box(crop: Crop, height: int, width: int, rng: np.random.Generator, *, min_crop: float) -> Box:
    """A training crop of the kind that the configuration names; multi-scale leaves out scales under `min_crop`."""
    if crop == "multi-scale":
        scales = tuple(scale for scale in MULTI_SCALES if scale >= min_crop - 1e-9) or (1.0,)
        return multi_scale_box(height, width, rng, scales=scales)
    if crop == "random-resized":
        return random_resized_box(height, width, rng, min_side=min_crop)
    if crop == "centre":
        return centre_box(height, width)
    raise InputError(f"crop={crop!r} is unknown; choose multi-scale, random-resized or centre")


def crop_resize(frames: UInt8[Tensor, "t h w 3"], box: Box, size: int) -> UInt8[Tensor, "3 t s s"]:
    """Cuts the same box from every frame and scales it to size x size (bilinear, antialiased)."""
    top, left, height, width = box
    cut = frames[:, top : top + height, left : left + width]
    return resized(cut, size, size).permute(1, 0, 2, 3).contiguous()


def resize_short_side(frames: UInt8[Tensor, "t h w 3"], short_side: int) -> UInt8[Tensor, "t h2 w2 3"]:
    """Scales frames, up or down, so that the shorter side is `short_side` pixels."""
    _, height, width, _ = frames.shape
    if min(height, width) == short_side:
        return frames
    return resized(frames, *scaled_size(height, width, short_side)).permute(0, 2, 3, 1)


def flip(clip: UInt8[Tensor, "c t h w"]) -> UInt8[Tensor, "c t h w"]:
    """Mirrors left and right."""
    return clip.flip(-1)


def eval_short_side(size: int) -> int:
    """Short side from which test crops of `size` are cut: size / 0.875 (128 from 146)."""
    return round(size / 0.875)


def cut_eval_crops(frames: UInt8[Tensor, "t h w 3"], size: int, num_crops: int) -> UInt8[Tensor, "k 3 t s s"]:
    """The crops of a test clip, cut without scaling from frames with short side `eval_short_side(size)`.

    Order for 10: top left, top right, bottom left, bottom right, centre, then the mirror images of these five;
    5 is the first half; 2 is the centre and its mirror image; 1 the centre.
    """
    _, height, width, _ = frames.shape
    bottom, right = height - size, width - size
    middle = (bottom // 2, right // 2)
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), middle]
    places = corners if num_crops in (5, 10) else [middle]
    cuts = torch.stack([frames[:, y : y + size, x : x + size] for y, x in places])
    crops = cuts.permute(0, 4, 1, 2, 3)
    if num_crops in (2, 10):
        crops = torch.cat([crops, crops.flip(-1)])
    return crops.contiguous()


def resized(frames: UInt8[Tensor, "t h w 3"], height: int, width: int) -> UInt8[Tensor, "t 3 h2 w2"]:
    """Frames scaled to a height and width, colours first."""
    # The permuted view keeps channels-last memory, on which torch has a fast uint8 kernel.
    images = frames.permute(0, 3, 1, 2)
    if images.shape[-2:] == (height, width):
        return images
    if images.device.type != "cpu":  # there the kernel takes no uint8
        scaled = F.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)
        return scaled.round_().clamp_(0, 255).to(torch.uint8)
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)
