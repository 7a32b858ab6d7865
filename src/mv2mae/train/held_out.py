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

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from mv2mae.config import PretrainConfig
from mv2mae.data.datamodule import PretrainData, held_out_batch
from mv2mae.data.held_out import other_performances
from mv2mae.data.stream import PairStream
from mv2mae.data.views import PairDataset
from mv2mae.model.contrastive import ContrastiveModel, ContrastiveOutput
from mv2mae.model.pretraining import MV2MAE, PretrainOutput
from mv2mae.model.second_view import EMPTY, compare_sources

if TYPE_CHECKING:
    from mv2mae.train.trainer import StepModule

Batch = dict[str, Any]
INPUTS = ("sources", "target", "seed", "cameras")
"""What a model is given of a batch."""
OTHERS = {"other_room": "source_gain", "same_room": "source_gain_same_room"}
"""Columns of a batch that name another performance for each -> what its source costs."""


def outcome(
    model: MV2MAE | ContrastiveModel, batch: Batch, *, training: bool = True, with_reconstructions: bool = False
) -> PretrainOutput | ContrastiveOutput:
    """What a model says of a batch: sources [b, s, 3, t, h, w], target [b, 3, t, h, w], seed [b], group [b], and
    cameras [b, 1 + s, 16] where it wants them.

    Compiled code (`compute.compile`) is for training alone: for batches of other sizes it would be compiled once more,
    and be slower for both.
    """
    # one in shards has to be called
    call: Any = model if training or isinstance(model, FSDPModule) else model.forward
    if isinstance(model, ContrastiveModel):
        return call(batch["sources"], batch["target"], seeds=batch["seed"], groups=batch["group"])
    further = {"cameras": batch["cameras"]} if "cameras" in batch else {}
    if with_reconstructions:
        further["with_reconstructions"] = True
    return call(batch["sources"], batch["target"], seeds=batch["seed"], **further)


def loss_summary(out: PretrainOutput | ContrastiveOutput) -> dict[str, Tensor]:
    """The scalars that tell whether pre-training works, by name."""
    names = [field.name for field in dataclasses.fields(out) if field.name != "reconstructions"]
    return {name: getattr(out, name).detach() for name in names}


class HeldOut(pl.Callback):
    """Looks at the batches of `held_out_batches`, by name, every so many steps."""

    def __init__(self, batches: dict[str, Batch], every: int) -> None:
        self.batches, self.every = batches, every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the first step too."""
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look every so many steps, once a step."""
        done = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if done and (trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps):
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: Any) -> None:
        metrics = {name: float(value) for name, value in self._measure(module).items()}
        module.latest.update(metrics)
        # to the loggers themselves: Lightning would repeat the value at every later line of the log
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    def _measure(self, module: StepModule) -> dict[str, Tensor]:
        model: Any = module.model
        model.eval()
        metrics: dict[str, Tensor] = {}
        for check, held in self.batches.items():
            batch = {key: value.to(module.device) for key, value in held.items() if isinstance(value, Tensor)}
            found = held_out_metrics(model, batch, chunk=module.compute.device_batch_size or 32)
            metrics |= {f"{check}/{name}": value for name, value in found.items()}
        model.train()
        return metrics


@torch.no_grad()
def held_out_metrics(model: MV2MAE | ContrastiveModel, batch: Batch, chunk: int = 32) -> dict[str, Tensor]:
    """Losses on a batch of pairs and, if the model has a cross-view decoder, what their sources are worth.

    Args:
        batch: as `outcome` takes it; other_room [b] and same_room [b]: for each item another one, of another
            performance, -1 for none.
        chunk: items that are computed at a time.
    """
    if isinstance(model, ContrastiveModel):  # items are compared with each other, so that all must be there at once
        return loss_summary(outcome(model, batch, training=False))
    size = len(batch["target"])
    sums: dict[str, Tensor] = {}
    items: dict[str, list[Tensor]] = {}

    def run(chosen: Mapping[str, Tensor]) -> PretrainOutput:
        out = outcome(model, {**chosen}, training=False, with_reconstructions=True)
        assert isinstance(out, PretrainOutput)
        return out

    for part in torch.arange(size, device=batch["target"].device).split(chunk):
        chosen = {name: batch[name][part] for name in INPUTS if name in batch}
        # an item without another keeps its own source, and is left out below
        others = {
            name: torch.where(batch[name][part] >= 0, batch[name][part], part) for name in OTHERS if name in batch
        }
        out, losses = compare_sources(
            model, run, chosen, {name: batch["sources"][other] for name, other in others.items()}
        )
        for name, value in loss_summary(out).items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value * len(part)
        if losses.own.cross_view is not None:
            for name, errors in {"own": losses.own.cross_view, **losses.cross}.items():
                items.setdefault(name, []).append(losses.own.of_items(errors))
    metrics = {name: value / size for name, value in sums.items()}
    if items:
        metrics |= _gains(batch, metrics, {name: torch.cat(values) for name, values in items.items()})
    return metrics


def _gains(batch: Batch, losses: dict[str, Tensor], cross: dict[str, Tensor]) -> dict[str, Tensor]:
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
