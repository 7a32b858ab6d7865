"""All that leans on what Lightning does not promise: private names, and the shape of its checkpoints.

Where a new version of Lightning breaks something, it breaks here. The rest of the package uses its public names alone.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.profilers import Profiler

DATA, TRANSFER, FORWARD, BACKWARD, OPTIMISER = "data", "transfer", "forward", "backward", "optimiser"
PARTS = (DATA, TRANSFER, FORWARD, BACKWARD, OPTIMISER)
"""The parts of a step."""
_ACTIONS = {
    ("[_TrainingEpochLoop]", "train_dataloader_next"): DATA,
    ("[Strategy]", "batch_to_device"): TRANSFER,
    ("[Strategy]", "training_step"): FORWARD,
    ("[Strategy]", "backward"): BACKWARD,
    ("[LightningModule]", "optimizer_step"): OPTIMISER,
}
"""What Lightning calls the parts; it runs forward and backward inside of the optimiser's step."""


def part_of_step(action: str) -> str | None:
    """The part that one of the profiler's actions is, such as `[Strategy]DDPStrategy.backward`."""
    return _ACTIONS.get((action[: action.find("]") + 1], action.rpartition(".")[2]))


def profiler_of(trainer: pl.Trainer) -> Profiler:
    """The one that the trainer was made with."""
    return trainer.profiler  # type: ignore[attr-defined]


def is_logged(trainer: pl.Trainer, step: int) -> bool:
    """Whether a step has a line in the log."""
    return step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]


def scaler_of(trainer: pl.Trainer) -> Any:
    """The one of fp16, None in other precisions."""
    return getattr(trainer.precision_plugin, "scaler", None)


def take_over_sigterm(trainer: pl.Trainer) -> bool:
    """Put Lightning's own flag of a SIGTERM out of force; returns whether one has come.

    Several processes send it around before every part of a step, and wait for it.
    """
    came = trainer.received_sigterm
    if came:
        trainer._signal_connector.received_sigterm = False
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return came


def count_parts_anew(checkpoint: dict[str, Any], parts_of_step: int) -> None:
    """Count what a checkpoint has done in steps of so many parts, which may not be those with which it was written."""
    parts = checkpoint["global_step"] * parts_of_step
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        open_part = counts["ready"] - counts["completed"]  # a checkpoint is written before its part is closed
        counts.update(ready=parts, started=parts, processed=parts, completed=parts - open_part)


def has_writer(logger: TensorBoardLogger) -> bool:
    """Whether the thread that writes for TensorBoard lives: on a full disk it dies, and would be waited for."""
    writer = getattr(getattr(logger.experiment, "file_writer", None), "event_writer", None)
    thread = getattr(writer, "_worker", None)
    return thread is None or thread.is_alive()


def quiet_lightning() -> None:
    """Lightning advertises and explains itself at every start; what a run does is said by the run."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*resuming from a checkpoint that ended before.*",
        ".*mid-epoch.*",
        ".*exists and is not empty.*",
        ".*LeafSpec.*",
        ".*can be used.*accelerator.*",
        ".*`srun` command is available.*",
        ".*GPU available but not used.*",
        ".*in eval mode at the start.*",
        ".*number of training batches.*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=message)
