"""The offsets of the views of a group from what moves in them: those of `mv2mae check`, but only where they are plain.

A check may flag what is probably shifted; here the amount must be right. What repeats itself (waving, walking) fits at
every period, so that the best lag has to stand out from all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mv2mae.data.check.motion import Motion
from mv2mae.data.check.signals import grid_step, has_motion, make_signal, pieces_of
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.data.sync.lines import Place, best_line

MIN_PEAK, MIN_LEAD = 4.0, 2.0
"""In standard deviations over the lags; measured by `benchmarks/sync_repair.py`."""
MIN_SECONDS = 4.0
"""Of a view; in less, a few steps or waves of the hand are all there is, and they fit at every period."""
_DRIFT_FROM_SECONDS = 60.0
"""In less no drift can be told: a frame in half a minute is 0.001, more than clocks differ by."""
_PIECE_SECONDS = 10.0
_NEAR_SECONDS = 0.6
_MIN_GAIN = 0.5
"""By how much a line with a drift must be higher than the one without: some three frames from end to end."""


def place_by_motion(motions: Sequence[Motion | None], *, tolerance: float, max_offset: float) -> list[Place | None]:
    """Places of all views on the clock that most agree on, believed from confidence 1 on; None with too little motion.

    Args:
        motions: of each view, on the group's clock as known so far; None = not looked at.
        tolerance: seconds within which views share a clock: smaller offsets than a few frames cannot be told.
        max_offset: seconds between any two views.
    """
    places: list[Place | None] = [None] * len(motions)
    known = long_ones(motions)
    if len(known) < 2:
        return places
    found = estimate_offsets(list(known.values()), tolerance=tolerance, max_offset=max_offset, always=True)
    for index, offset in zip(known, found, strict=True):
        if offset.peak:
            evidence = min(offset.peak / MIN_PEAK, offset.lead / MIN_LEAD)
            places[index] = Place(offset.seconds or 0.0, 0.0, "motion", max(0.0, evidence))
    return _with_drifts(motions, places)


def long_ones(motions: Sequence[Motion | None]) -> dict[int, Motion]:
    """By their places, those of views that last long enough to be placed."""
    return {
        index: motion
        for index, motion in enumerate(motions)
        if motion is not None and len(motion.times) > 1 and float(np.ptp(motion.times)) >= MIN_SECONDS - 0.1
    }


def _with_drifts(motions: Sequence[Motion | None], places: list[Place | None]) -> list[Place | None]:
    """The places with the drift of each believed view against the first such one, where the views are long enough."""
    sure = [
        (index, motion, place)
        for index, (motion, place) in enumerate(zip(motions, places, strict=True))
        if motion is not None and place is not None and place.confidence >= 1
    ]
    for index, motion, place in sure[1:]:
        _, one, hub = sure[0]
        if min(np.ptp(one.times), np.ptp(motion.times)) >= _DRIFT_FROM_SECONDS:
            places[index] = _with_drift(one, motion, place, hub.offset)
    return places


def _with_drift(one: Motion, other: Motion, place: Place, hub: float) -> Place:
    moved = Motion(other.times - place.offset + hub, other.moments)
    step = grid_step([one, moved])
    if not (has_motion(one, step) and has_motion(moved, step)):
        return place
    reach = round(_NEAR_SECONDS / step)
    times, scores = pieces_of(make_signal(one, step), make_signal(moved, step), reach, step, _PIECE_SECONDS)
    if len(times) < 4:
        return place
    line = best_line(scores, times, step=step, lobe=_NEAR_SECONDS)
    flat = best_line(scores, times, step=step, lobe=_NEAR_SECONDS, max_drift=0)
    if line.height - flat.height < _MIN_GAIN:
        return place
    at_zero = line.lag - line.drift * line.middle
    # t of `one` is seen at t + at_zero + drift * t of the moved clock
    return replace(place, offset=place.offset + at_zero + line.drift * hub, drift=line.drift)
