"""Where data sets get their frames: from files, a store, or memory after one decoding; and the list of broken ones."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from rich.progress import track
from torch import Tensor

from mv2mae.data.augment import resize_short_side
from mv2mae.data.free_memory import free_memory
from mv2mae.data.media import GapError
from mv2mae.data.pixels import scaled_size
from mv2mae.data.sampling import ItemKey
from mv2mae.data.stopwatch import timed
from mv2mae.data.torchcodec_reader import torchcodec_frames
from mv2mae.data.video import (
    DecodedVideo,
    VideoError,
    VideoInfo,
    available_cores,
    decode_video,
    frames_within,
    read_frames,
    read_info,
)
from mv2mae.errors import InputError
from mv2mae.files import append_json
from mv2mae.text import counted

_WORTH_SAYING = 1 << 28
"""Bytes of decoded videos from which on it is said beforehand what they take."""
_STAND_INS = 20
FIRST_LOOK = "first look"
"""The stage in which a process learns what a file holds, once a video."""
Item = TypeVar("Item")
_log = logging.getLogger(__name__)


class ProblemLog:
    """Videos that were set aside, each with the reason; never a silent replacement.

    Args:
        file: where to append them, one JSON object a line, so that loader processes share one list; None
            keeps them in this process only.
        warns: of each at once; not needed where a list of them is shown in the end.
    """

    def __init__(self, file: str | Path | None = None, *, warns: bool = True) -> None:
        self.warns = warns
        self.file = None if file is None else Path(file)
        self._seen: dict[str, str] = {}

    def add(self, path: str, reason: str) -> None:
        """Notes a video, once a process."""
        if path in self._seen:
            return
        self._seen[path] = reason
        if self.warns:
            _log.warning("video set aside: %s: %s", path, reason)
        if self.file is not None and (error := append_json(self.file, {"path": path, "reason": reason})):
            _log.warning("%s is not in %s, which cannot be written (%s)", path, self.file, error.strerror)

    def reason(self, path: str) -> str | None:
        """Why a video was set aside in this process, if it was."""
        return self._seen.get(path)

    def items(self) -> list[tuple[str, str]]:
        """(path, reason) of every video set aside, by any process where there is a file."""
        found = dict(self._seen)
        if self.file is not None and self.file.exists():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    continue  # a process was killed while it wrote this line; the video will be met again
                found.setdefault(entry["path"], entry["reason"])
        return sorted(found.items())


class Videos:
    """Frames of videos by path and time.

    Args:
        problems: where broken videos are noted; a video noted there is not opened again.
        cache_size: short side in pixels at which `preload` keeps videos.
    """

    def __init__(self, *, problems: ProblemLog | None = None, cache_size: int | None = None) -> None:
        self.problems = problems or ProblemLog()
        self.cache_size = cache_size
        self._infos: dict[str, VideoInfo] = {}
        self._decoded: dict[str, list[DecodedVideo]] = {}
        self._told: set[str] = set()
        self._first_numbers: dict[str, int] | None = None

    @property
    def in_memory(self) -> bool:
        """Whether videos were decoded in advance."""
        return bool(self._decoded)

    def preload(
        self,
        paths: Iterable[str],
        parts: Iterable[Sequence[float | None]] | None = None,
        *,
        num_threads: int | None = None,
        progress: bool = True,
    ) -> None:
        """Decodes videos into memory, in parallel (FFmpeg runs outside Python's lock); notes broken ones.

        Args:
            paths: the videos; one may come several times.
            parts: of each the seconds at which the part that is needed starts and ends; None = all of it.
            num_threads: None = one a core.
            progress: show a bar, and say beforehand what it will take.

        Raises:
            InputError: they do not fit into memory.
        """
        missing = [piece for piece in _pieces(paths, parts) if not self._has(*piece)]
        with ThreadPoolExecutor(num_threads or available_cores()) as pool:
            sizes = list(pool.map(self._bytes, missing))
            self._check_room(sum(sizes), len(missing), progress)
            found = pool.map(self._decode, missing)
            for (path, _, _), video in track(
                zip(missing, found, strict=True), "decoding videos", len(missing), disable=not (progress and missing)
            ):
                if isinstance(video, VideoError):
                    self.problems.add(path, video.reason)
                else:
                    self._decoded.setdefault(path, []).append(video)

    def _has(self, path: str, start: float | None, end: float | None) -> bool:
        if self.problems.reason(path) is not None:
            return True
        low, high = -math.inf if start is None else start, math.inf if end is None else end
        return any(part.holds(low, high) for part in self._decoded.get(path, []))

    def _bytes(self, piece: tuple[str, float | None, float | None]) -> int:
        path, start, end = piece
        try:
            info = read_info(path)
        except VideoError:  # which decoding will note
            return 0
        height, width = scaled_size(info.height, info.width, self.cache_size)
        return frames_within(info, start, end) * height * width * 3

    def _check_room(self, wanted: int, num_pieces: int, progress: bool) -> None:
        free = free_memory()
        if wanted > 0.8 * free:
            raise InputError(
                f"data.cache=memory would take {wanted / 2**30:,.1f} GB for {counted(num_pieces, 'video')}, "
                f"{free / 2**30:,.1f} GB are free; give data.cache=none, or `mv2mae prepare` the videos"
            )
        if progress and wanted > _WORTH_SAYING:
            _log.warning("decoding %s into memory takes %.1f GB", counted(num_pieces, "video"), wanted / 2**30)

    def _decode(self, piece: tuple[str, float | None, float | None]) -> DecodedVideo | VideoError:
        path, start, end = piece
        try:
            return decode_video(path, short_side=self.cache_size, start=start, end=end)
        except VideoError as error:
            return error

    def info(self, path: str) -> VideoInfo:
        """What a file holds (read once a process). The size is the stored one, not the cache's."""
        if path in self._decoded:
            return self._decoded[path][0].info
        self._refuse_known(path)
        if path not in self._infos:
            self._infos[path] = info = timed(FIRST_LOOK, whole=True)(read_info)(path)
            if info.promised_end > info.end + 1 / info.fps:
                said = f"frames end at {info.end:.2f} s, {info.promised_end:.2f} s by the header"
                self.tell_once(path, f"is cut off: {said}; what is there is used")
        return self._infos[path]

    def read(
        self, path: str, times: Sequence[float] | np.ndarray, *, short_side: int, exact: bool = False
    ) -> UInt8[Tensor, "t h w 3"]:
        """The frames nearest to `times`, in seconds on the file's clock.

        Args:
            path: the video.
            times: seconds, in any order.
            short_side: scale larger frames down to this short side; from memory, take them as they are.
            exact: scale to it whatever the size, up or down, from memory too.

        Raises:
            GapError: some of these frames are missing or damaged.
            VideoError: the file cannot be decoded.
        """
        if (decoded := self._in_memory(path, times)) is not None:
            frames = decoded.at(times)
            return resize_short_side(frames, short_side) if exact else frames
        self._refuse_known(path)
        info = self.info(path)
        own = info.short_side
        target = short_side if exact else min(short_side, own)
        if target == own and info.plain and (unscaled := torchcodec_frames(path, times)) is not None:
            return unscaled
        return read_frames(path, times, short_side=target)

    def find(self, path: str, times: Sequence[float] | np.ndarray) -> tuple[int, DecodedVideo]:
        """The decoded part of a video that holds these moments, and its number among all parts.

        Raises:
            VideoError: the video is broken, or not in memory.
        """
        self._refuse_known(path)
        if (decoded := self._in_memory(path, times)) is None:
            raise VideoError(path, "is not in memory")
        if self._first_numbers is None:
            counts = [len(parts) for parts in self._decoded.values()]
            self._first_numbers = dict(zip(self._decoded, itertools.accumulate([0, *counts]), strict=False))
        within = next(i for i, part in enumerate(self._decoded[path]) if part is decoded)
        return self._first_numbers[path] + within, decoded

    def put(self, video: DecodedVideo) -> None:
        """Take a part of a video that is decoded already, or was never encoded, by its `path`."""
        self._decoded.setdefault(video.path, []).append(video)
        self._first_numbers = None

    def parts(self) -> Iterator[DecodedVideo]:
        """All decoded parts, by the order in which `find` numbers them."""
        return itertools.chain.from_iterable(self._decoded.values())

    def hand_over(self) -> Iterator[UInt8[Tensor, "t h w 3"]]:
        """The frames of all decoded parts in their order; as each is taken, it is forgotten here but for its shape."""
        for parts in self._decoded.values():
            for i, part in enumerate(parts):
                parts[i] = replace(part, frames=part.frames.to("meta"))
                yield part.frames

    def shapes(self) -> list[tuple[int, ...]]:
        """Frames, height and width of all decoded parts, in the same order."""
        return [tuple(part.frames.shape[:3]) for part in self.parts()]

    def tell_once(self, path: str, said: str) -> None:
        """Warns of what is odd about a video and keeps nobody from using it, once a process."""
        if path not in self._told:
            self._told.add(path)
            _log.warning("%s: %s", path, said)

    def _in_memory(self, path: str, times: Sequence[float] | np.ndarray) -> DecodedVideo | None:
        """The decoded part that holds these moments."""
        parts = self._decoded.get(path, [])
        low, high = (np.min(times), np.max(times)) if len(times) else (0.0, 0.0)
        return next((part for part in parts if part.holds(low, high)), None)

    def _refuse_known(self, path: str) -> None:
        reason = self.problems.reason(path)
        if reason is not None:
            raise VideoError(path, reason)


def _pieces(
    paths: Iterable[str], parts: Iterable[Sequence[float | None]] | None
) -> list[tuple[str, float | None, float | None]]:
    """The parts of each video that are needed, overlapping ones as one."""
    wanted: dict[str, list[tuple[float, float]]] = {}
    for path, part in zip(paths, parts or itertools.repeat((None, None)), strict=False):
        start, end = part[0], part[1]
        wanted.setdefault(path, []).append((-math.inf if start is None else start, math.inf if end is None else end))
    pieces: list[tuple[str, float | None, float | None]] = []
    for path, spans in wanted.items():
        joined: list[tuple[float, float]] = []
        for low, high in sorted(spans):
            if joined and low <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], high)
            else:
                joined.append((low, high))
        bounds = [(low if low > -math.inf else None, high if high < math.inf else None) for low, high in joined]
        pieces += [(path, *bound) for bound in bounds]
    return pieces


