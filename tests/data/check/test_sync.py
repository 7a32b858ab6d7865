"""Time offsets from motion: signals with known offsets, noise, missing frames, and nothing to go by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mv2mae.data.check.motion import Motion, MotionTracker
from mv2mae.data.check.scan import scan
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.data.windows import Span

FPS = 30.0


def motion_of(times: np.ndarray, pictures: np.ndarray) -> Motion:
    """The motion of small grey pictures [t, h, w] with their time stamps in seconds."""
    tracker = MotionTracker()
    for time, picture in zip(times, pictures, strict=True):
        tracker.add(float(time), picture.astype(np.float32))
    return tracker.motion()


def dance(num: int, seed: int) -> np.ndarray:
    """Moments [num, 4] of something that moves in bursts: strength, height, spread, speed."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(num + 12, 3))
    smooth = np.stack([np.convolve(column, np.hanning(9) / 2.0, "same") for column in white.T], 1)[6:-6]
    strength, height, speed = np.exp(smooth[:, 0]), 0.5 + 0.1 * smooth[:, 1], smooth[:, 2]
    return np.stack([strength, strength * height, strength * (height**2 + 0.02), speed], 1)


def view(moments: np.ndarray, first: int, num: int, *, noise: float = 0.3, seed: int = 0, fps: float = FPS) -> Motion:
    """What a camera that starts at sample `first` sees of it, at its own scale and with its own noise."""
    rng = np.random.default_rng((seed, first))
    seen = moments[first : first + num].copy()
    seen[:, :3] *= rng.uniform(0.3, 2) * np.exp(noise * rng.normal(size=(num, 1)))
    seen[:, 3] += noise * rng.normal(size=num)
    return Motion(np.arange(num) / fps, seen.astype(np.float32))


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 10, 20, -7])
@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_a_known_offset_is_found_within_a_frame(frames: int, noise: float) -> None:
    world = dance(400, seed=frames + 50)
    first, second = view(world, 40, 240, noise=noise), view(world, 40 - frames, 240, noise=noise, seed=1)
    here, there = estimate_offsets([first, second], tolerance=0.1)
    assert here.seconds == pytest.approx(0, abs=1 / FPS)
    # the second camera starts earlier, so it sees everything later on its own clock
    assert there.seconds == pytest.approx(frames / FPS, abs=1 / FPS)
    assert there.verdict == ("unsynchronised" if abs(frames) > 3 else "synchronised")


def test_fractions_of_a_frame_are_told() -> None:
    world = dance(900, seed=1)
    index = np.arange(0, 800, 2)  # half the rate, so that an odd shift is half a frame
    early, late = view(world, 15, 820, noise=0.05, fps=60), view(world, 0, 820, noise=0.05, seed=1, fps=60)
    _, offset = estimate_offsets([Motion(m.times[index], m.moments[index]) for m in (early, late)])
    assert offset.seconds == pytest.approx(7.5 / 30, abs=0.3 / 30)


def test_of_three_views_the_odd_one_is_named() -> None:
    world = dance(400, seed=3)
    motions = [view(world, 70, 240), view(world, 60, 240, seed=1), view(world, 60, 240, seed=2)]
    verdicts = [offset.verdict for offset in estimate_offsets(motions, tolerance=0.1)]
    assert verdicts == ["unsynchronised", "synchronised", "synchronised"]


def test_views_of_unlike_rates_are_compared_in_seconds() -> None:
    world = dance(900, seed=4)
    fast = view(world, 0, 800, noise=0.1, fps=50)
    slow = view(world, 20, 780, noise=0.1, seed=1, fps=50)
    slow = Motion(slow.times[::2], slow.moments[::2])
    _, offset = estimate_offsets([fast, slow])
    assert offset.seconds == pytest.approx(-0.4, abs=0.04)


def test_signals_that_have_nothing_in_common_are_unknown() -> None:
    verdicts = []
    for seed in range(40):
        motions = [view(dance(200, 2 * seed + i), 10, 150) for i in range(2)]
        verdicts += [offset.verdict for offset in estimate_offsets(motions)][1:]
    assert verdicts.count("unsynchronised") <= 4
    assert verdicts.count("synchronised") <= 4


