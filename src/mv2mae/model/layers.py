"""Positions, attention, blocks: the parts that encoder and decoders share.

Pre-norm blocks as in VideoMAE: query and value have a bias, the key has none, GELU is exact, LayerNorm's eps 1e-6.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from mv2mae.config import Positions
from mv2mae.model.attention import attend, attention_maps
from mv2mae.model.tubelets import Size3

NORM_EPS = 1e-6


def sinusoid(coordinates: Int[Tensor, " n"], width: int, longest: float = 10000.0) -> Float[Tensor, "n width"]:
    """Sines on even and cosines on odd columns, wavelengths from 2 pi to 2 pi `longest` (Vaswani et al., 2017)."""
    column = torch.arange(width, dtype=torch.float64)
    angle = coordinates.double()[:, None] / longest ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


def position_table(
    positions: Positions, grid: Size3, width: int, made_for: Size3 | None = None
) -> Float[Tensor, "n width"]:
    """The fixed table that is added to the tokens.

    `sinusoid-1d` runs over the flattened tokens as in VideoMAE. `sincos-3d` gives time a quarter of the columns,
    rows and columns of the frame three eighths each, so that neighbours in space are neighbours in the table. Its
    wavelengths end at 20 x 2 pi: an axis has some ten places, over which longer waves are all but constant.

    Args:
        made_for: the grid that the table is made for and interpolated from, if another.
    """
    if made_for not in (None, grid):
        return interpolate_positions(position_table(positions, made_for, width), made_for, grid)
    t, h, w = grid
    if positions == "sinusoid-1d":
        return sinusoid(torch.arange(t * h * w), width)
    # even widths, so that each axis has pairs of sine and cosine
    width_t = 2 * (width // 8)
    width_h = 2 * ((width - width_t) // 4)
    axes = zip(
        torch.meshgrid(*(torch.arange(s) for s in grid), indexing="ij"),
        (width_t, width_h, width - width_t - width_h),
        strict=True,
    )
    return torch.cat([sinusoid(axis.flatten(), part, longest=20.0) for axis, part in axes], dim=1)


def interpolate_positions(table: Float[Tensor, "n d"], grid: Size3, new_grid: Size3) -> Float[Tensor, "m d"]:
    """A position table for another clip size, trilinear over the (t, h, w) grid."""
    volume = table.T.reshape(1, -1, *grid)
    return F.interpolate(volume, size=new_grid, mode="trilinear", align_corners=False)[0].flatten(1).T


def rotation_table(
    grid: Size3, width: int, longest: float = 100.0, made_for: Size3 | None = None
) -> Float[Tensor, "n p 2"]:
    """Cosines and sines by which each token's p = `width` / 2 pairs are turned (RoPE; Su et al. 2021) over three axes.

    Time turns a quarter of the pairs, rows and columns three eighths each, as in `position_table`; an axis by its
    coordinate in tokens over wavelengths from 2 pi to 2 pi `longest`. A product of a query and a key then depends on
    how far they are apart along each axis, whatever the size of the grid.

    Args:
        width: of a head.
        made_for: the grid in whose tokens coordinates are counted, if another: of a finer one they are closer together.
    """
    num = width // 2
    num_t = max(1, num // 4)
    num_h = (num - num_t) // 2
    places = [
        (torch.arange(size, dtype=torch.float64) + 0.5) * (counted / size) - 0.5
        for size, counted in zip(grid, made_for or grid, strict=True)
    ]
    axes = torch.meshgrid(*places, indexing="ij")
    angles = [
        axis.flatten()[:, None] / longest ** (torch.arange(part, dtype=torch.float64) / part)
        for axis, part in zip(axes, (num_t, num_h, num - num_t - num_h), strict=True)
    ]
    angle = torch.cat(angles, dim=1)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def rotated(x: Float[Tensor, "b heads n d"], rotation: Float[Tensor, "b n p 2"] | None) -> Float[Tensor, "b heads n d"]:
    """Queries or keys with each pair (i, i + d / 2) turned by the angle of its token; unchanged without a rotation."""
    if rotation is None:
        return x
    cos, sin = rotation.to(x.dtype).unsqueeze(1).unbind(-1)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


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
        qkv = self.qkv(x)
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        # in the dtype of the product, or under autocast the sum would be float32
        queries, keys, values = by_head(qkv + bias.to(qkv.dtype), 3, self.heads)
        return queries, keys, values

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        num_asking: int | None = None,
        rotation: Float[Tensor, "b n p 2"] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """All of the tokens to all, m = n; or the last m = `num_asking` to all.

        Args:
            rotation: of queries and keys, see `rotated`.
        """
        queries, keys, values = self.project(x)
        queries, keys = rotated(queries, rotation), rotated(keys, rotation)
        if num_asking is not None:
            queries = queries[:, :, -num_asking:]
        out = attend(queries, keys, values)
        return self.proj(out.transpose(1, 2).flatten(2))


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
        kv = self.kv(memory)
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        (queries,), (keys, values) = by_head(self.q(x), 1, self.heads), by_head(kv + bias.to(kv.dtype), 2, self.heads)
        return queries, keys, values

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b m d"],
        rotation: Float[Tensor, "b n p 2"] | None = None,
        memory_rotation: Float[Tensor, "b m p 2"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        queries, keys, values = self.project(x, memory)
        out = attend(rotated(queries, rotation), rotated(keys, memory_rotation), values)
        return self.proj(out.transpose(1, 2).flatten(2))

    def maps(
        self,
        x: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b m d"],
        rotation: Float[Tensor, "b n p 2"] | None = None,
        memory_rotation: Float[Tensor, "b m p 2"] | None = None,
    ) -> Float[Tensor, "b heads n m"]:
        """The attention that `forward` uses, written out: each query's weights over the memory."""
        q, k, _ = self.project(x, memory)
        return attention_maps(rotated(q, rotation), rotated(k, memory_rotation))


