"""From the tokens of a clip to one vector."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mv2mae.model.layers import CrossAttention


class AttentivePooling(nn.Module):
    """One learnt query that attends to a clip's tokens, in at most eight heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.attention = CrossAttention(width, math.gcd(width, 8))

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """What the query takes from the tokens, which should be normalised."""
        return self.attention(self.query.expand(len(tokens), 1, -1), tokens)[:, 0]
