"""Where the frames of a clip lie in time: pure functions, seconds in and out.

All views of a group are read at the same moments of one shared clock (departure: the paper does not say how
views of different rates or lengths are aligned). Videos shorter than a clip give frames spread evenly over
what there is, never a frozen last frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mv2mae.data.video import VideoInfo


@dataclass(frozen=True)
class Span:
    """The part of one video that may be used: seconds on the file's clock.

    `first` and `last` are the first and the last frame's times, `zero` is where the group's shared clock
    reads 0, `fps` the video's rate.
    """

    first: float
    last: float
    zero: float
    fps: float


def video_span(info: VideoInfo, start: float | None = None, end: float | None = None) -> Span:
    """The usable part of a video; `start` and `end` are the manifest's, in seconds on the file's clock."""
    begin = info.start if start is None else max(start, info.start)
    stop = info.end if end is None else min(end, info.end)
    return Span(first=begin, last=max(begin, stop - 1 / info.fps), zero=0.0, fps=info.fps)


def shared_clock(spans: Sequence[Span], starts: Sequence[float | None]) -> list[Span]:
    """Sets each view's `zero` so that one moment of the group has one time on the shared clock.

    - A manifest that gives `start` (`starts`, per view) says that the performance begins there in that
      file: the clocks are laid together at the starts, first frames standing in where one is missing.
    - Otherwise the files' time stamps are one clock, as synchronised recorders and cutters write them.
    - Time stamps that share no moment come from unrelated clocks: the first frames are laid together.
    """
    given = any(start is not None for start in starts)
    related = max(s.first for s in spans) <= min(s.last for s in spans)
    if related and not given:
        return [Span(s.first, s.last, 0.0, s.fps) for s in spans]
    zeros = [s.first if start is None else start for s, start in zip(spans, starts, strict=True)]
    return [Span(s.first, s.last, zero, s.fps) for s, zero in zip(spans, zeros, strict=True)]


def overlap(spans: Sequence[Span]) -> tuple[float, float]:
    """First and last moment, on the shared clock, that every view has; one moment where views only touch."""
    first = max(s.first - s.zero for s in spans)
    return first, max(first, min(s.last - s.zero for s in spans))


def window_times(
    first: float, last: float, *, num_frames: int, step: float, offset: float, grid: float
) -> Float64[np.ndarray, " t"]:
    """Times of the frames of one clip between `first` and `last`, both inclusive.

    Args:
        first, last: seconds of the first and the last usable frame.
        num_frames: frames in the clip, T.
        step: seconds between two frames of the clip.
        offset: where the clip lies in what is left, from 0 (first) to 1 (last).
        grid: seconds between two frames of the video; the clip begins on one of them, so that rounding
            to the nearest frame does not wander within the clip.

    Returns:
        rising times; when T frames at `step` do not fit, spread evenly from `first` to `last`.
    """
    room = last - first - (num_frames - 1) * step
    tolerance = grid / 4  # time stamps are rounded, to a millisecond in Matroska
    if room < -tolerance:
        return np.linspace(first, last, num_frames)
    num_starts = int((room + tolerance) / grid) + 1
    start = first + min(int(offset * num_starts), num_starts - 1) * grid
    return start + step * np.arange(num_frames)


def aligned_times(
    spans: Sequence[Span], *, num_frames: int, step: float, offset: float
) -> list[Float64[np.ndarray, " t"]]:
    """The same window in every view, on each file's own clock, in seconds; for the rest see `window_times`.

    Args:
        spans: on one clock (`shared_clock`); the first is the target's, on whose frames the clip begins.
        num_frames, step, offset: as in `window_times`.
    """
    target, (first, last) = spans[0], overlap(spans)
    grid = 1 / target.fps
    begin = first_on_grid(first, last, target.first - target.zero, grid)
    times = window_times(begin, last, num_frames=num_frames, step=step, offset=offset, grid=grid)
    return [times + span.zero for span in spans]


def clip_step(frame_stride: float, fps: float) -> float:
    """Seconds between two frames of a clip: `frame_stride` frames of a video at `fps` frames a second."""
    return frame_stride / fps


def even_offsets(num_clips: int) -> Float64[np.ndarray, " c"]:
    """Offsets for `window_times` of clips spread evenly from first to last place; a single one lies in the middle."""
    return np.linspace(0, 1, num_clips) if num_clips > 1 else np.array([0.5])


def first_on_grid(first: float, last: float, origin: float, grid: float) -> float:
    """The first moment from `first` on at which a video with frames at `origin` + k `grid` has a frame."""
    steps = np.ceil((first - origin) / grid - 0.01)
    return min(max(first, origin + steps * grid), last)
