"""Opens one video and notes all that can be wrong with it: what it holds, how its frames lie in time, what moves."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from mv2mae.data.check.motion import PICTURE_SIDE, Motion, MotionTracker
from mv2mae.data.layout import is_irregular, is_joined
from mv2mae.data.media import GapError, opened
from mv2mae.data.pixels import as_displayed, displayed_size, orientation, scaled_size
from mv2mae.data.video import (
    VideoError,
    VideoInfo,
    decode_video,
    frames_between,
    is_item,
    is_there,
    read_frames,
    read_info,
)

_THUMBNAIL_STEP = 3
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_QUICK_BYTES = 1 << 16
TAIL_SECONDS = 0.25
"""A video that ends this much before its time, or 2.5 frames, is cut off."""


@dataclass(frozen=True)
class Scan:
    """What was found in one file.

    Attributes:
        path: the file, or the item of a store.
        kind, reason: why it cannot be used, if so: `missing`, `empty`, `truncated`, `unreadable` or `hangs`.
        info: what the header says.
        num_decoded: frames that could be decoded; None after a quick look.
        end: when the last frame stops being shown, in seconds.
        promised_end: when it should, by the header.
        num_damaged: decoded frames that FFmpeg had to guess parts of.
        irregular: share of intervals between frames that differ from the usual one.
        num_interlaced: decoded frames that are two half pictures, taken one after the other.
        is_joined: another file of the same kind lies behind the end of an MP4, which no program reads.
        sizes: of the frames as displayed, (width, height), in the order of their appearance.
        num_gaps: frames that are missing between others, judged by the time stamps.
        motion: for the synchronisation; None after a quick look.
        thumbnails: first, middle and last frame, small and grey; none after a quick look.
        digest: of all bytes of the file (after a quick look: of its size, head and tail); an item of a store has none.
    """

    path: str
    kind: str = ""
    reason: str = ""
    info: VideoInfo | None = None
    num_decoded: int | None = None
    end: float = 0.0
    promised_end: float = 0.0
    num_damaged: int = 0
    num_interlaced: int = 0
    is_joined: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    irregular: float = 0.0
    num_gaps: int = 0
    motion: Motion | None = None
    thumbnails: list[UInt8[np.ndarray, "h w"]] = field(default_factory=list)
    digest: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before the time that its header gives."""
        if self.info is None:
            return self.kind == "truncated"
        return self.end < self.promised_end - max(TAIL_SECONDS, 2.5 / self.info.fps)


