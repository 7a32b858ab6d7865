"""`mv2mae sync`: what it writes of takes with known shifts, and when it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recordings import film, noises, recorded, walker

from mv2mae.cli import main
from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest

SCENE = noises(40, seed=5)


def shade(time: float) -> float:
    return 20 + 8 * time


def row(path: Path, group: str, view: int, **more: object) -> dict[str, object]:
    return {"path": str(path), "group": group, "view": view, **more}


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Two views with sound, the second began 0.7 s before the first and its clock runs too fast by 0.05 %."""
    folder = tmp_path_factory.mktemp("heard")
    one, other = recorded(SCENE, 3, 24, seed=1), recorded(SCENE, 2.3, 24, seed=2, drift=0.0005)
    return [
        row(film(folder / "1.mp4", 3, 24, sound=one, shade=shade), "a", 1),
        row(film(folder / "2.mp4", 2.3, 24, sound=other, shade=shade, drift=0.0005), "a", 2),
    ]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Three views without sound; the second began 1.5 s after the others."""
    folder, height = tmp_path_factory.mktemp("seen"), walker(2)
    begins = {1: 4.0, 2: 5.5, 3: 4.0}
    return [row(film(folder / f"{v}.mp4", t, 15, height=height, view=v), "b", v) for v, t in begins.items()]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("still")
    return [row(film(folder / f"{v}.mp4", 0, 3), "c", v) for v in (1, 2)]


def sync(manifest: Path, out: Path, *words: str) -> int:
    return main(["sync", str(manifest), "--out", str(out), "--num_workers", "0", *words])


def test_offsets_and_a_drift_by_sound_make_clips_show_one_moment(heard: list, tmp_path: Path) -> None:
    write_manifest(make_frame(heard), tmp_path / "m.csv")
    (tmp_path / "m.classes.json").write_text('["walk"]')
    assert sync(tmp_path / "m.csv", tmp_path / "s.csv") == 0
    frame = read_manifest(tmp_path / "s.csv")
    assert frame["start"].tolist() == pytest.approx([0, 0.7], abs=0.01)
    assert np.isnan(frame["rate"][0])
    assert frame["rate"][1] == pytest.approx(20 * 1.0005, abs=0.002)
    assert json.loads((tmp_path / "s.classes.json").read_text()) == ["walk"]
    data = pretrain_data(PairConfig(manifest=str(tmp_path / "s.csv"), frame_stride=20), num_frames=16, size=32, seed=0)
    times = data.train.window([0, 1], offset=1.0)
    true = 3 + times[0], 2.3 + times[1] / 1.0005
    np.testing.assert_allclose(*true, atol=0.01)
    assert times[0][-1] > 20  # at the end the drift alone is 0.01 s
    report = json.loads((tmp_path / "s.sync.json").read_text())
    assert report["verdicts"] == {"moved": 1}
    assert report["views"][1]["evidence"] == "sound"
    assert (tmp_path / "s.sync.png").read_bytes()[:4] == b"\x89PNG"


def test_offsets_by_motion(seen: list, still: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lonely = {**still[0], "group": "d"}
    write_manifest(
        make_frame([*seen, {**still[0], "start": 0.5}, still[1], {**lonely, "start": 1.0}]), tmp_path / "m.csv"
    )
    assert sync(tmp_path / "m.csv", tmp_path / "s.csv", "--max_offset", "3") == 0
    frame = read_manifest(tmp_path / "s.csv")
    assert frame["start"][:3].tolist() == pytest.approx([1.5, 0, 1.5], abs=0.05)
    assert frame["synchronised"].tolist() == [True, True, True, False, False, True]
    assert frame["start"][3] == 0.5
    said = capsys.readouterr().out
    assert "2 groups: 1 moved, 1 cannot be told; 1 group of one view left alone" in said
    assert "2 views marked as not synchronised" in said
    again = tmp_path / "again.csv"
    assert sync(tmp_path / "s.csv", again, "--max_offset", "3", "--untold", "drop") == 0
    assert "1 as it was, 1 cannot be told" in capsys.readouterr().out
    assert read_manifest(again)["start"].tolist() == pytest.approx([*frame["start"][:3], 1.0])


def test_views_with_and_without_sound_go_together(tmp_path: Path) -> None:
    height = walker(3)
    rows = []
    for view, begin in enumerate((4.0, 5.0, 3.2)):
        sound = recorded(SCENE, begin, 15, seed=view) if view < 2 else None
        rows.append(row(film(tmp_path / f"{view}.mp4", begin, 15, height=height, view=view, sound=sound), "g", view))
    write_manifest(make_frame(rows), tmp_path / "m.parquet")
    assert sync(tmp_path / "m.parquet", tmp_path / "s.parquet", "--max_offset", "4") == 0
    frame = read_manifest(tmp_path / "s.parquet")
    assert frame["start"].tolist() == pytest.approx([1, 0, 1.8], abs=0.06)
    views = json.loads((tmp_path / "s.sync.json").read_text())["views"]
    assert [view["evidence"] for view in views] == ["sound", "sound", "motion"]


def test_where_nothing_can_be_told_nothing_is_written(
    still: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(make_frame(still), tmp_path / "m.csv")
    assert sync(tmp_path / "m.csv", tmp_path / "s.csv") == 1
    error = capsys.readouterr().err
    assert error.startswith("mv2mae sync: error: in none of the 1 group")
    assert error.count("\n") == 1
    assert not (tmp_path / "s.csv").exists()


def test_a_missing_file_costs_its_view_alone(heard: list, tmp_path: Path) -> None:
    rows = [*heard, row(tmp_path / "gone.mp4", "a", 3)]
    write_manifest(make_frame(rows), tmp_path / "m.csv")
    assert sync(tmp_path / "m.csv", tmp_path / "s.csv", "--evidence", "sound", "--untold", "drop") == 0
    assert read_manifest(tmp_path / "s.csv")["start"].tolist() == pytest.approx([0, 0.7], abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["m.csv", "--out", "m.csv"], "never overwritten"),
        (["m.csv", "--out", "s.txt"], "ends in .txt; give a .csv or a .parquet"),
        (["m.csv", "--out", "s.csv", "--evidence", "smell"], "choose from both, sound, motion"),
        (["m.csv", "--out", "s.csv", "--untold", "guess"], "choose from mark, keep, drop"),
        (["m.csv", "--out", "s.csv", "--tolerance", "20"], "tolerance=20 must lie between 0 and max_offset=10"),
        (["one.csv", "--out", "s.csv"], "no group of one.csv has two views"),
        (["none.csv", "--out", "s.csv"], "no manifest at none.csv"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame([row(tmp_path / f"{v}.mp4", "g", v) for v in (1, 2)])
    write_manifest(rows, "m.csv")
    write_manifest(rows[:1], "one.csv")
    assert main(["sync", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
