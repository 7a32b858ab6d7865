"""The two decoders of pre-training (Section 3.2, Tables 13 and 14); both are thrown away afterwards."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.model.layers import Block, Blocks, CrossBlock, MemoryBlock, init_weights, set_norm_eps


class SelfViewDecoder(nn.Module):
    """Rebuilds a view from its own visible tokens: self-attention alone. 2.08 M parameters in the paper's size.

    With `self_view_attention` cross, mask tokens look at the visible ones alone, and these stay as they are.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.is_joint = config.self_view_attention == "joint"
        block = Block if self.is_joint else MemoryBlock
        self.blocks = Blocks(block(width, config.decoder_heads) for _ in range(config.decoder_depth))
        set_norm_eps(self.blocks, config.norm_eps)
        self.norm = nn.LayerNorm(width, eps=config.head_norm_eps)
        self.head = nn.Linear(width, config.tubelet_dim)
        self.apply(init_weights)

    def forward(
        self,
        tokens: Float[Tensor, "b n d"],
        num_masked: int,
        rotation: Float[Tensor, "b n q 2"] | None = None,
    ) -> Float[Tensor, "b m p"]:
        """Predict the pixels of the last `num_masked` tokens.

        Args:
            tokens: visible tokens, then mask tokens, positions added; their order carries no meaning.
            rotation: rotary positions of the same tokens (`layers.rotation_table`).
        """
        if self.is_joint:
            return self.head(self.norm(self.blocks(tokens, rotation, num_last=num_masked)))
        turns = (None, None) if rotation is None else (rotation[:, -num_masked:], rotation[:, :-num_masked])
        return self.head(self.norm(self.blocks(tokens[:, -num_masked:], tokens[:, :-num_masked], *turns)))


class CrossViewDecoder(nn.Module):
    """Rebuilds a target view with the help of source views. 2.67 M parameters in the paper's size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self_first = config.decoder_order == "self-first"
        self.blocks = Blocks(
            CrossBlock(width, config.decoder_heads, self_first=self_first) for _ in range(config.decoder_depth)
        )
        set_norm_eps(self.blocks, config.norm_eps)
        self.norm = nn.LayerNorm(width, eps=config.head_norm_eps)
        self.head = nn.Linear(width, config.tubelet_dim)
        self.apply(init_weights)

    def forward(
        self,
        tokens: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b k d"],
        num_masked: int,
        rotation: Float[Tensor, "b n q 2"] | None = None,
        memory_rotation: Float[Tensor, "b k q 2"] | None = None,
    ) -> Float[Tensor, "b m p"]:
        """Predict the pixels of the target's last `num_masked` tokens.

        Args:
            tokens: the target's visible tokens, then its mask tokens, positions added.
            memory: visible tokens of the source view or views, positions added.
            rotation, memory_rotation: rotary positions of both.
        """
        return self.head(self.norm(self.blocks(tokens, memory, rotation, memory_rotation, num_last=num_masked)))
