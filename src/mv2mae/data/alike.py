"""One augmentation for all views of a pair: colours permuted and inverted, pictures mirrored.

What is done alike to target and sources leaves every correspondence between them as it was, and takes away what a
model could otherwise learn by heart of a room: its colours, and which side is which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from mv2mae.data.augment import flip
from mv2mae.data.cameras import Vector, mirror_camera

_PURPOSE = 2  # last word of a seed


@dataclass(frozen=True, kw_only=True)
class Alike:
    """What is done to all clips of an item.

    channels: which channel each of the three is taken from. inverted: whether light and dark change places.
    mirrored: whether left and right do.
    """

    channels: tuple[int, int, int] = (0, 1, 2)
    inverted: bool = False
    mirrored: bool = False

    @classmethod
    def draw(cls, *key: int) -> Alike:
        """One of 24, all as likely: it follows from the key, such as (seed, epoch, item, repeat)."""
        # in a sequence of its own, so that views, moments and crops are those without augmentation
        rng = np.random.default_rng((*key, 0, 0, _PURPOSE))
        first, second, third = (int(k) for k in rng.permutation(3))
        inverted, mirrored = (bool(k) for k in rng.integers(2, size=2))
        return cls(channels=(first, second, third), inverted=inverted, mirrored=mirrored)

    def clip(self, clip: UInt8[Tensor, "3 t h w"]) -> UInt8[Tensor, "3 t h w"]:
        """A clip so changed."""
        if self.channels != (0, 1, 2):
            clip = torch.stack([clip[k] for k in self.channels])
        clip = 255 - clip if self.inverted else clip
        return flip(clip) if self.mirrored else clip

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """The same as numbers: the channels, inverted, mirrored."""
        return (*self.channels, int(self.inverted), int(self.mirrored))

    def camera(self, camera: Vector) -> Vector:
        """The camera of a clip so changed."""
        return mirror_camera(camera) if self.mirrored else camera


def change_alike(clips: UInt8[Tensor, "n 3 t h w"], numbers: Int64[Tensor, "n 5"]) -> UInt8[Tensor, "n 3 t h w"]:
    """`Alike.clip` of many clips at once, each by its own `Alike.numbers`."""
    clips = clips[torch.arange(len(clips), device=clips.device)[:, None], numbers[:, :3]]
    inverted, mirrored = (column[:, None, None, None, None] > 0 for column in numbers[:, 3:].unbind(1))
    clips = torch.where(inverted, 255 - clips, clips)
    return torch.where(mirrored, flip(clips), clips)
