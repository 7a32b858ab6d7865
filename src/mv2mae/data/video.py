"""Reading videos with PyAV: what a file holds, the frames nearest to given times, a whole video at a small size.

A path may also name an item of a store (`store.reader`) or an image sequence (`images`), which read alike.
Times are seconds on the file's own clock (its presentation time stamps; where that clock starts again, as if it had
gone on), so that videos of different frame rates, variable ones included, are read at the same moments. Pixels are
uint8 RGB, frames [t, h, w, 3].
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from mv2mae.data.frames import TIME_LIMIT, Cursor, Frames
from mv2mae.data.layout import check_not_cut, layout_from_index, layout_from_packets
from mv2mae.data.media import GapError, SeekMissed, VideoError, check_memory, check_size, guarded, opened
from mv2mae.data.pixels import Converter, displayed_size, is_plain, scaled_size
from mv2mae.data.stopwatch import timed

if TYPE_CHECKING:
    from mv2mae.data.images import ImageSequence
    from mv2mae.data.store.reader import StoredVideo

MISSING_TAIL_SECONDS = 0.25
"""A video that ends earlier than this before a wanted frame is reported as cut off, not frozen."""
LOST_INTERVALS = 1.25
"""In a damaged file, a frame further than this from the wanted moment does not stand for it."""


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


@dataclass(frozen=True)
class DecodedVideo:
    """A video, or a part of one, in memory: `frames` and the time stamp of each; `info` is of the whole file."""

    frames: UInt8[Tensor, "t h w 3"]
    times: Float64[np.ndarray, " t"]
    info: VideoInfo
    path: str = ""
    is_damaged: bool = False
    start: float | None = None
    end: float | None = None
    """The part of the file, in seconds; None = from its beginning, to its end."""

    def holds(self, first: float, last: float) -> bool:
        """Whether all from one moment to another, in seconds on the file's clock, was decoded."""
        return (self.start is None or self.start <= first) and (self.end is None or last <= self.end)

    @timed("copy from memory")
    def at(self, times: Sequence[float] | np.ndarray) -> UInt8[Tensor, "n h w 3"]:
        """The frames nearest to `times` (the earlier one of two equally near).

        Raises:
            GapError: frames that should be there are missing.
        """
        # index_select copies whole frames; frames[index] goes pixel by pixel, 0.9 instead of 0.06 ms a clip
        return self.frames.index_select(0, torch.from_numpy(self.numbers(times)))

    def numbers(self, times: Sequence[float] | np.ndarray) -> Int64[np.ndarray, " n"]:
        """Which frames these are.

        Raises:
            GapError: as `at`.
        """
        wanted = np.asarray(times, dtype=np.float64)
        index = nearest_index(self.times, wanted)
        for time, stamp in zip(wanted, self.times[index], strict=True) if self.is_damaged or self.info.holes else ():
            check_near(self.path, self.info, float(time), float(stamp), is_damaged=self.is_damaged)
        return index


