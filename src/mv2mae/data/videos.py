"""Where data sets get their frames: from files, a store, or memory after one decoding; and the list of broken ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from rich.progress import track
from torch import Tensor

from mv2mae.data.augment import resize_short_side
from mv2mae.data.sampling import ItemKey, candidates
from mv2mae.data.stopwatch import timed
from mv2mae.data.torchcodec_reader import torchcodec_frames
from mv2mae.data.video import (
    DecodedVideo,
    VideoError,
    VideoInfo,
    available_cores,
    decode_video,
    probe,
    read_frames,
)
from mv2mae.errors import InputError

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
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as lines:  # short appends do not interleave
                    lines.write(json.dumps({"path": path, "reason": reason}) + "\n")
            except OSError as error:  # a full disk is no reason to end a training
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
        self._decoded: dict[str, DecodedVideo] = {}

    @property
    def in_memory(self) -> bool:
        """Whether videos were decoded in advance."""
        return bool(self._decoded)

    def preload(self, paths: Iterable[str], *, num_threads: int | None = None, progress: bool = True) -> None:
        """Decodes videos into memory, in parallel (FFmpeg runs outside Python's lock); notes broken ones."""
        missing = [p for p in dict.fromkeys(paths) if p not in self._decoded and self.problems.reason(p) is None]
        with ThreadPoolExecutor(num_threads or available_cores()) as pool:
            found = pool.map(self._decode, missing)
            for path, video in track(
                zip(missing, found, strict=True), "decoding videos", len(missing), disable=not (progress and missing)
            ):
                if isinstance(video, VideoError):
                    self.problems.add(path, video.reason)
                else:
                    self._decoded[path] = video

    def _decode(self, path: str) -> DecodedVideo | VideoError:
        try:
            return decode_video(path, short_side=self.cache_size)
        except VideoError as error:
            return error

    def info(self, path: str) -> VideoInfo:
        """What a file holds (read once a process). The size is the stored one, not the cache's."""
        if path in self._decoded:
            return self._decoded[path].info
        self._refuse_known(path)
        if path not in self._infos:
            self._infos[path] = timed(FIRST_LOOK, whole=True)(probe)(path)
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
            VideoError: the file cannot be decoded.
        """
        if path in self._decoded:
            frames = self._decoded[path].at(times)
            return resize_short_side(frames, short_side) if exact else frames
        self._refuse_known(path)
        own = self.info(path).short_side
        target = short_side if exact else min(short_side, own)
        if target == own and (unscaled := torchcodec_frames(path, times)) is not None:
            return unscaled
        return read_frames(path, times, short_side=target)

    def _refuse_known(self, path: str) -> None:
        reason = self.problems.reason(path)
        if reason is not None:
            raise VideoError(path, reason)


def readable_item(
    make: Callable[[int, int], Item], key: ItemKey | int, seed: int, paths: Sequence[str], problems: ProblemLog
) -> Item:
    """The training item of a key; a broken video is noted, and the item of another key takes its place.

    Args:
        make: (epoch, index) -> item.
        key: (epoch, index), an index alone meaning epoch 0.
        seed, paths: of the data set.
        problems: where broken videos are noted.

    Raises:
        InputError: this one and all that could take its place are broken.
    """
    epoch, index = key if isinstance(key, tuple) else (0, key)
    tried = list(candidates(seed, epoch, index, len(paths)))
    for candidate in tried:
        try:
            return make(epoch, candidate)
        except VideoError as error:
            problems.add(error.path, error.reason)
    raise InputError(f"no readable item was found for {paths[index]} in {len(tried)} tries; see the list of problems")
