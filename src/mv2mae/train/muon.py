"""Muon: matrices moved along orthogonalised momentum, all of one shape at once.

`torch.optim.Muon` takes one matrix after another, and always in bfloat16, which processors without instructions for it
emulate: twenty times as slow as float32 there (benchmarks/RESULTS.md). Constants, decay, learning-rate scale and the
state are torch's, so that checkpoints of either load into the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from mv2mae.model.precision import multiplies_bf16

_MOST = 2**25
"""Elements that are stacked at most: larger stacks are no faster and take several times their size for a moment."""
_ALONE_ON_A_CPU = 2**17
"""Elements from which a matrix keeps a CPU busy by itself; in bfloat16 its batched products are a fifth slower."""


class Muon(torch.optim.Muon):
    """Muon (Jordan et al. 2024) with Nesterov momentum; parameters, defaults and state are those of `torch.optim.Muon`.

    Args:
        params: matrices, or groups of them, as torch's optimisers take them.
        options: torch's: lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn.

    Raises:
        ValueError: for a parameter that is no matrix, or an option out of its range.
    """

    found_inf: Tensor | None = None
    """Where it is 1 [], a step changes nothing (read on the device); None = every step counts."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        alike: dict[Any, list[tuple[Tensor, Tensor, dict[str, Any]]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter, momentum in zip(*self._momenta(group), strict=True):
                iteration = (tuple(group["ns_coefficients"]), group["ns_steps"], group["eps"])
                shape = tuple(sorted(parameter.shape))
                alike[shape, parameter.device, momentum.dtype, iteration].append((parameter, momentum, group))
        for (shape, *_, iteration), members in alike.items():
            at_once = _at_once(shape[0] * shape[1], members[0][0].device)
            for i in range(0, len(members), at_once):
                _move(members[i : i + at_once], *iteration, skip=self.found_inf)
        return loss

    def _momenta(self, group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters of a group that have a gradient, and what each is to be moved along once orthogonal."""
        params: list[Tensor] = []
        grads: list[Tensor] = []
        buffers: list[Tensor] = []
        self._init_group(group, params, grads, buffers)
        if not params:
            return [], []
        share = group["momentum"]
        local_grads, local_buffers = ([_local(x) for x in part] for part in (grads, buffers))
        if self.found_inf is not None:  # a momentum moved towards itself stays what it is
            skip = self.found_inf > 0
            local_grads = [torch.where(skip, b, g) for b, g in zip(local_buffers, local_grads, strict=True)]
        torch._foreach_lerp_(local_buffers, local_grads, 1 - share)
        momenta = torch._foreach_lerp(local_grads, local_buffers, share) if group["nesterov"] else local_buffers
        return params, [_whole(part, like) for part, like in zip(momenta, grads, strict=True)]


def orthogonalised(
    matrices: Float[Tensor, "k n m"],
    coefficients: tuple[float, float, float],
    num_iterations: int,
    eps: float,
    dtype: torch.dtype,
) -> Float[Tensor, "k n m"]:
    """Newton-Schulz: each matrix with its singular values brought near 1; to be called with n <= m.

    An iteration is x <- a x + (b g + c g^2) x with g = x x^T, on matrices of Frobenius norm 1.

    Args:
        matrices: to be made orthogonal.
        coefficients: a, b, c.
        num_iterations: how often.
        eps: smallest norm that is divided by.
        dtype: what the products are computed in.
    """
    a, b, c = coefficients
    x = matrices.to(dtype)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    single = len(x) == 1
    x, add_product = (x[0], torch.addmm) if single else (x, torch.baddbmm)
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x[None] if single else x


def iterated_in(device: torch.device) -> torch.dtype:
    """What Newton-Schulz is computed in on a device: bfloat16 is exact enough, where the device multiplies it fast."""
    return torch.bfloat16 if multiplies_bf16(device.type) else torch.float32


def _at_once(num_elements: int, device: torch.device) -> int:
    if device.type == "cpu" and num_elements >= _ALONE_ON_A_CPU:
        return 1
    return max(1, _MOST // num_elements)


def _move(
    members: Sequence[tuple[Tensor, Tensor, dict[str, Any]]],
    coefficients: tuple[float, float, float],
    num_iterations: int,
    eps: float,
    *,
    skip: Tensor | None,
) -> None:
    """Move parameters of one shape, or of its transpose: tall matrices are iterated lying. Where `skip` is 1, not."""
    params, momenta, groups = zip(*members, strict=True)
    stack = torch.stack([m.mT if m.shape[0] > m.shape[1] else m for m in momenta])
    dtype = torch.float64 if stack.dtype == torch.float64 else iterated_in(stack.device)
    stack = orthogonalised(stack, coefficients, num_iterations, eps, dtype).to(params[0].dtype)
    updates = [
        _local(_share(update.mT if p.shape[0] > p.shape[1] else update, p))
        for p, update in zip(params, stack.unbind(), strict=True)
    ]
    rates = [g["lr"] * _rate_scale(g["adjust_lr_fn"], *p.shape) for p, g in zip(params, groups, strict=True)]
    local = [_local(p) for p in params]
    decays = [1 - g["lr"] * g["weight_decay"] for g in groups]
    torch._foreach_mul_(updates, [-rate for rate in rates])
    if skip is None:
        torch._foreach_mul_(local, decays)
    else:
        torch._foreach_mul_(updates, 1 - skip)
        for decay in set(decays):
            decayed = [p for p, own in zip(local, decays, strict=True) if own == decay]
            torch._foreach_mul_(decayed, (1 - skip) * decay + skip)  # 1 where it is skipped
    torch._foreach_add_(local, updates)


def _rate_scale(kind: str | None, rows: int, columns: int) -> float:
    """What torch multiplies a matrix's rate by: Jordan's factor (original), or one for updates as large as AdamW's."""
    return 0.2 * max(rows, columns) ** 0.5 if kind == "match_rms_adamw" else max(1, rows / columns) ** 0.5


def _local(x: Tensor) -> Tensor:
    return x.to_local() if isinstance(x, DTensor) else x


def _whole(part: Tensor, like: Tensor) -> Tensor:
    """The whole of what this process has a part of, laid out as `like`."""
    if not isinstance(like, DTensor):
        return part
    whole = DTensor.from_local(part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return whole.full_tensor()


def _share(whole: Tensor, like: Tensor) -> Tensor:
    """The reverse: this process's part."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
