"""RandAugment for clips: Table 16's (7, 0.5), batched on the device.

The set is timm's `rand-m7-n4-mstd0.5-inc1`, which VideoMAE fine-tunes with: of 15 operations, some are drawn one after
the other, with repetition; each is carried out by chance, at a magnitude drawn for it. One draw holds for all frames of
a clip. Departures: the operations work on the cropped clip, not on the whole frame before the crop, because the
crops are what reaches the device; geometric ones are bilinear, where VideoMAE's are bicubic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from mv2mae.config import AugmentConfig
from mv2mae.data.device_memory import sent
from mv2mae.train import image_ops
from mv2mae.train.draws import Seeds, uniforms

MAX_MAGNITUDE = 10.0

Argument = Callable[[np.ndarray], np.ndarray]


def _factor(level: np.ndarray) -> np.ndarray:
    return (1 + 0.9 * level).astype(np.float32)


COLOUR_OPS: dict[str, tuple[Callable[..., Tensor], Argument | None]] = {
    "auto-contrast": (image_ops.auto_contrast, None),
    "equalize": (image_ops.equalize, None),
    "invert": (image_ops.invert, None),
    "posterize": (image_ops.posterize, lambda level: np.maximum(1, 4 - (np.abs(level) * 4).astype(np.int64))),
    "solarize": (image_ops.solarize, lambda level: 256 - (np.abs(level) * 256).astype(np.int64)),
    "solarize-add": (image_ops.solarize_add, lambda level: (np.abs(level) * 110).astype(np.int64)),
    "colour": (image_ops.colour, _factor),
    "contrast": (image_ops.contrast, _factor),
    "brightness": (image_ops.brightness, _factor),
    "sharpness": (image_ops.sharpness, _factor),
}
"""What changes colours, and the argument for a level: -1 to 1, a magnitude over 10 with its sign."""

AFFINE_OPS = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
"""What moves pixels: up to 30 degrees, a shear of 0.3, 0.45 of a side."""

OPS = (*COLOUR_OPS, *AFFINE_OPS)


class Script(NamedTuple):
    """What RandAugment shall do to a batch."""

    ops: Int64[np.ndarray, "b n"]
    """Indices of `OPS`, or -1 for none."""
    levels: Float[np.ndarray, "b n"]
    """Signed magnitudes over 10."""


def draw_script(seeds: Seeds, config: AugmentConfig) -> Script:
    """The operations of each clip, from its seed alone."""
    num = config.rand_augment_ops
    chance, choice, sign, noise = uniforms(seeds, 4 * num, "rand_augment").view(-1, 4, num).unbind(dim=1)
    ops = (choice * len(OPS)).long().where(chance < config.rand_augment_prob, -1)
    magnitude = config.magnitude + config.magnitude_std * torch.special.ndtri(noise)
    levels = magnitude.clamp(0, MAX_MAGNITUDE) / MAX_MAGNITUDE
    return Script(ops.numpy(), levels.where(sign < 0.5, -levels).numpy())


def rand_augment(clips: UInt8[Tensor, "b 3 t h w"], script: Script) -> UInt8[Tensor, "b 3 t h w"]:
    """Carry out a script, one operation of each clip after the other; `clips` stay as they are."""
    out = clips.clone()

    def change(rows: np.ndarray, operation: Callable[..., Tensor], *arguments: np.ndarray) -> None:
        if len(rows):
            where, *given = (sent(torch.from_numpy(array), clips.device) for array in (rows, *arguments))
            out[where] = operation(out[where], *given)

    for ops, levels in zip(script.ops.T, script.levels.T, strict=True):
        for index, (operation, argument) in enumerate(COLOUR_OPS.values()):
            rows = np.flatnonzero(ops == index)
            change(rows, operation, *([] if argument is None else [argument(levels[rows])]))
        rows = np.flatnonzero(ops >= len(COLOUR_OPS))
        change(rows, image_ops.affine, _matrices(ops[rows], levels[rows], *clips.shape[-2:]))
    return out


def _matrices(
    ops: Int64[np.ndarray, " b"], levels: Float[np.ndarray, " b"], height: int, width: int
) -> Float[np.ndarray, "b 2 3"]:
    """For each clip where its pixels come from (see `image_ops.affine`)."""
    rotate, shear_x, shear_y, translate_x, translate_y = (levels * (ops == OPS.index(name)) for name in AFFINE_OPS)
    angle = np.radians(-30 * rotate)
    cos, sin = np.cos(angle), np.sin(angle)
    centre_x, centre_y = width / 2, height / 2
    rows = [
        [cos, sin + 0.3 * shear_x, centre_x - cos * centre_x - sin * centre_y + 0.45 * width * translate_x],
        [-sin + 0.3 * shear_y, cos, centre_y + sin * centre_x - cos * centre_y + 0.45 * height * translate_y],
    ]
    return np.moveaxis(np.array(rows), -1, 0).astype(np.float32)
