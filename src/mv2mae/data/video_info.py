"""What a video holds, and which of its frames stands for a moment: the same for files, items of stores and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mv2mae.data.media import GapError

MISSING_TAIL_SECONDS = 0.25
"""A video that ends earlier than this before a wanted frame is reported as cut off, not frozen."""
LOST_INTERVALS = 1.25
"""In a damaged file, a frame further than this from the wanted moment does not stand for it."""


Timing = Literal["stamps", "order", "count"]
"""What tells when a frame is shown: its own time stamp; the least of the stamps so far, where a file holds those of
decoding alone; or its number, where stamps are missing or many frames share one."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: rates in frames a second, sizes in pixels as displayed, times in seconds.

    Attributes:
        fps: by the usual interval between frames.
        num_frames: that are shown and are there (a cut-off file has fewer than its header says).
        start: time stamp of the first frame; the last frame stops being shown at `end`.
        holes: spans without frames; no clip lies across one.
        num_jumps: how often the file's clock starts again or jumps.
        promised_end: when the last frame of a cut-off file should stop being shown; 0 of one that is whole.
        timing: what tells when a frame is shown.
        may_seek: time stamps tell where in the file a moment lies.
        plain: nothing about the file asks for more than looking up time stamps and turning by quarters.
    """

    fps: float
    num_frames: int
    width: int
    height: int
    duration: float
    start: float = 0.0
    holes: tuple[tuple[float, float], ...] = ()
    num_jumps: int = 0
    promised_end: float = 0.0
    timing: Timing = "stamps"
    may_seek: bool = True
    plain: bool = True

    @property
    def end(self) -> float:
        """When the last frame stops being shown."""
        return self.start + self.duration

    @property
    def short_side(self) -> int:
        """The smaller of width and height."""
        return min(self.width, self.height)


def nearest_index(frame_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the entry of the rising `frame_times` nearest to each of `times`; the earlier one of two."""
    right = np.searchsorted(frame_times, times).clip(0, len(frame_times) - 1)
    left = (right - 1).clip(0)
    return np.where(times - frame_times[left] <= np.abs(frame_times[right] - times), left, right)


def frames_within(info: VideoInfo, start: float | None = None, end: float | None = None) -> int:
    """About how many frames the part of a video from `start` to `end`, in seconds, has, and some more."""
    first, last = max(info.start, start or info.start), min(info.end, info.end if end is None else end)
    return min(info.num_frames, math.ceil(max(0.0, last - first) * info.fps) + 3) if start or end else info.num_frames


def check_near(path: str | Path, info: VideoInfo, wanted: float, stamp: float, *, is_damaged: bool) -> None:
    """Raises GapError where the frame nearest to a moment is not the one that should be there, which is missing."""
    if abs(wanted - stamp) * info.fps <= LOST_INTERVALS:
        return
    if is_damaged:
        raise GapError(path, f"frames at {wanted:.2f} s are missing or damaged; the nearest one is of {stamp:.2f} s")
    for low, high in info.holes:
        if low < wanted < high:
            raise GapError(path, f"there are no frames between {low:.2f} and {high:.2f} s; {wanted:.2f} s was wanted")
