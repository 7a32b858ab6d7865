"""The one place where video files are opened for reading, whichever version of PyAV is installed.

Files may come from anybody. Only containers that hold their own pictures are opened: playlists, drawings and texts
would make FFmpeg read further files and addresses. What a file asks to make room for is limited before it is made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from mv2mae.data.free_memory import free_memory
from mv2mae.data.stopwatch import timed
from mv2mae.errors import InputError

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf,mxf,dv,nut,ivf,"
    "h264,hevc,vvc,obu,m4v,mpegvideo,mjpeg,yuv4mpegpipe"
)
"""FFmpeg's names of formats that hold their own pictures. Others (HLS, DASH, concat) are lists of further files and
addresses, which FFmpeg would open; GIF, SVG and single pictures are no recordings."""
MAX_PIXELS = 1 << 26
"""Of a frame, as stored and as scaled (8192 x 8192)."""
MAX_ASPECT = 16
"""Longer side by shorter side as displayed: a frame of 16 x 8192 pixels grows without bounds when it is scaled to a
model's short side."""
MAX_FRAMES = 100_000_000
_ALWAYS_FITS = 1 << 26
"""Bytes; for less nobody is asked whether there is room."""
_LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""Titles that are not UTF-8 must not keep a video shut: newer versions read them without being told to."""
_PREVIEWS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


class VideoError(InputError):
    """A file that cannot be read as a video; `path` and `reason` say which and why."""

    def __init__(self, path: str | Path, reason: str = "") -> None:
        super().__init__(f"{path}: {reason}" if reason else str(path))
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[Any, ...]:  # crosses process borders
        return type(self), (self.path, self.reason)


class GapError(VideoError):
    """Frames that were asked for are missing or damaged; the rest of the file can be read."""


class SeekMissed(Exception):
    """A jump landed behind the wanted frame."""


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video for one decoding thread and gives the stream that FFmpeg takes for the main one.

    Raises:
        VideoError: no such file, no video, a kind of file that is not read here, or frames beyond the limits;
            whatever else is raised while the file is open becomes one, too.
    """
    check_file(path)
    with guarded(path), timed("open, seek")(_open)(path) as container:
        yield container, _main_stream(path, container)


@contextmanager
def guarded(path: str | Path) -> Iterator[None]:
    """Whatever is raised inside, while a file is read, becomes a VideoError about that file."""
    try:
        yield
    except (InputError, SeekMissed):
        raise
    except MemoryError as error:
        raise VideoError(path, "needs more memory than there is") from error
    except Exception as error:
        raise VideoError(path, _said(path, error)) from error


def check_size(path: str | Path, height: int, width: int) -> None:
    """Raises VideoError if frames of this size, in pixels as displayed, are not read here."""
    if min(height, width) < 1:
        raise VideoError(path, "has frames without a size")
    if height * width > MAX_PIXELS:
        raise VideoError(path, f"has frames of {width} x {height} pixels; at most {MAX_PIXELS:,} pixels are read")
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise VideoError(path, f"has frames of {width} x {height} pixels; at most {MAX_ASPECT} times as long as wide")


def check_memory(path: str | Path, num_frames: int, height: int, width: int) -> None:
    """Raises VideoError if so many frames of RGB pixels do not fit into the memory that is free."""
    wanted = num_frames * height * width * 3
    if wanted > _ALWAYS_FITS and wanted > 0.8 * (free := free_memory()):
        raise VideoError(
            path,
            f"takes {wanted / 2**30:,.1f} GB as {num_frames:,} frames of {width} x {height} pixels, "
            f"{free / 2**30:,.1f} GB are free; scale or cut it",
        )


def check_file(path: str | Path) -> None:
    """Raises VideoError unless there is a regular file that is not empty and may be read."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise VideoError(path, f"cannot be opened ({error.strerror})") from error
        raise VideoError(path, "no such file") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "no such file: it is a folder, a pipe or a device")
    if status.st_size == 0:
        raise VideoError(path, "the file is empty")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "cannot be opened (Permission denied)")


def _open(path: str | Path) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes in the name that are no UTF-8
        return av.open(open(path, "rb"), options=options, **_LENIENT)
    # with the protocol, or a colon in the name would be taken for the end of one
    return av.open(f"file:{name}", options=options, **_LENIENT)


def _main_stream(path: str | Path, container: InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & _PREVIEWS]
    streams = streams or list(container.streams.video)
    if not streams:
        raise VideoError(path, "holds no video stream")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if best is not None and stream.index == best.index), None)
    stream = stream or max(streams, key=lambda stream: (stream.codec_context is not None, stream.frames))
    codec = stream.codec_context
    if codec is None:
        raise VideoError(path, "holds pictures of a kind for which there is no decoder here")
    if codec.width and codec.height:
        check_size(path, codec.height, codec.width)
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # sizes may change later in the file
    codec.thread_count = 1  # loader workers are the parallelism
    return stream


def _said(path: str | Path, error: Exception) -> str:
    """What an exception says, in one line."""
    if _is_text(path):
        return "is a text (a playlist, a drawing, a list), no video; give MP4, MOV, MKV, WebM, AVI, MPEG, FLV or Ogg"
    if isinstance(error, av.error.ArgumentError):  # FFmpeg's word for what is not on the list of formats, too
        return "cannot be decoded: not a kind of video that is read here; give MP4, MOV, MKV, WebM, AVI, MPEG or Ogg"
    if isinstance(error, av.FFmpegError):
        return f"cannot be decoded ({error.strerror or type(error).__name__})"
    return f"cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _is_text(path: str | Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError:
        return False
    return head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"<", b"#", b"[") or head.startswith(b"ffconcat")
