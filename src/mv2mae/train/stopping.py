"""Ending a run early without loss: signals, and SLURM's requeue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from mv2mae.errors import RunStopped
from mv2mae.train.callbacks import StepCallback
from mv2mae.train.checkpoints import Checkpoints
from mv2mae.train.lightning import take_over_sigterm

HANG_UP = getattr(signal, "SIGHUP", None)
"""A closed terminal; there is none on Windows."""
STOPPING = (signal.SIGTERM, signal.SIGINT, *([HANG_UP] if HANG_UP is not None else []))


class StopSignals(StepCallback):
    """Lets a signal end the run after the step at hand, with a checkpoint of it.

    SIGTERM is what `kill` and a scheduler that preempts send, SIGINT is Ctrl-C; a second Ctrl-C stops at once. SIGHUP
    comes when the terminal is closed, and counts unless `nohup` has put it out of force. In a
    SLURM job SIGUSR1 (`#SBATCH --signal=SIGUSR1@300`) does the same and puts the job back into the queue.

    Has to come before `Checkpoints`, and `exchange` be told what the processes of the run agree upon.

    Args:
        checkpoints: what saves.

    Attributes:
        requested: the signal that came to this process, 0 if none.
        agreed: the one for which all processes stop after this step, 0 if none.
        saved_step: of the checkpoint from which the run goes on afterwards, if it was saved.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.requested, self.agreed = 0, 0
        self.saved_step: int | None = None
        self._in_step = False
        self._worker_death: RuntimeError | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals; Lightning, whose own handlers save in the middle of a step, puts them back."""
        if trainer.world_size > 1 and take_over_sigterm(trainer):  # the processes agree upon it in their first step
            self.requested = signal.SIGTERM
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (*STOPPING, *([signal.SIGUSR1] if slurm_job() else [])):
            if number != HANG_UP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
                signal.signal(number, self._request)
        if hasattr(signal, "SIGCHLD"):  # not on Windows, where torch takes none either
            self._worker_ended = signal.getsignal(signal.SIGCHLD)
            signal.signal(signal.SIGCHLD, self._mind_worker)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.requested:
                raise KeyboardInterrupt
            # not print, which may be at work already where the signal came
            os.write(2, b"\n  stopping after this step, with a checkpoint; once more stops at once\n")
        self.requested = number

    def _mind_worker(self, number: int, frame: FrameType | None) -> None:
        """Keep what torch has to say of a worker that died until the step ends; while the run stops it is no error.

        torch raises it wherever the program is, which in the middle of a write makes another error of it. A loader
        that waits for that worker notices by itself within seconds.
        """
        if not callable(self._worker_ended):
            return
        try:
            self._worker_ended(number, frame)
        except RuntimeError as error:
            if "Terminated" in str(error):  # with the run; only where workers cannot leave that signal to it (macOS)
                self.requested = self.requested or signal.SIGTERM
            self._worker_death = error

    def exchange(self, number: int) -> None:
        """What all processes agree upon, in a step that is under way."""
        self.agreed = number

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From here on weights change."""
        self._in_step = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After each part of a step.

        Raises:
            RuntimeError: a worker of the loader has died, and nobody asked the run to stop.
        """
        self._in_step = False
        if self._worker_death is not None and not self.requested:
            raise self._worker_death
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Save and let the training end, if that is wanted."""
        if trainer.world_size == 1:
            self.agreed = self.requested  # one that came after the exchange as well
        if self.agreed:
            self._save(trainer)
            trainer.should_stop = True

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """A worker that died too may leave this process without its next batch: between steps all is well."""
        at_once = isinstance(exception, KeyboardInterrupt)
        if self.requested and not at_once and not self._in_step and trainer.world_size == 1:
            self.agreed = self.requested
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        self.checkpoints.save(trainer, must=True)
        self.saved_step = trainer.global_step

    def raise_if_stopped(self, trainer: pl.Trainer) -> None:
        """What is left to do once the training has ended.

        Raises:
            RunStopped: if a signal ended it before its last step; of several processes the first one says so.
        """
        if self.saved_step is None or self.saved_step >= trainer.max_steps:
            return
        if not trainer.is_global_zero:
            raise SystemExit(0)
        name = signal.Signals(self.agreed).name
        more = f"; {requeue()}" if self.agreed == getattr(signal, "SIGUSR1", None) else ""
        message = f"stopped by {name} after step {self.saved_step} of {trainer.max_steps}, which is saved{more}"
        raise RunStopped(message, status=128 + self.agreed)


def slurm_job() -> str | None:
    """The job's number as `scontrol` takes it; None outside of SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
    return job if re.fullmatch(r"[0-9_]+", job) else None


def requeue() -> str:
    """Put the SLURM job back into the queue; says what came of it."""
    job = slurm_job()
    assert job is not None
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"job {job} could not be requeued ({error}); submit it again"
    if done.returncode:
        return f"job {job} could not be requeued ({done.stderr.strip() or done.returncode}); submit it again"
    return f"job {job} is requeued"
