"""What a pre-training minimises: a class for each kind, the one place that knows its model.

Everything else of a run (data, steps, checkpoints, logs) is the same for all of them. Another objective is a class
here, with its name in `OBJECTIVES` and in `config.training.Objective`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mv2mae.config import PretrainConfig
from mv2mae.errors import InputError
from mv2mae.model.calling import eager, reconstruct
from mv2mae.model.contrastive import ContrastiveModel
from mv2mae.model.pretraining import MV2MAE
from mv2mae.train.held_out import held_out_metrics
from mv2mae.train.snapshots import Snapshots
from mv2mae.train.take_over import taken_over
from mv2mae.weights import ENCODER, PRETRAINING

Batch = Mapping[str, Tensor]
"""sources [b, s, 3, t, h, w], target [b, 3, t, h, w], seed [b], group [b], and known cameras [b, 1 + s, 16]."""


class Objective(ABC):
    """The task of a pre-training.

    Attributes:
        config: of the whole pre-training.
        reconstructs: whether masked tokens are rebuilt, so that motion weights count and `model.flops` holds.
    """

    reconstructs: ClassVar[bool] = False

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config

    @abstractmethod
    def build(self) -> nn.Module:
        """The model with its first weights; its `encoder` is what a pre-training is for."""

    def take_over(self, source: str) -> nn.Module:
        """The model with the weights of another pre-training.

        Raises:
            InputError: they are of another build, or this objective starts from scratch.
        """
        raise InputError(f"objective={self.config.objective} starts from scratch; set init to null")

    @abstractmethod
    def losses(self, model: Any, batch: Batch, *, training: bool = True) -> dict[str, Tensor]:
        """`loss` of a batch, and what else tells whether it works, by name; scalars."""

    @torch.no_grad()
    def held_out(self, model: Any, batch: Batch, chunk: int) -> dict[str, Tensor]:
        """What is measured on a held-out batch, in parts of `chunk` items where that can be."""
        return self.losses(model, batch, training=False)

    @abstractmethod
    def saved(self, model: Any) -> tuple[nn.Module, str]:
        """What of the model goes into the weights file, and the kind of that file."""

    def watchers(self, run: Path, batch: dict[str, Any]) -> list[pl.Callback]:
        """What looks on beside the callbacks of every pre-training; `batch` is held out."""
        return []

    @property
    @abstractmethod
    def kind(self) -> str:
        """What model it is, as text."""

    @property
    def roles(self) -> str:
        """What targets and sources are given, as text, where that is not the paper's; begins with a comma."""
        return ""

    def shown(self, check: str) -> dict[str, str]:
        """What the progress bar shows beside the loss: names in the log of the check `check` -> labels."""
        return {}


class MaskedObjective(Objective):
    """Masked reconstruction (Equation 3): MV2MAE, or without a cross-view decoder VideoMAE's task on single views."""

    reconstructs = True

    def build(self) -> MV2MAE:
        """Encoder and decoders."""
        return MV2MAE(self.config.model)

    def take_over(self, source: str) -> MV2MAE:
        """Its task may change, and the size of its clips and tubelets."""
        return taken_over(self.config.model, source)

    def losses(self, model: MV2MAE, batch: Batch, *, training: bool = True) -> dict[str, Tensor]:
        """The four losses of Equation 3, their sum, their baselines."""
        return reconstruct(model, batch, training=training).scalars()

    def held_out(self, model: MV2MAE, batch: Batch, chunk: int) -> dict[str, Tensor]:
        """The losses, and what the sources are worth."""
        return held_out_metrics(model, batch, chunk)

    def saved(self, model: MV2MAE) -> tuple[nn.Module, str]:
        """All of it: its decoders are looked at, and trained on."""
        return model, PRETRAINING

    def watchers(self, run: Path, batch: dict[str, Any]) -> list[pl.Callback]:
        """Pictures of what it makes of a few clips."""
        return [Snapshots(run, batch)]

    @property
    def kind(self) -> str:
        """By whether there is a second view."""
        return "multi-view" if self.config.model.cross_view_weight > 0 else "single-view (no cross-view decoder)"

    @property
    def roles(self) -> str:
        """How much is decoded, shown and told."""
        model = self.config.model
        said = f", {model.num_decoded} of them decoded" if model.num_decoded < model.num_masked else ""
        if model.cross_view_weight == 0:
            return said
        said += f", {model.num_masks} masks of each target" if model.num_masks > 1 else ""
        said += "" if model.source_mask_ratio is None else f", {model.num_shown} of a source's shown"
        said += ", one direction" if model.directions == "one" else ""
        return said + (", rays of known cameras" if model.cameras == "rays" else "")

    def shown(self, check: str) -> dict[str, str]:
        """What the source is worth."""
        return {f"{check}/cross_gain": "cross gain"} if self.config.model.cross_view_weight > 0 else {}


class ContrastiveObjective(Objective):
    """InfoNCE between the views of a performance, a baseline (`model/contrastive.py`).

    Items of a batch are compared with each other, so that a held-out batch is never taken in parts.
    """

    def build(self) -> ContrastiveModel:
        """Encoder and head."""
        return ContrastiveModel(self.config.model, self.config.contrastive_temperature)

    def losses(self, model: ContrastiveModel, batch: Batch, *, training: bool = True) -> dict[str, Tensor]:
        """The loss, and how often the other view is the nearest."""
        call: Any = model if training else eager(model)
        out = call(batch["sources"], batch["target"], seeds=batch["seed"], groups=batch["group"])
        return {"loss": out.loss, "top1": out.top1}

    def saved(self, model: ContrastiveModel) -> tuple[nn.Module, str]:
        """The encoder: the head is of no use afterwards."""
        return model.encoder, ENCODER

    @property
    def kind(self) -> str:
        """What it lacks."""
        return "contrastive, no decoders"


OBJECTIVES: dict[str, type[Objective]] = {"masked": MaskedObjective, "contrastive": ContrastiveObjective}
"""By `PretrainConfig.objective`."""


def objective_of(config: PretrainConfig) -> Objective:
    """The objective of a configuration."""
    return OBJECTIVES[config.objective](config)
