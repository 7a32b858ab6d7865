"""Items in tars, as WebDataset lays them out: `KEY.json` (what the item holds) and then `KEY.h264` (its packets).

A shard can be streamed from its beginning, by any reader of tars, or read at random through the places that the
index holds. The names in a shard are checked and never used as paths; nothing is unpickled.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from mv2mae.data.layout import find_holes
from mv2mae.data.remote import is_url, open_stream
from mv2mae.data.video_info import VideoInfo
from mv2mae.errors import InputError

SHARD = re.compile(r"shard-([0-9]{6})\.tar")
KEY = re.compile(r"[A-Za-z0-9_-]{1,90}")
_MAX_HEADER_BYTES = 1 << 26
_CHECK = b',"check":"'


@dataclass(frozen=True)
class ItemHeader:
    """`KEY.json`: what an item holds. Times in seconds on the clock of the file that it was made from.

    `times` (of the frames), `sizes` (of the packets, in bytes) and `keys` (positions of the key frames) are in
    stored order. `cut` says that frames before `start` or after its end were left out.
    """

    width: int
    height: int
    fps: float
    start: float
    duration: float
    cut: bool
    times: list[float]
    sizes: list[int]
    keys: list[int]
    codec: str = "h264"
    checks: list[int] = field(default_factory=list)
    """CRC-32 of each packet; none in stores of earlier versions."""

    @property
    def info(self) -> VideoInfo:
        """The same as a file would tell."""
        return VideoInfo(
            fps=self.fps,
            num_frames=len(self.times),
            width=self.width,
            height=self.height,
            duration=self.duration,
            start=self.start,
            holes=find_holes(sorted(self.times)),
        )

    @classmethod
    def parse(cls, text: bytes, name: str) -> ItemHeader:
        """Reads and checks a header.

        Raises:
            InputError: it is damaged.
        """
        try:
            header = cls(**json.loads(_unsealed(text)))
            whole = (
                len(header.checks) in (0, len(header.sizes))
                and len(header.times) == len(header.sizes) > 0
                and header.keys[0] == 0
                and header.codec == "h264"
            )
            finite = math.isfinite(math.fsum((*header.times, header.start, header.duration, header.fps)))
            ordered = bool(np.all(np.diff(header.keys) > 0)) and header.keys[-1] < len(header.times)
            counts = (header.width, header.height, *header.sizes)
            sane = all(type(n) is int and n > 0 for n in counts) and all(type(n) is int for n in header.keys)
            sane = sane and header.fps > 0 and header.duration >= 0
        except (TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise InputError(f"{name}: the item's header is damaged ({error}); prepare the shard again") from error
        if not (whole and finite and ordered and sane):
            raise InputError(f"{name}: the header of the item contradicts itself; prepare this shard again")
        return header


@dataclass(frozen=True)
class Place:
    """Where an item lies in its shard, in bytes."""

    header_offset: int
    header_size: int
    offset: int
    size: int


def open_shard(file: BinaryIO) -> tarfile.TarFile:
    """A tar to write, whose bytes depend on its items alone."""
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def add_item(tar: tarfile.TarFile, key: str, header: ItemHeader, payload: bytes) -> Place:
    """Appends an item to a shard."""
    text = _sealed(json.dumps(asdict(header), separators=(",", ":")).encode())
    header_offset, offset = add_member(tar, f"{key}.json", text), add_member(tar, f"{key}.h264", payload)
    return Place(header_offset, len(text), offset, len(payload))


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Appends a file to a shard; returns where its content begins, in bytes."""
    member = tarfile.TarInfo(name)  # its time, owner and mode are constants
    member.size = len(content)
    begin = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(content))
    return begin


def _sealed(text: bytes) -> bytes:
    """A header's text with its own CRC-32 at the end."""
    return text.removesuffix(b"}") + _CHECK + f'{zlib.crc32(text):08x}"}}'.encode()


