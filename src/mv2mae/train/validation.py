"""How a fine-tuning fares on videos that it is not trained on: a curve, and what says which checkpoint is best."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mv2mae.data.clips import EvalDataset
from mv2mae.data.loader import make_loader
from mv2mae.errors import InputError
from mv2mae.model.calling import eager
from mv2mae.train.callbacks import Measurement, in_eval_mode


def middle_clips(dataset: EvalDataset, num_workers: int) -> tuple[Tensor, Int[Tensor, " v"], list[int]]:
    """Clips [v, 3, t, h, w] (uint8) of a test of one clip and crop that can be read, their labels, and their rows."""
    loader = make_loader(dataset, None, device_batch_size=8, num_workers=num_workers, collate=list)
    items = [item for batch in loader for item in batch]
    rows = [row for row, item in enumerate(items) if "clips" in item]
    clips = torch.cat([items[row]["clips"] for row in rows]) if rows else torch.empty(0)
    return clips, torch.tensor([items[row]["label"] for row in rows], dtype=torch.int64), rows


@torch.no_grad()
def validate(
    model: nn.Module, clips: UInt8[Tensor, "v 3 t h w"], target: Int[Tensor, " v"], chunk: int = 32
) -> dict[str, float]:
    """Mean cross-entropy, labels as they are, and share of clips told right."""
    call, device = eager(model), target.device
    logits: Float[Tensor, "v k"] = torch.cat([call(part.to(device)).float() for part in clips.split(chunk)])
    top1 = (logits.argmax(dim=1) == target).float().mean()
    return {"held_out/loss": float(F.cross_entropy(logits, target)), "held_out/top1": float(top1)}


class Validation(Measurement):
    """Logs `held_out/loss` and `held_out/top1` before the first step, every so many steps, and at the end.

    Every process looks at all of it. The clips stay in memory, the middle one of each video, its centre crop.

    Args:
        dataset: the videos.
        every: steps between two measurements; with those of saving, checkpoints are judged by their own step.
        chunk: clips that the model sees at a time.
        num_workers: processes that read them.
    """

    def __init__(self, dataset: EvalDataset, *, every: tuple[int, ...], chunk: int, num_workers: int) -> None:
        super().__init__(*every)
        self.dataset, self.chunk, self.num_workers = dataset, chunk, num_workers

    def prepare(self, trainer: pl.Trainer) -> None:
        """Read the clips.

        Raises:
            InputError: none can be read.
        """
        self.clips, self.labels, rows = middle_clips(self.dataset, self.num_workers)
        if not rows:
            num = len(self.dataset)
            raise InputError(f"none of the {num} validation videos can be read; see the run's list of problems")

    def measure(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Loss and accuracy."""
        with in_eval_mode(module):
            return validate(module.result, self.clips, module.places[self.labels.to(module.device)], self.chunk)
