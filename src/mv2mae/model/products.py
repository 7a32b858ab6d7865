"""Linear layers, alone or after a norm or a GELU: the products in which a step spends most of its time.

On a GPU and under torch.compile these are torch's own operations, one after another. On a CPU, in float32 or under
autocast to bfloat16, they do two things by hand, and equal torch's to rounding:

- Of `linear(norm(x))` and `linear(gelu(x))` x is kept for the way back, not what the norm or the GELU made of it:
  that takes little to make again, and is more than a third of what a block would keep.
- Wide matrices in float32 are multiplied by oneDNN, which torch has for inference; on some processors (AMD's) it is
  faster than the library that torch trains with. Gradients of weights are left to that library, which is good at them.
  (In bfloat16 torch takes oneDNN anyway.)
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
    dtype = computed_in(x)
    return F.linear(x, weight, bias) if dtype is None else _ByHand.apply(x, weight, bias, dtype, "", None, None, 0.0)


def normed_product(
    x: Float[Tensor, "*b d"], norm: nn.LayerNorm, weight: Float[Tensor, "e d"], bias: Tensor | None
) -> Float[Tensor, "*b e"]:
    """norm(x) W^T + bias."""
    dtype = computed_in(x)
    if dtype is None:
        return F.linear(norm(x), weight, bias)
    return _ByHand.apply(x, weight, bias, dtype, "norm", norm.weight, norm.bias, norm.eps)


def gelu_product(x: Float[Tensor, "*b d"], weight: Float[Tensor, "e d"], bias: Tensor | None) -> Float[Tensor, "*b e"]:
    """gelu(x) W^T + bias, GELU exact."""
    dtype = computed_in(x)
    if dtype is None:
        return F.linear(F.gelu(x), weight, bias)
    return _ByHand.apply(x, weight, bias, dtype, "gelu", None, None, 0.0)


def computed_in(x: Tensor) -> torch.dtype | None:
    """What products with x are computed in if by hand, float32 or bfloat16; None = they are torch's business."""
    if x.device.type != "cpu" or x.dtype == torch.float64 or torch.compiler.is_compiling():
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype if dtype in (torch.float32, torch.bfloat16) else None


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`, in float32 by oneDNN where that is there and worth it."""
    onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    wide = x.dtype == torch.float32 and weight.numel() >= _WIDE
    if onednn is None or not wide or not torch.backends.mkldnn.is_available():
        return F.linear(x, weight, bias)
    return onednn(x, weight, bias, "none", [], "")


class _ByHand(torch.autograd.Function):
    """f(x) W^T + bias, f being nothing, a LayerNorm or GELU; f(x) is made a second time on the way back.

    As under autocast, x and the weights may be float32 and are rounded for the product alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        f: str,
        scale: Tensor | None,
        shift: Tensor | None,
        eps: float,
    ) -> Tensor:
        mean = rstd = None
        ctx.x_dtype, ctx.weight_dtype, ctx.bias_dtype = x.dtype, weight.dtype, None if bias is None else bias.dtype
        if f == "norm":
            made, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], scale, shift, eps)
        elif f == "gelu":
            made = F.gelu(x)
        else:
            made = x = x.to(dtype)
        weight = weight.to(dtype)
        ctx.dtype, ctx.f, ctx.eps = dtype, f, eps
        ctx.save_for_backward(x, weight, scale, shift, mean, rstd)
        return _multiply(made.to(dtype), weight, None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, mean, rstd = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, _, _, wants_scale, wants_shift, _ = ctx.needs_input_grad
        flat = grad.reshape(-1, grad.shape[-1])
        grad_weight = grad_bias = grad_x = grad_scale = grad_shift = None
        if wants_weight:
            made = x
            if ctx.f == "norm":
                made = torch.native_layer_norm(x, x.shape[-1:], scale, shift, ctx.eps)[0]
            elif ctx.f == "gelu":
                made = F.gelu(x)
            grad_weight = (flat.T @ made.reshape(-1, made.shape[-1]).to(ctx.dtype)).to(ctx.weight_dtype)
        if wants_bias:
            grad_bias = flat.sum(dim=0).to(ctx.bias_dtype)
        if wants_x or wants_scale or wants_shift:
            grad_x = _multiply(grad, weight.T, None).to(ctx.x_dtype)
        if ctx.f == "gelu" and grad_x is not None:
            grad_x = torch.ops.aten.gelu_backward(grad_x, x)
        elif ctx.f == "norm" and grad_x is not None:
            wants = [wants_x, wants_scale, wants_shift]
            grad_x, grad_scale, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_x, x, x.shape[-1:], mean, rstd, scale, shift, wants
            )
        return grad_x, grad_weight, grad_bias, None, None, grad_scale, grad_shift, None
