"""Files behind URLs (s3://, gs://, memory:// ...: whatever fsspec opens), by way of a cache on this machine.

A file is copied whole on its first use. The cache lies in `MV2MAE_CACHE`, or else in `~/.cache/mv2mae`; anything
in it may be deleted while nothing reads it.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import shutil
from pathlib import Path
from typing import Any, BinaryIO, cast

from filelock import FileLock

from mv2mae.errors import InputError
from mv2mae.text import first_line


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL."""
    return "://" in str(path)


def cache_folder() -> Path:
    """Where copies are kept."""
    return Path(os.environ.get("MV2MAE_CACHE") or Path.home() / ".cache" / "mv2mae")


def local_copy(path: str | Path) -> Path:
    """A file on this machine: the path itself, or the copy of what a URL names; a changed file is copied again.

    Raises:
        InputError: fsspec is missing, or the URL cannot be read.
    """
    if not is_url(path):
        return Path(path)
    url = str(path)
    system, inner = _open_system(url)
    try:
        version = system.ukey(inner)
        name = hashlib.sha256(f"{url}\n{version}".encode()).hexdigest()[:24]
        copy = cache_folder() / f"{name}-{posixpath.basename(inner)}"
        if not copy.exists():
            _fetch(system, inner, copy)
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file") from error
    except Exception as error:  # each file system has kinds of its own: no credentials, no such host ...
        said = f"{url} cannot be copied to {cache_folder()} ({first_line(error)}); MV2MAE_CACHE sets another"
        raise InputError(said) from error
    return copy


def open_stream(path: str | Path) -> BinaryIO:
    """A file, or what a URL names, to be read once from its beginning; no copy is kept.

    Raises:
        InputError: fsspec is missing, or the URL cannot be opened.
        OSError: the file cannot be opened.
    """
    if not is_url(path):
        return open(path, "rb")
    system, inner = _open_system(str(path))
    try:
        return cast(BinaryIO, system.open(inner, "rb"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:
        raise InputError(f"{path} cannot be opened ({first_line(error)})") from error


def _open_system(url: str) -> tuple[Any, str]:
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(f"{url} needs fsspec; pip install -e '.[remote]'") from error
    try:
        system, inner = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # no s3fs for s3://, an unknown protocol
        raise InputError(f"{url} cannot be opened ({error}); `pip install -e '.[remote]'` brings s3://") from error
    return system, str(inner)


def _fetch(system: Any, inner: str, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    temporary = copy.with_name(f".{copy.name}.{secrets.token_hex(6)}.tmp")
    # loader processes that want the same shard wait for one copy; the lock goes with the process that holds it
    with FileLock(copy.with_name(f".{copy.name}.lock")):
        if copy.exists():  # another process was faster
            return
        for left in copy.parent.glob(f".{copy.name}.*.tmp"):  # by a process that was killed
            left.unlink(missing_ok=True)
        try:
            with system.open(inner, "rb") as source, temporary.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 22)
            size, received = system.size(inner), temporary.stat().st_size
            if size is not None and size != received:
                raise OSError(f"{received:,} of {size:,} bytes have come")
            os.replace(temporary, copy)
        finally:
            temporary.unlink(missing_ok=True)
