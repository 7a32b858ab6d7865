"""Where each view of a group lies in time, from sound where it settles that, else from motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from mv2mae.data.check.motion import Motion
from mv2mae.data.check.sync import pair_curves
from mv2mae.data.sync.by_motion import long_ones, place_by_motion
from mv2mae.data.sync.by_sound import SoundPair, compare_sounds
from mv2mae.data.sync.lines import Evidence, Place
from mv2mae.data.sync.sound import Sound, whitened

_SAME_SOUND_SECONDS = 0.01
_LOOP_SECONDS = 0.05
"""By how much ways round over other views may differ."""


@dataclass(frozen=True)
class Pair:
    """Two views laid over each other: how well they fit at every lag (seconds) of the second against the first."""

    first: int
    second: int
    evidence: Evidence
    confidence: float
    lags: Float64[np.ndarray, " l"]
    curve: Float64[np.ndarray, " l"]


def place_by_sound(sounds: Sequence[Sound | None], *, max_offset: float) -> tuple[list[Place], list[Pair]]:
    """Places of the views whose sounds can be laid over each other, the largest such set of them.

    Where ways round over different views contradict each other, none is placed.
    """
    white = [None if sound is None else whitened(sound) for sound in sounds]
    found: dict[tuple[int, int], SoundPair] = {}
    for i, j in combinations(range(len(white)), 2):
        one, other = white[i], white[j]
        if one is not None and other is not None:
            pair = compare_sounds(one, other, max_offset=max_offset)
            found |= {} if pair is None else {(i, j): pair}
    pairs = [Pair(i, j, "sound", p.confidence, p.lags, p.curve) for (i, j), p in found.items()]
    return _from_pairs(len(sounds), found), pairs


def add_motion(
    places: Sequence[Place], motions: Sequence[Motion | None], *, tolerance: float, max_offset: float
) -> tuple[list[Place], list[Pair]]:
    """Places views by motion that sound has not placed, and gives the curves that this comes from.

    Args:
        places: of all views, as far as they are told.
        motions: of each view, on the group's clock as known before; None = not looked at.
        tolerance: seconds within which motion cannot tell two views apart.
        max_offset: the largest offset looked for, in seconds; at most half of the shortest view.
    """
    moved = [  # on the group's clock, as far as places are known
        None if motion is None else Motion((motion.times - place.offset) / (1 + place.drift), motion.moments)
        for motion, place in zip(motions, places, strict=True)
    ]
    known = long_ones(moved)
    if all(place.evidence for place in places) or len(known) < 2:
        return list(places), []
    found = place_by_motion(moved, tolerance=tolerance, max_offset=max_offset)
    lags, curves = pair_curves(list(known.values()), max_offset)
    pairs, rows = [], list(known)
    for (i, j), curve in curves.items():
        first, second = rows[i], rows[j]
        sure = min(place.confidence if place else 0.0 for place in (found[first], found[second]))
        moved_by = places[second].offset - places[first].offset  # what sound had already told
        pairs.append(Pair(first, second, "motion", sure, lags + moved_by, curve))
    return _filled(places, found, tolerance), pairs


def _filled(places: Sequence[Place], found: Sequence[Place | None], tolerance: float) -> list[Place]:
    """What sound has placed, and what motion can add to it."""
    by_sound = [index for index, place in enumerate(places) if place.evidence]
    added = {i: p for i, p in enumerate(found) if p is not None and p.confidence >= 1 and i not in by_sound}
    if len(added) + len(by_sound) < 2:
        return list(places)
    seen = [place.offset for place in (found[index] for index in by_sound) if place is not None]
    if by_sound and not seen:  # nothing moves in those that are placed
        return list(places)
    zero = float(np.median(seen)) if seen else 0.0
    out = list(places)
    for index, place in added.items():
        out[index] = replace(place, offset=place.offset - zero)
    out = out if by_sound else _centred(out, tolerance)
    # within what motion can tell, what the files say stands
    rough = [p.evidence == "motion" and abs(p.offset) <= tolerance and not p.drift for p in out]
    return [replace(place, offset=0.0) if is_rough else place for place, is_rough in zip(out, rough, strict=True)]


def _from_pairs(num: int, pairs: dict[tuple[int, int], SoundPair]) -> list[Place]:
    """Places from the believed pairs, the surest ones first; of several unconnected sets the largest."""
    group = list(range(num))
    maps = [(0.0, 1.0)] * num  # (shift, scale) from the clock of the set's first view
    sure = [0.0] * num
    believed = sorted(((p.confidence, ij) for ij, p in pairs.items() if p.confidence >= 1), reverse=True)
    for confidence, (i, j) in believed:
        if group[i] != group[j]:
            onto, old = (group[i], group[j])
            step = _after(maps[i], (pairs[i, j].offset, 1 + pairs[i, j].drift))  # set of i -> view j
            change = _after(step, _inverse(maps[j]))  # set of i -> set of j
            for view in (v for v in range(num) if group[v] == old):
                group[view], maps[view] = onto, _after(change, maps[view])
            sure[i], sure[j] = (max(sure[k], confidence) for k in (i, j))
    largest = max(set(group), key=lambda one: (group.count(one), -one))
    members = [view for view in range(num) if group[view] == largest]
    if len(members) < 2 or any(_contradicts(maps, pairs[ij], *ij) for _, ij in believed if group[ij[0]] == largest):
        return [Place()] * num
    hub = _inverse(maps[members[0]])
    places = [Place()] * num
    for view in members:
        shift, scale = _after(hub, maps[view])
        places[view] = Place(shift, scale - 1, "sound", sure[view])
    return _centred(places, _SAME_SOUND_SECONDS)


def _after(first: tuple[float, float], then: tuple[float, float]) -> tuple[float, float]:
    """The map t -> shift + scale * t of one after the other."""
    return then[0] + then[1] * first[0], then[1] * first[1]


def _inverse(one: tuple[float, float]) -> tuple[float, float]:
    return -one[0] / one[1], 1 / one[1]


def _contradicts(maps: list[tuple[float, float]], pair: SoundPair, i: int, j: int) -> bool:
    shift, scale = _after(_inverse(maps[i]), maps[j])
    return abs(shift - pair.offset) > _LOOP_SECONDS or abs(scale - 1 - pair.drift) > 0.001


def _centred(places: Sequence[Place], tolerance: float) -> list[Place]:
    """The places relative to the one that most told views share; the earliest view's of equally large crowds."""
    told = [place for place in places if place.evidence]
    if len(told) < 2:
        return list(places)
    crowd = [sum(abs(other.offset - place.offset) <= tolerance for other in told) for place in told]
    hub = told[int(np.argmax(crowd))]
    back = _inverse((hub.offset, 1 + hub.drift))
    out = []
    for place in places:
        shift, scale = _after(back, (place.offset, 1 + place.drift))
        out.append(Place(shift, scale - 1, place.evidence, place.confidence) if place.evidence else place)
    return out
