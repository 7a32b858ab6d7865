"""Reading tables that somebody else may have written: what they would take is limited before it is taken."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mv2mae.errors import InputError
from mv2mae.seals import DamagedError, check_seal

_log = logging.getLogger(__name__)
MAX_ROWS, MAX_CELLS = 10_000_000, 200_000_000
MAX_BYTES, MAX_UNPACKED_BYTES = 256 << 20, 1 << 30
"""Of a file, and of what it unpacks to: a few bytes of Parquet may stand for gigabytes."""


def check_size(file: Path) -> None:
    """Raises InputError unless a path is a regular file, and no larger than a table in CSV may be."""
    if not file.is_file():
        raise InputError(f"{file} is no regular file; give a .csv or a .parquet file")
    if file.stat().st_size > MAX_BYTES:
        raise _too_large(file, f"{file.stat().st_size / 2**20:,.0f} MB", f"{MAX_BYTES >> 20} MB")


def read_parquet(file: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet file.

    Args:
        file: where it lies.
        columns: those to read; None = all.

    Raises:
        InputError: it unpacks to more than any manifest, cannot be read, or its bytes are not those that were written.
    """
    file = Path(file)
    check_size(file)
    try:
        is_sealed = check_seal(file)
        with pq.ParquetFile(file) as source:
            if not is_sealed and b"seal" in (source.metadata.metadata or {}):
                raise DamagedError(f"{file} is damaged: its checksum has been lost; copy or make it again")
            kept = [field for field in source.schema_arrow if columns is None or field.name in columns]
            if nested := [field.name for field in kept if pa.types.is_nested(field.type)]:
                _log.warning("%s: the column %s holds lists and is left out", file, nested[0])
            kept = [field for field in kept if field.name not in nested]
            _check_metadata(file, source.metadata, len(kept))
            texts = {field.name: _written_out(field.type) for field in kept if _is_text(field.type)}
        # texts as numbers of what they say: one long text that stands in every row is kept once
        table = pq.read_table(
            file,
            columns=[field.name for field in kept],
            read_dictionary=list(texts),
            page_checksum_verification=True,
        )
        unpacked = sum(_text_bytes(table.column(name)) for name in texts if name in table.column_names)
        if unpacked > MAX_UNPACKED_BYTES:
            raise _too_large(file, f"{unpacked / 2**30:,.1f} GB of text", f"{MAX_UNPACKED_BYTES >> 30} GB")
        plain = [field.with_type(texts.get(field.name, field.type)) for field in table.schema]
        return table.cast(pa.schema(plain, table.schema.metadata)).to_pandas()
    except InputError:
        raise
    except Exception as error:  # pyarrow raises a dozen kinds
        raise _unreadable(file, error) from error


# ---------------------------------------------------------------------------------------------------------


def _check_metadata(file: Path, about: Any, num_columns: int) -> None:
    # not what it says of each column: pyarrow ends the process over a damaged one
    if about.num_rows > MAX_ROWS:
        raise _too_large(file, f"{about.num_rows:,} rows", f"{MAX_ROWS:,} rows")
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    if size > MAX_UNPACKED_BYTES:
        raise _too_large(file, f"{size / 2**30:,.1f} GB unpacked", f"{MAX_UNPACKED_BYTES >> 30} GB")
    cells = sum(group.num_rows for group in groups) * num_columns
    if cells > MAX_CELLS:
        raise _too_large(file, f"{cells:,} values", f"{MAX_CELLS:,} values")


def _is_text(kind: pa.DataType) -> bool:
    kind = _written_out(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _written_out(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a column that is kept as numbers of them."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of all texts of a column, written out."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            lengths = pc.take(pc.binary_length(chunk.dictionary).cast(pa.int64()), chunk.indices)
            total += pc.sum(lengths).as_py() or 0
        else:
            total += chunk.nbytes
    return total


def _too_large(file: Path, held: str, allowed: str) -> InputError:
    return InputError(f"{file} holds {held}; a table may have {allowed}; split it")


def _unreadable(file: Path, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{file} cannot be read as a table ({reason})")
