"""Clips cut into tubelets and put together again; the pixels that a model has to predict."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mv2mae.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Size3 = tuple[int, int, int]
_OVERSHOOT = 0.5
"""Beyond [0, 1] that values may lie: resampling with negative lobes overshoots at edges."""


def to_unit(clip: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pixels as floats in [0, 1]: uint8 is divided by 255, floats pass as they are."""
    return clip.float() / 255 if clip.dtype == torch.uint8 else clip


def check_clip(clip: object) -> None:
    """Refuses what cannot be a clip [b, 3, t, h, w] with pixels in [0, 1], or uint8.

    Shape and type cost nothing. Values are looked at on a CPU only, where that takes no wait for a device, and not
    while the model is traced, compiled or mapped.

    Raises:
        InputError: no tensor (a NumPy array), another shape, another type, or floats beyond [0, 1] by more than
            resampling may overshoot.
    """
    if not isinstance(clip, Tensor):
        kind = type(clip)
        raise InputError(f"a clip that is a {kind.__module__}.{kind.__name__}; give a tensor: torch.from_numpy(clip)")
    if clip.ndim != 5 or clip.shape[1] != 3:
        raise InputError(
            f"a clip of shape {tuple(clip.shape)}; give [batch, 3 colours, frames, rows, columns], a single clip as "
            "clip[None]"
        )
    if clip.dtype == torch.uint8:
        return
    if not clip.is_floating_point():
        raise InputError(f"a clip of {clip.dtype}; give uint8 (0 to 255), or floats in [0, 1]")
    if clip.device.type != "cpu" or _is_symbolic() or not clip.numel():
        return
    low, high = (float(value) for value in clip.detach().aminmax())
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):
        raise InputError(
            f"a clip of {clip.dtype} with values from {low:.3g} to {high:.3g}; floats have to lie in [0, 1] (the model "
            "normalises them itself): divide by 255, or give uint8"
        )


def _is_symbolic() -> bool:
    """Whether tensors stand for others, so that their values must not be looked at."""
    functorch = torch._C._functorch
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or functorch.peek_interpreter_stack() is not None


def colour_scale(tubelet_dim: int) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Scale and shift that normalise the flat tubelets of a clip in [0, 1]: less the ImageNet mean, over its deviation.

    They repeat over the pixels of a tubelet, d values in all, colours last.
    """
    mean, std = (torch.tensor(values).repeat(tubelet_dim // 3) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return 1 / std, -mean / std


def grid_of(clip: Shaped[Tensor, "b c t h w"], tubelet_size: Size3) -> Size3:
    """Tokens along time, height and width of a clip.

    Raises:
        InputError: if a tubelet does not divide the clip.
    """
    for name, size, step in zip(("frames", "rows", "columns"), clip.shape[2:], tubelet_size, strict=True):
        if size == 0 or size % step:
            raise InputError(
                f"a clip of {size} {name} (shape {tuple(clip.shape)}) does not divide into tubelets of {step}; "
                f"use a multiple of {step}"
            )
    t, h, w = (size // step for size, step in zip(clip.shape[2:], tubelet_size, strict=True))
    return t, h, w


def tubelets(clip: Shaped[Tensor, "b c t h w"], tubelet_size: Size3) -> Shaped[Tensor, "b n p c"]:
    """Cut a clip into n tubelets of p pixels, colours last; works on uint8 and on floats.

    Tokens run over time, then rows, then columns; pixels within a tubelet likewise. With colours last, the
    flattened tubelet has the order in which VideoMAE's decoder predicts it.
    """
    return _by_tubelet(clip, tubelet_size).flatten(1, 3).flatten(2, 4)


def take_tubelets(
    clip: Shaped[Tensor, "b c t h w"], idx: Int[Tensor, "b k"], tubelet_size: Size3
) -> Shaped[Tensor, "b k p c"]:
    """`tubelets`, only those of each clip at its own indices: the others are not even laid out."""
    _, h, w = grid_of(clip, tubelet_size)
    item = torch.arange(len(idx), device=idx.device)[:, None]
    return _by_tubelet(clip, tubelet_size)[item, idx // (h * w), idx // w % h, idx % w].flatten(2, 4)


def _by_tubelet(clip: Shaped[Tensor, "b c t h w"], tubelet_size: Size3) -> Shaped[Tensor, "b i j k p0 p1 p2 c"]:
    """A view of the clip: grid, pixels within a tubelet, colours."""
    t, h, w = grid_of(clip, tubelet_size)
    p0, p1, p2 = tubelet_size
    blocks = clip.reshape(*clip.shape[:2], t, p0, h, p1, w, p2)
    return blocks.permute(0, 2, 4, 6, 3, 5, 7, 1)


def untubelets(parts: Shaped[Tensor, "b n p c"], grid: Size3, tubelet_size: Size3) -> Shaped[Tensor, "b c t h w"]:
    """The inverse of `tubelets`."""
    (t, h, w), (p0, p1, p2) = grid, tubelet_size
    b, c = parts.shape[0], parts.shape[-1]
    blocks = parts.reshape(b, t, h, w, p0, p1, p2, c).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return blocks.reshape(b, c, t * p0, h * p1, w * p2)


def take_tokens(tokens: Shaped[Tensor, "b n *rest"], idx: Int[Tensor, "b k"]) -> Shaped[Tensor, "b k *rest"]:
    """The tokens of each clip at its own indices."""
    return tokens[torch.arange(len(idx), device=idx.device)[:, None], idx]


def tubelet_statistics(
    parts: Float[Tensor, "b n p c"],
) -> tuple[Float[Tensor, "b n 1 c"], Float[Tensor, "b n 1 c"]]:
    """Mean and unbiased standard deviation of each colour in each tubelet."""
    # in two passes: several times as fast on a CPU as torch.std_mean
    mean = parts.mean(dim=2, keepdim=True)
    std = ((parts - mean).square().sum(dim=2, keepdim=True) / (parts.shape[2] - 1)).sqrt()
    return mean, std


def normalised_target(parts: Float[Tensor, "b n p c"], floor: float = 0.0) -> Float[Tensor, "b n d"]:
    """What is to be predicted: each colour of each tubelet centred and divided by its standard deviation.

    Takes pixels in [0, 1] (Section 3.1, "normalized pixel values", as in VideoMAE); d = p x c.

    Args:
        floor: least deviation to divide by (the paper: 0).
    """
    mean, std = tubelet_statistics(parts)
    return ((parts - mean) / _divisor(std, floor)).flatten(2)


def _divisor(std: Tensor, floor: float) -> Tensor:
    return (std.clamp(min=floor) if floor else std) + 1e-6


def token_targets(
    clip: Shaped[Tensor, "b c t h w"], idx: Int[Tensor, "b k"], tubelet_size: Size3, floor: float = 0.0
) -> Float[Tensor, "b k d"]:
    """`normalised_target` of some tokens of clips in [0, 1] or uint8."""
    return normalised_target(to_unit(take_tubelets(clip, idx, tubelet_size)), floor)


def denormalised(
    prediction: Float[Tensor, "b n d"], parts: Float[Tensor, "b n p c"], floor: float = 0.0
) -> Float[Tensor, "b n p c"]:
    """A prediction as pixels again, with the *true* mean and deviation of each tubelet (a picture shows these too)."""
    mean, std = tubelet_statistics(parts)
    return prediction.unflatten(-1, parts.shape[2:]) * _divisor(std, floor) + mean
