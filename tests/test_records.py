"""JSON that is read back: changed bytes are noticed, files of earlier versions still open."""

import json

import pytest

from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import RESULTS_NAME, training_videos
from mv2mae.evaluate.results import PairedTest
from mv2mae.records import read_record, write_record
from mv2mae.reports.folder import _Reader

VALUES = {"top1": 0.875, "names": ["walk", "wavé"]}


@pytest.fixture
def file(tmp_path):
    write_record(tmp_path / "record.json", VALUES)
    return tmp_path / "record.json"


def test_a_record_comes_back_as_it_was(file):
    assert read_record(file) == VALUES
    assert json.loads(file.read_text())["top1"] == 0.875  # for other programs it is JSON with one more name


def test_every_changed_byte_of_a_record_is_noticed(file):
    content = file.read_bytes()
    for place in range(0, len(content), 2):
        for byte in (0, content[place] ^ 1):
            changed = bytearray(content)
            changed[place] = byte
            file.write_bytes(changed)
            with pytest.raises(InputError, match=r"record\.json (is damaged|cannot be read)"):
                read_record(file)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_record(file)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, '{"a": "\x00"}', "\udcff"])
def test_what_is_no_record_is_one_clear_line(file, text):
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=r"record\.json cannot be read") as error:
        read_record(file)
    assert "\n" not in str(error.value)


def test_a_record_without_a_seal_is_taken_as_it_is(file):
    file.write_text(json.dumps(VALUES))
    assert read_record(file) == VALUES


def test_a_changed_figure_of_a_test_is_noticed_by_whoever_reads_it(tmp_path):
    found = PairedTest(
        a=0.75, b=0.5, difference=0.25, interval=(0.125, 0.375), p=0.0125, num=8, groups=4, only_a=3, only_b=1
    )
    file = tmp_path / RESULTS_NAME
    found.write(file)
    assert PairedTest.read(file) == found
    file.write_text(file.read_text().replace("0.75", "0.95"))
    reader = _Reader()
    for read in (PairedTest.read, read_record):
        with pytest.raises(InputError, match=r"evaluation\.json is damaged"):
            read(file)
    assert reader.json(file) is None
    assert "is damaged" in reader.problems[0]


def test_the_videos_of_a_training_by_either_version(tmp_path, monkeypatch):
    monkeypatch.setattr("mv2mae.evaluate.evaluate.find_weights", lambda run: tmp_path / "model.safetensors")
    assert training_videos("run") is None
    (tmp_path / "training_videos.json").write_text('["a.mp4"]')
    assert training_videos("run") == ["a.mp4"]
    write_record(tmp_path / "training_videos.json", {"paths": ["b.mp4"]})
    assert training_videos("run") == ["b.mp4"]