def readable_item(
    make: Callable[[int, int], Item], key: ItemKey | int, seed: int, paths: Sequence[str], problems: ProblemLog
) -> Item:
    """The training item of a key; a broken video is noted, and the item of another key takes its place.

    So it does where frames of this clip only are missing or damaged; the video stays in use. Batches then keep their
    size on every rank. Training only: evaluation never replaces a video. The stand-ins follow from (seed, epoch, index)
    as all draws do.

    Args:
        make: (epoch, index) -> item.
        key: (epoch, index), an index alone meaning epoch 0.
        seed, paths: of the data set.
        problems: where broken videos are noted.

    Raises:
        InputError: this one and all that could take its place are broken.
    """
    epoch, index = key if isinstance(key, tuple) else (0, key)
    rng = np.random.default_rng((seed, epoch, index, 1))
    tried = [index, *(int(i) for i in rng.integers(len(paths), size=_STAND_INS))]
    broken: GapError | None = None
    for candidate in tried:
        try:
            return make(epoch, candidate)
        except GapError as error:  # of this clip only; others of the video may be whole
            broken = broken or error
        except VideoError as error:
            problems.add(error.path, error.reason)
    if broken is not None:
        problems.add(broken.path, broken.reason)
    raise InputError(f"no readable item was found for {paths[index]} in {len(tried)} tries; see the list of problems")
