"""The operations of RandAugment on batches of clips, each equal to Pillow's on every frame.

All take uint8 clips [b, 3, t, h, w] and one argument a clip [b], and treat all frames of a clip alike. What depends on
an image's statistics (auto-contrast, equalise, contrast) is measured frame by frame, as if each were an image. Whatever
maps a value to a value goes through a table of 256: that is exact, and twice as fast as arithmetic on the pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num, UInt8
from torch import Tensor

from mv2mae.data.device_memory import sent

Clips = UInt8[Tensor, "b 3 t h w"]

FILL = 128
"""Grey that fills what a geometric operation leaves empty."""


def invert(clips: Clips) -> Clips:
    """The negative."""
    return 255 - clips


def posterize(clips: Clips, bits: Int[Tensor, " b"]) -> Clips:
    """Keep the highest `bits` bits (0 to 8) of each value."""
    return _look_up(clips, _values(clips) & (256 - 2 ** (8 - _each(bits))))


def solarize(clips: Clips, threshold: Int[Tensor, " b"]) -> Clips:
    """Invert the values from `threshold` (0 to 256) on."""
    values = _values(clips)
    return _look_up(clips, torch.where(values < _each(threshold), values, 255 - values))


def solarize_add(clips: Clips, amount: Int[Tensor, " b"]) -> Clips:
    """Add `amount` (0 to 127) to the values below 128."""
    values = _values(clips)
    return _look_up(clips, torch.where(values < 128, values + _each(amount), values))


def auto_contrast(clips: Clips) -> Clips:
    """Stretch each colour of each frame to 0 to 255."""
    low = clips.amin(dim=(3, 4)).int()[..., None]
    spread = clips.amax(dim=(3, 4)).int()[..., None] - low
    values = _values(clips)
    return _look_up(clips, torch.where(spread > 0, (values - low) * 255 // spread.clamp(min=1), values))


def equalize(clips: Clips) -> Clips:
    """Spread the values of each colour of each frame evenly over 0 to 255."""
    pixels = clips.shape[-1] * clips.shape[-2]
    rows = clips.flatten(0, 2).flatten(1)
    starts = torch.arange(len(rows), device=clips.device)[:, None] * 256
    counts = _counts((rows + starts).flatten(), 256 * len(rows)).view(*clips.shape[:3], 256)
    highest = counts.gather(3, clips.amax(dim=(3, 4))[..., None].long())
    step = (pixels - highest) // 255
    below = counts.cumsum(dim=3) - counts
    return _look_up(clips, torch.where(step > 0, (step // 2 + below) // step.clamp(min=1), _values(clips)))


def brightness(clips: Clips, factor: Float[Tensor, " b"]) -> Clips:
    """Blend with black: 0 is black, 1 the clip, more is brighter."""
    return _look_up(clips, _each(factor) * _values(clips))


def contrast(clips: Clips, factor: Float[Tensor, " b"]) -> Clips:
    """Blend with the mean grey of each frame."""
    pixels = clips.shape[-1] * clips.shape[-2]
    mean = (2 * _grey(clips).sum(dim=(2, 3)) + pixels) // (2 * pixels)
    return _look_up(clips, _blend(mean[:, None, :, None].float(), _values(clips), _each(factor)))


def colour(clips: Clips, factor: Float[Tensor, " b"]) -> Clips:
    """Blend with the grey clip: 0 is grey, 1 the clip, more is more colourful."""
    return _to_bytes(_blend(_grey(clips)[:, None].float(), clips, _each(factor)[..., None]))


def sharpness(clips: Clips, factor: Float[Tensor, " b"]) -> Clips:
    """Blend with the smoothed clip (3 x 3, the centre five times; the outermost pixels stay)."""
    values = clips.short()
    columns = values[..., :-2, :] + values[..., 1:-1, :] + values[..., 2:, :]
    centre = values[..., 1:-1, 1:-1]
    total = columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:] + 4 * centre
    smooth = (total / 13 + 0.5).floor_()
    out = clips.clone()
    out[..., 1:-1, 1:-1] = _to_bytes(_blend(smooth, centre, _each(factor)[..., None]))
    return out


def affine(clips: Clips, matrices: Float[Tensor, "b 2 3"]) -> Clips:
    """Take each pixel from where a matrix says: (x, y) = A (x + 1/2, y + 1/2, 1), in pixels from the top left corner.

    Bilinear; what comes from outside is `FILL`.
    """
    height, width = clips.shape[-2:]
    x = torch.arange(width, device=clips.device)[None, :, None] + 0.5
    y = torch.arange(height, device=clips.device)[:, None, None] + 0.5
    along_x, along_y, shift = matrices[:, None, None].unbind(dim=-1)
    wanted = along_x * x + along_y * y + shift  # [b, h, w, 2]; no matrix product: that may round to ten bits on a GPU
    size = sent(torch.tensor([width, height]), clips.device)
    inside = ((wanted >= 0) & (wanted < size)).all(dim=-1)
    frames = clips.flatten(1, 2).float()
    moved = F.grid_sample(frames, 2 * wanted / size - 1, mode="bilinear", padding_mode="border", align_corners=False)
    # cut off, not rounded, as Pillow does; the thousandth makes up for sums of weights just under 1
    moved = ((moved + (1e-3 - FILL)) * inside[:, None] + FILL).view_as(clips)
    return _to_bytes(moved)


def _counts(values: Int[Tensor, " n"], num: int) -> Int[Tensor, " num"]:
    """How often each number below `num` comes."""
    if values.device.type != "cpu":  # torch's bincount would have the host wait to hear of the largest one
        return values.new_zeros(num).scatter_add_(0, values, torch.ones_like(values))
    return torch.bincount(values, minlength=num)


def _values(clips: Clips) -> Int[Tensor, " 256"]:
    return torch.arange(256, device=clips.device)


def _each(argument: Num[Tensor, " b"]) -> Num[Tensor, "b 1 1 1"]:
    return argument[:, None, None, None]


def _look_up(clips: Clips, table: Num[Tensor, "b c t 256"]) -> Clips:
    """Each value's entry in the table of its clip, colour and frame (c and t may be 1)."""
    tables = _to_bytes(table).expand(*clips.shape[:3], 256).reshape(-1, 256)
    return tables.gather(1, clips.flatten(0, 2).flatten(1).long()).view_as(clips)


def _grey(clips: Clips) -> Int[Tensor, "b t h w"]:
    red, green, blue = clips.int().unbind(dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 2**15) >> 16


def _blend(
    base: Float[Tensor, "..."], values: Num[Tensor, "..."], factor: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    return (values - base) * factor + base


def _to_bytes(values: Num[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Cut at 0 and 255, and off at the point."""
    return values.clamp(0, 255).to(torch.uint8)
