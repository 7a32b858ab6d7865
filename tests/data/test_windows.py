"""Windows in time: inside the video, evenly spaced, aligned over views, never frozen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mv2mae.data.video import VideoInfo
from mv2mae.data.windows import (
    even_offsets,
    first_on_grid,
    overlap,
    shared_clock,
    video_span,
    window_times,
)


def info(fps: float, num_frames: int, start: float = 0.0) -> VideoInfo:
    return VideoInfo(fps=fps, num_frames=num_frames, width=64, height=48, duration=num_frames / fps, start=start)


@given(
    num_video_frames=st.integers(1, 400),
    num_frames=st.integers(1, 32),
    stride=st.sampled_from([1, 2, 4, 2.5]),
    fps=st.sampled_from([24, 25, 29.97, 60]),
    offset=st.floats(0, 1),
)
def test_windows_lie_inside_and_are_even(
    num_video_frames: int, num_frames: int, stride: float, fps: float, offset: float
) -> None:
    span = video_span(info(fps, num_video_frames))
    times = window_times(span.first, span.last, num_frames=num_frames, step=stride / fps, offset=offset, grid=1 / fps)
    assert len(times) == num_frames
    assert times[0] >= span.first - 1e-9
    assert times[-1] <= span.last + 0.26 / fps
    assert np.ptp(np.diff(times)) < 1e-9 if num_frames > 1 else True
    if (num_frames - 1) * stride <= num_video_frames - 1:
        assert np.diff(times) == pytest.approx(stride / fps)
        frame_number = (times[0] - span.first) * fps
        assert frame_number == pytest.approx(round(frame_number), abs=1e-6)
    else:  # too short: everything there is, spread evenly
        assert (times[0], times[-1]) == pytest.approx((span.first, span.last))


def test_all_places_are_drawn_and_offsets_reach_both_ends() -> None:
    def first(offset: float) -> float:
        return float(window_times(0, 0.9, num_frames=4, step=0.2, offset=offset, grid=0.1)[0])

    starts = [first(offset) for offset in np.linspace(0, 1, 101)]
    assert sorted({round(s, 6) for s in starts}) == [0, 0.1, 0.2, 0.3]
    assert np.bincount([round(s * 10) for s in starts]).min() >= 24


def test_short_videos_repeat_frames_evenly_not_the_last() -> None:
    times = window_times(0, 0.9, num_frames=16, step=0.4, offset=0.7, grid=0.1)  # ten frames
    shown = np.bincount(np.round(times * 10).astype(int), minlength=10)
    assert shown.min() >= 1
    assert shown.max() <= 2
    assert shown[-1] <= 2


def test_even_offsets() -> None:
    assert even_offsets(1).tolist() == [0.5]
    assert even_offsets(5).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_spans_follow_the_manifest_within_the_file() -> None:
    span = video_span(info(10, 30), start=0.5, end=2.0)
    assert (span.first, span.last) == pytest.approx((0.5, 1.9))
    assert video_span(info(10, 30), end=9.0).last == pytest.approx(2.9)
    assert video_span(info(10, 30, start=0.3)).first == pytest.approx(0.3)


def test_time_stamps_are_the_clock_when_they_overlap() -> None:
    spans = shared_clock([video_span(info(25, 50)), video_span(info(30, 30, start=0.4))], [None, None])
    assert [s.zero for s in spans] == [0, 0]
    assert overlap(spans) == pytest.approx((0.4, 0.4 + 29 / 30))


def test_unrelated_time_stamps_meet_at_the_first_frame() -> None:
    spans = shared_clock([video_span(info(25, 50)), video_span(info(25, 40, start=1e4))], [None, None])
    assert [s.zero for s in spans] == [0, 1e4]
    assert overlap(spans) == pytest.approx((0, 39 / 25))


def test_given_starts_are_laid_together() -> None:
    spans = [video_span(info(25, 50), start=0.5), video_span(info(25, 50))]
    spans = shared_clock(spans, [0.5, None])
    assert [s.zero for s in spans] == [0.5, 0]
    assert overlap(spans) == pytest.approx((0, 49 / 25 - 0.5))


def test_first_on_grid_is_a_frame_of_the_target() -> None:
    assert first_on_grid(0.11, 1.0, 0.0, 0.04) == pytest.approx(0.12)
    assert first_on_grid(0.12, 1.0, 0.0, 0.04) == pytest.approx(0.12)
    assert first_on_grid(0.99, 1.0, 0.0, 0.3) == 1.0
