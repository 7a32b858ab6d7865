"""Tables of others: limits before anything is unpacked."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mv2mae.data import tables
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.tables import read_parquet
from mv2mae.errors import InputError


def test_a_table_comes_back_as_pandas_would_read_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["a", "b", None], "label": [1, 2, 3], "end": [0.5, None, 1.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "t.parquet"), pd.read_parquet(tmp_path / "t.parquet"))
    assert list(read_parquet(tmp_path / "t.parquet", ["label"])) == ["label"]


def test_a_long_text_in_every_row_is_not_written_out(tmp_path: Path) -> None:
    file, long = tmp_path / "m.parquet", "x" * (1 << 20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), [long])
    pq.write_table(pa.table({"path": texts, "group": texts, "view": pa.array(range(5000))}), file)
    assert file.stat().st_size < 4 << 20
    with pytest.raises(InputError, match=r"m.parquet holds 9.8 GB of text; a table may have 1 GB"):
        read_manifest(file)


def test_rows_and_values_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": np.zeros(tables.MAX_ROWS + 1, np.int8)}), file)
    with pytest.raises(InputError, match="holds 10,000,001 rows; a table may have 10,000,000 rows"):
        read_manifest(file)
    pq.write_table(pa.table({"path": ["a"] * 500, "group": ["b"] * 500}), file)
    monkeypatch.setattr(tables, "MAX_CELLS", 999)
    with pytest.raises(InputError, match="holds 1,000 values"):
        read_manifest(file)


def test_columns_of_lists_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A few bytes of them may stand for any number of values."""
    columns = {"path": ["a.mp4"], "group": ["g"], "view": [1], "boxes": [[0] * 1000], "where": [{"x": 1}]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert "boxes" not in read_manifest(tmp_path / "m.parquet")
    assert "column boxes holds lists or bytes and is left out" in caplog.text


@pytest.mark.parametrize("place", [0.1, 0.2, 0.3, 0.4])
def test_changed_values_of_a_manifest_are_noticed(tmp_path: Path, place: float) -> None:
    rows = [{"path": f"v{i}.mp4", "group": f"g{i}", "view": 1, "label": i % 7} for i in range(500)]
    file = write_manifest(make_frame(rows), tmp_path / "m.parquet")
    content = bytearray(file.read_bytes())
    whole = read_manifest(file)
    for offset in range(round(place * len(content)), round(place * len(content)) + 40):
        changed = content.copy()
        changed[offset] ^= 1
        file.write_bytes(changed)
        try:
            assert read_manifest(file).equals(whole)
        except InputError:
            continue


def test_a_damaged_description_of_a_column_does_not_end_the_process(tmp_path: Path) -> None:
    """pyarrow calls `terminate` where it is asked what a damaged file says of a column."""
    rows = [{"path": f"v{i}.mp4", "group": f"g{i}", "view": 1, "fps": 30.0} for i in range(50)]
    file = write_manifest(make_frame(rows), tmp_path / "m.parquet")
    content = file.read_bytes()
    begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    code = (
        "import sys; from mv2mae.data.manifest import read_manifest\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "for place in range(int(sys.argv[2]), int(sys.argv[2]) + 700):\n"
        "    changed = bytearray(content); changed[place] ^= 16; open(sys.argv[3], 'wb').write(changed)\n"
        "    try: read_manifest(sys.argv[3])\n"
        "    except ValueError: pass\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file), str(begin), str(tmp_path / "x.parquet")], check=True)


def test_a_csv_larger_than_any_manifest_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "m.csv").open("wb") as file:
        file.truncate(tables.MAX_BYTES + 1)
    with pytest.raises(InputError, match="m.csv holds 256 MB"):
        read_manifest(tmp_path / "m.csv")


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.parquet")
    found: list[Exception] = []

    def read() -> None:
        try:
            read_parquet(tmp_path / "m.parquet")
        except InputError as error:
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert "no regular file" in str(found[0])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_more_columns_than_any_manifest_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(tables, "MAX_COLUMNS", 20)
    frame = pd.DataFrame({"path": ["a.mp4"], "group": ["g"], "view": ["1"], **{f"c{i}": ["1"] for i in range(30)}})
    file = tmp_path / f"wide.{ending}"
    frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file)
    with pytest.raises(InputError, match="33 columns; a table may have 20"):
        read_manifest(file)


def test_texts_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.parquet"
    paths = pa.array([b"a.mp4", b"\xff\xfe.mp4"])
    pq.write_table(pa.table({"path": paths, "group": ["g", "g"], "view": [1, 2]}), file)
    with pytest.raises(InputError, match="lacks the column path"):  # bytes are no text
        read_manifest(file)
    broken = pa.StringArray.from_buffers(2, *paths.buffers()[1:])
    pq.write_table(pa.table({"path": broken, "group": ["g", "g"], "view": [1, 2]}), file)
    with pytest.raises(InputError, match="cannot be read as a table .*UTF"):
        read_manifest(file)


@pytest.mark.parametrize(("column", "kind"), [("label", "datetime64[s]"), ("start", "timedelta64[s]")])
def test_dates_are_no_numbers(tmp_path: Path, column: str, kind: str) -> None:
    file = tmp_path / "m.parquet"
    pd.DataFrame({"path": "a.mp4", "group": "g", "view": [1], column: np.array([86400], kind)}).to_parquet(file)
    with pytest.raises(InputError, match=f"column {column} must hold .*dates or times"):
        read_manifest(file)