def _unsealed(text: bytes) -> bytes:
    """A header's text without its checksum, if it has one.

    Raises:
        ValueError: it is not as it was written.
    """
    before, mark, check = text.rpartition(_CHECK)
    if not mark:
        return text
    whole = before + b"}"
    if check != f'{zlib.crc32(whole):08x}"}}'.encode():
        raise ValueError("its checksum does not fit")
    return whole


def packet_checks(payload: bytes, sizes: Sequence[int]) -> list[int]:
    """CRC-32 of each packet of some that follow one another."""
    ends = list(itertools.accumulate(sizes, initial=0))
    return [zlib.crc32(payload[begin:end]) for begin, end in itertools.pairwise(ends)]


def stream_shard(file: str | Path | BinaryIO) -> Iterator[tuple[str, ItemHeader, bytes]]:
    """The items of a shard from its beginning to its end: key, header, packets.

    Args:
        file: a path, a URL, or anything that can be read once, such as a network stream.

    Raises:
        InputError: names that are no keys (path escapes among them), links, members out of order, an item twice or
            none at all, a cut-off tar.
    """
    if isinstance(file, str | Path):
        if not is_url(file) and os.path.exists(file) and not os.path.isfile(file):
            raise InputError(f"{file} is no regular file; give a shard")
        with open_stream(file) as opened:
            yield from stream_shard(opened)
        return
    name = str(getattr(file, "name", "the shard"))
    counted = _Counted(file)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, counted), mode="r|") as tar:
            yield from _items(tar, name)
            if counted.num_bytes < tar.offset + tarfile.BLOCKSIZE:  # a tar ends in blocks of zeros
                raise InputError(f"{name} is cut off behind a whole item; copy or prepare it again")
    except tarfile.TarError as error:
        raise InputError(f"{name} is no whole tar ({error}); copy or prepare it again") from error


class _Counted:
    """Counts the bytes that are read: tarfile takes a cut between two members for an end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.num_bytes = file, 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.num_bytes += len(data)
        return data


def check_key(key: str, where: str) -> str:
    """A key as it must be.

    Raises:
        InputError: it is anything else, a path above all.
    """
    return check_name(KEY, key, where, "key of a store (letters, digits, _, -)")


def check_name(pattern: re.Pattern[str], name: str, where: str, what: str) -> str:
    """A name, if it fits a pattern.

    Raises:
        InputError: it does not.
    """
    if not pattern.fullmatch(name):
        raise InputError(f"{where} names {name[:80]!r}, which is no {what}; do not trust it")
    return name


def _items(tar: tarfile.TarFile, name: str) -> Iterator[tuple[str, ItemHeader, bytes]]:
    waiting: tuple[str, ItemHeader] | None = None
    seen: set[str] = set()
    for member in tar:
        key, _, ending = member.name.rpartition(".")
        check_key(key, name)
        content = tar.extractfile(member) if member.isreg() else None
        if content is None or ending not in ("json", "h264") or (ending == "h264") != (waiting is not None):
            raise InputError(f"{name}: {member.name} is not what a shard holds there; prepare it again")
        if waiting is None:
            if member.size > _MAX_HEADER_BYTES:
                raise InputError(f"{name}: {member.name} is larger than any header; do not trust it")
            waiting = key, ItemHeader.parse(content.read(), f"{name}#{key}")
        elif waiting[0] != key:
            raise InputError(f"{name}: {waiting[0]}.json is followed by {member.name}; prepare it again")
        else:
            payload = content.read()
            if waiting[1].checks and packet_checks(payload, waiting[1].sizes) != waiting[1].checks:
                raise InputError(f"{name}: {member.name} is damaged; copy or prepare it again")
            if key in seen:
                raise InputError(f"{name} holds {key} twice; copy or prepare it again")
            seen.add(key)
            yield key, waiting[1], payload
            waiting = None
    if waiting is not None:
        raise InputError(f"{name} ends before {waiting[0]}.h264; copy or prepare it again")
    if not seen:
        raise InputError(f"{name} holds no item; copy or prepare it again")
