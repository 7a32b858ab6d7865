"""A person's own two files: received in one piece, checked by decoding, kept until others come or the viewer ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp

from filelock import FileLock, Timeout

from mv2mae.data.media import opened
from mv2mae.data.video import VideoError, decode_video, read_info
from mv2mae.errors import InputError
from mv2mae.viewer.groups import WHOLE_PIXELS, Camera, Group

NUM_FILES = 2
_PREFIX, _LOCK = "mv2mae-view-", ".lock"


class Uploads:
    """The files of the last upload that was whole and readable, in a temporary folder of their own.

    Files are stored as `0` and `1`: the names that a browser sends are shown, never used as paths.

    Args:
        max_bytes: for each file.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        _sweep_dead()
        self._folder = TemporaryDirectory(prefix=_PREFIX)
        self._lock = FileLock(Path(self._folder.name, _LOCK))
        self._lock.acquire()  # it goes with the process, however that ends
        self._live: Path | None = None
        self._count = 0
        self.group: Group | None = None

    async def receive(self, chunks: AsyncIterator[bytes], sizes: Sequence[int]) -> Path:
        """Write two files that come one after the other to a new folder, and return that.

        Raises:
            InputError: not two sizes, one too large or zero, more or less bytes than were announced, or a full disk.
            Nothing stays.
        """
        self.check(sizes)
        draft = Path(mkdtemp(dir=self._folder.name))
        try:
            await _split(chunks, sizes, [draft / str(i) for i in range(len(sizes))])
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError):
                raise InputError(f"the files cannot be stored ({error.strerror})") from error
            raise
        return draft

    def check(self, sizes: Sequence[int]) -> None:
        """Raises InputError unless these are sizes, in bytes, of two files that may come."""
        if len(sizes) != NUM_FILES:
            raise InputError(f"{len(sizes)} file(s) came; drop two videos of one performance, one from each camera")
        for i, size in enumerate(sizes):
            if not 0 < size <= self.max_bytes:
                raise InputError(
                    f"file {i + 1} has {size / 2**20:,.1f} MB; each must hold something and have "
                    f"at most {self.max_bytes / 2**20:,.0f} MB; cut or scale it"
                )

    def accept(self, draft: Path, names: Sequence[str]) -> Group:
        """Check the files of a draft by decoding; they then replace the earlier ones. If one is bad, nothing changes.

        Args:
            names: to call them by.

        Raises:
            InputError: a file cannot be decoded, or is no container of its own pictures.
        """
        paths = [draft / str(i) for i in range(NUM_FILES)]
        try:
            for path, name in zip(paths, names, strict=True):
                _check_video(path, name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        before, self._live = self._live, draft
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)
        self._count += 1
        views = [f"{i + 1}: {name}" for i, name in enumerate(names)]
        self.group = Group("your files", tuple(Camera(v, str(p)) for v, p in zip(views, paths, strict=True)))
        return self.group

    def close(self) -> None:
        """Delete all files."""
        self.group = self._live = None
        self._lock.release()
        self._folder.cleanup()


def shown_name(name: str) -> str:
    """A file's name without folders and signs that do not print, at most 40 characters long."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(sign for sign in bare if sign.isprintable()).strip() or "video"
    return printable if len(printable) <= 40 else f"{printable[:26]}...{printable[-11:]}"


def _sweep_dead() -> None:
    """Delete the folders of viewers that were killed: nobody holds their lock any more."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        with suppress(OSError, Timeout):
            if folder.is_symlink() or not lock.is_file() or not os.access(folder, os.W_OK):
                continue
            with FileLock(lock).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


async def _split(chunks: AsyncIterator[bytes], sizes: Sequence[int], paths: Sequence[Path]) -> None:
    """Write a stream of bytes to files of known sizes."""
    which, left = 0, sizes[0]
    file = paths[0].open("wb")
    try:
        async for chunk in chunks:
            while chunk:
                if which == len(paths):
                    raise InputError("more bytes came than were announced; try again")
                part, chunk = chunk[:left], chunk[left:]
                file.write(part)
                left -= len(part)
                if not left:
                    file.close()
                    which += 1
                    if which < len(paths):
                        left, file = sizes[which], paths[which].open("wb")
    finally:
        file.close()
    if which < len(paths):
        raise InputError("the upload was cut off; try again")


def _check_video(path: Path, name: str) -> None:
    """Open, look, decode; raises InputError that names the file as the person does."""
    try:
        with opened(path) as (container, stream):
            num_packets = sum(1 for packet in container.demux(stream) if packet.size)
        info = read_info(path)
        if num_packets > 2 * info.num_frames + 100:  # two may make a frame; a header that lies costs memory later
            raise VideoError(path, f"has a damaged header: {info.num_frames} frames announced, {num_packets} there")
        if info.num_frames * info.width * info.height <= WHOLE_PIXELS:
            decode_video(path, short_side=32)
    except VideoError as error:
        raise InputError(f"{name}: {error.reason.replace(str(path), 'the file')}") from error
