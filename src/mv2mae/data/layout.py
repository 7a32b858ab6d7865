"""How the frames of a file lie in time, from its index or else from its packets; nothing is decoded."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float64

from mv2mae.data.frames import Clock, far_apart, shown_packets, stated_rate
from mv2mae.data.media import MAX_FRAMES, VideoError

_IRREGULAR_SHARE = 0.25
"""An interval that differs from the median by more than this share of it (and 1.5 ms) is irregular."""
_LONGEST_LAST = 1.0
"""Seconds for which a last frame is shown at most, whatever its file says."""
_MOST_BOXES = 100_000
_SHARED_STAMPS = 0.75
"""Distinct time stamps, as a share of frames, below which they tell nothing: one holds for several frames."""


@dataclass(frozen=True)
class Layout:
    """Frames that are shown, on the file's clock, in seconds.

    Attributes:
        num_frames: how many.
        end: when the last one stops being shown.
        fps: frames a second, by the usual interval.
        holes: from the last frame before each hole to the first one after it.
        num_jumps: how often the clock starts again or jumps.
        is_stamped: whether every frame has a time stamp, by which it can be found.
        is_counted: whether stamps tell nothing, so that frames follow each other at `fps`.
        promised_end: when the last frame would stop being shown if the file had not been cut off.
    """

    num_frames: int
    end: float
    fps: float
    holes: tuple[tuple[float, float], ...] = ()
    num_jumps: int = 0
    promised_end: float = 0.0
    is_stamped: bool = True
    is_counted: bool = False


def is_irregular(steps: Float64[np.ndarray, " n"]) -> np.ndarray:
    """Which of the intervals between frames differ from the usual one, the median."""
    usual = float(np.median(steps))
    return np.abs(steps - usual) > _IRREGULAR_SHARE * usual + 0.0015


def usual_rate(times: Sequence[float] | np.ndarray, header: float) -> float:
    """Frames a second by the usual interval; where there is none, by their number; 0 if that cannot be told.

    Args:
        times: rising seconds.
        header: what the file says, which is exact where it is right within a hundredth; 0 = nothing.
    """
    steps = np.diff(np.asarray(times, dtype=np.float64))
    steps = steps[steps > 0]
    if not len(steps):
        return header
    regular = steps[~is_irregular(steps)]
    mean = float(regular.mean()) if len(regular) > len(steps) / 2 else float(steps.mean())
    return header if header and abs(header * mean - 1) < 0.01 else 1 / mean


def find_holes(times: Sequence[float] | np.ndarray) -> tuple[tuple[float, float], ...]:
    """Pairs of following `times`, in seconds, so far apart that frames are missing: no clip may lie there."""
    stamps = np.asarray(times, dtype=np.float64)
    steps = np.diff(stamps)
    if len(steps) < 2:
        return ()
    wide = np.flatnonzero(steps > far_apart(1 / max(float(np.median(steps)), 1e-6)))
    return tuple((float(stamps[i]), float(stamps[i + 1])) for i in wide)


def layout_from_index(path: str | Path, stream: VideoStream, start: float) -> Layout | None:
    """The layout of a file whose first frame is shown at `start`; None if it has no whole index.

    Matroska, MPEG-TS, fragmented and unfinished files have none, or one that cannot be believed; that of AVIs joined
    by `cat` is the first one's.

    Raises:
        VideoError: not one frame is there.
    """
    if not stream.frames == len(stream.index_entries) > 1 or _is_joined_avi(path, stream):
        return None
    base, size = float(stream.time_base or 0), os.path.getsize(path)
    entries = [entry for entry in stream.index_entries if not entry.is_discard and entry.size > 0]
    stamps = np.array([entry.timestamp for entry in entries], dtype=np.float64) * base
    there = next((i for i, entry in enumerate(entries) if entry.pos + entry.size > size), len(entries))
    if there == 0:
        check_not_cut(path, stream)
    fps = usual_rate(stamps, _rate(stream)) or 25.0
    header = start + float(stream.duration or 0) * base
    by_index = start + (stamps[-1] - stamps[0]) + 1 / fps
    # stamps in the index are of decoding, which runs ahead of showing by a few frames; an edit list may hide the end
    end = header if header > by_index - 8 / fps else by_index
    if stream.codec_context.has_b_frames and is_irregular(np.diff(stamps)).any():  # nor can the header be believed then
        end = max(end, _last_shown(stream, stamps[-1]) + 1 / fps)
    holes = find_holes(stamps)
    if there == len(entries):
        return Layout(there, end, fps, holes)
    # decoding order runs ahead of showing order: what is surely there ends with the last stamp of decoding
    cut = max(start, stamps[there - 1]) + 1 / fps
    return Layout(there, cut, fps, tuple(hole for hole in holes if hole[1] < cut), promised_end=end)


def layout_from_packets(path: str | Path, container: InputContainer, stream: VideoStream, start: float) -> Layout:
    """The layout of a file, just opened, whose first frame is shown at `start`; it is read to its end.

    Raises:
        VideoError: more frames than are read here.
    """
    clock, stamps, count, last_shown, is_corrupt = Clock(container, stream), list[float](), 0, 0.0, False
    for packet in shown_packets(container, stream, clock):
        if packet.is_discard:
            continue
        is_corrupt = packet.is_corrupt
        if len(stamps) > MAX_FRAMES:
            raise VideoError(path, f"holds more than {MAX_FRAMES:,} frames")
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            count += 1
            if stamps:  # as decoding goes on
                stamps.append(stamps[-1] + 1 / (_rate(stream) or 25.0))
        elif packet.time_base is not None:
            stamps.append(float(stamp * packet.time_base))
            last_shown = float((packet.duration or 0) * packet.time_base)
    if is_corrupt and stamps:  # the file was cut off within it
        stamps.pop()
    rate = _rate(stream)
    stamps = _without_wild(stamps, 1 + stream.codec_context.has_b_frames, far_apart(rate or 25.0))
    times = np.unique([stamp for stamp in stamps if stamp > start - 0.5 / (rate or 1000)])
    if not len(times):
        return _by_number(max(count, 1), start, rate or 25.0)
    num_shown = sum(stamp >= times[0] for stamp in stamps)
    if len(times) < _SHARED_STAMPS * num_shown:
        span = float(times[-1] - times[0])
        mean = (num_shown - 1) / span if span else rate or 25.0
        return _by_number(num_shown, start, rate if rate and abs(rate / mean - 1) < 0.1 else mean)
    fps = usual_rate(times, rate) or 25.0
    end = float(times[-1]) + min(last_shown or 1 / fps, max(_LONGEST_LAST, 2 / fps))
    promised = _promise(container, stream, start, end)
    return Layout(len(times), end, fps, find_holes(times), clock.num_jumps, promised, is_stamped=not count)


def _without_wild(stamps: Sequence[float], lag: int, far: float) -> list[float]:
    """Leaves out stamps far ahead of one that comes `lag` frames later or after that, which no reordering explains."""
    earliest = np.minimum.accumulate(np.array(stamps)[::-1])[::-1]
    later = [*earliest[lag:], *[math.inf] * lag]
    return [stamp for stamp, least in zip(stamps, later, strict=False) if stamp <= least + far]


def _last_shown(stream: VideoStream, decoded: float) -> float:
    """When the last frame of an open file is shown, whose last packet is decoded at a moment; or else that moment."""
    base, container, shown = stream.time_base, stream.container, decoded
    if base is None or not isinstance(container, InputContainer):
        return decoded
    with suppress(av.FFmpegError):
        container.seek(int(decoded / base), stream=stream)
        for packet in container.demux(stream):
            stamp = float((packet.pts or 0) * base)
            if packet.size and not packet.is_discard and stamp < decoded + _LONGEST_LAST:  # what is later is wild
                shown = max(shown, stamp)
    return shown


def check_not_cut(path: str | Path, stream: VideoStream) -> None:
    """Raises VideoError if a file was cut off while it was copied or written, by its index."""
    entries = stream.index_entries
    if len(entries) and entries[len(entries) - 1].pos + entries[len(entries) - 1].size > os.path.getsize(path):
        raise VideoError(path, "is cut off: its index points beyond the end of the file")


def is_joined(path: str | Path) -> bool:
    """Whether an MP4 was joined with another one byte by byte, so that all but the first are never seen."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        size, place, num_heads = os.path.getsize(path), 0, 0
        for _ in range(_MOST_BOXES):
            file.seek(place)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            length = int.from_bytes(head[8:16], "big") if length == 1 else length or size
            num_heads += kind == b"ftyp"
            if num_heads > 1:
                return True
            place += max(length, 8)
            if not num_heads or place + 8 > size:
                break
    return False


