"""Several data sets in one manifest."""

import json

import numpy as np
import pytest

from mv2mae.cli import main
from mv2mae.data.calibration import cameras_of
from mv2mae.data.joining import join
from mv2mae.data.labels import read_class_names
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.errors import InputError


def write_set(folder, classes, *, setup=1, focal=0.0, view="{}"):
    folder.mkdir(parents=True)
    rows = [
        {
            "path": str(folder / f"{g}_{v}.mp4"),
            "group": f"g{g}",
            "view": view.format(v),
            "label": g,
            "subject": g,
            "setup": setup,
        }
        for g in range(len(classes))
        for v in (1, 2)
    ]
    file = write_manifest(make_frame(rows), folder / "manifest.csv")
    (folder / "classes.json").write_text(json.dumps(classes))
    if focal:
        pose = {
            "rotation": np.eye(3).tolist(),
            "focal_px": focal,
            "principal_point_px": [48, 48],
            "width": 96,
            "height": 96,
        }
        cameras = {view.format(v): {**pose, "position_m": [v, 0, 0]} for v in (1, 2)}
        (folder / "cameras.json").write_text(json.dumps({"" if setup is None else str(setup): {"cameras": cameras}}))
    return file


def test_namesakes_stay_apart_and_classes_meet_by_name(tmp_path):
    one = write_set(tmp_path / "kitchen", ["wave", "sit"])
    two = write_set(tmp_path / "hall", ["Sit", "jump", "wave"], setup=None, view="cam{}")
    joined = join([one, two], tmp_path / "out" / "both.parquet")
    frame = read_manifest(joined.manifest)
    assert joined.videos == (4, 6)
    assert frame["group"].nunique() == frame["subject"].nunique() == 5
    assert set(frame["setup"]) == {"kitchen-1", "hall"}
    assert read_class_names(joined.manifest) == {0: "wave", 1: "sit", 2: "jump"}
    hall = frame[frame["setup"] == "hall"].drop_duplicates("group")
    assert dict(zip(hall["group"], hall["label"], strict=True)) == {"hall-g0": 1, "hall-g1": 2, "hall-g2": 0}
    assert str(tmp_path / "hall" / "0_1.mp4") in set(frame["path"])
    assert set(read_manifest(join([one, two], tmp_path / "same.csv", same_people=True).manifest)["subject"]) == {
        0,
        1,
        2,
    }


def test_each_video_keeps_its_camera(tmp_path):
    sets = [write_set(tmp_path / "a", ["wave"], focal=80), write_set(tmp_path / "b", ["wave"], setup=None, focal=120)]
    joined = join(sets, tmp_path / "both.csv")
    assert joined.knows_cameras
    cameras = cameras_of(str(joined.manifest))
    focal = [camera.focal[0] for camera in cameras.of_rows(read_manifest(joined.manifest))]
    assert focal == [80, 80, 120, 120]
    (tmp_path / "b" / "cameras.json").unlink()
    assert not join(sets, tmp_path / "half" / "both.csv").knows_cameras


def test_what_cannot_be_joined_is_told(tmp_path, capsys):
    one = write_set(tmp_path / "a", ["wave"])
    with pytest.raises(InputError, match="1 manifest to join; give two or more"):
        join([one], tmp_path / "out.csv")
    with pytest.raises(InputError, match="holds one of the manifests; give --out a file in a folder of its own"):
        join([one, one], tmp_path / "a" / "both.csv", names=["a", "b"])
    with pytest.raises(InputError, match="2 data sets want as many different names, not a, a; give --names"):
        join([one, one], tmp_path / "out.csv")
    (tmp_path / "b" / "store").mkdir(parents=True)
    (tmp_path / "b" / "store" / "store.json").write_text("{}")
    assert main(["join", str(one), str(tmp_path / "b" / "manifest.csv"), "--out", str(tmp_path / "out.csv")]) != 0
    assert "is prepared; join the manifests of the originals" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
