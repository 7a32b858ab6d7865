"""Ego-Exo4D and Assembly101: files with their names and quirks, empty, and what lists and calibrations tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_videos import write_video

from mv2mae.data.calibration import cameras_of
from mv2mae.data.indexing import index
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import build_index, select
from mv2mae.errors import InputError

TAKE = "takes/upenn_0721_Dance_3_2/frame_aligned_videos"
RECORDING = "recordings/nusar-2021_action_both_9011-a01_9011_user_id_2021-02-01_153724"
TAKES = [
    {
        "take_name": "upenn_0721_Dance_3_2",
        "take_uid": "x",
        "parent_task_name": "Dance",
        "participant_uid": 323,
        "capture_uid": "c1",
    },
    {"take_name": "fair_cooking_05_4", "parent_task_name": "Cooking", "participant_uid": 38, "capture_uid": "c2"},
]


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
    assert found.problems == (("takes.json", "is not there: labels, subjects, setups and parts stay empty"),)


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
    assert set(found.frame["subject"]) == {9011}
    assert set(found.frame["setup"]) == {"2021-02-01"}
    assert found.unmatched == (f"{RECORDING}/preview.mp4",)


@pytest.mark.parametrize("name", ["egoexo4d", "assembly101"])
def test_other_folders_are_refused_with_an_example(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "a/b.mp4")
    with pytest.raises(InputError, match=r"expected names as .*\.mp4"):
        build_index(name, tmp_path)


# The head and the row of projectaria_tools' own test of the format (its leading space, too).
GOPRO_HEAD = (
    "cam_uid,graph_uid,tx_world_cam,ty_world_cam,tz_world_cam,qx_world_cam,qy_world_cam,qz_world_cam,qw_world_cam,"
    "image_width,image_height,intrinsics_type,intrinsics_0,intrinsics_1,intrinsics_2,intrinsics_3,intrinsics_4,"
    "intrinsics_5,intrinsics_6,intrinsics_7,start_frame_idx,end_frame_idx,quality\n"
)
GOPRO = (
    " cam01,40084458-f219-16ca-0c3c-8bd94ee06e6c,1.691723,0.545741,-0.116511,-0.437056,-0.661141,0.501553,0.346871,"
    "3840,2160,KANNALABRANDTK3,1761.275757,1761.275757,1920.000000,1080.000000,0.036902,0.057131,-0.057154,0.018458,"
    "-1,-1,1\n"
)
WHERE = "takes/upenn_0721_Dance_3_2/trajectory/gopro_calibs.csv"


def test_takes_know_their_cameras_and_parts(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for view in ("cam01", "cam02"):
        write_video(root / TAKE / f"{view}.mp4", [i / 30 for i in range(8)], size=(36, 64))
    (root / WHERE).parent.mkdir(parents=True)
    (root / WHERE).write_text(GOPRO_HEAD + GOPRO + GOPRO.replace("cam01", "cam02"))
    (root / "takes.json").write_text(json.dumps(TAKES))
    (root / "annotations").mkdir()
    (root / "annotations/splits.json").write_text(
        json.dumps({"take_uid_to_split": {"x": "val"}, "split_to_take_uids": {"train": [], "val": ["x"], "test": []}})
    )
    manifest = index("egoexo4d", root, tmp_path / "egoexo.csv")
    frame = read_manifest(manifest)
    assert set(frame["part"]) == {"val"}
    cameras = cameras_of(str(manifest))
    camera = cameras.of_rows(frame)[0]
    position, seen = np.array([1.691723, 0.545741, -0.116511]), np.array([0.3, -0.2, 2.0])
    np.testing.assert_allclose(camera.position, position, atol=1e-5)
    axis, w = np.array([-0.437056, -0.661141, 0.501553]), 0.346871
    point = position + seen + 2 * np.cross(axis, np.cross(axis, seen) + w * seen)  # turned from camera to world
    np.testing.assert_allclose(camera.rotation @ point + camera.translation, seen, atol=1e-5)
    shares = cameras.vectors(frame)[0, :4]  # the videos are a sixtieth as wide
    np.testing.assert_allclose(shares, [1761.275757 / 3840, 1761.275757 / 2160, 0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOPRO.replace("KANNALABRANDTK3", "FISHEYE624"), "KANNALABRANDTK3 was expected"),
        (GOPRO.replace("-1,-1,1", "-1,-1,0"), "its quality is 0"),
        (GOPRO.replace("-1,-1,1", "10,900,1"), "stood still from frame 10 to 900 only"),
        (GOPRO.replace("0.346871", "9"), "its rotation is none"),
        (GOPRO.replace("1761.275757", "focal"), "does not hold a camera"),
    ],
)
def test_a_camera_that_is_none_is_set_aside(text: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{TAKE}/cam01.mp4", WHERE)
    (tmp_path / WHERE).write_text(GOPRO_HEAD + text + GOPRO.replace("cam01", "cam02"))
    found = build_index("egoexo4d", tmp_path)
    assert [view for _, view in found.cameras.takes] == ["cam02"]
    assert any(place == WHERE and message in reason and "cam01" in reason for place, reason in found.problems)


def test_a_file_of_cameras_that_was_cut_off_is_set_aside(tmp_path: Path) -> None:
    touch(tmp_path, f"{TAKE}/cam01.mp4")
    (tmp_path / WHERE).parent.mkdir(parents=True)
    (tmp_path / WHERE).write_text(GOPRO_HEAD + GOPRO[:70])
    found = build_index("egoexo4d", tmp_path)
    assert not found.cameras.name
    assert any(place == WHERE and "no known cameras" in reason for place, reason in found.problems)


@pytest.mark.parametrize("text", ["{", "[]", '{"train": ["x"]}', '{"take_uid_to_split": {"x": "dev"}}'])
def test_a_broken_list_of_parts_is_said(text: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{TAKE}/cam01.mp4")
    (tmp_path / "takes.json").write_text(json.dumps(TAKES))
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(InputError, match=r"splits\.json"):
        build_index("egoexo4d", tmp_path)


FINE_HEAD = (
    "id,video,start_frame,end_frame,action_id,verb_id,noun_id,action_cls,verb_cls,noun_cls,toy_id,toy_name,is_shared,"
    "is_RGB\n"
)
ACTIONS = (
    "action_id,verb_id,noun_id,action_cls,verb_cls,noun_cls\n1,7,1,remove arm,remove,arm\n0,18,2,clap hand,clap,hand\n"
)
NAME = RECORDING.removeprefix("recordings/")


def labelled(root: Path) -> None:
    """A recording of three views, and annotations as the data set has them."""
    touch(root, *(f"{RECORDING}/{name}.mp4" for name in ("C10095_rgb", "C10404_rgb", "HMC_21176875_mono10bit")))
    fine, coarse = root / "annotations/fine-grained-annotations", root / "annotations/coarse-annotations"
    for folder in (fine, coarse / "coarse_labels", coarse / "coarse_splits"):
        folder.mkdir(parents=True)
    (fine / "actions.csv").write_text("id," + ACTIONS.replace("\n1,", "\n5,1,").replace("\n0,", "\n6,0,"))
    rows = [
        f"{number},{NAME}/{view}.mp4,{start:09d},{end:09d},{action:04d},1,1,a b,a,b,a01,suv,0,1\n"
        for number, (view, start, end, action) in enumerate(
            [
                ("C10095_rgb", 84, 111, 1),
                ("C10404_rgb", 84, 111, 1),
                ("C10095_rgb", 90, 150, 0),
                ("C10095_rgb", 9, 9, 0),
            ]
        )
    ]
    (fine / "train.csv").write_text(FINE_HEAD + "".join(rows))
    (fine / "validation.csv").write_text(FINE_HEAD + rows[0].replace("_153724", "_160000"))
    (coarse / "actions.csv").write_text(ACTIONS)
    (coarse / f"coarse_labels/assembly_{NAME}.txt").write_text("000000060\t000000120\tremove arm\t\n0\t5\tfly\n")
    (coarse / "coarse_splits/val_coarse_assembly.txt").write_text(f"assembly_{NAME}.txt\tnotshared\ta01\tsuv\n")


def test_fine_actions_of_each_view(tmp_path: Path) -> None:
    labelled(tmp_path)
    found = build_index("assembly101-fine", tmp_path)
    assert found.class_names == ("clap hand", "remove arm")
    rows = found.frame.sort_values(["start", "view"])[["view", "label", "start", "end", "part"]].values.tolist()
    assert rows == [["C10095", 1, 2.8, 3.7, "train"], ["C10404", 1, 2.8, 3.7, "train"], ["C10095", 0, 3, 5, "train"]]
    assert found.frame["group"].nunique() == 2
    assert len(select(found.frame, split="assembly101-fine/official-val", part="train")) == 3
    reasons = dict(found.problems)
    assert "is no action" in reasons["annotations/fine-grained-annotations/train.csv, line 5"]
    assert reasons[NAME.replace("_153724", "_160000")] == "has labels, but no video is here"


def test_coarse_actions_are_those_of_every_view(tmp_path: Path) -> None:
    labelled(tmp_path)
    found = build_index("assembly101-coarse", tmp_path)
    assert found.frame[["label", "start", "end", "part"]].values.tolist() == [[1, 2, 4, "val"]] * 3
    assert found.frame["group"].nunique() == 1
    assert [reason for place, reason in found.problems if ", line 2" in place] == [
        "is no action: start_frame < end_frame and a known name expected"
    ]


@pytest.mark.parametrize(
    ("kind", "name", "text", "message"),
    [
        ("fine", "fine-grained-annotations/actions.csv", "action_id,action_cls\n3,a\n", "must count from 0 to 0"),
        ("fine", "fine-grained-annotations/actions.csv", "a,b\n", "lacks the column action_id, action_cls"),
        ("fine", "fine-grained-annotations/train.csv", "a,b\n1,2\n", "lacks the column video, start_frame"),
        ("coarse", "coarse-annotations/actions.csv", "action_id,action_cls\n0,fall\n", "no coarse_labels/assembly_"),
    ],
)
def test_other_lists_are_refused(kind: str, name: str, text: str, message: str, tmp_path: Path) -> None:
    labelled(tmp_path)
    (tmp_path / "annotations" / name).write_text(text)
    with pytest.raises(InputError, match=message):
        build_index(f"assembly101-{kind}", tmp_path)


def test_without_lists_labels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, f"{RECORDING}/C10095_rgb.mp4")
    with pytest.raises(InputError, match=r"copy Assembly101's annotations there"):
        build_index("assembly101-fine", tmp_path)


def test_a_day_is_calibrated_by_one_of_its_recordings(tmp_path: Path) -> None:
    touch(tmp_path, f"{RECORDING}/C10095_rgb.mp4")
    turn = np.array([[0.0, 0.6, -0.8], [0.0, 0.8, 0.6], [1.0, 0.0, 0.0]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, [37.7, -49.5, 1117.8]
    lens = {"ImageSizeX": 1920, "ImageSizeY": 1080, "fx": 1192.7, "fy": 1193.1, "cx": 957.2, "cy": 530.3, "k1": -0.13}
    cameras = [
        {"Camera": {"DistortionModel": "OpenCV", "ModelViewMatrix": pose.tolist(), "SerialNo": "C10095_rgb", **lens}},
        {"Camera": {"DistortionModel": "OVFishEye62", "SerialNo": "21110305_mono10bit", **lens}},
    ]
    folder = tmp_path / "calib/nimble_json_calib"
    folder.mkdir(parents=True)
    other = "nusar-2021_action_both_9012-c07c_9012_user_id_2021-02-01_164345.json"
    (folder / other).write_text(json.dumps(cameras))
    (folder / other.replace("02-01", "02-02")).write_text("[{")
    found = build_index("assembly101", tmp_path)
    (camera,) = found.cameras.of_rows(found.frame)
    assert camera.size == (1920, 1080)
    np.testing.assert_allclose(camera.position, -turn.T @ [0.0377, -0.0495, 1.1178], atol=1e-6)
    assert [place for place, reason in found.problems if "no known cameras" in reason] == [
        f"calib/nimble_json_calib/{other.replace('02-01', '02-02')}"
    ]
