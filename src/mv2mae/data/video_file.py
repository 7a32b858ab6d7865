"""Reading video files with PyAV."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.frames import TIME_LIMIT, Cursor, Frames, counts_frames
from mv2mae.data.layout import check_not_cut, layout_from_index, layout_from_packets
from mv2mae.data.media import GapError, SeekMissed, check_memory, check_size, opened
from mv2mae.data.pixels import Converter, displayed_size, is_plain, scaled_size
from mv2mae.data.video_info import MISSING_TAIL_SECONDS, Timing, VideoInfo, check_near

_FIRST_FRAMES = 16
"""Within so many, stamps that are shuffled show it."""


def info_of_file(path: str | Path) -> VideoInfo:
    """What a file holds, by its header, its index (or else its packets) and its first frame.

    Raises:
        VideoError: the file is missing, empty, no video, or beyond what is read here.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # `opened` says why
        return _read_info(str(path), 0, 0)
    return _read_info(str(path), status.st_size, status.st_mtime_ns)


def read_file(
    path: str | Path, times: Sequence[float] | np.ndarray, short_side: int | None
) -> UInt8[Tensor, "t h w 3"]:
    """The frames nearest to some moments (`video.read_frames`).

    Raises:
        VideoError: the file cannot be decoded, or `GapError`, these frames of it.
    """
    info = info_of_file(path)
    check_size(path, *scaled_size(info.height, info.width, short_side))
    check_memory(path, len(np.unique(times)), *scaled_size(info.height, info.width, short_side))
    try:
        return _read_frames(path, times, short_side, info, may_seek=info.may_seek)
    except SeekMissed:  # the index lied, or the format has none (MPEG-TS): decode from the start
        return _read_frames(path, times, short_side, info, may_seek=False)


def frames_of_file(
    path: str | Path, start: float | None, end: float | None, reach: float, lost: list[int]
) -> Iterator[tuple[float, VideoFrame]]:
    """As `video.frames_between`; `lost` is told the number of packets that could not be decoded."""
    info = info_of_file(path)
    try:
        yield from _frames_between(path, start, end, reach, lost, info, may_seek=start is not None and info.may_seek)
    except SeekMissed:  # before the first frame was given
        yield from _frames_between(path, start, end, reach, lost, info, may_seek=False)


@lru_cache(maxsize=1 << 16)
def _read_info(path: str, size: int, changed: int) -> VideoInfo:
    """`info_of_file` of a file of that size and time of change."""
    with opened(path) as (container, stream):
        frames = Frames(path, container, stream, time_limit=TIME_LIMIT)
        opening = frames.next()
        if opening is None:
            check_not_cut(path, stream)
            raise frames.nothing()
        start, (height, width) = opening[0], displayed_size(opening[1])
        plain = is_plain(opening[1])
        check_size(path, height, width)
        is_shuffled = counts_frames(container, stream) or _are_of_decoding(frames)
        layout = layout_from_index(path, stream, start)
    if layout is None:
        with opened(path) as (container, stream):
            layout = layout_from_packets(path, container, stream, start)
    timing: Timing = "count" if layout.is_counted else "order" if is_shuffled else "stamps"
    may_seek = timing == "stamps" and layout.is_stamped and not layout.num_jumps
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
        timing=timing,
        may_seek=may_seek,
        plain=plain and may_seek and not layout.holes,
    )


def _are_of_decoding(frames: Frames) -> bool:
    """Whether the stamps of a file, whose first frame was read, are those of decoding, which B-frames shuffle.

    So are those of raw H.264 put into MP4 (`ffmpeg -r 30 -i camera.h264 -c copy`). They rise from packet to packet, and
    go back from frame to frame.
    """
    for _ in range(_FIRST_FRAMES if frames.stream.codec_context.has_b_frames else 0):
        if frames.reorders or frames.num_back or frames.next() is None:
            break
    return frames.num_back > 0 and not frames.reorders


def _check_reaches(path: str | Path, wanted: float, stamp: float, frame: VideoFrame) -> None:
    """Refuses to show the last frame for a time long after it, unless the file says that it is shown so long."""
    shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    if wanted > stamp + shown + MISSING_TAIL_SECONDS:
        raise GapError(path, f"is cut off: frames end at {stamp:.2f} s, {wanted:.2f} s was expected")


def _frames_between(
    path: str | Path,
    start: float | None,
    end: float | None,
    reach: float,
    lost: list[int],
    info: VideoInfo,
    may_seek: bool,
) -> Iterator[tuple[float, VideoFrame]]:
    with opened(path) as (container, stream):
        cursor, last = Cursor(path, container, stream, info, may_seek=may_seek), None
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
        cursor = Cursor(path, container, stream, info, may_seek=may_seek, time_limit=TIME_LIMIT)
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
