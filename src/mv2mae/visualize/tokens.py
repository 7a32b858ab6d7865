"""The encoder's tokens as colours: one basis for all views and moments, so that like colour means like token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from mv2mae.model.calling import check_finite
from mv2mae.model.encoder import Encoder
from mv2mae.model.tubelets import Size3, grid_of
from mv2mae.visualize.strips import Strip, Strips, whole

_NOTE = (
    "Principal components of the encoder's tokens, nothing masked; one basis for all views and moments, so that like "
    "colours are like tokens. First component: dark to light; second: blue to yellow; third: green to red. Tokens as "
    "they are ({whole}): what they show, and where they lie. What changes ({changes}): less the mean over the clip at "
    "each place, and the mean of each moment."
)


@torch.no_grad()
def encoder_tokens(encoder: Encoder, clips: Shaped[Tensor, "v c t h w"]) -> Float[Tensor, "v n d"]:
    """The tokens of some views, nothing masked."""
    device = next(encoder.parameters()).device
    tokens = torch.cat([encoder(clip[None].to(device)).cpu() for clip in clips])
    check_finite("the tokens", tokens)
    return tokens


def token_changes(tokens: Float[Tensor, "v n d"], grid: Size3) -> Float[Tensor, "v n d"]:
    """Tokens less their mean over time at each place and view, and less the mean of each moment over all.

    What is left is what moved: position and background are the same at all times and drop out.
    """
    moments = tokens.unflatten(1, grid)
    moments = moments - moments.mean(dim=1, keepdim=True)
    return (moments - moments.mean(dim=(0, 2, 3), keepdim=True)).flatten(1, 3)


def token_components(tokens: Float[Tensor, "v n d"]) -> tuple[Float[Tensor, "v n 3"], Float[Tensor, " 3"]]:
    """The first three principal components of tokens over all views, and the share of the variance that each explains.

    The sign of a component is such that its largest loading is positive.
    """
    flat = tokens.float().flatten(0, 1)
    centred = flat - flat.mean(dim=0)
    _, singular, basis = torch.linalg.svd(centred, full_matrices=False)
    basis = basis[:3]
    largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
    shares = singular.square() / singular.square().sum().clamp(min=1e-12)
    return (centred @ (basis * largest.sign()).T).unflatten(0, tokens.shape[:2]), shares[:3]


def component_colours(components: Float[Tensor, "v n 3"]) -> UInt8[np.ndarray, "v n 3"]:
    """Three components as colours of CIELAB: lightness, blue to yellow, green to red.

    The first two are seen by the colour-blind too. Each runs from its 2nd to its 98th percentile over all views.
    """
    flat = components.flatten(0, 1)
    low, high = flat.quantile(0.02, dim=0), flat.quantile(0.98, dim=0)
    share = ((components - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).double().numpy()
    lightness, yellow, red = 22 + 66 * share[..., 0], 110 * (share[..., 1] - 0.5), 110 * (share[..., 2] - 0.5)
    return _srgb(lightness, red, yellow)


def _srgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> UInt8[np.ndarray, "... 3"]:
    """CIELAB (white point D65) to sRGB; what lies outside of it is clipped."""
    y = (lightness + 16) / 116
    parts = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(parts > 6 / 29, parts**3, 3 * (6 / 29) ** 2 * (parts - 4 / 29)) * [0.95047, 1.0, 1.08883]
    matrix = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    linear = (xyz @ np.transpose(matrix)).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)


def pca_strips(
    clips: Shaped[Tensor, "v c t h w"],
    tokens: Float[Tensor, "v n d"],
    tubelet_size: Size3,
    *,
    names: Sequence[str] = (),
    frame_seconds: float | None = None,
) -> Strips:
    """For each view its frames, its tokens as colours, and what changes in them as colours.

    Args:
        tokens: of the clips (see `encoder_tokens`).
        names: of the videos.
    """
    grid = grid_of(clips[:1], tubelet_size)
    painted, shares = [], []
    for kind in (tokens, token_changes(tokens, grid)):
        components, share = token_components(kind)
        painted.append([_upscaled(view, grid, tubelet_size) for view in component_colours(components)])
        shares.append(" + ".join(f"{part:.0%}" for part in share) + " of the variance")
    rows = []
    for view, clip in enumerate(clips):
        name = names[view] if names else f"view {view + 1}"
        rows += [
            Strip("clip", whole(clip), name),
            Strip("tokens", painted[0][view], "as they are"),
            Strip("tokens", painted[1][view], "what changes"),
        ]
    note = _NOTE.format(whole=shares[0], changes=shares[1])
    return Strips(rows, tubelet_size, frame_seconds, note, columns=3)


def _upscaled(colours: UInt8[np.ndarray, "n 3"], grid: Size3, tubelet_size: Size3) -> UInt8[np.ndarray, "t h w 3"]:
    """A tubelet of one colour for each token."""
    blocks = colours.reshape(*grid, 3)
    for axis, size in enumerate(tubelet_size):
        blocks = blocks.repeat(size, axis=axis)
    return blocks
