"""Reading items of a store: `FOLDER/shard-000000.tar#KEY`, on this machine or behind a URL."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.media import VideoError, check_size
from mv2mae.data.pixels import Converter, scaled_size
from mv2mae.data.remote import is_url, local_copy
from mv2mae.data.stopwatch import timed
from mv2mae.data.store.index import INDEX, read_index
from mv2mae.data.store.packets import PacketDecoder
from mv2mae.data.store.shards import SHARD, ItemHeader, Place, check_key, check_name, packet_checks
from mv2mae.data.video_info import MISSING_TAIL_SECONDS, VideoInfo, nearest_index
from mv2mae.errors import InputError

_OPEN_SHARDS = 64
"""Shards that a thread keeps open."""


_MEND = "copy the shard again, or delete it and run `mv2mae prepare` again"


class StoredVideo:
    """One item: reads like a video file.

    Attributes:
        path: as the manifest names it.
        info: the same as a file would tell.
        times: of the frames, rising, in seconds.
    """

    def __init__(self, path: str, shard: str, place: Place) -> None:
        self.path, self._shard, self._place = path, shard, place
        try:
            self._header = ItemHeader.parse(self._bytes(place.header_offset, place.header_size), path)
        except VideoError:
            raise
        except InputError as error:
            raise VideoError(path, str(error).removeprefix(f"{path}: ")) from error
        if sum(self._header.sizes) != place.size:
            raise VideoError(path, "the index does not fit the shard; copy both again, or run `prepare` to its end")
        self.info: VideoInfo = self._header.info
        self._order = np.argsort(self._header.times, kind="stable")
        self.times = np.asarray(self._header.times)[self._order]
        self._ends = np.cumsum(self._header.sizes)
        self._keys = np.asarray(self._header.keys)

    def read(self, times: Sequence[float] | np.ndarray, *, short_side: int | None = None) -> UInt8[Tensor, "t h w 3"]:
        """The frames nearest to `times`, as `video.read_frames` gives them from a file.

        Raises:
            VideoError: the item is damaged, or a time lies a quarter of a second outside of what it holds.
        """
        wanted = np.asarray(times, dtype=np.float64)
        self._check_reaches(wanted)
        positions = self._order[nearest_index(self.times, wanted)]
        return self._frames(positions, short_side)

    def read_all(self, *, short_side: int | None = None) -> UInt8[Tensor, "t h w 3"]:
        """All frames in the order of time; see `read`."""
        return self._frames(self._order, short_side)

    def _frames(self, positions: np.ndarray, short_side: int | None) -> UInt8[Tensor, "t h w 3"]:
        """The frames at positions of the stored order, repeated ones too."""
        convert, slots = Converter(short_side), defaultdict[int, list[int]](list)
        for slot, position in enumerate(positions.tolist()):
            slots[position].append(slot)
        frames: list[np.ndarray] = [np.empty(0)] * len(positions)

        def take(position: int, frame: VideoFrame) -> None:
            pixels = convert(frame)
            for slot in slots[position]:
                frames[slot] = pixels

        check_size(self.path, *scaled_size(self.info.height, self.info.width, short_side))
        try:
            _local.decoder().frames(sorted(slots), self._keys, self._ends, self._payload, take)
            return torch.from_numpy(np.stack(frames))
        except av.FFmpegError as error:
            _local.forget_decoder()
            raise VideoError(self.path, f"cannot be decoded ({error.strerror or type(error).__name__})") from error
        except MemoryError as error:
            raise VideoError(self.path, "needs more memory than there is") from error

    def _payload(self, begin: int, end: int) -> bytes:
        data = self._bytes(self._place.offset + begin, end - begin)
        if checks := self._header.checks:
            first, last = np.searchsorted(self._ends, (begin, end), side="right")
            if packet_checks(data, self._header.sizes[first:last]) != checks[first:last]:
                raise VideoError(self.path, f"is damaged: its bytes are not those that were written; {_MEND}")
        return data

    @timed("open, seek")
    def _bytes(self, offset: int, size: int) -> bytes:
        try:
            shard = _local.shard(self._shard)
            within = offset + size <= os.fstat(shard.fileno()).st_size  # an index may ask for more than there is memory
            shard.seek(offset)
            data = shard.read(size) if within else b""
        except OSError as error:
            raise VideoError(self.path, f"its shard cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise VideoError(self.path, f"its shard is cut off; {_MEND}")
        return data

    def _check_reaches(self, wanted: np.ndarray) -> None:
        if not len(wanted):
            return
        early = self._header.cut and wanted.min() < self.info.start - MISSING_TAIL_SECONDS
        if early or wanted.max() > self.info.end + MISSING_TAIL_SECONDS:
            time = wanted.min() if early else wanted.max()
            there = f"{self.info.start:.2f} to {self.info.end:.2f} s"
            raise VideoError(self.path, f"the store holds {there} of it, {time:.2f} s was asked for; prepare it again")


class Store:
    """The index of a store in memory, and its items.

    Args:
        folder: that of the shards, or a URL.

    Raises:
        InputError: no store, or a damaged or hostile index.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        table = read_index(local_copy(posixpath.join(folder, INDEX)))
        self._rows: dict[str, int] = {key: row for row, key in enumerate(table["key"])}
        self._shards = table["shard"].to_numpy()
        self._files: dict[str, str] = {}
        self._places = table[["header_offset", "header_size", "offset", "size"]].to_numpy(np.int64)

    def item(self, path: str, shard: str, key: str) -> StoredVideo:
        """An item of a shard; `path` is for messages.

        Raises:
            VideoError: there is none.
        """
        row = self._rows.get(key)
        if row is None or f"shard-{self._shards[row]:06d}.tar" != shard:
            raise VideoError(path, "the index of the store has no such item")
        if shard not in self._files:  # behind a URL, asking costs a message to and fro
            self._files[shard] = str(local_copy(posixpath.join(self.folder, shard)))
        return StoredVideo(path, self._files[shard], Place(*(int(value) for value in self._places[row])))


