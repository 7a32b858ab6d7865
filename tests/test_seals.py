"""Changed bytes in files that say of themselves whether they are whole."""

import pandas as pd
import pytest

from mv2mae.errors import InputError
from mv2mae.evaluate.scores import read_scores, write_table
from mv2mae.runs import read_config, read_log, start_run
from mv2mae.seals import SEAL, DamagedError, check_seal, seal


@pytest.fixture
def sealed(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"before " + SEAL.encode() + b" after")
    seal(file)
    return file


def test_every_changed_byte_is_noticed(sealed):
    content = sealed.read_bytes()
    assert check_seal(sealed)
    assert b"0" * 20 not in content
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        sealed.write_bytes(changed)
        if place in range(7, 21):
            assert not check_seal(sealed)  # the mark itself: it is a file without a seal
        else:
            with pytest.raises(DamagedError, match="its bytes are not those that were written"):
                check_seal(sealed)


def test_lost_and_added_bytes_are_noticed(sealed):
    content = sealed.read_bytes()
    for changed in (content[:-1], content + b"\0", content[1:]):
        sealed.write_bytes(changed)
        with pytest.raises(DamagedError):
            check_seal(sealed)


@pytest.mark.parametrize("content", [b"", b"no mark in it"])
def test_files_of_earlier_versions_have_no_seal(tmp_path, content):
    (tmp_path / "old").write_bytes(content)
    assert not check_seal(tmp_path / "old")


def test_scores_are_sealed(tmp_path):
    table = pd.DataFrame({"path": ["a", "b"], "group": ["g", "h"], "view": 0, "label": [0, 1], "p0": 0.5, "p1": 0.5})
    table.attrs = {"classes": ["x", "y"]}
    write_table(table, tmp_path / "scores.parquet")
    assert read_scores(tmp_path).attrs == {"classes": ["x", "y"]}
    content = (tmp_path / "scores.parquet").read_bytes()
    for place in (len(content) // 9, content.index(b"mv2mae-sha256:")):
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "scores.parquet").write_bytes(changed)
        with pytest.raises(DamagedError, match="is damaged"):
            read_scores(tmp_path)


def test_an_edited_configuration_is_told_once(tmp_path, caplog):
    start_run(tmp_path, {"optim": {"steps": 30}, "data": {}})
    assert read_config(tmp_path) == {"optim": {"steps": 30}, "data": {}}
    assert not caplog.text
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("30", "31"))
    for _ in range(2):
        assert read_config(tmp_path)["optim"]["steps"] == 31
    assert caplog.text.count("was edited or damaged") == 1
    file.write_bytes(file.read_bytes().replace(b"31", b"\0\0"))
    with pytest.raises(InputError, match=r"config\.yaml cannot be read"):
        read_config(tmp_path)


def test_a_log_that_lost_bytes_is_refused(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"step,name,value\n1,loss,0.5\n2,lo\0\0,0.4\n")
    with pytest.raises(InputError, match="bytes of zero"):
        read_log(tmp_path)


def test_damaged_rows_of_a_log_are_told_and_left_out(tmp_path, caplog):
    log = b"step,name,value\n1,loss,0.5\n1,norm,nan\n"
    (tmp_path / "log.csv").write_bytes(log + b"2,loss,0.12")  # in the middle of 0.125
    assert read_log(tmp_path)["loss"].tolist() == [0.5]
    assert not caplog.text
    (tmp_path / "log.csv").write_bytes(log + b"2,loss,abc\n9\n1,2,3,4\n2,l\xff,1\n3,loss,1e-05\n")
    assert read_log(tmp_path)["loss"].dropna().tolist() == [0.5, 1e-5]
    assert "4 damaged rows are left out" in caplog.text
    for text in (b"", b"step,na", b"1,loss,0.5\n"):
        (tmp_path / "log.csv").write_bytes(text)
        with pytest.raises(InputError, match="does not begin with step,name,value"):
            read_log(tmp_path)


@pytest.mark.parametrize(
    "text", ["a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "a: " + "[" * 5000, "data: 1\n", "- a\n"]
)
def test_a_hostile_configuration_is_one_clear_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml cannot be read"):
        read_config(tmp_path)
