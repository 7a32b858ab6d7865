"""A running mean of a model's weights (EMA), which is tested in the model's place."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def averaged_copy(model: Module) -> Module:
    """A copy that learns nothing by itself, in evaluation mode."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int, skip: Tensor | None = None) -> None:
    """Move the average towards the model after step `step`, counted from 1: average = d average + (1 - d) model.

    d is `decay`, in the first steps (1 + step) / (10 + step): the average then forgets where training began. Where
    `skip` [] is 1, it stays.
    """
    now = min(decay, (1 + step) / (10 + step))
    weight = 1 - now if skip is None else (1 - skip) * (1 - now)
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value.to(mean.dtype), weight)
