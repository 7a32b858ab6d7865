"""What a pre-training is looked at with: losses on performances that are never trained on, and what a source is worth.

`held_out` are performances of the rooms and people that are trained on, `unseen` others, where some could be kept apart
(`data.held_out`). Of each, beside the losses:

cross_gain               share by which the cross-view loss lies below the self-view loss, on the same tokens
source_gain              rise of the cross-view loss with another performance as the source, if possible in another room
source_gain_same_room    the same with another performance in the same room, of the targets that have one
empty_gain               the same with no source at all: cross-attention finds nothing

The first is the one that counts; the others may be large where rooms are known by heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from mv2mae.config import PretrainConfig
from mv2mae.data.datamodule import PretrainData, held_out_batch
from mv2mae.data.held_out import other_performances
from mv2mae.data.stream import PairStream
from mv2mae.data.views import PairDataset
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.second_view import EMPTY, compare_sources
from mv2mae.train.callbacks import Measurement, in_eval_mode

Batch = dict[str, Any]
INPUTS = ("sources", "target", "seed", "cameras")
"""What a model is given of a batch."""
OTHERS = {"other_room": "source_gain", "same_room": "source_gain_same_room"}
"""Columns of a batch that name another performance for each -> what its source costs."""


class HeldOut(Measurement):
    """Measures the batches of `held_out_batches`, by name."""

    def __init__(self, batches: dict[str, Batch], every: int) -> None:
        super().__init__(every)
        self.batches = batches

    def measure(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """By the names of the batches, `held_out/loss` and so on."""
        metrics: dict[str, float] = {}
        with in_eval_mode(module):
            for check, looked_at in self.batches.items():
                batch = {key: value.to(module.device) for key, value in looked_at.items() if isinstance(value, Tensor)}
                found = module.objective.held_out(module.model, batch, module.compute.device_batch_size or 32)
                metrics |= {f"{check}/{name}": float(value) for name, value in found.items()}
        return metrics


@torch.no_grad()
def held_out_metrics(model: MV2MAE, batch: Mapping[str, Tensor], chunk: int = 32) -> dict[str, Tensor]:
    """Losses on a batch of pairs and, if the model has a cross-view decoder, what their sources are worth.

    Args:
        batch: as `model.calling.reconstruct` takes it; other_room [b] and same_room [b]: for each item another one, of
            another performance, -1 for none.
        chunk: items that are computed at a time.
    """
    size = len(batch["target"])
    sums: dict[str, Tensor] = {}
    items: dict[str, list[Tensor]] = {}

    for part in torch.arange(size, device=batch["target"].device).split(chunk):
        chosen = {name: batch[name][part] for name in INPUTS if name in batch}
        # an item without another keeps its own source, and is left out below
        others = {
            name: torch.where(batch[name][part] >= 0, batch[name][part], part) for name in OTHERS if name in batch
        }
        out, losses = compare_sources(model, chosen, {name: batch["sources"][other] for name, other in others.items()})
        for name, value in out.scalars().items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value * len(part)
        if losses.own.cross_view is not None:
            for name, errors in {"own": losses.own.cross_view, **losses.cross}.items():
                items.setdefault(name, []).append(losses.own.of_items(errors))
    metrics = {name: value / size for name, value in sums.items()}
    if items:
        metrics |= _gains(batch, metrics, {name: torch.cat(values) for name, values in items.items()})
    return metrics


def _gains(batch: Mapping[str, Tensor], losses: dict[str, Tensor], cross: dict[str, Tensor]) -> dict[str, Tensor]:
    gains = {
        "cross_gain": 1 - losses["cross_target"] / losses["self_target"],
        "empty_gain": (cross[EMPTY] - cross["own"]).mean(),
    }
    for name, gain in OTHERS.items():
        has = batch[name] >= 0 if name in batch else torch.zeros_like(cross["own"], dtype=torch.bool)
        if has.any():
            gains[gain] = (cross[name] - cross["own"])[has].mean()
            gains[f"cross_target_{name}"] = cross[name][has].mean()
    return gains


def held_out_batches(config: PretrainConfig, data: PretrainData) -> dict[str, Batch]:
    """The batches to look at: `held_out`, and `unseen` where there is something."""
    checks: dict[str, PairDataset | PairStream] = {"held_out": data.held_out}
    if data.unseen is not None:
        checks["unseen"] = data.unseen
    return {name: _batch(dataset, config.log.held_out_pairs, config.seed) for name, dataset in checks.items()}


def _batch(dataset: PairDataset | PairStream, num_pairs: int, seed: int) -> Batch:
    batch: Batch = {**held_out_batch(dataset, num_pairs)}
    groups, setups = ([names[i] for i in batch["index"].tolist()] for names in (dataset.groups, dataset.setups))
    other, same = other_performances(groups, setups, seed)
    batch["other_room"], batch["same_room"] = torch.from_numpy(other), torch.from_numpy(same)
    batch["group"] = torch.tensor(np.unique(groups, return_inverse=True)[1])
    return batch
