"""Where the frames of a clip lie in time: pure functions, seconds in and out.

All views of a group are read at the same moments of one shared clock (departure: the paper does not say how
views of different rates or lengths are aligned). Videos shorter than a clip give frames spread evenly over
what there is, never a frozen last frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from mv2mae.config import VideosConfig
from mv2mae.data.video_info import VideoInfo

Moments = TypeVar("Moments", float, np.ndarray)


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What a clip is: so many frames of `size` x `size` pixels, `frame_stride` frames of a video at `fps` apart.

    `fps` None is the rate of each video itself; of several views, the target's.
    """

    num_frames: int
    size: int
    frame_stride: float = 4
    fps: float | None = None

    @classmethod
    def of(cls, data: VideosConfig, num_frames: int, size: int) -> ClipSpec:
        """Clips of a model's shape, laid in time as the settings of the data say."""
        return cls(num_frames=num_frames, size=size, frame_stride=data.frame_stride, fps=data.fps)

    def step(self, fps: float) -> float:
        """Seconds between two frames of a clip of a video with that rate."""
        return self.frame_stride / (self.fps or fps)

    def times(self, spans: Sequence[Span], offset: float) -> list[Float64[np.ndarray, " t"]]:
        """Times of a clip's frames in views of one moment (`aligned_times`); the first is the target."""
        return aligned_times(spans, num_frames=self.num_frames, step=self.step(spans[0].fps), offset=offset)


@dataclass(frozen=True)
class Span:
    """The part of one video that may be used: seconds on the file's clock.

    `first` and `last` are the first and the last frame's times, `zero` is where the group's shared clock
    reads 0, `fps` the video's true rate, `speed` how many seconds pass on the file's clock in one true second, and
    `holes` the parts without frames.
    """

    first: float
    last: float
    zero: float
    fps: float
    speed: float = 1.0
    holes: tuple[tuple[float, float], ...] = ()

    def shared(self, time: Moments) -> Moments:
        """Moments of the file's clock on the group's."""
        return (time - self.zero) / self.speed

    def own(self, times: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, " t"]:
        """Moments of the group's clock on the file's."""
        return times * self.speed + self.zero


def video_span(
    info: VideoInfo, start: float | None = None, end: float | None = None, rate: float | None = None
) -> Span:
    """The usable part of a video.

    Args:
        info: of the file.
        start, end: the manifest's, in seconds on the file's clock.
        rate: the manifest's, frames in a true second, where the file's clock is known to be wrong.
    """
    begin = info.start if start is None else max(start, info.start)
    stop = info.end if end is None else min(end, info.end)
    fps, speed = (info.fps, 1.0) if rate is None else (rate, rate / info.fps)
    return Span(begin, max(begin, stop - 1 / info.fps), zero=0.0, fps=fps, speed=speed, holes=info.holes)


def shared_clock(spans: Sequence[Span], starts: Sequence[float | None]) -> list[Span]:
    """Sets each view's `zero` so that one moment of the group has one time on the shared clock.

    - A manifest that gives `start` (`starts`, per view) says that the performance begins there in that
      file: the clocks are laid together at the starts, first frames standing in where one is missing.
    - Otherwise the files' time stamps are one clock, as synchronised recorders and cutters write them.
    - Time stamps that share no moment come from unrelated clocks: the first frames are laid together.
    """
    given = any(start is not None for start in starts)
    related = max(s.first for s in spans) <= min(s.last for s in spans)
    if related and not given:  # a clock that goes wrong is right at its first frame
        return [replace(s, zero=s.first * (1 - s.speed)) for s in spans]
    zeros = [s.first if start is None else start for s, start in zip(spans, starts, strict=True)]
    return [replace(s, zero=zero) for s, zero in zip(spans, zeros, strict=True)]


def overlap(spans: Sequence[Span]) -> tuple[float, float]:
    """First and last moment, on the shared clock, that every view has; one moment where views only touch."""
    first = max(s.shared(s.first) for s in spans)
    return first, max(first, min(s.shared(s.last) for s in spans))


def unbroken(spans: Sequence[Span], first: float, last: float) -> list[tuple[float, float]]:
    """The parts from `first` to `last`, on the shared clock, in which no view has a hole; never none."""
    holes = sorted((span.shared(low), span.shared(high)) for span in spans for low, high in span.holes)
    parts, begin = [], first
    for low, high in holes:
        if high <= begin or low >= last:
            continue
        if low > begin:
            parts.append((begin, low))
        begin = max(begin, high)
    return [*parts, (begin, last)] if begin <= last or not parts else parts


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
    origin = target.shared(target.first)
    parts = [(first_on_grid(low, high, origin, grid), high) for low, high in unbroken(spans, first, last)]
    # no clip lies across a hole: the offset chooses among the places in all parts, or else the longest part is spread
    places = [max(0, int((high - low - (num_frames - 1) * step + grid / 4) / grid + 1)) for low, high in parts]
    if len(parts) == 1 or not sum(places):
        low, high = max(parts, key=lambda part: part[1] - part[0])
    else:
        place = min(int(offset * sum(places)), sum(places) - 1)
        which = int(np.searchsorted(np.cumsum(places), place, side="right"))
        low, high = parts[which]
        offset = (place - sum(places[:which]) + 0.5) / places[which]
    times = window_times(low, high, num_frames=num_frames, step=step, offset=offset, grid=grid)
    return [span.own(times) for span in spans]


def even_offsets(num_clips: int) -> Float64[np.ndarray, " c"]:
    """Offsets for `window_times` of clips spread evenly from first to last place; a single one lies in the middle."""
    return np.linspace(0, 1, num_clips) if num_clips > 1 else np.array([0.5])


def first_on_grid(first: float, last: float, origin: float, grid: float) -> float:
    """The first moment from `first` on at which a video with frames at `origin` + k `grid` has a frame."""
    steps = np.ceil((first - origin) / grid - 0.01)
    return min(max(first, origin + steps * grid), last)
