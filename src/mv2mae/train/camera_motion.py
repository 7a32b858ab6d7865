"""A camera held by hand, added to clips of a still one: the whole picture moves, its background too.

The paper names it as what may help where cameras and backgrounds move (Section 5): background motion that is put in
during fine-tuning. Each clip wanders and rolls along a smooth path of its own, and is enlarged so far that no border
comes into the picture.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mv2mae.data.device_memory import sent
from mv2mae.train import image_ops
from mv2mae.train.draws import Seeds, uniforms

_SLOWEST, _FASTEST = 0.3, 1.2
"""Swings over a clip."""
_ROLL = 0.5
"""Radians of roll for a motion of one side."""


def camera_paths(seeds: Seeds, num_frames: int) -> Float[Tensor, "b t 3"]:
    """How a hand-held camera moves: right, down, roll, each a swing within -1 and 1 of a width and pace of its own."""
    width, pace, phase = uniforms(seeds, 9, "camera").view(-1, 3, 1, 3).unbind(dim=1)
    time = torch.arange(num_frames, dtype=torch.float64)[:, None] / max(1, num_frames - 1)
    pace = _SLOWEST + pace * (_FASTEST - _SLOWEST)
    return (0.5 + 0.5 * width) * torch.sin(2 * math.pi * (pace * time + phase))


def hold_by_hand(clips: UInt8[Tensor, "b 3 t h w"], seeds: Seeds, motion: float) -> UInt8[Tensor, "b 3 t h w"]:
    """Move the frames of each clip as a hand-held camera would.

    Args:
        seeds: of the clips.
        motion: about how far the picture moves, as a share of its side; below 0.25.
    """
    b, _, t, height, width = clips.shape
    right, down, roll = camera_paths(seeds, t).view(b * t, 3).unbind(dim=1)
    scale, angle = 1 - 2 * motion, _ROLL * motion * roll
    # the corners of what is left stay inside, whatever the roll
    reach = 0.5 - 0.5 * scale * (1 + _ROLL * motion)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    centre_x, centre_y = width / 2, height / 2
    x = centre_x - cos * centre_x + sin * centre_y + reach * width * right
    y = centre_y - sin * centre_x - cos * centre_y + reach * height * down
    matrices = torch.stack([torch.stack([cos, -sin, x], dim=1), torch.stack([sin, cos, y], dim=1)], dim=1).float()
    frames = clips.transpose(1, 2).reshape(b * t, 3, 1, height, width)
    moved = image_ops.affine(frames, sent(matrices, clips.device))
    return moved.view(b, t, 3, height, width).transpose(1, 2).contiguous()
