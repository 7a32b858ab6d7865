"""CSV as people and spreadsheets write it: other separators, spaces, capitals."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd

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
        names = names[:-1]
    for number, row in enumerate(rows[1:], start=1):
        if any(row[len(names) :]):
            raise ValueError(
                f"data row {number} has {len(row)} values for {len(names)} columns; quote what holds commas"
            )
        if is_cut and number == len(rows) - 1 and len(row) < len(names):
            raise ValueError(f"its last row has {len(row)} of {len(names)} values: the file was cut off")
    values = [[value or None for value in row[: len(names)]] + [None] * (len(names) - len(row)) for row in rows[1:]]
    return pd.DataFrame(values, columns=names, dtype=object)
