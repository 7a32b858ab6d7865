"""Reading videos with PyAV: what a file holds, the frames nearest to given times, a whole video at a small size.

Times are seconds on the file's own clock (its presentation time stamps), so that videos of different frame
rates, variable ones included, are read at the same moments. Pixels are uint8 RGB, frames [t, h, w, 3].
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float64, UInt8
from torch import Tensor

from mv2mae.data.media import open_container
from mv2mae.data.pixels import Converter, displayed_size
from mv2mae.data.stopwatch import timed, timed_items
from mv2mae.errors import InputError

if TYPE_CHECKING:
    from mv2mae.data.store.reader import StoredVideo

_BLIND_SEEK_SECONDS = 3.0
"""Without an index of key frames a jump is tried only over gaps longer than this."""
MISSING_TAIL_SECONDS = 0.25
"""A video that ends earlier than this before a wanted frame is reported as cut off, not frozen."""


class VideoError(InputError):
    """A file that cannot be read as a video; `path` and `reason` say which and why."""

    def __init__(self, path: str | Path, reason: str = "") -> None:
        super().__init__(f"{path}: {reason}" if reason else str(path))
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[Any, ...]:  # crosses process borders
        return VideoError, (self.path, self.reason)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: rates in frames a second, sizes in pixels as displayed, times in seconds."""

    fps: float
    num_frames: int
    width: int
    height: int
    duration: float
    start: float = 0.0
    """Time stamp of the first frame; the last frame stops being shown at `end`."""

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
    """A whole video in memory: `frames` and the time stamp of each."""

    frames: UInt8[Tensor, "t h w 3"]
    times: Float64[np.ndarray, " t"]
    info: VideoInfo

    @timed("copy from memory")
    def at(self, times: Sequence[float] | np.ndarray) -> UInt8[Tensor, "n h w 3"]:
        """The frames nearest to `times` (the earlier one of two equally near)."""
        index = nearest_index(self.times, np.asarray(times, dtype=np.float64))
        # index_select copies whole frames; frames[index] goes pixel by pixel, 0.9 instead of 0.06 ms a clip
        return self.frames.index_select(0, torch.from_numpy(index))


