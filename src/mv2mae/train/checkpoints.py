"""Checkpoints: written whole or not at all, verified when read, kept by number and by best."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mv2mae.config import LogConfig
from mv2mae.errors import InputError
from mv2mae.files import atomic_write
from mv2mae.ranks import first_only, is_first
from mv2mae.runs import spared
from mv2mae.train.callbacks import StepCallback
from mv2mae.weights import WEIGHTS_NAME

BEST_WEIGHTS_NAME = "best.safetensors"
"""The weights with the lowest held-out loss, beside the newest ones in `model.safetensors`."""
JUDGE = "held_out/loss"
"""What says which checkpoint is best; a fine-tuning without validation videos keeps by number alone."""
MAX_FAILED_SAVES = 3
"""Checkpoints in a row that may fail to be written before the run stops."""
_log = logging.getLogger(__name__)


class _Patient:
    """A file that keeps an error of the disk for later: torch would bury it in one of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, if nothing went wrong so far."""
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Comes later, with the rest."""


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically and durably.

    Raises:
        OSError: it cannot be written; what was begun is removed.
    """
    with atomic_write(path, durable=True) as temporary, temporary.open("wb") as file:
        patient = _Patient(file)
        torch.save(checkpoint, cast(IO[bytes], patient))  # torch only writes and flushes
        if patient.error is not None:
            raise patient.error


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, None if nothing: all of it is read and held against its checksums.

    torch writes a zip archive, which has a checksum for each of its parts; torch itself does not look at them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # reads the list of parts in its own way
    except pickle.UnpicklingError:  # torch's message advises to load it all the same
        return "it holds more than tensors and plain values; a checkpoint of somebody else's is not to be trusted"
    except Exception as error:  # in a damaged archive anything may look like anything
        return str(error).strip() or type(error).__name__
    return None if broken is None else f"the checksum of {broken} is wrong"


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, if any; damaged ones on the way are put aside, with a warning each.

    They keep their bytes under the name `*.damaged`.
    """
    for path in sorted((run / "checkpoints").glob("*.ckpt"), key=step_of, reverse=True):
        reason = damage(path)
        if reason is None:
            return path
        _put_aside(path, reason)
    return None


@first_only
def _put_aside(path: Path, reason: str) -> None:
    _log.warning("checkpoint passed over, it is damaged: %s (%s)", path, reason)
    path.replace(path.with_name(f"{path.name}.damaged"))


def step_of(path: Path) -> float:
    """The step in a checkpoint's name; `last.ckpt`, which earlier versions wrote too, is newest of all."""
    number = path.stem.removeprefix("step=")
    return int(number) if number.isdigit() else float("inf")


class VerifiedIO(TorchCheckpointIO):
    """Lightning's way to checkpoints, by the functions above.

    A write that fails does not raise on the one process that writes, while all others wait for it.

    Attributes:
        error: why the last one could not be written, None if it was.
    """

    error: str | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write, and note a failure."""
        self.error = None
        try:
            write_checkpoint(checkpoint, Path(path))
        except OSError as error:
            self.error = error.strerror or str(error)


class Checkpoints(StepCallback, pl.callbacks.Checkpoint):
    """Saves checkpoints and weights every so many steps and at the end, and removes those that are not to be kept.

    Lightning lets it come after the other callbacks, so that a checkpoint has what they did in its step.

    Args:
        run: the run's folder.
        log: how often to save, what to keep.
        io: what Lightning writes with.
        save_weights: writes the weights file of the run, called on every process, since each may hold a share of them.
    """

    def __init__(self, run: Path, log: LogConfig, io: VerifiedIO, save_weights: Callable[[int], None]) -> None:
        self.run, self.settings, self.io, self.save_weights = run, log, io, save_weights
        self.folder = run / "checkpoints"
        self.best_step, self.best_score = -1, float("inf")
        self.num_failed, self.saved_step = 0, -1

    def state_dict(self) -> dict[str, Any]:
        """Which one is best."""
        return {"best_step": self.best_step, "best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse."""
        self.best_step, self.best_score = state_dict["best_step"], state_dict["best_score"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the checkpoints that a killed run did not come to remove, and write what it did not come to."""
        if trainer.is_global_zero and trainer.global_step:
            self._prune(trainer.global_step)
        if trainer.global_step == self.best_step:  # the checkpoint knows of the best weights before they are written
            self._write_weights(trainer, self.best_step, is_best=True)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Save every so many steps."""
        if trainer.global_step % self.settings.save_every == 0:
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last one, which has to succeed."""
        self.save(trainer, must=True)

    def save(self, trainer: pl.Trainer, must: bool = False) -> None:
        """Save now, unless this step has been; every process has to come here.

        Raises:
            InputError: it cannot be written, and it must be, or the ones before could not be either.
        """
        step = trainer.global_step
        if step == self.saved_step:
            return
        before = self.state_dict()
        score = getattr(trainer.lightning_module, "latest", {}).get(JUDGE, float("inf"))
        is_best = score < self.best_score
        if is_best:
            self.best_step, self.best_score = step, score
        trainer.save_checkpoint(self.folder / f"step={step:08d}.ckpt")
        error = trainer.strategy.broadcast(self.io.error)
        if error is not None:
            self.load_state_dict(before)
            self._failed(step, error, must)
            return
        self.num_failed, self.saved_step = 0, step
        if not self._write_weights(trainer, step, is_best):
            # whose weights are those in `best.safetensors`: the next save has to beat them
            self.load_state_dict(before)
        if trainer.is_global_zero:
            self._prune(step)

    def _failed(self, step: int, error: str, must: bool) -> None:
        self.num_failed += 1
        whole = last_checkpoint(self.run)
        known = "there is none yet" if whole is None else f"{whole.name} is the last one"
        message = f"the checkpoint of step {step} could not be written to {self.folder} ({error}); {known}"
        if must or self.num_failed >= MAX_FAILED_SAVES:
            raise InputError(f"{message}; make room or give the right to write, and start again with the same command")
        _warn("%s; the run goes on and tries again in %d steps", message, self.settings.save_every)

    def _write_weights(self, trainer: pl.Trainer, step: int, is_best: bool) -> bool:
        weights, written = self.run / WEIGHTS_NAME, False
        with spared(weights):  # the checkpoint has the same
            self.save_weights(step)
            if is_best and trainer.is_global_zero:
                _link(weights, self.run / BEST_WEIGHTS_NAME)
            written = True
        return bool(trainer.strategy.broadcast(written))

    def prune_finished(self, checkpoint: Mapping[str, Any], step: int) -> None:
        """Remove what is not to be kept of a run that has ended; `checkpoint` is its last one."""
        for name, state in checkpoint.get("callbacks", {}).items():
            if name.startswith(type(self).__name__):
                self.load_state_dict(state)
                if is_first():
                    self._prune(step)

    def _prune(self, step: int) -> None:
        have = {step_of(path): path for path in self.folder.glob("*.ckpt")}
        kept = set(sorted(number for number in have if number <= step)[-self.settings.keep :]) | {self.best_step}
        if self.settings.keep_every:
            kept |= {number for number in have if number % self.settings.keep_every == 0}
        for number, path in have.items():
            if number not in kept:
                path.unlink(missing_ok=True)


@first_only
def _warn(message: str, *values: Any) -> None:
    _log.warning(message, *values)


def _link(path: Path, name: Path) -> None:
    """The same file under a second name; the first one is replaced by others later, never written into."""
    with atomic_write(name) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(path, temporary)
