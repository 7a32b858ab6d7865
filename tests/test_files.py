"""A file is written whole, or is as it was."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from mv2mae.evaluate.scores import ABOUT, CropWriter
from mv2mae.files import LEFTOVERS, atomic_write, sweep, write_csv, write_figure, write_json, write_text


def test_a_file_appears_when_all_of_it_is_written(tmp_path):
    file = tmp_path / "new" / "file.txt"
    with atomic_write(file) as temporary:
        temporary.write_text("whole")
        assert not file.exists()
        assert list(file.parent.glob(LEFTOVERS)) == [temporary]
    assert file.read_text() == "whole"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("durable", [False, True])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, durable):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def fail():
        with atomic_write(file, durable=durable) as temporary:
            temporary.write_text("ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "lines.csv", "a,ä\n1,2\r\n")
    assert (tmp_path / "lines.csv").read_bytes() == "a,ä\n1,2\r\n".encode()
    write_json(tmp_path / "a.json", {"name": "ä", "list": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"name": "ä", "list": [1, 2]}


def test_what_killed_processes_left_is_swept(tmp_path):
    old, fresh, other = (tmp_path / name for name in (".a.txt.1.tmp", ".a.txt.2.tmp", ".b.txt.1.tmp"))
    for file in (old, fresh, other):
        file.write_text("half")
    os.utime(old, (1, 1))
    write_text(tmp_path / "a.txt", "whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        fresh.name,
        other.name,
        "a.txt",
    ]
    sweep(tmp_path)
    sweep(tmp_path / "missing")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_no_room_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*/a.txt'"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_crops_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    for method in ("write_table", "close"):  # `close` fails too, on a disk that is full
        monkeypatch.setattr(pq.ParquetWriter, method, full)
        with (
            pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/crops.parquet'$"),
            CropWriter(tmp_path / "crops.parquet", 1, [0, 1]) as crops,
        ):
            crops.add(dict.fromkeys(ABOUT, 1), np.zeros((1, 2), np.float32))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv", "a.png"])
def test_tables_and_figures_appear_whole_or_not_at_all(tmp_path, monkeypatch, name):
    def write() -> None:
        if name == "a.csv":
            write_csv(tmp_path / name, pd.DataFrame({"x": [1.0, 2.0]}), float_format="%.6g")
        else:
            write_figure(tmp_path / name, Figure(), dpi=20)

    write()
    before = (tmp_path / name).read_bytes()
    assert before == b"x\n1\n2\n" if name == "a.csv" else before.startswith(b"\x89PNG")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(name, before)]
