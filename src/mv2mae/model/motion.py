"""Motion weights: how much each token counts in the loss (Section 3.3, Algorithm 1)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mv2mae.config import ModelConfig, MotionScale
from mv2mae.model.tubelets import IMAGENET_STD, Size3, check_clip, grid_of, to_unit

_HALVINGS = 40
"""Of the range of temperatures, until it is as narrow as float32 tells apart."""


def motion_energy(
    clip: Shaped[Tensor, "b c t h w"], tubelet_size: Size3 = (2, 16, 16), scale: MotionScale = "normalised"
) -> Float[Tensor, "b n"]:
    """L2 norm of the frame differences within each tubelet, on ImageNet-normalised frames or those in 0-255.

    Algorithm 1 as printed subtracts one frame from another (`frames[:, :, 1] - frames[:, :, -1]`); what is meant
    is the difference of neighbours, the first repeated so that there are as many as frames.

    Args:
        clip: pixels in [0, 1], or uint8.

    Raises:
        InputError: it is no clip (`check_clip`), or a tubelet does not divide it.
    """
    check_clip(clip)
    t, h, w = grid_of(clip, tubelet_size)
    p0, p1, p2 = tubelet_size
    b, c, num_frames = clip.shape[:3]
    pixels = to_unit(clip)
    # The mean cancels in a difference, so normalising is a division. The paper does not say on which scale its
    # temperature of 60 stands; on normalised frames it gives all but uniform weights, in 0-255 one to three tokens.
    units = IMAGENET_STD if scale == "normalised" else (1 / 255,) * 3
    difference = pixels[:, :, 1:] - pixels[:, :, :-1]
    by_colour = difference.square().reshape(b, c, num_frames - 1, h, p1, w, p2).sum(dim=(4, 6))
    red, green, blue = (by_colour[:, i] / unit**2 for i, unit in enumerate(units))
    energy = red + green + blue
    energy = torch.cat([energy[:, :1], energy], dim=1)
    return energy.reshape(b, t, p0, h, w).sum(dim=2).flatten(1).sqrt()


def most_moving_token(clip: Shaped[Tensor, "c t h w"], chosen: Int[Tensor, " m"], tubelet_size: Size3) -> int:
    """Which of the chosen tokens has the largest motion weight: of masked ones the query that says most of movement."""
    energy = motion_energy(clip[None], tubelet_size)[0]
    return int(chosen[energy[chosen].argmax()])


def motion_weights(
    clip: Shaped[Tensor, "b c t h w"],
    tubelet_size: Size3 = (2, 16, 16),
    temperature: float | None = 60.0,
    *,
    effective_tokens: float | None = None,
    scale: MotionScale = "normalised",
) -> Float[Tensor, "b n"]:
    """Softmax of the motion energy over all tokens of a clip (Algorithm 1); each row sums to 1.

    Args:
        clip: pixels in [0, 1], or uint8.
        temperature: tau; the higher, the more uniform the weights. None = exactly uniform.
        effective_tokens: instead of `temperature`: the share of the tokens that the weights shall be worth (see
            `effective_number`), from which each clip's temperature follows, whatever its resolution and contrast.
        scale: on which frames the temperature stands.

    Returns:
        [b, n], the n tubelets in order of time, rows and columns.

    Raises:
        InputError: it is no clip (`check_clip`), or a tubelet does not divide it.
    """
    energy = motion_energy(clip, tubelet_size, scale)
    if effective_tokens is not None:
        return torch.softmax(energy / solve_temperature(energy, effective_tokens), dim=1)
    if temperature is None:
        return torch.full_like(energy, 1 / energy.shape[1])
    return torch.softmax(energy / temperature, dim=1)


def configured_weights(clip: Shaped[Tensor, "b c t h w"], config: ModelConfig) -> Float[Tensor, "b n"]:
    """The motion weights of clips as a model's configuration asks for them."""
    return motion_weights(
        clip,
        config.tubelet_size,
        config.motion_temperature,
        effective_tokens=config.effective_tokens,
        scale=config.motion_scale,
    )


def effective_number(weights: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """How many tokens the weights are worth: the exponential of their entropy, n if uniform, 1 if one takes all."""
    return torch.special.entr(weights).sum(dim=1).exp()


def solve_temperature(energy: Float[Tensor, "b n"], share: float) -> Float[Tensor, "b 1"]:
    """The temperature at which each clip's weights are worth `share` of its tokens.

    The effective number rises with the temperature, so bisection of its logarithm finds it, all clips at once.
    A clip without any motion has uniform weights at every temperature.
    """
    low = torch.full((len(energy), 1), math.log(1e-4), device=energy.device, dtype=energy.dtype)
    high = torch.full_like(low, math.log(1e6))
    wanted = share * energy.shape[1]
    if energy.device.type != "cpu":
        return _solve_by_grid(energy, low, high, wanted)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        weights = torch.softmax(energy / middle.exp(), dim=1)
        too_uniform = effective_number(weights)[:, None] > wanted
        high, low = torch.where(too_uniform, middle, high), torch.where(too_uniform, low, middle)
    return ((low + high) / 2).exp()


def _solve_by_grid(
    energy: Float[Tensor, "b n"], low: Float[Tensor, "b 1"], high: Float[Tensor, "b 1"], wanted: float
) -> Float[Tensor, "b 1"]:
    """The same in 7 rounds of 63 temperatures at once, as fine as 42 halvings: those are 480 kernels, more than half of
    what a forward pass of ViT-S starts, and on a GPU these 70 take no longer than so many of them.
    """
    parts = 64
    places = torch.arange(1, parts, device=energy.device) / parts
    width = high - low
    for _ in range(7):
        middles = low + width * places
        weights = torch.softmax(energy[:, None] / middles.exp()[..., None], dim=2)
        numbers = effective_number(weights.flatten(0, 1)).view_as(middles)
        low = low + width * (numbers <= wanted).sum(dim=1, keepdim=True) / parts
        width = width / parts
    return (low + width / 2).exp()
