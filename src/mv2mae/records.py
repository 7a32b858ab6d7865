"""JSON files that the program itself reads back: changed bytes in them are noticed.

The checksum stands under `seal`, which other programs may overlook. Whoever edits such a file takes that line out: a
file without it, as earlier versions wrote them, is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mv2mae.files import read_values, write_text
from mv2mae.seals import SEAL, DamagedError, check_seal, sealed

_KEY = "seal"


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Write values by name as JSON with a checksum, atomically and durably."""
    write_text(path, sealed(json.dumps({**values, _KEY: SEAL}, indent=1) + "\n"))


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` wrote.

    Raises:
        InputError: it is damaged, or holds something else.
        OSError: it cannot be read.
    """
    values = read_values(path)
    if not check_seal(path) and _KEY in values:
        raise DamagedError(f"{path} is damaged: the mark of its checksum is not what was written; make it again")
    values.pop(_KEY, None)
    return values