def test_without_motion_or_with_little_of_it_nothing_is_claimed() -> None:
    moving = view(dance(200, 1), 0, 150)
    still = replace(moving, moments=np.zeros_like(moving.moments))
    short = Motion(moving.times[:15], moving.moments[:15])
    nothing = Motion(np.empty(0), np.empty((0, 4), np.float32))
    broken = Motion(np.r_[moving.times[:-1], 1e12], moving.moments)  # a time stamp that claims 30,000 years
    for other in (still, short, nothing, broken):
        assert [offset.verdict for offset in estimate_offsets([moving, other])] == ["unknown", "unknown"]
        assert estimate_offsets([moving, other])[1].seconds is None
    assert estimate_offsets([moving])[0].verdict == "unknown"


@pytest.mark.parametrize("num_dropped", [1, 3])
def test_a_few_dropped_frames_do_not_hide_synchrony(num_dropped: int) -> None:
    world = dance(400, seed=5)
    whole, torn = view(world, 0, 300), view(world, 0, 300, seed=1)
    moments = np.delete(torn.moments, slice(150, 150 + num_dropped), axis=0)
    _, offset = estimate_offsets([whole, Motion(torn.times[: len(moments)], moments)])
    assert offset.verdict == "synchronised"
    assert -num_dropped - 1 <= offset.seconds * FPS <= 1


def test_a_jump_in_the_middle_is_reported_with_its_time_and_size() -> None:
    world = dance(900, seed=6)
    whole, torn = view(world, 0, 700), view(world, 0, 720, seed=1)
    moments = np.delete(torn.moments, slice(350, 370), axis=0)
    _, offset = estimate_offsets([whole, Motion(torn.times[: len(moments)], moments)])
    (_, before), (time, after) = offset.steps
    assert before == pytest.approx(0, abs=1 / FPS)
    assert after == pytest.approx(-20 / FPS, abs=1 / FPS)
    assert time == pytest.approx(350 / FPS, abs=1.1)
    assert estimate_offsets([whole, Motion(torn.times[: len(moments)], moments)])[0].steps == ()
    constant = estimate_offsets([whole, view(world, 0, 700, seed=1)])
    assert constant[1].steps == ()


def test_repeated_frames_do_not_disturb() -> None:
    world = dance(400, seed=7)
    smooth, stuttering = view(world, 20, 240), view(world, 10, 240, seed=1)
    stuttering.moments[::5] = 0  # a rate raised by repeating frames
    _, offset = estimate_offsets([smooth, stuttering])
    assert offset.seconds == pytest.approx(10 / FPS, abs=1 / FPS)


def test_motion_measures_movement_and_ignores_flicker_and_noise() -> None:
    rng = np.random.default_rng(0)
    scene = np.full((48, 64), 90.0)
    still = np.stack([scene + 20 * np.sin(i) + rng.normal(0, 1, scene.shape) for i in range(20)])
    moving = still.copy()
    for i, picture in enumerate(moving):
        picture[40 - 2 * i : 44 - 2 * i, 20:30] += 100  # goes up two pixels a frame
    times = np.arange(20) / FPS
    calm, active = motion_of(times, still), motion_of(times, moving)
    assert active.strength.mean() > 20 * calm.strength.mean()
    heights = (active.moments[:, 1] / active.strength)[[0, -1]]
    assert heights[0] > 0.75
    assert heights[1] < 0.2
    assert active.moments[:, 3].mean() > 0 > motion_of(times, moving[::-1]).moments[:, 3].mean()
    np.testing.assert_allclose(active.times, (times[1:] + times[:-1]) / 2)


def test_the_cameras_of_the_real_take_agree_and_a_shifted_one_is_seen(footage: Path) -> None:
    motions = [scan(str(footage / f"cam0{i}.mp4")).motion for i in (1, 2, 3, 4)]
    assert {offset.verdict for offset in estimate_offsets(motions)} == {"synchronised"}  # type: ignore[arg-type]
    late = [m.within(Span(0, 1.4, zero=0, fps=30)) for m in motions if m is not None]
    late[2] = Motion(late[2].times, motions[2].moments[15 : 15 + len(late[2].times)])  # type: ignore[union-attr]
    assert estimate_offsets(late)[2].verdict == "unsynchronised"
