"""RoCoG-v2: parts by the official lists or by person, gestures by folder and name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from public_names import LISTS, indexed, rocog, touch

from mv2mae.data.protocols import build_index, select

HALT = "real/ground/Halt/S00_10m_ground_label5_start1462.mp4"


@pytest.mark.parametrize("with_lists", [False, True])
def test_counts_and_parts_are_the_official_ones(tmp_path: Path, with_lists: bool) -> None:
    touch(tmp_path, *rocog("train"), *rocog("test"), "real/air/Halt/S00_10m_air_label5_start1.mp4")
    if with_lists:
        for part in ("train", "test"):
            shutil.copy(LISTS / f"rocog_ground_{part}.txt", tmp_path)
    found = build_index("rocog", tmp_path)
    assert found.unmatched == ("real/air/Halt/S00_10m_air_label5_start1.mp4",)
    assert found.problems == ()
    frame = found.frame
    assert len(frame) == frame["group"].nunique() == 304
    for split, part, official in (
        ("ground", "train", "train"),
        ("ground", "test", "test"),
        ("ground-val", "test", "val_target_only"),
    ):
        chosen = select(frame, split=f"rocog/{split}", part=part)
        assert set(chosen["path"]) == {str(tmp_path / name) for name in rocog(official)}
    assert (len(rocog("train")), len(rocog("test"))) == (204, 100)
    assert len(select(frame, split="rocog/ground-val")) == 162
    lines = [
        line for part in ("train", "test") for line in (LISTS / f"rocog_ground_{part}.txt").read_text().splitlines()
    ]
    labels = {line.split()[0]: int(line.split()[1]) for line in lines}
    assert sorted(set(labels.values())) == list(range(7))
    by_path = dict(zip(frame["path"], frame["label"], strict=True))
    assert all(by_path[str(tmp_path / name)] == label for name, label in labels.items())


def test_what_does_not_agree_is_set_aside() -> None:
    found = indexed("rocog", [HALT, "real/ground/Rally/S01_10m_ground_label5_start7.mp4"])
    assert found.frame["label"].tolist() == [4]
    assert found.problems == (
        (
            "/data/real/ground/Rally/S01_10m_ground_label5_start7.mp4",
            "lies in the folder Rally, but its name says Halt",
        ),
    )


def test_odd_lines_of_a_list_are_listed(tmp_path: Path) -> None:
    halts = [HALT, HALT.replace("S00", "S01"), HALT.replace("S00", "S03")]
    touch(tmp_path, *halts)
    (tmp_path / "ground_train.txt").write_text(f"{halts[1]} 4\n{halts[2]} 3\nnonsense\n\n{halts[1]} 4\n")
    (tmp_path / "ground_test.txt").write_text(f"{halts[0]} 4\r\n{halts[1]} 4\nreal/ground/Halt/gone.mp4 4\n")
    found = build_index("rocog", tmp_path)
    assert found.frame["part"].isna().tolist() == [False, False, True]
    assert found.frame["part"].tolist()[:2] == ["test", "train"]
    assert [(Path(place).name, reason.split(":")[0]) for place, reason in found.problems] == [
        (Path(halts[2]).name, "is on no official list"),
        ("gone.mp4", "is on an official list, but not there"),
        ("ground_train.txt, line 2", "expected a path and its label from 0, as Halt/NAME.mp4 4"),
        ("ground_train.txt, line 3", "expected a path and its label from 0, as Halt/NAME.mp4 4"),
        ("ground_test.txt, line 2", "Halt/S01_10m_ground_label5_start1462.mp4 is on the other list too"),
    ]
