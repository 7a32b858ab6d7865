"""Offsets and drifts from motion alone, on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from mv2mae.data.check.motion import Motion
from mv2mae.data.sync.by_motion import MIN_SECONDS, place_by_motion
from mv2mae.data.sync.place import Place, add_motion

FPS = 30.0


def dance(seconds: float, seed: int) -> np.ndarray:
    """Moments [t, 4], 30 a second, of something that moves in bursts."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(int(seconds * FPS) + 12, 3))
    smooth = np.stack([np.convolve(column, np.hanning(9) / 2.0, "same") for column in white.T], 1)[6:-6]
    strength, height, speed = np.exp(smooth[:, 0]), 0.5 + 0.1 * smooth[:, 1], smooth[:, 2]
    return np.stack([strength, strength * height, strength * (height**2 + 0.02), speed], 1)


def seen(moments: np.ndarray, begin: float, seconds: float, *, seed: int = 0, drift: float = 0.0) -> Motion:
    """What a camera sees that starts at `begin` and whose clock runs too fast by `drift`."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * FPS)) / FPS
    index = (begin + times / (1 + drift)) * FPS
    values = np.stack([np.interp(index, np.arange(len(moments)), column) for column in moments.T], 1)
    values[:, :3] *= np.exp(0.2 * rng.normal(size=(len(values), 1)))
    values[:, 3] += 0.2 * rng.normal(size=len(values))
    return Motion(times, values.astype(np.float32))


def test_a_drift_is_told_in_a_take_of_minutes() -> None:
    world = dance(200, seed=1)
    views = [seen(world, 10, 150, seed=1), seen(world, 9.4, 150, seed=2, drift=0.001)]
    first, second = place_by_motion(views, tolerance=0.05, max_offset=3)
    assert first is not None
    assert second is not None
    assert min(first.confidence, second.confidence) > 1
    assert second.drift - first.drift == pytest.approx(0.001, abs=2e-4)
    begins = second.offset - first.offset, second.offset - first.offset + 150 * second.drift
    assert begins == pytest.approx((0.6, 0.6 + 0.15), abs=0.03)


def test_without_a_drift_none_is_told() -> None:
    world = dance(150, seed=2)
    places = place_by_motion([seen(world, 10, 100, seed=s) for s in (1, 2)], tolerance=0.05, max_offset=2)
    assert [place.drift for place in places if place is not None] == [0, 0]


@pytest.mark.parametrize("kind", ["repeated", "strangers", "short"])
def test_what_cannot_be_told_stays_untold(kind: str) -> None:
    world = dance(40, seed=3)
    if kind == "repeated":
        world = np.tile(dance(0.8, seed=4), (60, 1))
    other = dance(40, seed=5) if kind == "strangers" else world
    seconds = MIN_SECONDS - 0.5 if kind == "short" else 12
    motions = [seen(world, 5, seconds, seed=1), seen(other, 5.3, seconds, seed=2)]
    places, _ = add_motion([Place(), Place()], motions, tolerance=0.05, max_offset=3)
    assert places == [Place(), Place()]
