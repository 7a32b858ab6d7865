"""`mv2mae check` as a command: what it prints, writes and returns; and on the items of stores."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from takes import check, film, kinds, spoil

from mv2mae.cli import main
from mv2mae.config import StoreConfig
from mv2mae.data.check import check_manifest, write_fixed
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.store.prepare import prepare
from mv2mae.errors import InputError


def run(*words: object) -> int:
    return main(["check", *map(str, words), "--num_workers", "0"])


def test_the_command_reports_and_mends(takes: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_manifest(takes, tmp_path / "m.csv")
    (tmp_path / "m.classes.json").write_text('["walk"]')
    assert run(manifest, "--strict") == 0
    assert "every frame" in capsys.readouterr().out
    spoil("empty", Path(takes["path"][0]))
    spoil("longer", Path(takes["path"][1]))
    before = manifest.read_bytes()
    fixed = tmp_path / "elsewhere" / "fixed.parquet"
    fixed.parent.mkdir()
    fixed.with_name("fixed.classes.json").write_text('["of an older manifest"]')
    assert run(manifest, "--fix", fixed) == 1
    said = capsys.readouterr().out
    assert "without 1 of 6 videos" in said
    assert "1 error, 1 warning" in said
    assert f"empty  {takes['path'][0]} (group g1, view 1): the file is empty" in said.splitlines()
    assert manifest.read_bytes() == before
    kept = read_manifest(fixed)
    assert kept["path"].tolist() == takes["path"][1:].tolist()
    assert json.loads(fixed.with_name("fixed.classes.json").read_text()) == ["walk"]
    values = json.loads((tmp_path / "m.check.json").read_text())
    assert (values["errors"], values["warnings"], values["decoded"]) == (1, 1, "every frame")
    first = values["findings"][0]
    assert {"path", "group", "view", "kind", "severity", "found", "expected"} <= set(first)
    assert (first["kind"], first["severity"], first["row"]) == ("empty", "error", 0)


def test_warnings_fail_only_when_strict(
    takes: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(takes[:1], tmp_path / "m.csv")
    assert run(manifest, "--quick", "--out", tmp_path / "r.json") == 0
    assert "quick" in capsys.readouterr().out
    assert run(manifest, "--strict") == 1
    assert not (tmp_path / "fixed.csv").exists()
    assert run(manifest, "--strict", "--fix", tmp_path / "fixed.csv") == 1  # nothing left
    assert "nothing is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope.csv"], "no manifest at nope.csv"),
        (["m.csv", "--fix", "m.csv"], "never overwritten"),
        (["m.csv", "--fix", "sub/../m.csv"], "never overwritten"),
        (["m.csv", "--out", "m.csv"], "never overwritten"),
        (["m.csv", "--fix", "f.txt"], r"f.txt ends in .txt; give a .csv or a .parquet file"),
        (["m.csv", "--out", "nowhere/r.json"], "cannot be written"),
        (["m.csv", "--tolerance", "0"], "tolerance=0 must lie between"),
        (["m.csv", "--time_limit", "0"], "time_limit=0 must be positive"),
        (["bad.csv"], "unknown column lable"),
        (["none.csv"], "no rows"),
        (["label.csv"], "a.mp4 has the label -1"),
        (["no/where.csv"], "no manifest at no/where.csv"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.csv").write_text("path,group,view\na.mp4,g,1\n")
    (tmp_path / "bad.csv").write_text("path,group,view,lable\na.mp4,g,1,red\n")
    (tmp_path / "label.csv").write_text("path,group,view,label\na.mp4,g,1,-1\n")
    (tmp_path / "none.csv").write_text("path,group,view\n")
    assert run(*words) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert (tmp_path / "m.csv").read_text() == "path,group,view\na.mp4,g,1\n"


def test_a_manifest_that_changed_since_is_not_fixed(takes: pd.DataFrame, tmp_path: Path) -> None:
    report = check(takes, quick=True)
    with pytest.raises(InputError, match="has 5 rows now, 6 were checked"):
        write_fixed(write_manifest(takes[1:], tmp_path / "m.csv"), report, tmp_path / "fixed.csv")


def test_a_table_can_be_fixed_only_elsewhere(takes: pd.DataFrame, tmp_path: Path) -> None:
    manifest = write_manifest(takes, tmp_path / "m.csv")
    link = tmp_path / "link.csv"
    link.symlink_to(manifest)
    with pytest.raises(InputError, match="never overwritten"):
        write_fixed(manifest, check(takes, quick=True), link)


# --- stores ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(takes: pd.DataFrame, tmp_path: Path) -> Path:
    film(tmp_path, 2, 3, late=0.4)
    manifest = write_manifest(takes, tmp_path / "m.csv")
    prepare(manifest, tmp_path / "out", StoreConfig(short_side=48, shard_size=3), progress=False)
    return tmp_path / "out" / "manifest.parquet"


def test_the_items_of_a_store_are_checked_as_files_are(stored: Path, tmp_path: Path) -> None:
    report = check_manifest(stored, num_workers=0, progress=False)
    assert {(row, kind.removeprefix("perhaps_")) for row, kind in kinds(report)} == {(5, "unsynchronised")}
    assert check_manifest(stored, num_workers=0, progress=False, quick=True).findings == ()
    write_fixed(stored, report, tmp_path / "fixed.csv", strict=True)
    assert read_manifest(tmp_path / "fixed.csv")["path"].tolist() == read_manifest(stored)["path"].tolist()[:5]


def test_a_damaged_store_is_found(stored: Path) -> None:
    shards = sorted((stored.parent / "store").glob("shard-*.tar"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:2000])
    found = kinds(check_manifest(stored, num_workers=0, progress=False))
    assert {(0, "missing"), (1, "missing"), (2, "missing")} <= found
    assert {(4, "truncated"), (5, "truncated")} <= found


def test_a_store_behind_a_url_is_checked(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (stored.parent / "classes.json").write_text('["walk"]')
    url = f"file://{stored}"
    assert run(url, "--quick", "--fix", "here.csv") == 0
    assert json.loads((tmp_path / "manifest.check.json").read_text())["videos"] == 6
    assert read_manifest(tmp_path / "here.csv")["path"][0].startswith("file://")
    assert json.loads((tmp_path / "here.classes.json").read_text()) == ["walk"]
