"""Image sequences: the frames of one camera as a folder of numbered pictures, or in a tar, read like a video.

`FOLDER/%06d.jpg@30` names the pictures 000000.jpg, 000001.jpg, ... of a folder (`%d`: numbers without leading zeros),
taken at 30 frames a second. A part of FOLDER may be a tar, which is read as if it were a folder. Frame n is shown at
n / 30 seconds, whether or not those before it are there, so that cameras that count alike stay in step.
"""

from __future__ import annotations

import math
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.layout import find_holes
from mv2mae.data.media import (
    MAX_FRAMES,
    MAX_PIXELS,
    GapError,
    VideoError,
    check_file,
    check_memory,
    check_size,
    guarded,
)
from mv2mae.data.pixels import Converter, displayed_size, scaled_size
from mv2mae.data.stopwatch import timed
from mv2mae.data.video_info import LOST_INTERVALS, MISSING_TAIL_SECONDS, VideoInfo, check_near, nearest_index
from mv2mae.errors import InputError

PICTURE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""By which pictures are known where a folder is looked through; what they are is told by their first bytes."""
_NAME = re.compile(
    r"(?:(?P<folder>.*)[/\\])?(?P<before>[^/\\]*?)%(?:0(?P<width>[1-9]))?d(?P<after>[^/\\]*)@(?P<rate>.+)"
)
_MAX_DIGITS = 18
_MAX_STEP = 100
"""Usual distance of the numbers by their common divisor; with more they are no numbers of frames, but moments."""
_MAX_PICTURE_BYTES = 1 << 29
_MOST_MEMBERS = 20_000_000
_DECODERS = (
    (b"\xff\xd8\xff", "mjpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"P6", "ppm"),
    (b"P5", "pgm"),
)


@dataclass(frozen=True, eq=False)
class ImageSequence:
    """The numbered pictures of one camera.

    Attributes:
        path: as the manifest names it.
        folder: of the pictures; part of it may be a tar.
        names: of the pictures, in their order.
        numbers: in their names, rising.
        rate: of the numbers (of each n-th one, where all lie n apart), a second.
        places: of each picture in `tar`, in bytes: where it begins and how long it is.
    """

    path: str
    folder: str
    names: Sequence[str]
    numbers: np.ndarray
    rate: float
    tar: str = ""
    places: Sequence[tuple[int, int]] = ()

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds at which the pictures are shown, rising."""
        return np.asarray(self.numbers / self._step / self.rate, dtype=np.float64)

    @cached_property
    def info(self) -> VideoInfo:
        """The same as a file would tell; the size is that of the first picture that can be read.

        Raises:
            VideoError: there is none, or it is beyond what is read here.
        """
        first: VideoFrame | None = None
        reason: VideoError | None = None
        for position in range(min(len(self.names), 100)):
            try:
                first = self.frame(position)
                break
            except VideoError as error:
                reason = reason or error
        if first is None:
            raise VideoError(self.path, f"holds no picture that can be read; first: {reason.reason if reason else ''}")
        height, width = displayed_size(first)
        check_size(self.path, height, width)
        return VideoInfo(
            fps=self.rate,
            num_frames=len(self.names),
            width=width,
            height=height,
            duration=float(self.times[-1] - self.times[0] + 1 / self.rate),
            start=float(self.times[0]),
            holes=find_holes(self.times),
            plain=False,
        )

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First and last number of each gap."""
        ends = np.flatnonzero(np.diff(self.numbers) > self._step)
        return [(int(self.numbers[i] + self._step), int(self.numbers[i + 1] - self._step)) for i in ends]

    def frame(self, position: int) -> VideoFrame:
        """One picture.

        Raises:
            GapError: it is missing or damaged; others may be whole.
        """
        name = self.names[position]
        try:
            return _decoded(self._bytes(position))
        except MemoryError as error:
            raise VideoError(self.path, "needs more memory than there is") from error
        except VideoError as error:
            raise GapError(self.path, f"{name}: {error.reason}") from error
        except (av.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise GapError(self.path, f"{name} cannot be decoded ({reason})") from error

    def read(self, times: Sequence[float] | np.ndarray, *, short_side: int | None = None) -> UInt8[Tensor, "t h w 3"]:
        """The pictures nearest to `times`, as `video.read_frames` gives frames from a file.

        Raises:
            GapError: a picture is missing or damaged, or a time lies a quarter of a second behind the last one.
        """
        wanted, info = np.asarray(times, dtype=np.float64), self.info
        size = scaled_size(info.height, info.width, short_side)
        check_size(self.path, *size)
        index = nearest_index(self.times, wanted)
        check_memory(self.path, len(np.unique(index)), *size)
        for time, stamp in zip(wanted, self.times[index], strict=True):
            self._check_reaches(float(time))
            check_near(self.path, info, float(time), float(stamp), is_damaged=False)
        convert = Converter(short_side, (info.height, info.width))
        with guarded(self.path):
            pixels = {i: convert(self._near(i, wanted[index == i])) for i in dict.fromkeys(index.tolist())}
            return torch.from_numpy(np.stack([pixels[i] for i in index.tolist()]))

    def between(
        self, start: float | None, end: float | None, reach: float, lost: list[int]
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Times and pictures as `video.frames_between` gives them; `lost` is told how many are damaged."""
        first = 0 if start is None else max(0, int(np.searchsorted(self.times, start, side="right")) - 1)
        last = len(self.times) if end is None else int(np.searchsorted(self.times, end)) + 1
        for position in range(first, min(last, len(self.times))):
            try:
                frame = self.frame(position)
            except GapError:
                lost[0] += 1
                continue
            yield float(self.times[position]), frame
        self._check_reaches(reach)

    def _near(self, position: int, wanted: np.ndarray) -> VideoFrame:
        """A picture; instead of a damaged one a neighbour, if that is as near as a lost frame's may be."""
        try:
            return self.frame(position)
        except GapError as error:
            for other in (position - 1, position + 1):
                if 0 <= other < len(self.names):
                    away = float(np.abs(wanted - self.times[other]).max())
                    if away * self.rate <= LOST_INTERVALS:
                        with suppress(GapError):
                            return self.frame(other)
            raise error

    @cached_property
    def _step(self) -> int:
        return int(np.gcd.reduce(np.diff(self.numbers))) if len(self.numbers) > 1 else 1

    def _check_reaches(self, time: float) -> None:
        if time > (end := self.times[-1] + 1 / self.rate) + MISSING_TAIL_SECONDS:
            raise GapError(self.path, f"is cut off: frames end at {end:.2f} s, {time:.2f} s was expected")

    @timed("open, seek")
    def _bytes(self, position: int) -> bytes:
        file = self.tar or os.path.join(self.folder, self.names[position])
        check_file(file)
        begin, size = self.places[position] if self.tar else (0, os.path.getsize(file))
        if size > _MAX_PICTURE_BYTES:
            raise VideoError(file, f"holds {size / 2**20:,.0f} MB; at most {_MAX_PICTURE_BYTES >> 20} MB are read")
        with open(file, "rb") as opened:
            opened.seek(begin)
            return opened.read(size)


