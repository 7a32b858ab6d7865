"""How a fine-tuning fares on videos that it is not trained on: a curve, and what says which checkpoint is best."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import make_loader
from mv2mae.errors import InputError


def middle_clips(dataset: EvalDataset, num_workers: int) -> tuple[UInt8[Tensor, "v 3 t h w"], Int[Tensor, " v"]]:
    """Clips of a test of one clip and crop, and their labels; what cannot be read is left out.

    Raises:
        InputError: none can be read.
    """
    loader = make_loader(dataset, None, device_batch_size=8, num_workers=num_workers, collate=list)
    items = [item for batch in loader for item in batch if "clips" in item]
    if not items:
        raise InputError(f"none of the {len(dataset)} validation videos can be read; see the run's list of problems")
    return torch.cat([item["clips"] for item in items]), torch.tensor([item["label"] for item in items])


@torch.no_grad()
def validate(
    model: nn.Module, clips: UInt8[Tensor, "v 3 t h w"], target: Int[Tensor, " v"], chunk: int = 32
) -> dict[str, float]:
    """Mean cross-entropy, labels as they are, and share of clips told right."""
    # one in shards has to be called; compiled code is for training alone
    call: Any = model if isinstance(model, FSDPModule) else model.forward
    device = target.device
    logits: Float[Tensor, "v k"] = torch.cat([call(part.to(device)).float() for part in clips.split(chunk)])
    top1 = (logits.argmax(dim=1) == target).float().mean()
    return {"held_out/loss": float(F.cross_entropy(logits, target)), "held_out/top1": float(top1)}


class Validation(pl.Callback):
    """Logs `held_out/loss` and `held_out/top1` before the first step, every so many steps, and at the end.

    Every process looks at all of it, and none draws anything: the training is the same with and without. The clips stay
    in memory, the middle one of each video, its centre crop.

    Args:
        dataset: the videos.
        every: steps between two looks; each of these numbers, so that checkpoints are judged by their own step.
        chunk: clips that the model sees at a time.
        num_workers: processes that read them.
    """

    def __init__(self, dataset: EvalDataset, *, every: tuple[int, ...], chunk: int, num_workers: int) -> None:
        self.dataset, self.every, self.chunk, self.num_workers = dataset, every, chunk, num_workers

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the clips; look before the first step too."""
        self.clips, self.labels = middle_clips(self.dataset, self.num_workers)
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look every so many steps, once a step."""
        done, step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0, trainer.global_step
        if done and (any(step % every == 0 for every in self.every) or step == trainer.max_steps):
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: Any) -> None:
        module.result.eval()
        metrics = validate(module.result, self.clips, module.places[self.labels.to(module.device)], self.chunk)
        module.train()
        module.latest.update(metrics)
        # to the loggers themselves: Lightning would repeat the value at every later line of the log
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