def nearest_index(frame_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the entry of the rising `frame_times` nearest to each of `times`; the earlier one of two."""
    right = np.searchsorted(frame_times, times).clip(0, len(frame_times) - 1)
    left = (right - 1).clip(0)
    return np.where(times - frame_times[left] <= np.abs(frame_times[right] - times), left, right)


def probe(path: str | Path) -> VideoInfo:
    """Reads the header and the first frame of a video.

    Raises:
        VideoError: the file is missing, empty, cut off, or no video.
    """
    if (item := _stored(path)) is not None:
        return item.info
    with _opened(path) as (container, stream):
        _check_complete(path, stream)
        num_frames, rate, time_base = stream.frames, stream.average_rate or stream.guessed_rate, stream.time_base
        duration = float(stream.duration * time_base) if stream.duration and time_base else 0.0
        opening = next(_timed_frames(container, stream), None)
        if opening is None:
            raise VideoError(path, "holds no frame that can be decoded")
        start, (height, width) = opening[0], displayed_size(opening[1])
    if not num_frames or not duration:  # Matroska, MPEG-TS: the header does not say, so the packets are counted
        num_frames, duration = _count_packets(path, start)
        duration = duration or num_frames / float(rate or 25)
        if rate and not 0.9 < float(rate) * duration / num_frames < 1.1:
            rate = None  # a nominal rate: browsers write 1000 a second
    return VideoInfo(
        fps=float(rate) if rate else num_frames / duration,
        num_frames=num_frames,
        width=width,
        height=height,
        duration=duration,
        start=start,
    )


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
        VideoError: the file cannot be decoded, or ends more than a quarter of a second before a wanted frame.
    """
    if (item := _stored(path)) is not None:
        return item.read(times, short_side=short_side)
    try:
        return _read_frames(path, times, short_side, may_seek=True)
    except _SeekMissed:  # the index lied, or the format has none (MPEG-TS): decode from the start
        return _read_frames(path, times, short_side, may_seek=False)


def decode_video(path: str | Path, *, short_side: int | None = None) -> DecodedVideo:
    """Decodes a whole video; `short_side` as in `read_frames`.

    Raises:
        VideoError: the file cannot be decoded.
    """
    if (item := _stored(path)) is not None:
        return DecodedVideo(item.read_all(short_side=short_side), item.times, item.info)
    info = probe(path)
    frames, times, convert = [], [], Converter(short_side)
    with _opened(path) as (container, stream):
        for time, frame in _timed_frames(container, stream):
            times.append(time)
            frames.append(convert(frame))
    if not frames:
        raise VideoError(path, "holds no frame that can be decoded")
    _check_reaches(path, info.end - 1 / info.fps, time, frame)
    return DecodedVideo(torch.from_numpy(np.stack(frames)), np.asarray(times), info)


def frames_between(
    path: str | Path, start: float | None, end: float | None, *, reach: float = -math.inf
) -> Iterator[tuple[float, VideoFrame]]:
    """The frames of a file, not scaled, from the last one up to `start` to the first one from `end` on, with times.

    Args:
        path: the video, no item of a store.
        start, end: seconds on the file's clock; None = from the first, to the last.
        reach: a moment at which there must still be a frame.

    Raises:
        VideoError: the file cannot be decoded, or ends more than a quarter of a second before `reach`.
    """
    try:
        yield from _frames_between(path, start, end, reach, may_seek=True)
    except _SeekMissed:  # before the first frame was given
        yield from _frames_between(path, start, end, reach, may_seek=False)


def is_there(path: str | Path) -> bool:
    """Whether there is such a file, or a shard that may hold such an item of a store (a URL is taken at its word)."""
    file, hash_sign, _ = str(path).rpartition(".tar#")
    return "://" in str(path) or os.path.isfile(f"{file}.tar" if hash_sign else path)


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------------------------------------------------


class _SeekMissed(Exception):
    """A jump landed behind the wanted frame."""


def _stored(path: str | Path) -> StoredVideo | None:
    """The item of a store that `path` names (`FOLDER/shard-000000.tar#KEY`), or None where it names a file."""
    if ".tar#" not in str(path):
        return None
    from mv2mae.data.store.reader import open_item  # which reads its items with what stands here

    return open_item(str(path))


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video for one decoding thread; whatever FFmpeg raises inside becomes a VideoError."""
    if not os.path.isfile(path):
        raise VideoError(path, "no such file")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty")
    try:
        with timed("open, seek")(open_container)(path) as container:
            if not container.streams.video:
                raise VideoError(path, "holds no video stream")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # loader workers are the parallelism
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(path, f"cannot be decoded ({error.strerror or type(error).__name__})") from error


def _check_complete(path: str | Path, stream: VideoStream) -> None:
    """A file whose index points past its end was cut off while it was copied or written."""
    entries = stream.index_entries
    if len(entries):
        last = entries[len(entries) - 1]
        if last.pos + last.size > os.path.getsize(path):
            raise VideoError(path, "is cut off: its index points beyond the end of the file")


def _check_reaches(path: str | Path, wanted: float, stamp: float, frame: VideoFrame) -> None:
    """Refuses to show the last frame for a time long after it, unless the file says that it is shown so long."""
    shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    if wanted > stamp + shown + MISSING_TAIL_SECONDS:
        raise VideoError(path, f"is cut off: frames end at {stamp:.2f} s, {wanted:.2f} s was expected")


def _counts_frames(container: InputContainer, stream: VideoStream) -> bool:
    """AVI stores no display times: with B-frames the stamps come out shuffled, and only counting is right."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _timed_frames(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Frames from the decoder's present position on, with rising time stamps in seconds."""
    counted, rate, last = _counts_frames(container, stream), float(stream.average_rate or 25), -math.inf
    for index, frame in enumerate(timed_items("decode", container.decode(stream))):
        time = index / rate if counted or frame.time is None else frame.time
        if time > last:  # a stamp that goes back is a muxer's slip
            last = time
            yield time, frame


def _count_packets(path: str | Path, start: float) -> tuple[int, float]:
    """Number of frames and duration in seconds (0 if without time stamps) from the packets, not decoded."""
    count, end, step = 0, start, 0.0
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        for packet in container.demux(stream):
            count += bool(packet.size)
            if packet.size and packet.pts is not None and packet.time_base is not None:
                step = float(packet.duration * packet.time_base) if packet.duration else float(1 / (rate or 25))
                end = max(end, float(packet.pts * packet.time_base) + step)
    return max(count, 1), end - start


class _Cursor:
    """Walks through a video and finds the frame nearest to each of rising times."""

    def __init__(self, container: InputContainer, stream: VideoStream, may_seek: bool) -> None:
        self.container, self.stream = container, stream
        self.may_seek = may_seek and not _counts_frames(container, stream)
        self.before: tuple[float, VideoFrame] | None = None
        self.here: tuple[float, VideoFrame] | None = None
        self.frames = _timed_frames(container, stream)
        self.at_end = False

    def nearest(self, time: float) -> tuple[float, VideoFrame]:
        """The frame nearest to `time`, and its time stamp; the earlier one of two equally near."""
        if self.may_seek:
            self._jump(time)
        while self.here is None or self.here[0] < time:
            following = next(self.frames, None)
            if following is None:
                self.at_end = True
                break
            self.before, self.here = self.here, following
        if self.here is None:
            raise av.InvalidDataError(1, "no frame")
        if self.before is not None and time - self.before[0] <= abs(self.here[0] - time):
            return self.before
        return self.here

    @timed("open, seek")
    def _jump(self, time: float) -> None:
        """Seeks to the last key frame before `time` if that lies ahead of the present position."""
        if not self._pays(time):
            return
        assert self.stream.time_base is not None
        margin = (1 + self.stream.codec_context.reorder_depth) / float(self.stream.average_rate or 25)
        self.container.seek(int((time - margin) / self.stream.time_base), stream=self.stream)
        self.frames = _timed_frames(self.container, self.stream)
        self.before, self.here = None, next(self.frames, None)
        if self.here is None or self.here[0] > time:
            raise _SeekMissed

    def _pays(self, time: float) -> bool:
        """Whether a jump to `time` skips frames, by the file's index where there is one."""
        start = float((self.stream.start_time or 0) * (self.stream.time_base or 0))
        position = self.here[0] if self.here else start
        entries, rate = self.stream.index_entries, float(self.stream.average_rate or 25)
        if len(entries) <= 1 or self.stream.time_base is None:
            return time - position > _BLIND_SEEK_SECONDS
        margin = (1 + self.stream.codec_context.reorder_depth) / rate
        found = entries.search_timestamp(int((time - margin) / self.stream.time_base), backward=True)
        return found >= 0 and float(entries[found].timestamp * self.stream.time_base) > position + margin


def _frames_between(
    path: str | Path, start: float | None, end: float | None, reach: float, may_seek: bool
) -> Iterator[tuple[float, VideoFrame]]:
    with _opened(path) as (container, stream):
        cursor, last = _Cursor(container, stream, may_seek), None
        if start is not None:
            cursor.nearest(start)
        opening = [f for f in (cursor.before, cursor.here) if f is not None]
        if len(opening) == 2 and opening[1][0] == start:
            del opening[0]
        for last in itertools.chain(opening, cursor.frames):
            yield last
            if end is not None and last[0] >= end:
                break
        if last is not None:
            _check_reaches(path, reach, *last)


def _read_frames(
    path: str | Path, times: Sequence[float] | np.ndarray, short_side: int | None, may_seek: bool
) -> UInt8[Tensor, "t h w 3"]:
    wanted = np.asarray(times, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    picked: list[np.ndarray] = [np.empty(0)] * len(wanted)
    convert = Converter(short_side)
    with _opened(path) as (container, stream):
        cursor, last_stamp, pixels = _Cursor(container, stream, may_seek), -math.inf, np.empty(0)
        for position in order:
            stamp, frame = cursor.nearest(wanted[position])
            if cursor.at_end:
                _check_reaches(path, wanted[position], stamp, frame)
            if stamp != last_stamp:  # short clips repeat frames
                last_stamp, pixels = stamp, convert(frame)
            picked[position] = pixels
    return torch.from_numpy(np.stack(picked))
