"""A baseline: the two views of a performance attract each other, all others in the batch repel (InfoNCE).

Not in the paper. The encoder, the masks and the clips are those of `MV2MAE`, so that only the task differs: of a
view its visible tokens are encoded. Head and loss are SimCLR's (Chen et al. 2020); the views are the augmentations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import init_weights
from mv2mae.model.masking import draw_masks

HEAD_WIDTH = 128
"""Dimensions in which views are compared."""


@dataclass
class ContrastiveOutput:
    """The loss, and how often a view's nearest one in the batch is the other view of its performance; scalars."""

    loss: Tensor
    top1: Tensor


class ContrastiveModel(nn.Module):
    """Encoder, mean over the visible tokens, a head of two layers; InfoNCE in both directions."""

    def __init__(self, config: ModelConfig, temperature: float = 0.1) -> None:
        super().__init__()
        self.config, self.temperature = config, temperature
        self.encoder = Encoder(config)
        width = config.encoder_width
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, HEAD_WIDTH))
        self.head.apply(init_weights)

    def forward(
        self,
        source: Shaped[Tensor, "b s c t h w"],
        target: Shaped[Tensor, "b c t h w"],
        *,
        seeds: Int[Tensor, " b"],
        groups: Int[Tensor, " b"] | None = None,
    ) -> ContrastiveOutput:
        """Compare each target with the first source of every item of the batch.

        In training the batch is that of all processes: they hand each other their views, so that the loss and its
        gradient are those of one process with all of it (parts that are accumulated are not compared).

        Args:
            source, target: clips with pixels in [0, 1], or uint8.
            seeds: one for each item of the batch, from which its masks follow.
            groups: the performance of each item, as a number: of items that share it, none repels another.
        """
        views = torch.stack([target, source[:, 0]], dim=1)
        config = self.config
        each_view = (seeds[:, None] * 4 + torch.arange(2, device=seeds.device)).flatten()
        visible, _ = draw_masks(each_view, config.grid, config.mask_ratio, config.masking)
        tokens = self.encoder(views.flatten(0, 1), visible)
        places = F.normalize(self.head(tokens.mean(dim=1)), dim=1).unflatten(0, (-1, 2))
        if self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            places = of_all_processes(places)
            groups = None if groups is None else of_all_processes(groups)
        return info_nce(places[:, 0], places[:, 1], self.temperature, groups)


def of_all_processes(values: Shaped[Tensor, "b *rest"]) -> Shaped[Tensor, "w_times_b *rest"]:
    """The rows of all w processes, in their order; gradients flow to this process's own.

    Engines take the mean of gradients over processes, but the processes' shares of this one add up: hence w times.
    """
    num, own = dist.get_world_size(), dist.get_rank()
    rows = [torch.empty_like(values, requires_grad=False) for _ in range(num)]
    dist.all_gather(rows, values.detach().contiguous())
    rows[own] = values + (num - 1) * (values - values.detach()) if values.requires_grad else values
    return torch.cat(rows)


def info_nce(
    a: Float[Tensor, "b d"], b: Float[Tensor, "b d"], temperature: float, groups: Int[Tensor, " b"] | None = None
) -> ContrastiveOutput:
    """Cross-entropy of finding b[i] from a[i] among all of b, and the other way round, by cosine over temperature.

    Args:
        a, b: of length 1.
        groups: pairs (i, j) of equal groups, i and j different, are left out.
    """
    scores = a @ b.T / temperature
    if groups is not None:
        same = (groups[:, None] == groups) & ~torch.eye(len(groups), dtype=torch.bool, device=groups.device)
        scores = scores.masked_fill(same, float("-inf"))
    right = torch.arange(len(a), device=a.device)
    loss = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    return ContrastiveOutput(loss=loss, top1=(scores.detach().argmax(dim=1) == right).float().mean())
