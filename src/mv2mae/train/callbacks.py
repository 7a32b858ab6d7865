"""What looks on while a model is trained: after a step, or with a measurement every so many steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import nn


class StepCallback(pl.Callback):
    """Is called after each step. Lightning calls after each part of one (`compute.device_batch_size`)."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lightning's; whoever needs each part overrides it."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.after_step(trainer, pl_module)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """What is to be done once a step, `trainer.global_step`."""


class Measurement(StepCallback):
    """Measures before the first step, every so many steps, and after the last one.

    It must draw nothing that the training draws, so that the training is the same with and without it.

    Args:
        every: steps between two measurements; of several numbers, each.
    """

    def __init__(self, *every: int) -> None:
        self.every = every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prepare; measure before the first step too."""
        self.prepare(trainer)
        if trainer.global_step == 0:
            self.look(trainer, pl_module)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Measure if it is time."""
        if self.is_due(trainer.global_step, trainer.max_steps):
            self.look(trainer, module)

    def is_due(self, step: int, last: int) -> bool:
        """Whether to measure after a step."""
        return step == last or any(step % every == 0 for every in self.every)

    def look(self, trainer: pl.Trainer, module: Any) -> None:
        """Measure, log it, and show it in the progress bar."""
        metrics = self.measure(trainer, module)
        module.latest.update(metrics)
        # to the loggers themselves: Lightning would repeat the value at every later line of the log
        for logger in trainer.loggers if metrics else ():
            logger.log_metrics({**metrics}, step=trainer.global_step)

    def prepare(self, trainer: pl.Trainer) -> None:
        """Read what is measured on."""

    def measure(self, trainer: pl.Trainer, module: Any) -> Mapping[str, float]:
        """The figures by their names in the log; called in all processes, which may have to help each other."""
        raise NotImplementedError


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Within the block nothing is dropped or withheld."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