def scan(path: str, *, quick: bool = False) -> Scan:
    """Looks at one video; never raises because of what the file holds.

    Args:
        path: the file, or the item of a store.
        quick: read the header and decode the first and the last frame only.
    """
    try:
        info = read_info(path)
        promised, digest = info.end, ""
        if os.path.isfile(path):
            promised, digest = _promised_end(path, info), _digest(path, quick)
        if quick:
            with suppress(GapError):  # then it has to be looked at closely
                read_frames(path, [info.start, info.end - 1 / info.fps])
                return Scan(path, info=info, end=info.end, promised_end=promised, digest=digest)
        return _decoded(path, info, promised, digest)
    except VideoError as error:
        return Scan(path, kind=_kind(path, error.reason), reason=error.reason)
    except Exception as error:  # whatever a broken file brings about must not end the check of the others
        return Scan(path, kind="unreadable", reason=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def timing(times: np.ndarray) -> tuple[float, int]:
    """Share of irregular intervals between time stamps, and how many frames are missing between others."""
    steps = np.diff(times)
    if len(steps) < 2:
        return 0.0, 0
    usual = float(np.median(steps))
    irregular = is_irregular(steps)
    missing = np.round(steps[irregular] / usual) - 1
    return float(irregular.mean()), int(missing[missing > 0].sum())


def _kind(path: str, reason: str) -> str:
    """The kind of problem that a VideoError speaks of."""
    if not is_there(path):
        return "missing"
    known = {"the file is empty": "empty", "holds no frame": "empty", "is cut off": "truncated"}
    return next((kind for words, kind in known.items() if words in reason), "unreadable")


@dataclass(frozen=True)
class _Frame:
    """A frame, small and grey: seconds at which it is shown, and for how long (0 = not said)."""

    time: float
    picture: UInt8[np.ndarray, "h w"]
    shown: float = 0.0
    is_damaged: bool = False
    is_interlaced: bool = False
    size: tuple[int, int] | None = None


def _frames(path: str) -> Iterator[_Frame]:
    if is_item(path):
        video = decode_video(path, short_side=PICTURE_SIDE)
        for time, pixels in zip(video.times, video.frames.numpy(), strict=True):
            yield _Frame(float(time), (pixels @ _LUMA).round().astype(np.uint8))
        return
    reformatter, size = VideoReformatter(), None
    for time, frame in frames_between(path, None, None):
        size = size or scaled_size(*displayed_size(frame), PICTURE_SIDE)
        turn = orientation(frame)
        height, width = size[::-1] if turn[0] else size
        small = reformatter.reformat(frame, width, height, format="gray", interpolation=Interpolation.AREA, threads=1)
        shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        picture = np.ascontiguousarray(as_displayed(small.to_ndarray(), turn))
        whole = displayed_size(frame)[::-1]
        yield _Frame(time, picture, shown, frame.is_corrupt, frame.interlaced_frame, whole)


def _decoded(path: str, info: VideoInfo, promised: float, digest: str) -> Scan:
    """Decodes every frame, keeping the small pictures of three of them."""
    times, num_damaged, num_interlaced, tracker = [], 0, 0, MotionTracker()
    sizes: dict[tuple[int, int], None] = {}
    first = middle = np.empty((0, 0), np.uint8)
    for index, frame in enumerate(_frames(path)):
        first = frame.picture if index == 0 else first
        middle = frame.picture if index <= info.num_frames // 2 else middle
        tracker.add(frame.time, frame.picture.astype(np.float32))
        times.append(frame.time)
        num_damaged += frame.is_damaged
        num_interlaced += frame.is_interlaced
        sizes |= {frame.size: None} if frame.size else {}
    if not times:
        raise VideoError(path, "holds no frame that can be decoded")
    irregular, num_gaps = timing(np.array(times))
    return Scan(
        path,
        info=info,
        num_decoded=len(times),
        end=frame.time + (frame.shown or 1 / info.fps),
        promised_end=promised,
        num_damaged=num_damaged,
        num_interlaced=num_interlaced,
        is_joined=is_joined(path),
        sizes=tuple(sizes),
        irregular=irregular,
        num_gaps=num_gaps,
        motion=tracker.motion(),
        thumbnails=[_thumbnail(picture) for picture in (first, middle, frame.picture)],
        digest=digest,
    )


def _promised_end(path: str, info: VideoInfo) -> float:
    """When the last frame should stop being shown, by the header of the file."""
    with opened(path) as (container, stream):
        if stream.frames or "matroska" not in container.format.name:
            return max(info.end, info.promised_end)
        return max(info.end, _matroska_end(container, stream))


def _matroska_end(container: InputContainer, stream: VideoStream) -> float:
    """Most writers note the end of each track; all note that of the file, which sound may outlast."""
    whole = (container.duration or 0) / 1e6
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = match.groups()
        return min(whole, 3600 * int(hours) + 60 * int(minutes) + float(seconds))
    return 0.0 if container.streams.audio else whole


def _thumbnail(picture: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    step = _THUMBNAIL_STEP
    height, width = (side // step * step for side in picture.shape)
    blocks = picture[:height, :width].reshape(height // step, step, width // step, step)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _digest(path: str, quick: bool) -> str:
    digest, size = hashlib.blake2b(digest_size=16), os.path.getsize(path)
    with open(path, "rb") as file:
        if quick:
            digest.update(str(size).encode() + file.read(_QUICK_BYTES))
            file.seek(max(0, size - _QUICK_BYTES))
            digest.update(file.read(_QUICK_BYTES))
        else:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
