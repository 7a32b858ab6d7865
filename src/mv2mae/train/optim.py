"""Parameter groups, optimisers, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mv2mae.config import OptimConfig
from mv2mae.train.muon import Muon

Groups = list[dict[str, Any]]


def parameter_groups(model: nn.Module, config: OptimConfig, depth: int) -> Groups:
    """Group parameters by weight decay and by layer.

    Biases, norms and the mask token (all that has one axis) are not decayed. With a layer decay g, encoder block i
    of `depth` learns at g^(depth - i) of the rate, the embedding at g^(depth + 1), everything after the encoder at
    the full rate (Table 16: layer-wise lr decay).
    """
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        scale = config.layer_decay ** (depth + 1 - layer_of(name, depth))
        group = groups.setdefault((decay, scale), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """Place of a parameter in the stack: 0 the embedding, i + 1 encoder block i, depth + 1 all that follows."""
    if name.startswith("encoder.embed"):
        return 0
    if name.startswith("encoder.blocks."):
        return int(name.split(".")[2]) + 1
    return depth + 1


def warmup_cosine(step: int, *, warmup: int, total: int, min_share: float = 0.0) -> float:
    """Share of the peak rate at a step: linear from 0 over `warmup` steps, then half a cosine down to `min_share`.

    Step 0 has 1/warmup, not 0, so that no step is wasted.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return min_share + (1 - min_share) * 0.5 * (1 + math.cos(math.pi * progress))


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for the matrices inside the blocks, AdamW for everything else, behind the face of one optimiser.

    Muon makes a matrix's update orthogonal, so that all its directions move alike; embeddings, heads, biases and
    norms are not matrices in that sense. A training engine wants a single optimiser, so this one hands on.

    Args:
        muon_groups, adamw_groups: parameter groups, each with its `lr` and `weight_decay`.
        betas: AdamW's momenta.
    """

    def __init__(self, muon_groups: Groups, adamw_groups: Groups, betas: tuple[float, float]) -> None:
        self.muon = Muon(muon_groups)
        self.adamw = torch.optim.AdamW(adamw_groups, betas=betas, fused=True)
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {})
        self._share_groups()

    @property
    def parts(self) -> tuple[torch.optim.Optimizer, ...]:
        """The optimisers that hold the states."""
        return self.muon, self.adamw

    @property
    def found_inf(self) -> Tensor | None:
        """What `skip_if` gave to the parts."""
        return self.muon.found_inf

    @found_inf.setter
    def found_inf(self, skip: Tensor | None) -> None:
        for part in self.parts:
            part.found_inf = skip  # type: ignore[attr-defined]

    def _share_groups(self) -> None:
        # the schedule writes rates into the groups of this optimiser, the parts read them from theirs
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()
        self.adamw.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share_groups()


def skips_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimiser can be told on the device not to take a step: fused AdamW and `Muon`, on whole tensors."""
    fused = isinstance(optimizer, MuonAndAdamW) or bool(optimizer.defaults.get("fused"))
    return fused and not any(isinstance(p, DTensor) for group in optimizer.param_groups for p in group["params"])


def skip_if(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """Let the next steps of an optimiser change nothing, momenta and weight decay included, where `skip` [] is 1.

    That is read on the device, by the attribute through which torch's fp16 scaler has its optimisers skip a step.
    """
    optimizer.found_inf = skip  # type: ignore[attr-defined]


def is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon may take a parameter: the matrices of attention and MLP."""
    return parameter.ndim == 2 and "blocks." in name


def build_optimizer(
    model: nn.Module, config: OptimConfig, *, depth: int, num_items: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """The optimiser and its schedule for a training set of `num_items` items."""
    groups = parameter_groups(model, config, depth)
    optimizer: torch.optim.Optimizer
    matrices = {id(p) for name, p in model.named_parameters() if is_block_matrix(name, p) and p.requires_grad}
    if config.optimizer == "muon" and matrices:
        muon = [{**g, "params": [p for p in g["params"] if id(p) in matrices], "lr": config.muon_lr} for g in groups]
        rest = [
            {**g, "params": [p for p in g["params"] if id(p) not in matrices], "lr": config.peak_lr()} for g in groups
        ]
        muon, rest = ([group for group in part if group["params"]] for part in (muon, rest))
        optimizer, groups = MuonAndAdamW(muon, rest, config.betas), muon + rest
    else:
        # the fused step unscales fp16 gradients itself, and so leaves none that could be clipped
        fused = config.clip_grad_norm is None
        optimizer = torch.optim.AdamW(groups, lr=config.peak_lr(), betas=config.betas, fused=fused)
    warmup, total = config.num_warmup_steps(num_items), config.total_steps(num_items)

    def share_for(scale: float) -> Callable[[int], float]:
        return lambda step: scale * warmup_cosine(step, warmup=warmup, total=total, min_share=config.min_lr_share)

    shares = [share_for(group["lr_scale"]) for group in groups]
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shares)
