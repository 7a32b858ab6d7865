"""Atomic writes: files that appear whole or not at all; and what JSON holds, or why not."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from mv2mae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEFTOVERS = ".*.tmp"
"""What a process that was killed may leave beside the files it wrote; to be removed, never to be read."""

OWN_LEFTOVERS = f".*.{'?' * 12}.tmp"
"""The same, for folders in which others may write too: with the twelve letters that `atomic_write` draws."""

_DEAD_SECONDS = 3600
"""Without a byte for so long nobody writes any more."""


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives the path to write to; what was written takes the place of `path` at the end, if all went well.

    Else `path` is as it was, and nothing is left behind. Folders above it are made. What processes that were killed
    left of the same file is removed.

    Args:
        durable: write down to the disk first. Without that a power cut may leave the new name on nothing.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, f".{path.name}.*.tmp", older_than=_DEAD_SECONDS)
    # not the number of the process: it repeats between machines, and in containers always
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with naming(path):
            yield temporary
            if durable:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the name of a file into errors of the system that have none: "no space left" alone says nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Carry a rename to the disk too, where the system lets a folder be opened (Windows does not)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path, *names: str, older_than: float = 0) -> None:
    """Remove what killed processes left in a folder; only where nobody else writes, or what is old.

    Args:
        folder: may be missing.
        names: patterns; by default `LEFTOVERS`.
        older_than: seconds since it was last written to.
    """
    for left in (file for name in names or (LEFTOVERS,) for file in folder.glob(name)):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime >= older_than:
                left.unlink()


def make_writable(folder: Path) -> None:
    """Make a folder for results, before they are worked for.

    Raises:
        InputError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); give another folder as --out") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically and durably."""
    with atomic_write(path, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_csv(path: Path, table: pd.DataFrame, **options: Any) -> None:
    """Write a table as CSV atomically; options as for `to_csv`."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", **options)


def write_figure(path: Path, figure: Figure, **options: Any) -> None:
    """Write a figure of Matplotlib atomically, in the format of its ending; options as for `savefig`."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], **options)


def read_values(path: Path) -> dict[str, Any]:
    """Values by name of a JSON file.

    Raises:
        InputError: it holds something else.
        OSError: it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} cannot be read: expected values by name, got {type(values).__name__}")
    return values


def append_json(path: Path, entry: dict[str, Any]) -> OSError | None:
    """Append a line of JSON to a file that several processes share; the error, if that was one, which ends no work."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:  # short appends do not interleave
            lines.write(json.dumps(entry) + "\n")
    except OSError as error:
        return error
    return None


def write_json(path: Path, values: Any) -> None:
    """Write JSON that people can read, atomically and durably."""
    write_text(path, json.dumps(values, indent=1) + "\n")
