"""What a run tells while it goes: the CSV log, the progress bar, speed and waiting time."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class RunLog(Logger):
    """Appends (step, name, value) rows to a CSV file.

    Long rows, because a run that goes on after a kill, or logs a new quantity, then never has to rewrite the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """Lightning wants one."""
        return "log"

    @property
    def version(self) -> str:
        """Lightning wants one."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration stands in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row a quantity."""
        if "train/loss" in metrics:
            # Lightning counts from 0 what it logs itself; here the loss of the first step stands at step 1
            step = (step or 0) + 1
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(["step", "name", "value"])
            writer.writerows((step, name, f"{value:.6g}") for name, value in metrics.items() if name != "epoch")

    @rank_zero_only
    def forget_after(self, step: int) -> None:
        """Drop the rows of steps that a run which goes on from `step` will take again."""
        if self.path.exists():
            rows = pd.read_csv(self.path, dtype=str)
            temporary = self.path.with_suffix(".tmp")
            rows[rows["step"].astype(int) <= step].to_csv(temporary, index=False)
            os.replace(temporary, self.path)


class Speed(pl.Callback):
    """Measures clips a second and the share of the time that went by waiting for data.

    Comes after other callbacks, so that what these do at the end of a step is not taken for waiting.
    """

    def __init__(self, clips_per_item: int) -> None:
        self.clips_per_item = clips_per_item
        self._last_end = 0.0
        self._restart()

    def _restart(self) -> None:
        self._begin = time.perf_counter()
        self._waited, self._items = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._restart()
        self._last_end = self._begin

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """What passed since the last batch ended was waiting."""
        self._waited += time.perf_counter() - self._last_end

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report every so often."""
        self._items += len(batch["index"])
        now = time.perf_counter()
        if trainer.global_step % trainer.log_every_n_steps == 0 and now > self._begin:  # type: ignore[attr-defined]
            elapsed = now - self._begin
            clips = self._items * self.clips_per_item * trainer.world_size
            pl_module.log("speed/clips_per_s", clips / elapsed)
            pl_module.log("speed/data_wait_share", self._waited / elapsed)
            self._restart()
        self._last_end = time.perf_counter()


class ProgressBar(pl.callbacks.ProgressBar):
    """A bar where there is a terminal, now and then a line where there is none."""

    def __init__(self, title: str, shown: dict[str, str], num_lines: int = 10) -> None:
        """Show the logged quantities `shown` (name in the log -> label)."""
        super().__init__()
        self.title, self.shown, self.num_lines = title, shown, num_lines
        self._bar: Progress | None = None
        self._enabled = True

    def disable(self) -> None:
        """Lightning calls this on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """The reverse."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        super().on_train_start(trainer, pl_module)
        self._begin, self._begin_step = time.perf_counter(), trainer.global_step
        if self._enabled and sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} steps"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[values]}"),
                console=Console(),
            )
            self._task = self._bar.add_task(
                self.title, total=trainer.max_steps, completed=trainer.global_step, values=""
            )
            self._bar.start()

    def _values(self, trainer: pl.Trainer) -> str:
        metrics = {**trainer.callback_metrics, **getattr(trainer.lightning_module, "latest", {})}
        return "  ".join(f"{label} {float(metrics[name]):.3g}" for name, label in self.shown.items() if name in metrics)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        step, total = trainer.global_step, trainer.max_steps
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=step, values=self._values(trainer))
        elif self._enabled and (step % max(1, total // self.num_lines) == 0 or step == total):
            done = step - self._begin_step
            left = (time.perf_counter() - self._begin) / max(1, done) * (total - step)
            print(f"  {self.title}: step {step}/{total}, {left:.0f} s left  {self._values(trainer)}", flush=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close it in any case, or the terminal stays without a cursor."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
