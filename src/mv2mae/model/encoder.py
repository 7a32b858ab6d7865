"""The shared encoder: a vanilla ViT with joint space-time attention (Section 3.1, Table 12)."""

from __future__ import annotations

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.model.layers import NORM_EPS, Block, init_weights, interpolate_positions, position_table
from mv2mae.model.tubelets import grid_of, normalise_colours, take_tokens, to_unit, tubelets


class Encoder(nn.Module):
    """Clip to tokens. ViT-S/16 of the paper: width 384, 12 blocks, 6 heads, 21.88 M parameters.

    Args:
        config: its encoder part.
        final_norm: normalise the tokens at the end (pre-training); a classifier normalises their mean instead.
        drop_path: chance to skip a branch of the last block, falling linearly to 0 at the first.
    """

    def __init__(self, config: ModelConfig, *, final_norm: bool = True, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.tubelet_dim, config.encoder_width)
        table_grid = config.position_grid or config.grid
        table = position_table(config.positions, table_grid, config.encoder_width)
        if table_grid != config.grid:
            table = interpolate_positions(table, table_grid, config.grid)
        self.positions: Tensor
        self.register_buffer("positions", table, persistent=False)
        last = max(1, config.encoder_depth - 1)
        chances = [drop_path * block / last for block in range(config.encoder_depth)]
        self.blocks = nn.ModuleList(Block(config.encoder_width, config.encoder_heads, chance) for chance in chances)
        self.norm = nn.LayerNorm(config.encoder_width, eps=NORM_EPS) if final_norm else nn.Identity()
        self.apply(init_weights)

    def forward(
        self, clip: Shaped[Tensor, "b c t h w"], visible_idx: Int[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Encode all tokens of a clip, or the visible ones alone.

        Args:
            clip: pixels in [0, 1], or uint8. A clip of another size than the model's gets interpolated positions.
            visible_idx: tokens to keep; the rest is dropped before it is even embedded.
        """
        size = self.config.tubelet_size
        grid = grid_of(clip, size)
        positions = self.positions
        if grid != self.config.grid:
            positions = interpolate_positions(positions, self.config.grid, grid)
        parts = tubelets(clip, size)
        if visible_idx is not None:
            parts, positions = take_tokens(parts, visible_idx), positions[visible_idx]
        # A Linear on flat tubelets is the strided 3-D convolution of the paper, without the masked places.
        x = self.embed(normalise_colours(to_unit(parts)).flatten(2)) + positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
