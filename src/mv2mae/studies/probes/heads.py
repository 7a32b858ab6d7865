"""Three small classifiers on frozen features: logistic regression, nearest neighbours, attentive pooling.

Each takes training features with their labels and gives probabilities for test features, as arrays alone: no files.
Settings that have to be chosen are chosen on training groups held out for it; the test part is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ProbeConfig
from mv2mae.model.pooling import AttentivePooling

_HELD_OUT = 0.25
"""Share of the training groups on which settings are chosen."""
_PATIENCE = 0.2
"""Share of the attentive probe's epochs after which a training that gets no better on held-out groups is left off."""


@dataclass(frozen=True)
class Labelled:
    """What a probe learns from: features, labels from 0, and the group of each."""

    values: Shaped[Tensor, "v ..."]
    """[v, d], or for the attentive probe tokens [v, n, d]."""
    labels: Int[Tensor, " v"]
    groups: Sequence[str]
    num_classes: int

    def part(self, chosen: np.ndarray) -> Labelled:
        """Some of them, by their places or by a mask."""
        places = torch.from_numpy(np.arange(len(self.labels))[chosen])
        return Labelled(
            self.values[places], self.labels[places], np.asarray(self.groups)[chosen].tolist(), self.num_classes
        )


def held_out_groups(groups: Sequence[str], seed: int) -> np.ndarray:
    """Whether each item belongs to the quarter of the groups that is held out; none where there is a single group."""
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    number = min(len(names) - 1, math.ceil(_HELD_OUT * len(names)))
    return np.isin(codes, np.random.default_rng((seed, len(names))).permutation(len(names))[:number])


@dataclass(frozen=True)
class LinearModel:
    """Logistic regression on standardised features."""

    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    weight: Float[Tensor, "classes d"]
    bias: Float[Tensor, " classes"]
    weight_decay: float

    def logits(self, values: Float[Tensor, "q d"]) -> Float[Tensor, "q classes"]:
        """Class scores."""
        return (values - self.mean) * self.scale @ self.weight.T + self.bias


def fit_linear(train: Labelled, config: ProbeConfig) -> LinearModel:
    """Logistic regression by L-BFGS: cross-entropy + weight_decay / 2 |W|^2, features standardised.

    The decay with the least cross-entropy on held-out groups is taken; then all training features are fitted.
    """
    held_out = held_out_groups(train.groups, config.seed)
    decays = sorted(config.weight_decays, reverse=True)  # each fit starts from that of the next stronger one
    best = decays[0]
    if len(decays) > 1 and held_out.any():
        part, check = train.part(~held_out), train.part(held_out)
        models = _fits(part, decays)
        losses = [float(F.cross_entropy(model.logits(check.values), check.labels)) for model in models]
        best = decays[int(np.argmin(losses))]
    return _fits(train, [decay for decay in decays if decay >= best])[-1]


def _fits(train: Labelled, decays: Sequence[float]) -> list[LinearModel]:
    mean, spread = train.values.mean(dim=0), train.values.std(dim=0, unbiased=False)
    scale = torch.where(spread > 1e-6 * (1 + mean.abs()), 1 / spread, 0.0)  # a dimension that is constant says nothing
    x = (train.values - mean) * scale
    weight = torch.zeros(train.num_classes, x.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(train.num_classes, device=x.device, requires_grad=True)
    models = []
    for decay in decays:
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

        def closure(optimizer: torch.optim.Optimizer = optimizer, decay: float = decay) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(x @ weight.T + bias, train.labels) + decay / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        models.append(LinearModel(mean, scale, weight.detach().clone(), bias.detach().clone(), decay))
    return models


class AttentiveHead(nn.Module):
    """One learnt query that attends to a video's tokens, LayerNorm, linear."""

    def __init__(self, mean: Tensor, scale: Tensor, num_classes: int) -> None:
        super().__init__()
        width = len(mean)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.pool = AttentivePooling(width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b classes"]:
        """Class scores."""
        tokens = (tokens.float() - self.mean) * self.scale
        return self.head(self.norm(self.pool(tokens)))


def fit_attentive(train: Labelled, config: ProbeConfig, device: str = "cpu") -> tuple[AttentiveHead, int]:
    """An attentive head by AdamW (rate falling as a cosine), and the epochs that it was trained for.

    As many epochs as are best on held-out groups; then all training videos are fitted for that many.
    """
    held_out = held_out_groups(train.groups, config.seed)
    most = epochs = max(config.epochs, math.ceil(config.min_steps * config.batch_size / len(train.labels)))
    if held_out.any():
        part, check = train.part(~held_out), train.part(held_out)
        losses: list[float] = []

        def look(head: AttentiveHead) -> bool:
            losses.append(float(F.cross_entropy(attentive_logits(head, check.values), check.labels)))
            return len(losses) - int(np.argmin(losses)) <= max(5, _PATIENCE * most)

        _train_attentive(part, config, most, most, device, look)
        epochs = int(np.argmin(losses)) + 1
    return _train_attentive(train, config, epochs, most, device, lambda head: True), epochs


def _train_attentive(
    train: Labelled, config: ProbeConfig, epochs: int, most: int, device: str, look: Callable[[AttentiveHead], bool]
) -> AttentiveHead:
    """Train for some of `most` epochs, at the rates that all of them would have, or until `look` says no."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = AttentiveHead(*_statistics(train.values), train.num_classes).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=0.05)
    steps = most * -(-len(train.labels) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng(config.seed)
    for _ in range(epochs):
        for batch in torch.from_numpy(rng.permutation(len(train.labels))).split(config.batch_size):
            loss = F.cross_entropy(head(train.values[batch].to(device)), train.labels[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if not look(head):
            break
    return head


def _statistics(tokens: Shaped[Tensor, "v n d"]) -> tuple[Tensor, Tensor]:
    """Mean and inverse spread of each dimension over all tokens of all videos, a video at a time to save memory."""
    count = tokens.shape[0] * tokens.shape[1]
    mean = sum(video.double().sum(dim=0) for video in tokens) / count
    square = sum((video.double() - mean).square().sum(dim=0) for video in tokens) / count
    assert isinstance(mean, Tensor)
    assert isinstance(square, Tensor)
    return mean.float(), (1 / (square.sqrt() + 1e-6)).float()


@torch.no_grad()
def attentive_logits(head: AttentiveHead, tokens: Shaped[Tensor, "q n d"]) -> Tensor:
    """Class scores of many videos, [q, classes]."""
    device = head.head.weight.device
    return torch.cat([head(part.to(device)).cpu() for part in tokens.split(256)])
