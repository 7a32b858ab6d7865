"""Writing frames: H.264 in MP4 by PyAV, and PNG."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mv2mae.errors import InputError
from mv2mae.files import atomic_write

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room_on_disk(path: Path) -> Iterator[None]:
    """Turns what writing to `path` raises when the disk (or the user's share of it) is full into one clear line.

    Raises:
        InputError: there is no room left.
    """
    try:
        yield
    except OSError as error:  # FFmpeg's own errors are OSErrors too
        if error.errno not in _FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"no room left for {path} (the disk has {free / 1e6:,.1f} MB free); free some or give another folder, and "
            "run the same command again: it goes on where it stopped"
        ) from error


def write_video(path: str | Path, frames: np.ndarray, *, fps: float, crf: int | None) -> None:
    """Encodes [t, h, w, 3] uint8 as H.264 (yuv420p); the file appears under its name only when it is whole.

    One thread and no time stamp of creation: equal frames give equal bytes.

    Args:
        path: an .mp4.
        frames: RGB.
        fps: frames a second.
        crf: quality, 0 to 51; None = without any loss, in RGB.

    Raises:
        InputError: the disk is full; no part of the file is left.
    """
    path = Path(path)
    with room_on_disk(path), atomic_write(path) as temporary:
        _encode(temporary, frames, fps, crf)


def _encode(path: Path, frames: np.ndarray, fps: float, crf: int | None) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        # mbtree off: its AVX-512 code reads memory it did not write, so equal frames would give unequal bytes.
        options = {"crf": str(crf or 0), "preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream(
            "libx264rgb" if crf is None else "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
        )
        stream.width, stream.height, stream.pix_fmt = (
            frames.shape[2],
            frames.shape[1],
            "rgb24" if crf is None else "yuv420p",
        )
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
