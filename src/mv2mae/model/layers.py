"""Positions, attention, blocks: the parts that encoder and decoders share.

Pre-norm blocks as in VideoMAE: query and value have a bias, the key has none, GELU is exact, LayerNorm's eps 1e-6.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mv2mae.config import Positions
from mv2mae.model.tubelets import Size3

NORM_EPS = 1e-6


def sinusoid(coordinates: Int[Tensor, " n"], width: int, longest: float = 10000.0) -> Float[Tensor, "n width"]:
    """Sines on even and cosines on odd columns, wavelengths from 2 pi to 2 pi `longest` (Vaswani et al., 2017)."""
    column = torch.arange(width, dtype=torch.float64)
    angle = coordinates.double()[:, None] / longest ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


def position_table(positions: Positions, grid: Size3, width: int) -> Float[Tensor, "n width"]:
    """The fixed table that is added to the tokens.

    `sinusoid-1d` runs over the flattened tokens as in VideoMAE. `sincos-3d` gives time a quarter of the columns,
    rows and columns of the frame three eighths each, so that neighbours in space are neighbours in the table. Its
    wavelengths end at 20 x 2 pi: an axis has some ten places, over which longer waves are all but constant.
    """
    t, h, w = grid
    if positions == "sinusoid-1d":
        return sinusoid(torch.arange(t * h * w), width)
    # even widths, so that each axis has pairs of sine and cosine
    width_t = 2 * (width // 8)
    width_h = 2 * ((width - width_t) // 4)
    axes = zip(torch.meshgrid(*(torch.arange(s) for s in grid), indexing="ij"),
               (width_t, width_h, width - width_t - width_h), strict=True)  # fmt: skip
    return torch.cat([sinusoid(axis.flatten(), part, longest=20.0) for axis, part in axes], dim=1)


def interpolate_positions(table: Float[Tensor, "n d"], grid: Size3, new_grid: Size3) -> Float[Tensor, "m d"]:
    """A position table for another clip size, trilinear over the (t, h, w) grid."""
    volume = table.T.reshape(1, -1, *grid)
    return F.interpolate(volume, size=new_grid, mode="trilinear", align_corners=False)[0].flatten(1).T


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def project(self, x: Float[Tensor, "b n d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [b, heads, n, d / heads]."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        out = F.scaled_dot_product_attention(*self.project(x))
        return self.proj(out.transpose(1, 2).flatten(2))

    def maps(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b heads n n"]:
        """The attention that `forward` uses, written out: each query's weights over the keys."""
        q, k, _ = self.project(x)
        return attention_maps(q, k)


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to those of a memory (the source view)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def project(self, x: Float[Tensor, "b n d"], memory: Float[Tensor, "b m d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [b, heads, n, d / heads], keys and values [b, heads, m, d / heads]."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        kv = F.linear(memory, self.kv.weight, bias).unflatten(-1, (2, self.heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Float[Tensor, "b n d"], memory: Float[Tensor, "b m d"]) -> Float[Tensor, "b n d"]:
        out = F.scaled_dot_product_attention(*self.project(x, memory))
        return self.proj(out.transpose(1, 2).flatten(2))

    def maps(self, x: Float[Tensor, "b n d"], memory: Float[Tensor, "b m d"]) -> Float[Tensor, "b heads n m"]:
        """The attention that `forward` uses, written out: each query's weights over the memory."""
        q, k, _ = self.project(x, memory)
        return attention_maps(q, k)


def attention_maps(q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h m d"]) -> Float[Tensor, "b h n m"]:
    """Softmax of the scaled products of queries and keys; each row sums to 1."""
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)


class MLP(nn.Sequential):
    """Linear to four times the width, GELU, linear back."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class DropPath(nn.Module):
    """Skip a residual branch for a whole clip with the given chance, in training only (Table 16)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        if self.chance == 0 or not self.training:
            return x
        keep = 1 - self.chance
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(keep) / keep)


class Block(nn.Module):
    """Self-attention and MLP, each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class CrossBlock(nn.Module):
    """Cross-attention to the source view, self-attention, MLP (Section 3.2, Table 14); the memory is normalised too."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_memory = nn.LayerNorm(width, eps=NORM_EPS)
        self.cross_attention = CrossAttention(width, heads)
        self.block = Block(width, heads)

    def forward(self, x: Float[Tensor, "b n d"], memory: Float[Tensor, "b m d"]) -> Float[Tensor, "b n d"]:
        x = x + self.cross_attention(self.norm_query(x), self.norm_memory(memory))
        return self.block(x)


def init_weights(module: nn.Module) -> None:
    """VideoMAE's first weights: Xavier-uniform matrices, zero biases, norms of 1."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