@timed("open, seek")
def open_item(path: str) -> StoredVideo:
    """The item that a path names: `FOLDER/shard-000000.tar#KEY`.

    Raises:
        VideoError: it cannot be read, or these are not the names of a store.
    """
    try:
        before, _, key = path.rpartition("#")
        folder, shard = posixpath.split(before.replace(os.sep, "/"))
        check_name(SHARD, shard, path, "shard of a store (shard-000000.tar)")
        return _item(path, folder or ".", shard, check_key(key, path), _version(folder or "."))
    except VideoError:
        raise
    except InputError as error:
        raise VideoError(path, str(error)) from error


class _Local(threading.local):
    """What each thread keeps: a decoder and open shards."""

    def __init__(self) -> None:
        self._decoder: PacketDecoder | None = None
        self._files: OrderedDict[str, tuple[tuple[int, int, int], BinaryIO]] = OrderedDict()

    def decoder(self) -> PacketDecoder:
        self._decoder = self._decoder or PacketDecoder()
        return self._decoder

    def forget_decoder(self) -> None:
        """After damaged packets a decoder may be in any state."""
        self._decoder = None

    def shard(self, path: str) -> BinaryIO:
        """The open shard; a file that has taken its place since is opened anew."""
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise OSError(errno.EINVAL, "it is no regular file", path)
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._files.get(path)
        if known is None or known[0] != version:
            if known is not None:
                known[1].close()
            self._files[path] = known = version, open(path, "rb", buffering=0)  # noqa: SIM115 (closed when dropped)
            if len(self._files) > _OPEN_SHARDS:
                self._files.popitem(last=False)[1][1].close()
        self._files.move_to_end(path)
        return known[1]


_local = _Local()


def _version(folder: str) -> tuple[int, int]:
    """Tells a store that was prepared anew from the one that is known; behind a URL it is looked at once a process."""
    if is_url(folder):
        return 0, 0
    try:
        status = os.stat(Path(folder) / INDEX)
    except OSError as error:
        raise InputError(f"{folder} holds no {INDEX}; is `mv2mae prepare` done?") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _store(folder: str, version: tuple[int, int]) -> Store:
    return Store(folder)


@lru_cache(maxsize=128)
def _item(path: str, folder: str, shard: str, key: str, version: tuple[int, int]) -> StoredVideo:
    return _store(folder, version).item(path, shard, key)
