"""What a run tells while it goes: the CSV log, the progress bar, speed and waiting time."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import Logger
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from mv2mae.files import write_text
from mv2mae.ranks import first_only, is_first
from mv2mae.runs import LOG_HEAD, LOG_ROW, spared
from mv2mae.train.callbacks import StepCallback
from mv2mae.train.lightning import DATA, has_writer, is_logged, profiler_of
from mv2mae.train.timing import PartTimes

_LINES = 10
"""About progress, where there is no terminal."""


class Rows(Logger):
    """A logger that takes rows of metrics and nothing else."""

    @property
    def version(self) -> str:
        """Lightning wants one."""
        return ""

    @first_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration stands in config.yaml, and trackers have it from the start."""


class RunLog(Rows):
    """Appends (step, name, value) rows to a CSV file.

    Long rows, because a run that goes on after a kill, or logs a new quantity, then never has to rewrite the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._kept: list[tuple[int | None, str, str]] = []
        """Rows that could not be written yet."""

    @property
    def name(self) -> str:
        """Lightning wants one."""
        return "log"

    @first_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row a quantity."""
        if "train/loss" in metrics:
            # Lightning counts from 0 what it logs itself; here the loss of the first step stands at step 1
            step = (step or 0) + 1
        self._kept += [(step, name, f"{value:.6g}") for name, value in metrics.items() if name != "epoch"]
        with spared(self.path):
            self._append()
            self._kept.clear()

    def _append(self) -> None:
        """All rows or none: a full disk may take half of one."""
        end = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if end == 0:
                    file.write(LOG_HEAD)
                writer.writerows(self._kept)
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, end)
            raise

    @first_only
    def forget_after(self, step: int) -> None:
        """Drop the rows of steps that a run which goes on from `step` will take again."""
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8", errors="replace")
            rows = [LOG_ROW.fullmatch(line) for line in text.splitlines(keepends=True)]
            kept = [row[0] for row in rows if row is not None and int(row["step"]) <= step]
            write_text(self.path, "".join([LOG_HEAD, *kept]))


class TensorBoard(TensorBoardLogger):
    """Lightning's, but it gives up where its writer has: on a full disk that thread dies, and would be waited for."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log, while there is somebody to write it."""
        if is_first() and has_writer(self):
            super().log_metrics(metrics, step)

    def save(self) -> None:
        """Flush, too."""
        if is_first() and has_writer(self):
            super().save()

    def finalize(self, status: str) -> None:
        """Close, too."""
        if is_first() and has_writer(self):
            super().finalize(status)


class Speed(StepCallback):
    """Measures clips a second, the share of the time that went by waiting for data, and the parts of a step.

    Seconds are means over the steps since the last line of the log; `speed/other_s` is the rest: looks at the held-out
    batch, writing, the engine.
    """

    def __init__(self, clips_per_item: int) -> None:
        self.clips_per_item = clips_per_item
        self._items = self._steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._parts(trainer).on_gpu = pl_module.device.type == "cuda"
        self._begin = time.perf_counter()

    @staticmethod
    def _parts(trainer: pl.Trainer) -> PartTimes:
        parts = profiler_of(trainer)
        assert isinstance(parts, PartTimes)
        return parts

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count what each part of a step has."""
        self._items += len(batch["index"])
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Log every so often."""
        self._steps += 1
        if is_logged(trainer, trainer.global_step):
            now = time.perf_counter()
            elapsed = now - self._begin
            seconds = self._parts(trainer).take()
            seconds["other"] = max(0.0, elapsed - sum(seconds.values()))
            clips = self._items * self.clips_per_item * trainer.world_size
            module.log("speed/clips_per_s", clips / elapsed)
            module.log("speed/data_wait_share", seconds[DATA] / elapsed)
            module.log_dict({f"speed/{part}_s": value / self._steps for part, value in seconds.items()})
            self._begin, self._items, self._steps = now, 0, 0


def _bar_columns(width: int) -> list[ProgressColumn]:
    """What a bar shows in a terminal of so many columns: the steps and the time that is left on every one; the values
    go on in further lines where they must.
    """
    steps = TextColumn("{task.completed}/{task.total}")
    left: list[ProgressColumn] = [TextColumn("left"), TimeRemainingColumn()]
    values = TextColumn("{task.fields[values]}", table_column=Column())
    if width < 80:
        return [steps, *left, values]
    named = [TextColumn("{task.description}"), *([BarColumn()] if width >= 120 else []), steps, TextColumn("steps")]
    return [*named, TimeElapsedColumn(), *left, values]


class ProgressBar(StepCallback, pl.callbacks.ProgressBar):
    """A bar where there is a terminal, now and then a line where there is none."""

    def __init__(self, title: str, shown: dict[str, str]) -> None:
        """Show the logged quantities `shown` (name in the log -> label)."""
        super().__init__()
        self.title, self.shown = title, shown
        self._bar: Progress | None = None
        self._enabled = True
        self._logged: dict[str, float] = {}
        """Of what is shown, what the last line of the log said; to ask in other steps would wait for a GPU."""

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
            console = Console()
            self._bar = Progress(*_bar_columns(console.width), console=console)
            self._task = self._bar.add_task(
                self.title, total=trainer.max_steps, completed=trainer.global_step, values=""
            )
            self._bar.start()

    def _values(self, trainer: pl.Trainer) -> str:
        if is_logged(trainer, trainer.global_step):
            metrics = trainer.callback_metrics
            self._logged = {name: float(metrics[name]) for name in self.shown if name in metrics}
        values = {**self._logged, **getattr(trainer.lightning_module, "latest", {})}
        return "  ".join(f"{label} {values[name]:.3g}" for name, label in self.shown.items() if name in values)

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Move on."""
        step, total = trainer.global_step, trainer.max_steps
        values = self._values(trainer)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, values=values)
        elif self._enabled and (step % max(1, total // _LINES) == 0 or step == total):
            done = step - self._begin_step
            left = (time.perf_counter() - self._begin) / max(1, done) * (total - step)
            print(f"  {self.title}: step {step}/{total}, {left:.0f} s left  {values}", flush=True)

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
