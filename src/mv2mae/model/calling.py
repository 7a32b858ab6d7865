"""How a model is called with a batch, in training and outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from mv2mae.errors import InputError
from mv2mae.model.pretraining import MV2MAE, PretrainOutput


def eager(model: nn.Module) -> Any:
    """How to call a model outside of training.

    Compiled code (`compute.compile`) is for training alone: for batches of other sizes it would be compiled once more,
    and be slower for both. A model in shards has to be called itself.
    """
    return model if isinstance(model, FSDPModule) else model.forward


def check_finite(what: str, *values: Tensor | None) -> None:
    """Refuses what a model gave, outside of training, where it is no number: it would pass for a result.

    Args:
        what: it is, in words.
        values: None is left aside.

    Raises:
        InputError: some are NaN or infinite.
    """
    if not all(part.isfinite().all() for part in values if part is not None):
        raise InputError(f"{what} of the model are not finite numbers: its weights are too large or damaged")


def reconstruct(
    model: MV2MAE, batch: Mapping[str, Tensor], *, training: bool = False, with_reconstructions: bool = False
) -> PretrainOutput:
    """What a masked autoencoder says of a batch.

    Args:
        batch: sources [b, s, 3, t, h, w], target [b, 3, t, h, w], seed [b], and cameras [b, 1 + s, 16] where it wants
            them.
        training: by compiled code, if there is some.
    """
    call: Any = model if training else eager(model)
    further: dict[str, Any] = {"cameras": batch["cameras"]} if "cameras" in batch else {}
    if with_reconstructions:
        further["with_reconstructions"] = True
    return call(batch["sources"], batch["target"], seeds=batch["seed"], **further)
