"""Linear layers, alone or after a norm or a GELU: the products in which a step spends most of its time.

On a GPU, in reduced precision and under torch.compile these are torch's own operations, one after another. In plain
float32 on a CPU they do two things by hand, and equal torch's to rounding:

- Of `linear(norm(x))` and `linear(gelu(x))` x is kept for the way back, not what the norm or the GELU made of it:
  that takes little to make again, and is more than a third of what a block would keep.
- Wide matrices are multiplied by oneDNN, which torch has for inference; on some processors (AMD's) it is faster than
  the library that torch trains with. Gradients of weights are left to that library, which is good at them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_WIDE = 256 * 256
"""Elements of a weight from which oneDNN is worth its start."""


class Linear(nn.Linear):
    """torch's, by way of `product`."""

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b e"]:
        """x W^T + bias."""
        return product(x, self.weight, self.bias)


def product(x: Float[Tensor, "*b d"], weight: Float[Tensor, "e d"], bias: Tensor | None) -> Float[Tensor, "*b e"]:
    """x W^T + bias."""
    return _ByHand.apply(x, weight, bias, "", None, None, 0.0) if _is_plain(x) else F.linear(x, weight, bias)


def normed_product(
    x: Float[Tensor, "*b d"], norm: nn.LayerNorm, weight: Float[Tensor, "e d"], bias: Tensor | None
) -> Float[Tensor, "*b e"]:
    """norm(x) W^T + bias."""
    if _is_plain(x):
        return _ByHand.apply(x, weight, bias, "norm", norm.weight, norm.bias, norm.eps)
    return F.linear(norm(x), weight, bias)


def gelu_product(x: Float[Tensor, "*b d"], weight: Float[Tensor, "e d"], bias: Tensor | None) -> Float[Tensor, "*b e"]:
    """gelu(x) W^T + bias, GELU exact."""
    if _is_plain(x):
        return _ByHand.apply(x, weight, bias, "gelu", None, None, 0.0)
    return F.linear(F.gelu(x), weight, bias)


def _is_plain(x: Tensor) -> bool:
    """Float32 on a CPU, computed as it is written."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return plain and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`, by oneDNN where that is there and worth it."""
    onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if onednn is None or weight.numel() < _WIDE or not torch.backends.mkldnn.is_available():
        return F.linear(x, weight, bias)
    return onednn(x, weight, bias, "none", [], "")


class _ByHand(torch.autograd.Function):
    """f(x) W^T + bias, f being nothing, a LayerNorm or GELU; f(x) is made a second time on the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        f: str,
        scale: Tensor | None,
        shift: Tensor | None,
        eps: float,
    ) -> Tensor:
        made, mean, rstd = x, None, None
        if f == "norm":
            made, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], scale, shift, eps)
        elif f == "gelu":
            made = F.gelu(x)
        ctx.f, ctx.eps = f, eps
        ctx.save_for_backward(x, weight, scale, shift, mean, rstd)
        return _multiply(made, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, mean, rstd = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, _, wants_scale, wants_shift, _ = ctx.needs_input_grad
        flat = grad.reshape(-1, grad.shape[-1])
        grad_weight = grad_bias = grad_x = grad_scale = grad_shift = None
        if wants_weight:
            made = x
            if ctx.f == "norm":
                made = torch.native_layer_norm(x, x.shape[-1:], scale, shift, ctx.eps)[0]
            elif ctx.f == "gelu":
                made = F.gelu(x)
            grad_weight = flat.T @ made.reshape(-1, made.shape[-1])
        if wants_bias:
            grad_bias = flat.sum(dim=0)
        if wants_x or wants_scale or wants_shift:
            grad_x = _multiply(grad, weight.T, None)
        if ctx.f == "gelu" and grad_x is not None:
            grad_x = torch.ops.aten.gelu_backward(grad_x, x)
        elif ctx.f == "norm" and grad_x is not None:
            wants = [wants_x, wants_scale, wants_shift]
            grad_x, grad_scale, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_x, x, x.shape[-1:], mean, rstd, scale, shift, wants
            )
        return grad_x, grad_weight, grad_bias, None, grad_scale, grad_shift, None
