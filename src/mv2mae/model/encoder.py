"""The shared encoder: a vanilla ViT with joint space-time attention (Section 3.1, Table 12)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.model.layers import Block, Blocks, init_weights, interpolate_positions, position_table, set_norm_eps
from mv2mae.model.tubelets import Size3, check_clip, colour_scale, grid_of, take_tubelets, tubelets


class Encoder(nn.Module):
    """Clip to tokens. ViT-S/16 of the paper: width 384, 12 blocks, 6 heads, 21.88 M parameters.

    Args:
        config: its encoder part.
        position_grid: token grid for which positions are made, then interpolated to the clip's; None = the clip's own.
            Not a choice but a part of what weights have learnt, stored beside them.
        final_norm: normalise the tokens at the end (pre-training); a classifier normalises their mean instead.
        drop_path: chance to skip a branch of the last block, falling linearly to 0 at the first.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        position_grid: Size3 | None = None,
        final_norm: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.position_grid = None if position_grid == config.grid else position_grid
        self.embed = nn.Linear(config.tubelet_dim, config.encoder_width)
        table = position_table(config.positions, config.grid, config.encoder_width, position_grid)
        self.positions: Tensor
        self.register_buffer("positions", table, persistent=False)
        scale, shift = colour_scale(config.tubelet_dim)
        self.colour_scale: Tensor
        self.colour_shift: Tensor
        self.register_buffer("colour_scale", scale, persistent=False)
        self.register_buffer("colour_shift", shift, persistent=False)
        last = max(1, config.encoder_depth - 1)
        chances = [drop_path * block / last for block in range(config.encoder_depth)]
        self.blocks = Blocks(Block(config.encoder_width, config.encoder_heads, chance) for chance in chances)
        self.norm = nn.LayerNorm(config.encoder_width) if final_norm else nn.Identity()
        self.apply(init_weights)
        set_norm_eps(self, config.norm_eps)

    def forward(
        self, clip: Shaped[Tensor, "b c t h w"], visible_idx: Int[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Encode all tokens of a clip, or the visible ones alone.

        Args:
            clip: pixels in [0, 1], or uint8. A clip of another size than the model's gets interpolated positions.
            visible_idx: tokens to keep; the rest is dropped before it is even embedded.
        """
        check_clip(clip)
        size = self.config.tubelet_size
        grid = grid_of(clip, size)
        positions = self.positions
        if grid != self.config.grid:
            positions = interpolate_positions(positions, self.config.grid, grid)
        if visible_idx is None:
            parts = tubelets(clip, size)
        else:
            parts, positions = take_tubelets(clip, visible_idx, size), positions[visible_idx]
        # A Linear on flat tubelets is the strided 3-D convolution of the paper, without the masked places.
        return self.norm(self.blocks(self.embed(self._normalised(parts)) + positions))

    def _normalised(self, parts: Shaped[Tensor, "b n p c"]) -> Float[Tensor, "b n d"]:
        """Flat tubelets, their colours less the ImageNet mean, over its standard deviation."""
        scale = self.colour_scale / 255 if parts.dtype == torch.uint8 else self.colour_scale
        return torch.addcmul(self.colour_shift, parts.flatten(2).to(scale.dtype), scale)
