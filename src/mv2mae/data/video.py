"""Reading videos: what one holds, the frames nearest to given times, all of it at a small size.

A path names a file (`video_file`), an item of a store (`store.reader`) or an image sequence (`images`); this module
alone tells them apart.
Times are seconds on the file's own clock (its presentation time stamps; where that clock starts again, as if it had
gone on), so that videos of different frame rates, variable ones included, are read at the same moments. Pixels are
uint8 RGB, frames [t, h, w, 3].
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.decoded_video import DecodedVideo
from mv2mae.data.images import ImageSequence, is_sequence, open_sequence
from mv2mae.data.media import VideoError, check_memory, check_size, guarded
from mv2mae.data.pixels import Converter, scaled_size
from mv2mae.data.store.reader import StoredVideo, open_item
from mv2mae.data.video_file import frames_of_file, info_of_file, read_file
from mv2mae.data.video_info import VideoInfo, frames_within


def read_info(path: str | Path) -> VideoInfo:
    """Reads the header, the index (or else the packets) and the first frame of a video.

    Raises:
        VideoError: the file is missing, empty, no video, or beyond what is read here.
    """
    if (item := _item(path)) is not None:
        return item.info
    return info_of_file(path)


probe = read_info
"""The name that it had in 0.2.0, for scripts that use it."""


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
    if (item := _item(path)) is not None:
        return item.read(times, short_side=short_side)
    return read_file(path, times, short_side)


def decode_video(
    path: str | Path, *, short_side: int | None = None, start: float | None = None, end: float | None = None
) -> DecodedVideo:
    """Decodes a video, or the part from `start` to `end` in seconds; `short_side` as in `read_frames`.

    Damaged frames are left out.

    Raises:
        VideoError: the file cannot be decoded, or does not fit into memory.
    """
    if is_item(path):
        item = open_item(str(path))
        return DecodedVideo(item.read_all(short_side=short_side), item.times, item.info, str(path))
    info = read_info(path)
    size = scaled_size(info.height, info.width, short_side)
    room = frames_within(info, start, end)
    check_size(path, *size)
    check_memory(path, room, *size)
    pixels, times = np.empty((room, *size, 3), np.uint8), list[float]()
    convert, lost = Converter(short_side, (info.height, info.width)), [0]
    with guarded(path):
        for time, frame in frames_between(path, start, end, lost=lost):
            if len(times) == len(pixels):
                pixels = np.concatenate([pixels, np.empty_like(pixels[: len(pixels) // 4 + 8])])
            pixels[len(times)] = convert(frame)
            times.append(time)
    if not times:
        raise VideoError(path, "holds no frame that can be decoded")
    frames = torch.from_numpy(pixels[: len(times)])
    return DecodedVideo(frames, np.asarray(times), info, str(path), lost[0] > 0, start, end)


def frames_between(
    path: str | Path,
    start: float | None,
    end: float | None,
    *,
    reach: float = -math.inf,
    lost: list[int] | None = None,
) -> Iterator[tuple[float, VideoFrame]]:
    """The frames of a file and their times, not scaled, damaged ones left out.

    They go from the last one up to `start` to the first one from `end` on.

    Args:
        path: the video, no item of a store.
        start, end: seconds on the file's clock; None = from the first, to the last.
        reach: a moment at which there must still be a frame.
        lost: its one number becomes that of the packets that could not be decoded.

    Raises:
        GapError: after the last frame, if it comes more than a quarter of a second before `reach`.
        VideoError: the file cannot be decoded.
    """
    lost = [0] if lost is None else lost
    if (pictures := _pictures(path)) is not None:
        return pictures.between(start, end, reach, lost)
    return frames_of_file(path, start, end, reach, lost)


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


def _item(path: str | Path) -> StoredVideo | ImageSequence | None:
    """What `path` names, if it is no file."""
    return open_item(str(path)) if is_item(path) else _pictures(path)


def _pictures(path: str | Path) -> ImageSequence | None:
    return open_sequence(path) if "%" in str(path) and is_sequence(path) else None
