"""Ego-Exo4D and Assembly101: files with their names and quirks, empty, and what `takes.json` tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mv2mae.data.protocols import build_index
from mv2mae.errors import InputError

TAKE = "takes/upenn_0721_Dance_3_2/frame_aligned_videos"
RECORDING = "recordings/nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724"
TAKES = [
    {"take_name": "upenn_0721_Dance_3_2", "take_uid": "x", "parent_task_name": "Dance", "participant_uid": 323,
     "capture_uid": "c1"},
    {"take_name": "fair_cooking_05_4", "parent_task_name": "Cooking", "participant_uid": 38, "capture_uid": "c2"},
]  # fmt: skip


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_takes_with_their_tasks(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{TAKE}/{view}.mp4" for view in ("cam01", "cam02", "gp03", "aria01_214-1", "aria01_1201-2")))
    touch(tmp_path, f"{TAKE}/downscaled/448/cam01.mp4", "takes/fair_cooking_05_4/frame_aligned_videos/cam01.mp4")
    touch(tmp_path, "takes/new_1/frame_aligned_videos/cam01.mp4", f"{TAKE}/collage.mp4", f"{TAKE}/aria01_et.mp4")
    (tmp_path / "takes.json").write_text(json.dumps(TAKES))
    found = build_index("egoexo4d", tmp_path)
    frame = found.frame.set_index(["group", "view"])
    assert len(frame) == 7
    assert found.class_names == ("Cooking", "Dance")
    dance = frame.loc["upenn_0721_Dance_3_2"]
    assert sorted(dance.index) == ["aria01_1201-2", "aria01_214-1", "cam01", "cam02", "gp03"]
    assert set(dance["label"]) == {1}
    assert set(dance["subject"]) == {323}
    assert set(dance["setup"]) == {"c1"}
    assert "downscaled" not in dance.loc["cam01", "path"]
    assert frame.loc["new_1"]["label"].isna().all()
    assert sorted(name.rsplit("/", 1)[-1] for name in found.unmatched) == ["aria01_et.mp4", "collage.mp4"]
    reasons = [reason for _, reason in found.problems]
    assert any("is cam01" in reason or "view cam01 is" in reason for reason in reasons)
    assert any("is not in takes.json" in reason for reason in reasons)
    assert found.others == ()


def test_without_its_list_a_take_has_no_label(tmp_path: Path) -> None:
    touch(tmp_path, f"{TAKE}/cam01.mp4")
    found = build_index("egoexo4d", tmp_path)
    assert found.frame["label"].isna().all()
    assert found.problems == (("takes.json", "is not there: labels, subjects and setups stay empty"),)


@pytest.mark.parametrize(("text", "message"), [("[{", "cannot be read as JSON"), ('{"a": 1}', "is no list of takes")])
def test_a_broken_list_is_said(text: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{TAKE}/cam01.mp4")
    (tmp_path / "takes.json").write_text(text)
    with pytest.raises(InputError, match=message):
        build_index("egoexo4d", tmp_path)


def test_recordings_of_twelve_cameras(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{RECORDING}/{name}.mp4" for name in ("C10095_rgb", "C10404_rgb", "HMC_21176875_mono10bit")))
    touch(tmp_path, f"{RECORDING}/preview.mp4")
    found = build_index("assembly101", tmp_path)
    assert found.frame["view"].tolist() == ["C10095", "C10404", "HMC_21176875"]
    assert found.frame["group"].nunique() == 1
    assert set(found.frame["toy"]) == {"a01"}
    assert found.unmatched == (f"{RECORDING}/preview.mp4",)


@pytest.mark.parametrize("name", ["egoexo4d", "assembly101"])
def test_other_folders_are_refused_with_an_example(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "a/b.mp4")
    with pytest.raises(InputError, match=r"expected names as .*\.mp4"):
        build_index(name, tmp_path)
