"""Estimates by how much the views of a group are shifted in time, from what moves in them.

The motion signals of each two views are laid over each other at every lag. One score a lag counts how well they
agree, in units of its own scatter over the lags; the offsets of a group are those at which all pairs together agree
best. Whether they can be believed follows from how far the best lag stands out from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float64

from mv2mae.data.check.motion import Motion
from mv2mae.data.check.signals import MIN_SAMPLES, Signal, grid_step, has_motion, laid_over, make_signal, offset_path

Verdict = Literal["synchronised", "unsynchronised", "unknown"]

_LOBE_SECONDS = 0.2
"""Lags this near to a peak belong to it."""
MIN_PEAK, MIN_LEAD, MIN_GAIN = 2.5, 0.5, 3.0
"""Of an `Offset`: a peak for any verdict, a lead to be called synchronised, a gain to be called unsynchronised. That
needs no lead: in what repeats itself the amount is ambiguous, but that it is not zero may be plain. Measured by
`benchmarks/sync_offsets.py`."""
_STEP_EVIDENCE = 6.0
"""For a change of the offset along the video, natural logarithm of odds."""


@dataclass(frozen=True)
class Offset:
    """Where one view lies in time, against the others of its group.

    Attributes:
        seconds: what happens at time t of the group's clock is seen by this view at t + seconds; None = cannot be told.
        verdict: `synchronised`, `unsynchronised` (beyond the tolerance) or `unknown`.
        peak: how high the best lag stands above the mean of all, in standard deviations.
        lead: how far it stands above the best other lag, in the same unit.
        gain: how far it stands above the best lag within the tolerance of the group's clock.
        steps: (time, seconds) where the offset changes along the video: frames are missing, or a clock drifts.
    """

    seconds: float | None
    verdict: Verdict
    peak: float = 0.0
    lead: float = 0.0
    gain: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()


UNKNOWN = Offset(None, "unknown")


def estimate_offsets(
    motions: Sequence[Motion],
    *,
    tolerance: float = 0.1,
    max_offset: float = 2.0,
    always: bool = False,
) -> list[Offset]:
    """The time offsets of the views of one group.

    Args:
        motions: of each view, with times on the group's clock in seconds.
        tolerance: seconds that count as synchronised.
        max_offset: largest offset that is looked for, in seconds; at most half of the shortest view.
        always: give every offset that can be computed, whatever speaks for it.

    Returns:
        one a view. The clock of the group is the one that most views agree on; the first view's, if none is.
    """
    step = grid_step(motions)
    usable = [i for i, motion in enumerate(motions) if has_motion(motion, step)]
    found = [UNKNOWN] * len(motions)
    if len(usable) < 2:
        return found
    signals = [make_signal(motions[i], step) for i in usable]
    max_lag = int(max_offset / step)
    scores = _pair_scores(signals, max_lag, max(1, round(_LOBE_SECONDS / step)))
    lags = _joint_lags(scores, len(usable), max_lag)
    clock = _majority(lags, tolerance / step)
    for view, index in enumerate(usable):
        profile = _profile(scores, lags, view, max_lag)
        offset = _judge(profile, lags[view] - clock, clock, step, tolerance, always)
        if view or len(usable) > 2:  # of two views, the second is compared with the first
            partner = _partner(scores, lags, view)
            path = offset_path(signals[partner], signals[view], max_lag, step, _STEP_EVIDENCE)
            shift = (lags[partner] - clock) * step
            offset = replace(offset, steps=tuple((round(time, 3), round(lag + shift, 4)) for time, lag in path))
        found[index] = offset
    return found


def pair_curves(
    motions: Sequence[Motion], max_offset: float
) -> tuple[Float64[np.ndarray, " l"], dict[tuple[int, int], Float64[np.ndarray, " l"]]]:
    """How well each two views agree at every lag of the second against the first, for a picture.

    Returns:
        the lags in seconds, and for each two views with enough motion the scores in units of their scatter.
    """
    step = grid_step(motions)
    usable = [i for i, motion in enumerate(motions) if has_motion(motion, step)]
    max_lag = int(max_offset / step)
    scores = _pair_scores([make_signal(motions[i], step) for i in usable], max_lag, max(1, round(_LOBE_SECONDS / step)))
    lags = np.arange(-max_lag, max_lag + 1) * step
    return lags, {(usable[i], usable[j]): curve for (i, j), curve in scores.items() if i < j}


# --- lags -----------------------------------------------------------------------------------------------------


def _raw_scores(a: Signal, b: Signal, max_lag: int) -> Float64[np.ndarray, " l"]:
    """Correlation times the root of the overlap at lags -max_lag .. max_lag; NaN where the overlap is too short."""
    needed = max(MIN_SAMPLES // 2, min(len(a.values), len(b.values)) // 2)
    scores = np.full(2 * max_lag + 1, np.nan)
    for index in range(len(scores)):
        left, right, _ = laid_over(a, b, index - max_lag)
        if len(left) < needed:
            continue
        left, right = left - left.mean(axis=0), right - right.mean(axis=0)
        sizes = np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))
        scores[index] = ((left * right).sum(axis=0) / np.maximum(sizes, 1e-9)).mean() * np.sqrt(len(left))
    return scores


def _standardised(scores: np.ndarray, lobe: int) -> Float64[np.ndarray, " l"]:
    """Scores in units of their scatter away from the peak; lags without a score get the lowest one."""
    known = np.isfinite(scores)
    if known.sum() < 5:
        return np.zeros_like(scores)
    peak = int(np.nanargmax(scores))
    rest = known & (np.abs(np.arange(len(scores)) - peak) > lobe)
    rest = rest if rest.sum() >= 5 else known
    filled = np.where(known, scores, np.nanmin(scores))
    return (filled - scores[rest].mean()) / max(float(scores[rest].std()), 1e-9)


Scores = dict[tuple[int, int], np.ndarray]


def _pair_scores(signals: Sequence[Signal], max_lag: int, lobe: int) -> Scores:
    """Scores of every ordered pair of views."""
    scores: Scores = {}
    for i, j in combinations(range(len(signals)), 2):
        scores[i, j] = _standardised(_raw_scores(signals[i], signals[j], max_lag), lobe)
        scores[j, i] = scores[i, j][::-1]
    return scores


def _profile(scores: Scores, lags: np.ndarray, view: int, max_lag: int) -> Float64[np.ndarray, " l"]:
    """Score of each place of one view, lags -max_lag .. max_lag, while the others stay where they are."""
    total = np.zeros(2 * max_lag + 1)
    places = np.arange(-max_lag, max_lag + 1)
    others = [other for other in range(len(lags)) if other != view]
    for other in others:
        index = places - lags[other] + max_lag
        inside = (index >= 0) & (index <= 2 * max_lag)
        pair = scores[other, view]
        total += np.where(inside, pair[index.clip(0, 2 * max_lag)], pair.min())
    return total / np.sqrt(len(others))


def _joint_lags(scores: Scores, num_views: int, max_lag: int) -> np.ndarray:
    """Lags of the views, the first one's 0, that make the sum of all pairs' scores largest.

    From several starts (all zero; each view's best pairs) one view after the other goes to its best place.
    """
    starts = [np.zeros(num_views, dtype=int)]
    for hub in range(num_views):
        best = [0 if v == hub else int(scores[hub, v].argmax()) - max_lag for v in range(num_views)]
        starts.append(np.array(best))
    found = [_ascend(scores, start, max_lag) for start in starts]
    lags = max(found, key=lambda each: each[0])[1]
    return lags - lags[0]


def _ascend(scores: Scores, lags: np.ndarray, max_lag: int) -> tuple[float, np.ndarray]:
    lags = (lags - lags[0]).clip(-max_lag, max_lag)
    for _ in range(10):
        before = lags.copy()
        for view in range(1, len(lags)):
            lags[view] = int(_profile(scores, lags, view, max_lag).argmax()) - max_lag
        if (lags == before).all():
            break
    total = sum(_profile(scores, lags, view, max_lag)[lags[view] + max_lag] for view in range(len(lags)))
    return float(total), lags


def _majority(lags: np.ndarray, tolerance: float) -> int:
    """The lag that most views share within the tolerance (in samples); the earliest view's of equally large crowds."""
    crowd = [int((np.abs(lags - lag) <= tolerance).sum()) for lag in lags]
    return int(lags[int(np.argmax(crowd))])


def _partner(scores: Scores, lags: np.ndarray, view: int) -> int:
    """The other view that agrees best with this one."""
    middle = (len(scores[0, 1]) - 1) // 2
    others = [other for other in range(len(lags)) if other != view]
    return max(others, key=lambda other: scores[other, view][np.clip(lags[view] - lags[other] + middle, 0, 2 * middle)])


# --- judgement ------------------------------------------------------------------------------------------------


def _judge(profile: np.ndarray, lag: int, clock: int, step: float, tolerance: float, always: bool) -> Offset:
    """An offset from the scores of a view's places; `clock` is the place that counts as synchronised."""
    max_lag = (len(profile) - 1) // 2
    lags = np.arange(-max_lag, max_lag + 1) - clock
    index = int(np.flatnonzero(lags == lag)[0])
    peak = float(profile[index])
    away = np.abs(lags - lag) > _LOBE_SECONDS / step
    near = np.abs(lags) * step <= tolerance
    lead = peak - float(profile[away].max()) if away.any() else 0.0
    gain = peak - float(profile[near].max()) if near.any() else peak
    seconds = float(lag + _fraction(profile, index)) * step
    believed = peak >= MIN_PEAK
    verdict: Verdict = "unknown"
    if abs(lag) * step <= tolerance and (always or (believed and lead >= MIN_LEAD)):
        verdict = "synchronised"
    elif abs(seconds) > tolerance and (always or (believed and gain >= MIN_GAIN)):
        verdict = "unsynchronised"
    return Offset(None if verdict == "unknown" else round(seconds, 4), verdict, peak, lead, gain)


def _fraction(profile: np.ndarray, index: int) -> float:
    """Where between the samples a parabola through the peak and its neighbours is highest; -0.5 to 0.5."""
    if not 0 < index < len(profile) - 1:
        return 0.0
    left, here, right = profile[index - 1 : index + 2]
    bend = left - 2 * here + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
