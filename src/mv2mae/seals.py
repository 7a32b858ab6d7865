"""Checksums inside files: a sealed file says of itself whether a byte of it has changed.

Whoever writes a file puts `SEAL` somewhere into its text (the description in a header, the metadata of a table) and
calls `seal`, which writes the SHA-256 of the whole file over the zeros. Whoever reads it calls `check_seal`. Files
without a seal, of earlier versions, are taken as they are.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from mv2mae.errors import InputError

_MARK = b"mv2mae-sha256:"
_DIGITS = 64
SEAL = _MARK.decode() + "0" * _DIGITS
"""What stands for the checksum until it is known."""


class DamagedError(InputError):
    """Bytes of a file are not what was written."""


def seal(file: Path) -> None:
    """Write the checksum into a file that holds `SEAL`."""
    place, _, digest = _read(file)
    assert place is not None, "the file holds no place for its seal"
    with file.open("rb+") as opened:
        opened.seek(place)
        opened.write(digest)


def sealed(text: str) -> str:
    """A text that holds `SEAL`, with the checksum in its place."""
    return text.replace(SEAL, _MARK.decode() + hashlib.sha256(text.encode()).hexdigest(), 1)


def check_seal(file: Path) -> bool:
    """Whether a file is sealed and whole; False for one without a seal.

    Raises:
        DamagedError: it is not as it was written.
        OSError: it cannot be read.
    """
    place, stored, digest = _read(file)
    if place is None:
        return False
    if stored != digest:
        raise DamagedError(f"{file} is damaged: its bytes are not those that were written; copy or make it again")
    return True


def _read(file: Path) -> tuple[int | None, bytes, bytes]:
    """Where the checksum stands, what stands there, and what should."""
    with file.open("rb") as opened:
        if not opened.seek(0, 2):
            return None, b"", b""
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.find(_MARK)
            if place < 0:
                return None, b"", b""
            place += len(_MARK)
            stored = content[place : place + _DIGITS]
            found = hashlib.sha256()
            with memoryview(content) as view, view[:place] as before, view[place + _DIGITS :] as after:
                for part in (before, b"0" * _DIGITS, after):
                    found.update(part)
            return place, stored, found.hexdigest().encode()
