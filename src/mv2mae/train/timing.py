"""Where the time of a step goes: for the log, all the time; in a trace, for a few steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import Profiler
from torch.profiler import ProfilerActivity, profile

from mv2mae.data.stopwatch import Stopwatch
from mv2mae.runs import spared
from mv2mae.train.callbacks import StepCallback
from mv2mae.train.lightning import DATA, PARTS, part_of_step


class PartTimes(Profiler):
    """Adds up what the parts of the steps took: waiting for data, transfer (augmentation on the device among it), ...

    A part that runs inside of another one counts for itself alone. On a GPU all but the waiting is measured there, by
    events that are read when they have happened, so that no step is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_gpu = False
        self._watch = Stopwatch()
        self._events: list[tuple[str, torch.cuda.Event]] = []
        self._open: list[str] = []
        self._gpu_seconds: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        """Lightning begins with something."""
        if (part := part_of_step(action_name)) is not None:
            self._watch.enter(part, whole=False)
            self._open.append(part)
            self._mark(part)

    def stop(self, action_name: str) -> None:
        """Lightning is done with it."""
        if part_of_step(action_name) is not None and self._open:
            self._watch.leave()
            self._open.pop()
            self._mark(self._open[-1] if self._open else "")

    def _mark(self, part: str) -> None:
        """Note on the GPU's clock that `part` has its turn."""
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append((part, event))

    def take(self) -> dict[str, float]:
        """Seconds of every part since the last time; on a GPU, of what it has come to."""
        seconds = dict(self._watch.seconds)
        self._watch.seconds.clear()
        if self.on_gpu:
            self._read_events()
            seconds = {**self._gpu_seconds, DATA: seconds.get(DATA, 0.0)}
            self._gpu_seconds = {}
        return {part: seconds.get(part, 0.0) for part in PARTS}

    def _read_events(self) -> None:
        while len(self._events) > 1 and self._events[1][1].query():
            (part, begin), (_, end) = self._events[:2]
            if part:
                self._gpu_seconds[part] = self._gpu_seconds.get(part, 0.0) + begin.elapsed_time(end) / 1000
            del self._events[0]


class Trace(StepCallback):
    """Records a few steps with torch's profiler, for https://ui.perfetto.dev or chrome://tracing.

    Args:
        run: the run's folder; the first process writes `trace-<first step>.json`.
        num_steps: how many, after two of warming up.
    """

    WARMUP = 2

    def __init__(self, run: Path, num_steps: int) -> None:
        self.run, self.num_steps = run, num_steps
        self._first: int | None = None
        self._recording: profile | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin."""
        if self._first is None:
            self._first = trainer.global_step + self.WARMUP
        at_boundary = batch_idx % trainer.accumulate_grad_batches == 0
        if at_boundary and trainer.is_global_zero and trainer.global_step == self._first:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the recorder has nothing to say that helps
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if pl_module.device.type == "cuda" else [])]
            self._recording = profile(activities=activities, record_shapes=True)
            self._recording.start()

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """End."""
        if self._first is not None and trainer.global_step == self._first + self.num_steps:
            self._write(self._first + 1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run may end before."""
        if self._first is not None:
            self._write(self._first + 1)

    def _write(self, first: int) -> None:
        if self._recording is None:
            return
        self._recording.stop()
        path = self.run / f"trace-{first:08d}.json"
        with spared(path):
            self._recording.export_chrome_trace(str(path))
            print(f"  wrote {path}; open it with https://ui.perfetto.dev", flush=True)
        self._recording = None
