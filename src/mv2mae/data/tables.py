"""Reading tables that somebody else may have written: CSV as people and spreadsheets write it, Parquet, columns.

What a table would take is limited before it is taken.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mv2mae.errors import InputError
from mv2mae.seals import DamagedError, check_seal
from mv2mae.text import first_line

_log = logging.getLogger(__name__)
MAX_ROWS, MAX_COLUMNS, MAX_CELLS, MAX_ROW_GROUPS = 10_000_000, 5_000, 200_000_000, 5_000
MAX_BYTES, MAX_UNPACKED_BYTES = 256 << 20, 1 << 30
"""Of a file, and of what it unpacks to: a few bytes of Parquet may stand for gigabytes."""


def check_size(file: Path) -> None:
    """Raises InputError unless a path is a regular file, and no larger than a table in CSV may be."""
    if not file.is_file():
        raise InputError(f"{file} is no regular file; give a .csv or a .parquet file")
    if file.stat().st_size > MAX_BYTES:
        raise _too_large(file, f"{file.stat().st_size / 2**20:,.0f} MB", f"{MAX_BYTES >> 20} MB")


def require_columns(there: Container[object], needed: Iterable[str], name: str, advice: str) -> None:
    """Raises InputError, which names the table and gives the advice, if columns that are needed are not there."""
    if missing := [column for column in needed if column not in there]:
        raise InputError(f"{name} lacks the column {', '.join(missing)}; {advice}")


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
            if other := [field.name for field in kept if _is_other(field.type)]:
                _log.warning("%s: the column %s holds lists or bytes and is left out", file, other[0])
            kept = [field for field in kept if field.name not in other]
            _check_metadata(file, source.metadata, len(kept))
            texts = {field.name: _written_out(field.type) for field in kept if _is_text(field.type)}
        # texts as numbers of what they say: one long text that stands in every row is kept once
        table = pq.read_table(
            file,
            columns=[field.name for field in kept],
            read_dictionary=list(texts),
            page_checksum_verification=True,
        )
        table.validate(full=True)  # texts that are no UTF-8 fail wherever they are looked at
        unpacked = sum(_text_bytes(table.column(name)) for name in texts if name in table.column_names)
        if unpacked > MAX_UNPACKED_BYTES:
            raise _too_large(file, f"{unpacked / 2**30:,.1f} GB of text", f"{MAX_UNPACKED_BYTES >> 30} GB")
        plain = [field.with_type(texts.get(field.name, field.type)) for field in table.schema]
        return table.cast(pa.schema(plain, table.schema.metadata)).to_pandas()
    except InputError:
        raise
    except Exception as error:  # pyarrow raises a dozen kinds
        raise InputError(f"{file} cannot be read as a table ({first_line(error)})") from error


def _check_metadata(file: Path, about: Any, num_columns: int) -> None:
    # not what it says of each column: pyarrow ends the process over a damaged one
    if about.num_rows > MAX_ROWS:
        raise _too_large(file, f"{about.num_rows:,} rows", f"{MAX_ROWS:,} rows")
    if num_columns > MAX_COLUMNS:
        raise _too_large(file, f"{num_columns:,} columns", f"{MAX_COLUMNS:,} columns")
    if about.num_row_groups > MAX_ROW_GROUPS:  # each costs milliseconds
        raise _too_large(file, f"{about.num_row_groups:,} row groups", f"{MAX_ROW_GROUPS:,} row groups")
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    if size > MAX_UNPACKED_BYTES:
        raise _too_large(file, f"{size / 2**30:,.1f} GB unpacked", f"{MAX_UNPACKED_BYTES >> 30} GB")
    cells = sum(group.num_rows for group in groups) * num_columns
    if cells > MAX_CELLS:
        raise _too_large(file, f"{cells:,} values", f"{MAX_CELLS:,} values")


def _is_other(kind: pa.DataType) -> bool:
    kind = _written_out(kind)
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return bool(pa.types.is_nested(kind) or any(test(kind) for test in is_bytes))


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


def _too_large(file: Path, found: str, allowed: str) -> InputError:
    return InputError(f"{file} holds {found}; a table may have {allowed}; split it")


_SEPARATORS = (",", ";", "\t", "|")


def read_csv(file: Path) -> pd.DataFrame:
    """A table of texts; the separator is the one of which its first line has most.

    Raises:
        ValueError: it is no text in UTF-8 (or UTF-16 with its mark), was cut off, or has rows that are too long.
        csv.Error: a quote is not closed.
    """
    content = file.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8; save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("bytes of zero in it: part of it was lost")
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep="):  # what Excel asks for
        text, (first, _, _) = rest, rest.partition("\n")
    separator = max(_SEPARATORS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows = [row for row in ([value.strip() for value in line] for line in lines) if any(row)]
    if not rows:
        raise ValueError("it is empty")
    return _framed(rows, is_cut=not text.endswith(("\n", "\r")))


def _framed(rows: list[list[str]], *, is_cut: bool) -> pd.DataFrame:
    """The table of rows of which the first has the names; pandas would move the values of one that is too long."""
    names = rows[0]
    while len(names) > 1 and not names[-1]:  # a separator at the end of every line
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise ValueError(f"it has {len(names):,} columns; a table may have {MAX_COLUMNS:,}")
    for number, row in enumerate(rows[1:], start=1):
        if any(row[len(names) :]):
            raise ValueError(
                f"data row {number} has {len(row)} values for {len(names)} columns; quote what holds commas"
            )
        if is_cut and number == len(rows) - 1 and len(row) < len(names):
            raise ValueError(f"its last row has {len(row)} of {len(names)} values: the file was cut off")
    values = [[value or None for value in row[: len(names)]] + [None] * (len(names) - len(row)) for row in rows[1:]]
    return pd.DataFrame(values, columns=names, dtype=object)


_NOTHING = ("", "na", "n/a", "nan", "none", "null", "-")


def as_text(value: object) -> str:
    """A group or view as text; 3.0, which is what a whole number may have become on its way, is 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def views_column(views: pd.Series) -> pd.Series:
    """Views as integers if every one is written as an integer is (01 is a name), as text otherwise."""
    names = views.unique()
    if all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", view) for view in names):
        return views.map({view: int(view) for view in names}).astype("Int64")
    return views


