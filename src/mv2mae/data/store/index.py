"""The header of a store, and its tables: one for each shard while it is made, one for all of them in the end.

A shard's table is written after the shard itself, so where it lies the shard is whole. It also remembers what the
shard was made from (`Source`) and which videos were set aside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mv2mae.config import StoreConfig
from mv2mae.data.store.shards import KEY
from mv2mae.data.tables import read_parquet, require_columns
from mv2mae.errors import InputError
from mv2mae.files import atomic_write
from mv2mae.records import read_record as read_values
from mv2mae.records import write_record as write_values
from mv2mae.seals import SEAL, check_seal, seal
from mv2mae.text import first_line

VERSION = 1
"""Of the layout; a reader refuses others."""
INDEX = "index.parquet"
PARTS = "parts"
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.int32()),
        ("header_offset", pa.int64()),
        ("header_size", pa.int64()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("row", pa.int64()),
        ("frames", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("source", pa.string()),
        ("source_start", pa.float64()),
        ("source_end", pa.float64()),
        ("left", pa.int32()),
        ("top", pa.int32()),
        ("right", pa.int32()),
        ("bottom", pa.int32()),
    ]
)
"""`row` is that of the manifest; offsets and sizes are bytes in the shard; the box is what was cut out of a frame."""
_NEEDED = ("key", "shard", "header_offset", "header_size", "offset", "size")
_RECORD = b"mv2mae"


@dataclass(frozen=True)
class Source:
    """What an item is made from; the item is made again where anything in it changes."""

    key: str
    path: str
    start: float | None
    end: float | None
    box: tuple[int, int, int, int] | None
    """Left, top, right, bottom, given by a file of boxes."""
    num_bytes: int | None = None
    changed_ns: int | None = None
    """Size and time of the file; None where it is missing."""

    def is_made(self, other: Source) -> bool:
        """Whether an item made from `other` is this one's.

        Originals may be deleted once the store is made, and their folder has another name on another machine.
        """
        mine = replace(self, path=other.path) if os.path.basename(self.path) == os.path.basename(other.path) else self
        if self.num_bytes is None:
            mine = replace(mine, num_bytes=other.num_bytes, changed_ns=other.changed_ns)
        return mine == other


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a whole shard: its rows of the index, its sources, (row, reason) of those set aside."""

    rows: list[dict[str, Any]]
    sources: list[Source]
    problems: list[tuple[int, str]]

    @property
    def num_bytes(self) -> int:
        """That its tar holds at least."""
        return max((row["offset"] + row["size"] for row in self.rows), default=0)


def check_header(file: Path, config: StoreConfig) -> None:
    """Writes the header of a new store, or makes sure that an old one was begun with the same settings.

    Where the boxes stand is no setting: the boxes themselves are compared item by item.

    Raises:
        InputError: it is damaged, of another layout, or has other settings.
    """
    mine = {name: value for name, value in asdict(config).items() if name != "boxes"}
    if config.crop != "person":
        del mine["detector"]  # it changes nothing, and older stores do not have it
    if not file.exists():
        write_values(file, {"version": VERSION, "settings": mine})
    try:
        header = read_values(file)  # read back: another machine may have begun it in this moment
        version = header["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{file} is no header of a store ({type(error).__name__}); prepare into an empty folder"
        raise InputError(said) from error
    if version != VERSION:
        raise InputError(f"{file}: layout {version} of the store, layout {VERSION} was expected; prepare it again")
    theirs = {"deinterlace": False, **header.get("settings", {})}  # older stores do not have it
    for name, value in mine.items():
        if theirs.get(name) != value:
            raise InputError(
                f"{file.parent} was begun with {name}={theirs.get(name)}, not {name}={value}; "
                "give the old setting, another folder, or delete this one"
            )


def write_record(file: Path, record: ShardRecord) -> None:
    """Writes a shard's table atomically."""
    about = {"sources": [asdict(source) for source in record.sources], "problems": record.problems}
    _write(file, pa.Table.from_pylist(record.rows, _SCHEMA), {_RECORD: json.dumps(about).encode()})


def read_record(file: Path) -> ShardRecord | None:
    """A shard's table, or None where there is none that can be read."""
    try:
        check_seal(file)
        table = pq.read_table(file)
        about = json.loads(table.schema.metadata[_RECORD])
        sources = [Source(**{**source, "box": source["box"] and tuple(source["box"])}) for source in about["sources"]]
        return ShardRecord(table.to_pylist(), sources, [(int(row), str(reason)) for row, reason in about["problems"]])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def write_index(file: Path, records: Sequence[ShardRecord]) -> pd.DataFrame:
    """Writes the table of all shards, and gives it back."""
    rows = [row for record in records for row in record.rows]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    _write(file, table, {})
    return table.to_pandas()


def read_index(file: Path) -> pd.DataFrame:
    """What reading needs of the index.

    Raises:
        InputError: it is missing, damaged, or names what no store holds (path escapes among them).
    """
    if not file.is_file():
        raise InputError(f"no index of a store at {file}; is `mv2mae prepare` done?")
    try:
        frame = read_parquet(file, _NEEDED)
    except (OSError, InputError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{file} is no index of a store ({first_line(error)}); copy it again") from error
    require_columns(frame, _NEEDED, str(file), "copy it again or prepare anew")
    bad = [key for key in frame["key"] if not (isinstance(key, str) and KEY.fullmatch(key))]
    if bad:
        raise InputError(f"{file} names {str(bad[0])[:80]!r}, which is no key of a store; do not trust it")
    numbers = frame[list(_NEEDED[1:])]
    whole = all(np.issubdtype(dtype, np.integer) for dtype in numbers.dtypes)
    if not whole or (len(frame) and not ((numbers >= 0).all(axis=None) and frame["shard"].max() < 1_000_000)):
        raise InputError(f"{file} holds shard numbers or places that cannot be; copy it again or prepare anew")
    if frame["key"].duplicated().any():
        raise InputError(f"{file} names {frame['key'][frame['key'].duplicated()].iloc[0]} twice; prepare anew")
    return frame


def _write(file: Path, table: pa.Table, metadata: dict[bytes, bytes]) -> None:
    table = table.replace_schema_metadata(metadata)
    with atomic_write(file) as temporary:
        with pq.ParquetWriter(temporary, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"seal": SEAL})
        seal(temporary)
