"""Attention's softmax(q k^T / sqrt(d)) v: torch's fused one, and plain products where torch's is slow.

In bfloat16 on a CPU the backward pass of torch's fused attention takes two to eight times as long as four plain
products (benchmarks/RESULTS.md), so there, in training, the weights are made, kept and used again. Their memory grows
with the square of the clip's tokens; long clips are left to torch. Scores are rounded to bfloat16 before the softmax,
torch's are not: where attention is sharp, results are off by 1 %, gradients by 2 to 3 %, and torch's by 0.2 and 0.5
%.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_MOST = 512 * 512
"""Weights of a head and clip that are kept at most; they are then two thirds of what else a block keeps."""


def attend(q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h m d"], v: Float[Tensor, "b h m d"]) -> Tensor:
    """What the queries take from the values, [b, h, n, d]."""
    return _by_products(q, k, v) if _slow_if_fused(q, k, v) else F.scaled_dot_product_attention(q, k, v)


def attention_maps(q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h m d"]) -> Float[Tensor, "b h n m"]:
    """Softmax of the scaled products of queries and keys; each row sums to 1."""
    return torch.softmax(q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1), dim=-1)


def _slow_if_fused(q: Tensor, k: Tensor, v: Tensor) -> bool:
    trained = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    short = q.shape[-2] * k.shape[-2] <= _MOST
    bfloat16_on_cpu = q.dtype == torch.bfloat16 and q.device.type == "cpu"
    return trained and short and bfloat16_on_cpu and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def _by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.contiguous() for x in (q, k, v))  # or every product makes its own copies
    return attention_maps(q, k) @ v
