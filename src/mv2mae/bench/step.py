"""A training step on a batch that is in memory: what `bench model`, the demo's plan and the benchmarks time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.model.precision import REDUCED, precision_of
from mv2mae.train.optim import build_optimizer

FORWARD, BACKWARD, OPTIMISER = "forward", "backward", "optimiser"
_NUM_ITEMS = 10**6
"""Of an epoch: where the learning rate's schedule is does not change how long a step takes."""


class TimedStep:
    """Forward and backward pass and a step of the optimiser, in the precision of a configuration.

    Args:
        model: whose parameters learn, on its device.
        config: optimiser and precision.
        loss: computes it.
    """

    def __init__(self, model: nn.Module, config: PretrainConfig | FinetuneConfig, loss: Callable[[], Tensor]) -> None:
        self.model, self.loss = model, loss
        self.device, self.dtype = next(model.parameters()).device, REDUCED.get(precision_of(config.compute))
        self.optimizer, _ = build_optimizer(model, config.optim, depth=config.model.encoder_depth, num_items=_NUM_ITEMS)
        self._parts: dict[str, float] = {}
        self._last = 0.0

    def seconds(self) -> float:
        """Make it, and say how long it took."""
        begin = time.perf_counter()
        self._make(lambda part: None)
        self._wait()
        return time.perf_counter() - begin

    def parts(self, rounds: Iterable[object], mark_forward: str = FORWARD) -> dict[str, float]:
        """Median seconds of each part, in the order of the step; it is waited for at the end of each.

        Args:
            rounds: so many times.
            mark_forward: what is left of the forward pass where hooks call `mark` within it.
        """
        taken: list[dict[str, float]] = []
        for _ in rounds:
            self._parts = {}
            taken.append(self._parts)
            self._wait()
            self._last = time.perf_counter()
            self._make(lambda part: self.mark(mark_forward if part == FORWARD else part))
        return {part: statistics.median(step[part] for step in taken) for part in taken[0]}

    def mark(self, part: str) -> None:
        """A part has ended."""
        self._wait()
        now = time.perf_counter()
        self._parts[part] = self._parts.get(part, 0.0) + now - self._last
        self._last = now

    def _make(self, mark: Callable[[str], None]) -> None:
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            loss = self.loss()
        mark(FORWARD)
        loss.backward()
        mark(BACKWARD)
        self.optimizer.step()
        mark(OPTIMISER)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
