"""CSV as people and spreadsheets write it: other separators, spaces, capitals."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

_SEPARATORS = (",", ";", "\t", "|")


def read_csv(file: Path) -> pd.DataFrame:
    """A table of texts; the separator is the one of which its first line has most.

    Raises:
        ValueError: it is no text in UTF-8 (or UTF-16 with its mark), or pandas cannot make a table of it.
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
    return pd.read_csv(
        io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True
    )