def own_column(values: pd.Series) -> pd.Series:
    """A column of the user's own: numbers where all of it are, so that queries can compare them."""
    try:
        return pd.to_numeric(values)
    except (TypeError, ValueError):
        return values


def numbers_or_names(values: pd.Series) -> pd.Series:
    """Whole numbers if all that is filled in is written as one and no two ways of writing mean the same (1 and 01)."""
    texts = values.map(lambda value: None if pd.isna(value) or str(value) == "" else as_text(value)).astype(object)
    names = texts.dropna().unique()
    numbers = {name: int(re.sub(r"\.0*$", "", name)) for name in names if re.fullmatch(r"-?[0-9]{1,15}(\.0*)?", name)}
    if len(numbers) == len(names) == len(set(numbers.values())):
        return texts.map(numbers).astype("Int64")
    return texts.where(texts.notna(), None)


def numbers_column(values: pd.Series, column: str, name: str, dtype: str) -> pd.Series:
    """Numbers of a type (`Int64` or `float64`), empty where nothing is said."""
    try:
        if values.dtype.kind in "mM":  # which would become billions of microseconds
            raise ValueError("it holds dates or times")
        numbers = pd.to_numeric(values.map(_as_number)).astype("Float64")
        if not (numbers.dropna().abs() < 2**53).all():
            raise ValueError("a value is not finite or too large")
        if dtype == "Int64" and not (numbers.dropna() % 1 == 0).all():
            raise ValueError("a value has a fraction")
        return numbers.astype("Int64") if dtype == "Int64" else numbers.astype("float64")
    except (TypeError, ValueError) as error:
        kind = "whole numbers" if dtype == "Int64" else "numbers"
        hint = "; `mv2mae index folder --table` makes numbers of names" if column == "label" else ""
        raise InputError(f"{name}: column {column} must hold {kind} or nothing ({error}){hint}") from error


def _as_number(value: object) -> object:
    """A text as `to_numeric` reads it: nothing may be written NA, and a decimal point is a comma in half of Europe."""
    if not isinstance(value, str):
        return value
    if value.lower() in _NOTHING:
        return None
    return value.replace(",", ".") if re.fullmatch(r"-?[0-9]*,[0-9]+", value) else value


def words_of(values: pd.Series, column: str, name: str, meaning: Mapping[str, object]) -> pd.Series:
    """The meaning of each word of a column, in any case; empty values stay empty."""
    words = values.dropna().astype(object).map(lambda word: str(word).strip().lower())
    odd = sorted(set(words) - meaning.keys())
    if odd:
        choices = ", ".join(word for word in meaning if word.isalpha())
        raise InputError(f"{name}: column {column} must hold one of {choices} or nothing, not {odd[0][:40]!r}")
    return words.map(dict(meaning)).reindex(values.index).astype(object)
