"""The line through pieces of two recordings: an offset in time, and the drift of one clock against the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

MAX_DRIFT = 0.002
"""Of two clocks. Recorders differ by 0.0001 and less, but 29.97 frames a second may be called 30: 0.001."""
Evidence = Literal["sound", "motion", ""]


@dataclass(frozen=True)
class Place:
    """Where a view lies: what happens at t of the group's clock is seen in it at `offset + (1 + drift) * t`.

    Attributes:
        evidence: what it was told by; "" = it cannot be told, and offset and drift say nothing.
        confidence: evidence over what is needed, from 1 on if it is told.
    """

    offset: float = 0.0
    drift: float = 0.0
    evidence: Evidence = ""
    confidence: float = 0.0


@dataclass(frozen=True)
class Line:
    """Where the pieces agree best: the lag at time t is `lag + drift * (t - middle)`.

    Attributes:
        lag: in seconds, in the middle of the pieces.
        drift: seconds a second.
        middle: seconds on the first recording's clock.
        height: sum of the standardised scores along the line, over the root of their number.
        rival: the same of the best line whose lag is not this one's.
        curve: the height at every lag, at this drift.
    """

    lag: float
    drift: float
    middle: float
    height: float
    rival: float
    curve: Float64[np.ndarray, " l"]


def best_line(
    scores: Float64[np.ndarray, "p l"],
    times: Float64[np.ndarray, " p"],
    *,
    step: float,
    lobe: float,
    max_drift: float = MAX_DRIFT,
) -> Line:
    """The line of lags along which the scores of all pieces together are highest.

    Args:
        scores: of each piece at the lags -n .. n; high where it fits, NaN where the other recording does not reach.
        times: of the pieces' middles, in seconds.
        step: seconds from lag to lag.
        lobe: seconds around the best lag that belong to it.
        max_drift: steepest line that is tried; 0 = the lag is the same for all.
    """
    middle = float(times.mean())
    spread = float(np.abs(times - middle).max())
    steepest = int(np.ceil(max_drift * spread / step)) if len(times) > 1 else 0
    scatter = np.nanstd(scores, axis=1, keepdims=True)
    standard = (scores - np.nanmean(scores, axis=1, keepdims=True)) / np.maximum(scatter, 1e-12)
    ends = np.arange(-steepest, steepest + 1)  # by how many lags the line rises over `spread`
    heights = np.array([along(standard, (times - middle) / max(spread, 1e-12) * end) for end in ends])
    # of equally good lines the flattest
    which = max(range(len(ends)), key=lambda index: (round(float(heights[index].max()), 9), -abs(int(ends[index]))))
    curve = heights[which]
    place, half = int(curve.argmax()), (scores.shape[1] - 1) // 2
    away = np.abs(np.arange(len(curve)) - place) * step > lobe
    rival = float(heights[:, away].max()) if away.any() else 0.0
    drift = float(ends[which]) * step / max(spread, 1e-12) if steepest else 0.0
    return Line((place - half) * step, drift, middle, float(curve[place]), rival, curve)


def fitted_line(times: np.ndarray, lags: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Weighted least squares: the lag in the weighted middle, the slope, and the slope's standard error."""
    middle = float(np.average(times, weights=weights))
    away = times - middle
    lag = float(np.average(lags, weights=weights))
    spread = float((weights * away**2).sum())
    slope = float((weights * away * (lags - lag)).sum()) / spread if spread > 0 else 0.0
    left = lags - lag - slope * away
    freedom = max(1, len(times) - 2)
    scatter = float((weights * left**2).sum() / weights.sum()) * len(times) / freedom
    error = float(np.sqrt(scatter * weights.mean() / spread)) if spread > 0 else np.inf
    return lag - slope * middle, slope, error  # the lag at time 0


def along(scores: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Scores summed along shifted rows, over the root of their number; nothing where no row reaches."""
    total, reached = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    length = scores.shape[1]
    for row, shift in zip(scores, np.round(shifts).astype(int), strict=True):
        low, high = max(0, -shift), min(length, length - shift)
        if low < high:
            part = row[low + shift : high + shift]
            total[low:high] += np.nan_to_num(part)
            reached[low:high] += np.isfinite(part)
    return total / np.sqrt(np.maximum(reached, 1))
