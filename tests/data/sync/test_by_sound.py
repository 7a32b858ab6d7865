"""Two recordings of one sound: offsets and drifts that are known, and pairs of which nothing can be said."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from recordings import film, noises, recorded

from mv2mae.data.sync.by_sound import compare_sounds
from mv2mae.data.sync.lines import best_line
from mv2mae.data.sync.place import place_by_sound
from mv2mae.data.sync.sound import RATE, Sound, read_sound, whitened

SCENE = noises(40, seed=1)


def compare(a: Sound, b: Sound, max_offset: float = 8.0):
    return compare_sounds(whitened(a), whitened(b), max_offset=max_offset)


@pytest.mark.parametrize("offset", [0.0, 0.37, -2.5, 6.0])
def test_a_known_offset_is_found_within_milliseconds(offset: float) -> None:
    pair = compare(recorded(SCENE, 8, 14, seed=1), recorded(SCENE, 8 - offset, 14, seed=2))
    assert pair.confidence > 1.5
    assert pair.offset == pytest.approx(offset, abs=0.002)
    assert pair.drift == 0
    assert pair.lags[pair.curve.argmax()] == pytest.approx(offset, abs=0.005)


def test_a_drift_is_found() -> None:
    pair = compare(recorded(SCENE, 5, 32, seed=1), recorded(SCENE, 4, 32, seed=2, drift=0.0004), max_offset=3)
    assert pair.confidence > 1.5
    assert pair.drift == pytest.approx(0.0004, abs=5e-5)
    assert pair.offset == pytest.approx(1.0, abs=0.004)


def test_a_clock_that_is_far_off_needs_more_to_be_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = recorded(SCENE, 5, 20, seed=1), recorded(SCENE, 4, 20, seed=2, drift=0.001)
    pair = compare(a, b, max_offset=2)
    assert 0.0005 < pair.drift < 0.002
    monkeypatch.setattr("mv2mae.data.sync.by_sound._RARE_DRIFT", 0.01)
    assert compare(a, b, max_offset=2).confidence == pytest.approx(1.25 * pair.confidence)


@pytest.mark.parametrize("kind", ["another sound", "beats", "noise"])
def test_what_cannot_be_told_is_not_believed(kind: str) -> None:
    rng = np.random.default_rng(3)
    if kind == "beats":  # the same every half second
        beats = np.tile(noises(0.5, seed=4), 60)
        a, b = recorded(beats, 5, 12, seed=1), recorded(beats, 5.2, 12, seed=2)
    elif kind == "another sound":
        a, b = recorded(SCENE, 5, 12, seed=1), recorded(noises(30, seed=9), 5, 12, seed=2)
    else:
        a, b = (Sound(0.0, (0.1 * rng.normal(size=12 * RATE)).astype(np.float32)) for _ in range(2))
    assert compare(a, b).confidence < 0.95


def test_too_little_in_common_gives_nothing() -> None:
    a = recorded(SCENE, 0, 3)
    assert compare(a, Sound(20.0, a.samples), max_offset=5) is None
    assert compare(a, Sound(0.0, a.samples[:4000])) is None


def test_sets_of_views_are_placed_on_one_clock() -> None:
    late = recorded(SCENE, 7.6, 12, seed=3)  # starts earlier, so that it hears everything later
    sounds = [
        recorded(SCENE, 8, 12, seed=1),
        None,
        recorded(SCENE, 8, 12, seed=2),
        late,
        recorded(noises(15, 8), 0, 12),
    ]
    places, pairs = place_by_sound(sounds, max_offset=4)
    assert [place.evidence for place in places] == ["sound", "", "sound", "sound", ""]
    assert places[0].offset == places[0].drift == 0
    assert places[2].offset == pytest.approx(0, abs=0.002)
    assert places[3].offset == pytest.approx(0.4, abs=0.002)
    assert len(pairs) == 6


def test_the_clock_of_most_is_the_clock() -> None:
    sounds = [recorded(SCENE, begin, 12, seed=seed) for seed, begin in enumerate((7.0, 8.0, 8.0))]
    places, _ = place_by_sound(sounds, max_offset=4)
    assert [round(place.offset, 2) for place in places] == [1, 0, 0]


def test_sound_lies_on_the_clock_of_the_pictures(tmp_path: Path) -> None:
    click = np.zeros(4 * RATE, np.float32)
    click[3 * RATE // 2 : 3 * RATE // 2 + 80] = 0.8
    sound = read_sound(film(tmp_path / "a.mp4", 0, 4, sound=Sound(0.0, click)))
    assert sound is not None
    assert sound.start + np.abs(sound.samples).argmax() / RATE == pytest.approx(1.5, abs=0.02)
    assert sound.on_clock(0.5, 2.0).start == pytest.approx((sound.start - 0.5) / 2)


def test_files_without_anything_to_hear(tmp_path: Path) -> None:
    silence = Sound(0.0, np.zeros(3 * RATE, np.float32))
    assert read_sound(film(tmp_path / "silent.mp4", 0, 3, sound=silence)) is None
    assert read_sound(film(tmp_path / "none.mp4", 0, 3)) is None
    (tmp_path / "broken.mp4").write_bytes(b"\0" * 100)
    assert read_sound(tmp_path / "broken.mp4") is None
    with av.open(str(tmp_path / "only.m4a"), "w", format="mp4") as container:
        container.add_stream("aac", rate=RATE)
        frame = av.AudioFrame.from_ndarray(np.ones((1, 9000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(container.streams[0].encode(frame))
        container.mux(container.streams[0].encode(None))
    assert read_sound(tmp_path / "only.m4a") is None  # no video


def test_the_line_is_found_through_noise_and_gaps() -> None:
    rng = np.random.default_rng(0)
    scores, times = rng.normal(size=(12, 401)), np.arange(12) * 10.0
    for row, time in zip(scores, times, strict=True):
        row[200 + 30 + round(0.001 * (time - 55) / 0.005)] += 4
    scores[3, 150:] = np.nan
    line = best_line(scores, times, step=0.005, lobe=0.05)
    assert line.lag == pytest.approx(30 * 0.005, abs=0.006)
    assert line.drift == pytest.approx(0.001, abs=1.5e-4)
    assert line.height > 1.5 * line.rival
    assert best_line(scores, times, step=0.005, lobe=0.05, max_drift=0).height < line.height