def _is_joined_avi(path: str | Path, stream: VideoStream) -> bool:
    if stream.container.format.name != "avi":
        return False
    with open(path, "rb") as file:
        head = file.read(8)
        file.seek(8 + int.from_bytes(head[4:], "little"))
        behind = file.read(12)
    return head[:4] == b"RIFF" == behind[:4] and behind[8:] == b"AVI "  # parts of one large AVI are called AVIX


def _by_number(num_frames: int, start: float, fps: float) -> Layout:
    """The layout of a file without stamps that tell frames apart: one after the other."""
    return Layout(num_frames, start + num_frames / fps, fps, is_stamped=False, is_counted=True)


def _rate(stream: VideoStream) -> float:
    return float(stated_rate(stream) or stream.guessed_rate or 0)


def _promise(container: InputContainer, stream: VideoStream, start: float, end: float) -> float:
    """When a file ends by its header, if that is later and can be believed; writers to a pipe leave nonsense there."""
    duration, rate = float((stream.duration or 0) * (stream.time_base or 0)), _rate(stream)
    if not duration or not rate or not 0 < stream.frames < MAX_FRAMES:
        return 0.0
    if container.format.name == "avi":  # whose duration FFmpeg shortens to what the file may hold
        duration = max(duration, stream.frames / rate)
    is_sane = 0.9 < stream.frames / (rate * duration) < 1.1
    return start + duration if is_sane and start + duration > end else 0.0
