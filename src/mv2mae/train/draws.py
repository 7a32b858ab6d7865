"""Draws of augmentation: each follows from the seed of its clip and from nothing else.

A clip's seed follows from (seed, epoch, item, repeat). Its draws are hashed from it as masks are, so that they do not
depend on device, batch, workers or rank, and no generator has to be kept with a checkpoint. They are made on the host,
where a device would have to be waited for to know what to carry out.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mv2mae.data.device_memory import sent
from mv2mae.model.layers import DropPath
from mv2mae.model.masking import token_noise

PURPOSES = ("rand_augment", "erase", "mix", "drop_path", "camera")
MOST = 1024
"""Draws of a clip for one purpose."""

Seeds = Int64[np.ndarray, " b"]


def uniforms(seeds: Seeds, num: int, purpose: str) -> Float[Tensor, "b num"]:
    """`num` uniform numbers in (0, 1) for each seed, in double precision; other ones for each of `PURPOSES`."""
    first = PURPOSES.index(purpose) * MOST
    noise = token_noise(torch.from_numpy(seeds), first + num)[:, first:]
    return ((noise >> 11).double() + 0.5) / 2**52


def draw_drop_paths(model: nn.Module, seeds: Seeds, device: torch.device) -> None:
    """Decide which branches of a model the next batch's clips skip.

    Draws are written over those of the batch before: to compiled code they are part of the model, and a recorded graph
    looks for them where they were when it was recorded.
    """
    branches = [module for module in model.modules() if isinstance(module, DropPath) and module.chance]
    if not branches:
        return
    columns = sent(uniforms(seeds, len(branches), "drop_path").float(), device).unbind(dim=1)
    for branch, column in zip(branches, columns, strict=True):
        if branch.draws is None or branch.draws.shape != column.shape or branch.draws.device != column.device:
            branch.draws = column.clone()
    torch._foreach_copy_([branch.draws for branch in branches if branch.draws is not None], columns)


def symmetric_beta(uniform: Float[Tensor, " b"], alpha: float) -> Float[Tensor, " b"]:
    """Uniform numbers to numbers with the distribution Beta(alpha, alpha), by its cumulative share on a fine grid.

    The grid is even in the angle a of x = sin²(a), where the density (sin a cos a)^(2 alpha - 1) is tame.
    """
    cells = 8192
    angle = (torch.arange(cells, dtype=torch.float64) + 0.5) * (math.pi / 2 / cells)
    cumulative = ((angle.sin() * angle.cos()) ** (2 * alpha - 1)).cumsum(0)
    cell = torch.searchsorted(cumulative / cumulative[-1], uniform.contiguous()).clamp(max=cells - 1)
    return angle[cell].sin().square()
