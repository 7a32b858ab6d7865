"""AdamW's parameter groups and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from mv2mae.config import OptimConfig


def parameter_groups(model: nn.Module, config: OptimConfig, depth: int) -> list[dict[str, object]]:
    """Group parameters by weight decay and by layer.

    Biases, norms and the mask token (all that has one axis) are not decayed. With a layer decay g, encoder block i
    of `depth` learns at g^(depth - i) of the rate, the embedding at g^(depth + 1), everything after the encoder at
    the full rate (Table 16: layer-wise lr decay).
    """
    groups: dict[tuple[float, float], dict[str, object]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        scale = config.layer_decay ** (depth + 1 - layer_of(name, depth))
        group = groups.setdefault((decay, scale), {"params": [], "weight_decay": decay, "lr_scale": scale})
        parameters = group["params"]
        assert isinstance(parameters, list)
        parameters.append(parameter)
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


def build_optimizer(
    model: nn.Module, config: OptimConfig, *, depth: int, num_items: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW and its schedule for a training set of `num_items` items."""
    groups = parameter_groups(model, config, depth)
    optimizer = torch.optim.AdamW(groups, lr=config.peak_lr(), betas=config.betas, fused=True)
    warmup, total = config.num_warmup_steps(num_items), config.total_steps(num_items)

    def share_for(scale: float) -> Callable[[int], float]:
        return lambda step: scale * warmup_cosine(step, warmup=warmup, total=total, min_share=config.min_lr_share)

    shares = [share_for(float(str(group["lr_scale"]))) for group in groups]
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shares)