def is_sequence(path: str | Path) -> bool:
    """Whether a path names an image sequence."""
    return "%" in str(path) and _NAME.fullmatch(str(path)) is not None


def sequence_name(folder: str, before: str, width: int, after: str, rate: float) -> str:
    """How an image sequence is named; `width` digits of a number, 0 = no leading zeros."""
    return f"{folder}/{before}%{f'0{width}' if width else ''}d{after}@{rate:.12g}"


def short_name(path: str | Path) -> str:
    """A video's name without folder and ending; of an image sequence, the camera's."""
    match = _NAME.fullmatch(str(path)) if is_sequence(path) else None
    if match is None:
        return Path(str(path)).stem
    return match["before"].strip("_-. ") or Path(match["folder"] or ".").stem or "images"


def open_sequence(path: str | Path) -> ImageSequence:
    """The pictures that a path names; what was found is remembered until the folder or the tar changes.

    Raises:
        VideoError: there are none, their rate is no number, or the tar is damaged.
    """
    match = _NAME.fullmatch(str(path))
    assert match is not None, "a path for which `is_sequence` is true"
    folder = match["folder"] or "."
    tar = tar_of(folder)
    with guarded(path):
        try:
            status = os.stat(tar or folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VideoError(path, "no such folder or tar") from error
        return _sequence(str(path), tar, status.st_size, status.st_mtime_ns)


def tar_of(folder: str) -> str:
    """The part of a path up to the tar in it, empty if there is none."""
    parts = re.split(r"(?<=[/\\])", folder)
    for number, part in enumerate(parts, start=1):
        if part.rstrip("/\\").lower().endswith(".tar"):
            file = "".join(parts[:number]).rstrip("/\\")
            if os.path.isfile(file):
                return file
    return ""


def version_of(path: str | Path) -> tuple[int, int]:
    """Bytes and time of the last change, in nanoseconds, of a file or of all pictures of a sequence.

    Raises:
        OSError: there is no such file.
    """
    if not is_sequence(path):
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    try:
        found = open_sequence(path)
    except InputError as error:
        raise FileNotFoundError(str(error)) from error
    files = [found.tar] if found.tar else [os.path.join(found.folder, name) for name in found.names]
    sizes, times = zip(*((status.st_size, status.st_mtime_ns) for status in map(os.stat, files)), strict=True)
    return sum(sizes), max(times)


@lru_cache(maxsize=16)
def _members(tar: str, size: int, changed: int) -> dict[str, dict[str, tuple[int, int]]]:
    """Where the files of a tar lie, by folder and name."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    opened: Any
    try:
        opened = tarfile.open(tar, "r:")  # noqa: SIM115 (closed by the next but one)
    except tarfile.TarError as error:
        raise VideoError(tar, "is no tar that can be read; compressed ones are not") from error
    with opened:
        for count, member in enumerate(opened):
            if count > _MOST_MEMBERS or member.offset_data + member.size > size:
                raise VideoError(tar, "is cut off, or holds more files than are read")
            if member.isreg() and not member.issparse():
                below, _, name = member.name.removeprefix("./").rpartition("/")
                found.setdefault(below, {})[name] = (member.offset_data, member.size)
            opened.members = []  # else each is kept a second time
        end = opened.offset
    with open(tar, "rb") as file:  # a damaged header ends the list of tarfile without a word
        file.seek(max(0, min(end, size) - tarfile.BLOCKSIZE))
        if any(file.read(tarfile.BLOCKSIZE)) and any(file.read(tarfile.BLOCKSIZE)):
            raise VideoError(tar, f"is damaged at byte {end:,}; copy or pack it again")
    return found


def tar_files(tar: str | Path) -> list[str]:
    """Names of the files in a tar.

    Raises:
        VideoError: it cannot be read.
    """
    check_file(tar)
    with guarded(tar):
        status = os.stat(tar)
        folders = _members(str(tar), status.st_size, status.st_mtime_ns)
        return [f"{below}/{name}" if below else name for below, names in folders.items() for name in names]


@lru_cache(maxsize=512)
def _sequence(path: str, tar: str, size: int, changed: int) -> ImageSequence:
    match = _NAME.fullmatch(path)
    assert match is not None
    rate, folder = _rate(path, match["rate"]), match["folder"] or "."
    below = folder[len(tar) :].strip("/\\").replace("\\", "/")
    members = _members(tar, size, changed).get(below, {}) if tar else {}
    numbers = _numbers(members if tar else os.listdir(folder), match)
    if not numbers:
        raise VideoError(path, "no such pictures" + (f" in {os.path.basename(tar)}" if tar else " in that folder"))
    if len(numbers) > MAX_FRAMES:
        raise VideoError(path, f"holds more than {MAX_FRAMES:,} frames")
    order = sorted(numbers)
    steps = np.diff(np.array(order, np.int64))
    if len(steps) and np.median(steps) > _MAX_STEP * np.gcd.reduce(steps):
        raise VideoError(path, "the numbers in the names are no numbers of frames; number the pictures from 0")
    kept = [numbers[number] for number in order]
    places = [members[name] for name in kept] if tar else []
    return ImageSequence(path, folder, kept, np.array(order, np.int64), rate, tar, places)


def _numbers(names: Iterable[str], match: re.Match[str]) -> dict[int, str]:
    """The names that fit, by the number in them."""
    before, after, width = match["before"], match["after"], int(match["width"] or 0)
    found = {}
    for name in names:
        if name.startswith(before) and name.endswith(after):
            digits = name[len(before) : len(name) - len(after)]
            if re.fullmatch(rf"[0-9]{{1,{_MAX_DIGITS}}}", digits) and digits == f"{int(digits):0{width}d}":
                found[int(digits)] = name
    return found


def _rate(path: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.001 <= rate <= 100_000:
        raise VideoError(path, f"{text[:40]!r} behind the @ is no rate; give frames a second, such as %06d.jpg@30")
    return rate


@timed("decode")
def _decoded(data: bytes) -> VideoFrame:
    name = next((name for head, name in _DECODERS if data.startswith(head)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        name = "webp"
    if not name:
        raise ValueError("no JPEG, PNG, WebP, BMP, TIFF, PPM or PGM picture" if data else "the file is empty")
    codec = CodecContext.create(name, "r")
    assert isinstance(codec, VideoCodecContext)
    codec.thread_count = 1
    # explode: the rest of a picture that is cut off would be grey
    codec.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    frames = codec.decode(av.Packet(data)) or codec.decode(None)
    if not frames:
        raise ValueError("no picture in it")
    return frames[0]