def nearest_index(frame_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the entry of the rising `frame_times` nearest to each of `times`; the earlier one of two."""
    right = np.searchsorted(frame_times, times).clip(0, len(frame_times) - 1)
    left = (right - 1).clip(0)
    return np.where(times - frame_times[left] <= np.abs(frame_times[right] - times), left, right)


def probe(path: str | Path) -> VideoInfo:
    """Reads the header, the index (or else the packets) and the first frame of a video.

    Raises:
        VideoError: the file is missing, empty, no video, or beyond what is read here.
    """
    if (item := _stored(path) or _pictures(path)) is not None:
        return item.info
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # `opened` says why
        return _probe(str(path), 0, 0)
    return _probe(str(path), status.st_size, status.st_mtime_ns)


def read_frames(
    path: str | Path, times: Sequence[float] | np.ndarray, *, short_side: int | None = None
) -> UInt8[Tensor, "t h w 3"]:
    """The frames whose time stamps lie nearest to `times`, in the order of `times`.

    Decodes no further than the last wanted frame, and starts at the key frame before the first one where
    the file's index shows that this skips something.

    Args:
        path: the video.
        times: seconds on the file's clock, in any order.
        short_side: scale to this short side in pixels, up or down; None = as stored.

    Raises:
        GapError: the file ends more than a quarter of a second before a wanted frame, or that frame is damaged.
        VideoError: the file cannot be decoded.
    """
    if (item := _stored(path) or _pictures(path)) is not None:
        return item.read(times, short_side=short_side)
    info = probe(path)
    check_size(path, *scaled_size(info.height, info.width, short_side))
    check_memory(path, len(np.unique(times)), *scaled_size(info.height, info.width, short_side))
    try:
        return _read_frames(path, times, short_side, info, may_seek=info.may_seek)
    except SeekMissed:  # the index lied, or the format has none (MPEG-TS): decode from the start
        return _read_frames(path, times, short_side, info, may_seek=False)


def decode_video(
    path: str | Path, *, short_side: int | None = None, start: float | None = None, end: float | None = None
) -> DecodedVideo:
    """Decodes a video, or the part from `start` to `end` in seconds; `short_side` as in `read_frames`.

    Damaged frames are left out.

    Raises:
        VideoError: the file cannot be decoded, or does not fit into memory.
    """
    if (item := _stored(path)) is not None:
        return DecodedVideo(item.read_all(short_side=short_side), item.times, item.info, str(path))
    info = probe(path)
    size = scaled_size(info.height, info.width, short_side)
    room = frames_within(info, start, end)
    check_size(path, *size)
    check_memory(path, room, *size)
    pixels, times = np.empty((room, *size, 3), np.uint8), list[float]()
    convert, lost = Converter(short_side, (info.height, info.width)), [0]
    with guarded(path):
        for time, frame in _between(path, start, end, -math.inf, lost):
            if len(times) == len(pixels):
                pixels = np.concatenate([pixels, np.empty_like(pixels[: len(pixels) // 4 + 8])])
            pixels[len(times)] = convert(frame)
            times.append(time)
    if not times:
        raise VideoError(path, "holds no frame that can be decoded")
    frames = torch.from_numpy(pixels[: len(times)])
    return DecodedVideo(frames, np.asarray(times), info, str(path), lost[0] > 0, start, end)


def frames_within(info: VideoInfo, start: float | None = None, end: float | None = None) -> int:
    """About how many frames the part of a video from `start` to `end`, in seconds, has, and some more."""
    first, last = max(info.start, start or info.start), min(info.end, info.end if end is None else end)
    return min(info.num_frames, math.ceil(max(0.0, last - first) * info.fps) + 3) if start or end else info.num_frames


def frames_between(
    path: str | Path, start: float | None, end: float | None, *, reach: float = -math.inf
) -> Iterator[tuple[float, VideoFrame]]:
    """The frames of a file and their times, not scaled, damaged ones left out.

    They go from the last one up to `start` to the first one from `end` on.

    Args:
        path: the video, no item of a store.
        start, end: seconds on the file's clock; None = from the first, to the last.
        reach: a moment at which there must still be a frame.

    Raises:
        GapError: after the last frame, if it comes more than a quarter of a second before `reach`.
        VideoError: the file cannot be decoded.
    """
    yield from _between(path, start, end, reach, [0])


def is_item(path: str | Path) -> bool:
    """Whether a path names an item of a store (`FOLDER/shard-000000.tar#KEY`)."""
    return ".tar#" in str(path)


def is_there(path: str | Path) -> bool:
    """Whether there is such a file, or a shard that may hold such an item of a store (a URL is taken at its word)."""
    return why_not_there(path) is None


def why_not_there(path: str | Path) -> str | None:
    """Why there is no such file or shard; a folder that may not be entered is something else than one without it."""
    file, hash_sign, _ = str(path).rpartition(".tar#")
    if "://" in str(path):
        return None
    try:
        if _pictures(path) is not None:
            return None
    except VideoError as error:
        return error.reason
    try:
        return None if stat.S_ISREG(os.stat(f"{file}.tar" if hash_sign else path).st_mode) else "no such file"
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "no such file"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_near(path: str | Path, info: VideoInfo, wanted: float, stamp: float, *, is_damaged: bool) -> None:
    """Raises GapError where the frame nearest to a moment is not the one that should be there, which is missing."""
    if abs(wanted - stamp) * info.fps <= LOST_INTERVALS:
        return
    if is_damaged:
        raise GapError(path, f"frames at {wanted:.2f} s are missing or damaged; the nearest one is of {stamp:.2f} s")
    for low, high in info.holes:
        if low < wanted < high:
            raise GapError(path, f"there are no frames between {low:.2f} and {high:.2f} s; {wanted:.2f} s was wanted")


# ---------------------------------------------------------------------------------------------------------


def _stored(path: str | Path) -> StoredVideo | None:
    """The item of a store that `path` names (`FOLDER/shard-000000.tar#KEY`), or None where it names a file."""
    if not is_item(path):
        return None
    from mv2mae.data.store.reader import open_item  # which reads its items with what stands here

    return open_item(str(path))


def _pictures(path: str | Path) -> ImageSequence | None:
    """The image sequence that `path` names, or None where it names a file."""
    if "%" not in str(path):
        return None
    from mv2mae.data.images import is_sequence, open_sequence  # as above

    return open_sequence(path) if is_sequence(path) else None


@lru_cache(maxsize=1 << 16)
def _probe(path: str, size: int, changed: int) -> VideoInfo:
    """`probe` of a file of that size and time of change."""
    with opened(path) as (container, stream):
        frames = Frames(path, container, stream, time_limit=TIME_LIMIT)
        opening = frames.next()
        if opening is None:
            check_not_cut(path, stream)
            raise frames.nothing()
        start, (height, width) = opening[0], displayed_size(opening[1])
        plain = is_plain(opening[1])
        check_size(path, height, width)
        layout = layout_from_index(path, stream, start)
    if layout is None:
        with opened(path) as (container, stream):
            layout = layout_from_packets(path, container, stream, start)
    return VideoInfo(
        fps=float(layout.fps),
        num_frames=layout.num_frames,
        width=width,
        height=height,
        duration=float(layout.end - start),
        start=start,
        holes=layout.holes,
        num_jumps=layout.num_jumps,
        promised_end=layout.promised_end,
        may_seek=layout.is_stamped and not layout.num_jumps,
        plain=plain and layout.is_stamped and not layout.num_jumps and not layout.holes,
    )


def _check_reaches(path: str | Path, wanted: float, stamp: float, frame: VideoFrame) -> None:
    """Refuses to show the last frame for a time long after it, unless the file says that it is shown so long."""
    shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    if wanted > stamp + shown + MISSING_TAIL_SECONDS:
        raise GapError(path, f"is cut off: frames end at {stamp:.2f} s, {wanted:.2f} s was expected")


def _between(
    path: str | Path, start: float | None, end: float | None, reach: float, lost: list[int]
) -> Iterator[tuple[float, VideoFrame]]:
    """As `frames_between`; `lost` is told the number of packets that could not be decoded."""
    if (pictures := _pictures(path)) is not None:
        yield from pictures.between(start, end, reach, lost)
        return
    may_seek = start is not None and probe(path).may_seek
    try:
        yield from _frames_between(path, start, end, reach, lost, may_seek=may_seek)
    except SeekMissed:  # before the first frame was given
        yield from _frames_between(path, start, end, reach, lost, may_seek=False)


def _frames_between(
    path: str | Path, start: float | None, end: float | None, reach: float, lost: list[int], may_seek: bool
) -> Iterator[tuple[float, VideoFrame]]:
    with opened(path) as (container, stream):
        cursor, last = Cursor(path, container, stream, may_seek=may_seek), None
        if start is not None:
            cursor.nearest(start)
        opening = [f for f in (cursor.before, cursor.here) if f is not None]
        if len(opening) == 2 and opening[1][0] == start:
            del opening[0]
        for last in itertools.chain(opening, cursor.frames):
            yield last
            if end is not None and last[0] >= end:
                break
        lost[0] = cursor.frames.num_errors
        if last is not None:
            _check_reaches(path, reach, *last)


def _read_frames(
    path: str | Path, times: Sequence[float] | np.ndarray, short_side: int | None, info: VideoInfo, may_seek: bool
) -> UInt8[Tensor, "t h w 3"]:
    wanted = np.asarray(times, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    picked: list[np.ndarray] = [np.empty(0)] * len(wanted)
    convert = Converter(short_side, (info.height, info.width))
    with opened(path) as (container, stream):
        cursor = Cursor(path, container, stream, may_seek=may_seek, time_limit=TIME_LIMIT)
        last_stamp, pixels = -math.inf, np.empty(0)
        for position in order:
            stamp, frame = cursor.nearest(wanted[position])
            if cursor.at_end and not cursor.frames.num_errors:
                _check_reaches(path, wanted[position], stamp, frame)
            check_near(path, info, wanted[position], stamp, is_damaged=cursor.frames.num_errors > 0)
            if stamp != last_stamp:  # short clips repeat frames
                last_stamp, pixels = stamp, convert(frame)
            picked[position] = pixels
    return torch.from_numpy(np.stack(picked))