def by_head(x: Float[Tensor, "b n kd"], kinds: int, heads: int) -> tuple[Tensor, ...]:
    """Cut queries, keys, values that lie side by side into `kinds` tensors [b, heads, n, d / heads].

    They stay views, and their gradients are written side by side again, in one go.
    """
    return tuple(part.transpose(1, 2) for part in x.unflatten(-1, (kinds, heads, -1)).unbind(2))


class MLP(nn.Sequential):
    """Linear to four times the width, GELU, linear back."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class DropPath(nn.Module):
    """Skip a residual branch for a whole clip with the given chance, in training only (Table 16)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance
        self.draws: Tensor | None = None
        """Uniform numbers [b] in (0, 1) that decide for the next batch; None = drawn here."""

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        if self.chance == 0 or not self.training:
            return x
        draws = torch.rand(len(x), device=x.device) if self.draws is None else self.draws
        return x * ((draws >= self.chance).to(x.dtype)[:, None, None] / (1 - self.chance))


class Block(nn.Module):
    """Self-attention and MLP, each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width)
        self.drop_attention, self.drop_mlp = DropPath(drop_path), DropPath(drop_path)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        rotation: Float[Tensor, "b n p 2"] | None = None,
        *,
        num_last: int | None = None,
    ) -> Float[Tensor, "b m d"]:
        """All tokens, m = n; or the last m = `num_last`: the others are looked at, but not computed any further."""
        kept = x if num_last is None else x[:, -num_last:]
        x = kept + self.drop_attention(self.attention(self.norm1(x), num_last, rotation))
        return x + self.drop_mlp(self.mlp(self.norm2(x)))


class MemoryBlock(nn.Module):
    """Cross-attention to a memory and MLP: tokens see the memory and not one another (CrossMAE; Fu et al., 2024)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_memory = nn.LayerNorm(width, eps=NORM_EPS)
        self.cross_attention = CrossAttention(width, heads)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b k d"],
        rotation: Float[Tensor, "b n p 2"] | None = None,
        memory_rotation: Float[Tensor, "b k p 2"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        x = x + self.cross_attention(self.norm_query(x), self.norm_memory(memory), rotation, memory_rotation)
        return x + self.mlp(self.norm(x))


class CrossBlock(nn.Module):
    """Cross-attention to the source view, self-attention, MLP (Section 3.2, Table 14); the memory is normalised too.

    Args:
        self_first: self-attention before cross-attention, so that what a mask token asks the source for depends on
            the clip in the first block already (a departure from the paper).
    """

    def __init__(self, width: int, heads: int, *, self_first: bool = False) -> None:
        super().__init__()
        self.self_first = self_first
        self.norm_query = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_memory = nn.LayerNorm(width, eps=NORM_EPS)
        self.cross_attention = CrossAttention(width, heads)
        self.block = Block(width, heads)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b k d"],
        rotation: Float[Tensor, "b n p 2"] | None = None,
        memory_rotation: Float[Tensor, "b k p 2"] | None = None,
        *,
        num_last: int | None = None,
    ) -> Float[Tensor, "b m d"]:
        """All tokens, m = n; or the last m = `num_last`, see `Block`."""
        if self.self_first:
            x = x + self.block.attention(self.block.norm1(x), None, rotation)
        x = x + self.cross_attention(self.norm_query(x), self.norm_memory(memory), rotation, memory_rotation)
        if not self.self_first:
            return self.block(x, rotation, num_last=num_last)
        kept = x if num_last is None else x[:, -num_last:]
        return kept + self.block.mlp(self.block.norm2(kept))


class Blocks(nn.ModuleList):
    """A stack of blocks, one after another.

    With `checkpointed` what a block makes inside is not kept for the backward pass but made again, all but attention's
    results, which take long to make and little to keep: a fraction of the memory, for about a fifth more time. (In
    bfloat16 on a CPU attention is made again too: about a third more time.)
    """

    checkpointed = False

    def forward(
        self, x: Float[Tensor, "b n d"], *context: Tensor | None, num_last: int | None = None
    ) -> Float[Tensor, "b m d"]:
        """Run them, each with its `context` (memory, rotations); the last one for m = `num_last` tokens alone."""
        for block in self:
            last: dict[str, Any] = {"num_last": num_last} if num_last is not None and block is self[-1] else {}
            if self.checkpointed and torch.is_grad_enabled():
                x = checkpoint(block, x, *context, **last, use_reentrant=False, context_fn=_keep_attention)
            else:
                x = block(x, *context, **last)
        return x


_ATTENTION = ("_scaled_dot_product_", "_flash_attention_forward", "_efficient_attention_forward")


def _keep_attention() -> Any:
    def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        kept = str(op).removeprefix("aten.").startswith(_ATTENTION)
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def checkpoint_activations(model: nn.Module) -> None:
    """Let all stacks of blocks in a model keep less for the backward pass; results stay the same."""
    for module in model.modules():
        if isinstance(module, Blocks):
            module.checkpointed = True


def set_norm_eps(module: nn.Module, eps: float) -> None:
    """What all LayerNorms in a module add to the variance, where weights were trained with another value."""
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = eps


def init_weights(module: nn.Module) -> None:
    """VideoMAE's first weights: Xavier-uniform matrices, zero biases, norms of 1."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
