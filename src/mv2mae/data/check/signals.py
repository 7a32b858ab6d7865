"""Motion signals on a common clock, laid over each other: whole, and piece by piece where an offset may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mv2mae.data.check.motion import Motion

MAX_RATE = 60.0
"""Signals are compared at the rate of the fastest view, at most this many samples a second."""
MIN_SAMPLES = 24
"""Samples that a signal needs."""
_HIGH_PASS_SECONDS = 1.0
_MIN_MOTION = 0.01
"""Mean grey levels of motion, beyond noise, that a signal needs."""
_PIECE_SECONDS = 1.0
_MAX_SPARSENESS = 10
"""Samples of the common clock for each one that a view has; a broken time stamp may claim millions."""


@dataclass(frozen=True)
class Signal:
    """Channels [t, 4] of a view, high-passed and of unit size, from sample `first` of the group's clock on."""

    first: int
    values: np.ndarray


def grid_step(motions: Sequence[Motion]) -> float:
    """Seconds a sample of the clock on which the motions of a group are compared."""
    steps = [float(np.median(np.diff(m.times))) for m in motions if len(m.times) > 1]
    return max(1 / MAX_RATE, min(steps, default=1.0))


def has_motion(motion: Motion, step: float) -> bool:
    """Whether there is enough motion, for long enough, to tell the time by."""
    num = np.ptp(motion.times) / step if len(motion.times) else 0.0
    return bool(MIN_SAMPLES <= num <= _MAX_SPARSENESS * len(motion.times) and motion.strength.mean() >= _MIN_MOTION)


def make_signal(motion: Motion, step: float) -> Signal:
    """Samples the channels of a motion every `step` seconds and takes out what changes slowly."""
    channels = motion.channels()
    moved = motion.strength > 0  # a frame that was repeated to reach a rate would look like sudden rest
    kept = moved if moved.mean() > 0.5 else np.ones_like(moved)
    first, last = int(np.ceil(motion.times[0] / step)), int(np.floor(motion.times[-1] / step))
    grid = np.arange(first, last + 1) * step
    values = np.stack([np.interp(grid, motion.times[kept], channels[kept, c]) for c in range(channels.shape[1])], 1)
    smooth = _moving_mean(values, 3)
    passed = smooth - _moving_mean(smooth, round(_HIGH_PASS_SECONDS / step))
    size = passed.std(axis=0)
    return Signal(first, np.clip(passed / np.maximum(size, 1e-9), -4, 4))


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    width = min(width | 1, (len(values) - 1) | 1)
    padded = np.pad(values, ((width // 2, width // 2), (0, 0)), mode="reflect")
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), padded]), axis=0)
    return (sums[width:] - sums[:-width])[: len(values)] / width


def laid_over(a: Signal, b: Signal, lag: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The parts of `a` at t and of `b` at t + lag that exist in both, and the first t."""
    first = max(a.first, b.first - lag)
    last = min(a.first + len(a.values), b.first - lag + len(b.values))
    num = max(0, last - first)
    start_a, start_b = first - a.first, first + lag - b.first
    return a.values[start_a : start_a + num], b.values[start_b : start_b + num], first


def offset_path(a: Signal, b: Signal, max_lag: int, step: float, price: float) -> list[tuple[float, float]]:
    """How the offset of `b` against `a` changes along the video; empty where one offset explains it as well.

    The signals are cut into pieces of a second. Each lag has its evidence in each piece (a log likelihood, scaled by
    the scatter over lags), and the path of lags with the most evidence is found, every change costing `price`.

    Args:
        a, b: signals on one clock.
        max_lag: in samples.
        step: seconds a sample.
        price: evidence that a change must bring; natural logarithm of odds.

    Returns:
        (time, offset) in seconds: the first piece's, and where each other one begins.
    """
    length = max(2, round(_PIECE_SECONDS / step))
    num = len(a.values) // length
    if num < 3:
        return []
    evidence = _evidence(a, b, max_lag, length, num)
    scatter = evidence.sum(axis=0)
    best = float(evidence.sum(axis=0).max())
    evidence = evidence * best / max(float(np.var(scatter)), 1e-9)
    path = _best_path(evidence, price)
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist()]
    if len(changes) == 1:
        return []
    return [((a.first + i * length) * step, float(path[i] - max_lag) * step) for i in changes]


def pieces_of(
    a: Signal, b: Signal, max_lag: int, step: float, seconds: float
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, "p l"]]:
    """How well each piece of `a`, `seconds` long, agrees with `b` at the lags -max_lag .. max_lag.

    Returns:
        the pieces' middles in seconds, and products of the signals summed over the pieces.
    """
    length = max(2, round(seconds / step))
    num = len(a.values) // length
    return (a.first + (np.arange(num) + 0.5) * length) * step, _evidence(a, b, max_lag, length, num)


def _evidence(a: Signal, b: Signal, max_lag: int, length: int, num: int) -> Float64[np.ndarray, "p l"]:
    """Products of the signals summed over pieces of `a`, by piece and lag; nothing where `b` has ended."""
    evidence = np.zeros((num, 2 * max_lag + 1))
    for index in range(evidence.shape[1]):
        left, right, first = laid_over(a, b, index - max_lag)
        products = np.zeros(num * length)
        start = first - a.first
        part = (left * right).mean(axis=1)[: max(0, len(products) - start)]
        products[start : start + len(part)] = part
        evidence[:, index] = products.reshape(num, length).sum(axis=1)
    return evidence


def _best_path(evidence: np.ndarray, price: float) -> np.ndarray:
    """The index a row with the largest sum, every change of index costing `price`."""
    total, came_from = evidence[0], []
    for row in evidence[1:]:
        best = int(total.argmax())
        stays = total >= total[best] - price
        came_from.append(np.where(stays, np.arange(len(total)), best))
        total = np.where(stays, total, total[best] - price) + row
    path = [int(total.argmax())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])
