"""Known cameras: read from every form in which they are written down, and refused with one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mv2mae.data.calibration import cameras_of, read_calibration
from mv2mae.data.calibration_formats import rotation_of_quaternion, rotation_of_vector
from mv2mae.data.cameras import Cameras
from mv2mae.data.manifest import make_frame, write_manifest
from mv2mae.errors import InputError

TURNS = {"1": np.array([0.3, -0.2, 0.5]), "2": np.array([0.0, 1.5, 0.0])}
TRANSLATIONS = {"1": [0.1, 0.2, 4.0], "2": [-0.5, 0.0, 3.0]}
MATRIX = [[600.0, 0, 330], [0, 610, 235], [0, 0, 1]]


def rows(setup: int | None = None, width: int | None = 640, height: int | None = 480) -> pd.DataFrame:
    return make_frame(
        {"path": f"{v}.mp4", "group": "a", "view": v, "setup": setup, "width": width, "height": height} for v in (1, 2)
    )


def expected(view: str) -> list[float]:
    """By hand: shares of the picture, the rotation by scipy's definition (a matrix exponential), the translation."""
    x, y, z = TURNS[view]
    generator, turn, term = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.eye(3), np.eye(3)
    for k in range(1, 30):
        term = term @ generator / k
        turn = turn + term
    return [600 / 640, 610 / 480, 330 / 640, 235 / 480, *turn.ravel(), *TRANSLATIONS[view]]


def quaternion(view: str) -> list[float]:
    angle = np.linalg.norm(TURNS[view])
    return [float(np.cos(angle / 2)), *(np.sin(angle / 2) * TURNS[view] / angle)]


def opencv(view: str, **changes: Any) -> dict[str, Any]:
    return {"camera_matrix": MATRIX, "rvec": TURNS[view].tolist(), "t": TRANSLATIONS[view], **changes}


def as_json(folder: Path) -> Path:
    (folder / "rig.json").write_text(json.dumps({view: opencv(view) for view in TURNS}))
    return folder / "rig.json"


def as_named_json(folder: Path) -> Path:
    (folder / "rig.json").write_text(json.dumps({f"cam0{view}": opencv(view) for view in TURNS}))
    return folder / "rig.json"


def as_json_of_setups(folder: Path) -> Path:
    (folder / "rig.json").write_text(json.dumps({"7": {view: opencv(view) for view in TURNS}}))
    return folder / "rig.json"


def as_opencv_files(folder: Path) -> Path:
    for view, turn in TURNS.items():
        rotation, translation = rotation_of_vector(turn).ravel().tolist(), TRANSLATIONS[view]
        (folder / f"{view}.yml").write_text(
            "%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\n"
            f"camera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: {np.ravel(MATRIX).tolist()}\n"
            f"R: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: {rotation}\n"
            f"T: !!opencv-matrix\n   rows: 3\n   cols: 1\n   dt: d\n   data: {translation}\n"
            "distortion_coefficients: !!opencv-matrix\n   rows: 1\n   cols: 5\n   dt: d\n   data: [0.1, 0, 0, 0, 0]\n"
        )
    return folder


def as_colmap(folder: Path) -> Path:
    (folder / "cameras.txt").write_text("# cameras\n1 OPENCV 640 480 600 610 330 235 0.1 0 0 0\n")
    lines = ["# images"]
    for k, view in enumerate(TURNS):
        pose = " ".join(map(str, [*quaternion(view), *TRANSLATIONS[view]]))
        lines += [f"{k} {pose} 1 {view}/000{k}.png", "1.0 2.0 -1"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


def as_table(folder: Path) -> Path:
    table = pd.DataFrame(
        [[view, 600, 610, 330, 235, *quaternion(view), *TRANSLATIONS[view]] for view in TURNS],
        columns=["view", "fx", "fy", "cx", "cy", "qw", "qx", "qy", "qz", "tx", "ty", "tz"],
    )
    table.to_csv(folder / "rig.csv", index=False)
    return folder / "rig.csv"


@pytest.mark.parametrize(
    "write", [as_json, as_named_json, as_json_of_setups, as_opencv_files, as_colmap, as_table], ids=lambda f: f.__name__
)
def test_a_camera_is_the_same_in_every_form(write: Any, tmp_path: Path) -> None:
    found = read_calibration(write(tmp_path)).vectors(rows(setup=7))
    assert found.dtype == np.float32
    for vector, view in zip(found, TURNS, strict=True):
        np.testing.assert_allclose(vector, expected(view), atol=1e-6)


def test_distortion_is_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_calibration(as_colmap(tmp_path))
    assert "distortion of known cameras is left out" in caplog.text


def test_a_scaled_video_has_the_camera_of_its_original(tmp_path: Path) -> None:
    (tmp_path / "rig.json").write_text(
        json.dumps({view: opencv(view, image_width=640, image_height=480) for view in TURNS})
    )
    cameras = read_calibration(tmp_path / "rig.json")
    np.testing.assert_array_equal(cameras.vectors(rows(width=160, height=120)), cameras.vectors(rows()))
    np.testing.assert_array_equal(cameras.vectors(rows(width=None)), cameras.vectors(rows()))


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        ({"camera_matrix": [[600, 0, 330], [0, 610, 235]]}, (640, 480), r"shape \[2, 3\]; \[3, 3\] was expected"),
        ({"t": [1, 2]}, (640, 480), r"t has the shape \[2\]; \[3\]"),
        ({"R": (2 * np.eye(3)).tolist()}, (640, 480), r"rotation is none: R R\^T differs from 1 by 3"),
        ({"R": np.diag([1, 1, -1]).tolist()}, (640, 480), r"it mirrors \(its determinant is -1\)"),
        ({"R": np.full((3, 3), np.nan).tolist()}, (640, 480), "numbers that are not finite"),
        ({"t": [100.0, 200.0, 4000.0]}, (640, 480), r"stand 3,\d\d\d m apart; translations must be in metres"),
        ({}, (1280, 960), r"principal point 330, 235 .* 1280 x 960 pixels: a calibration of another picture size"),
        ({}, (320, 240), "calibration of another picture size"),
        ({"image_size": [640, 480]}, (1920, 1080), "640 x 480 pixels, but its video has 1920 x 1080"),
        ({}, (None, None), "does not say for which picture size"),
        ({"camera_matrix": None}, (640, 480), "lacks camera_matrix"),
        ({"rvec": None}, (640, 480), "no rotation: give R or rvec"),
    ],
)
def test_what_is_wrong_with_a_camera_is_said_in_one_line(
    change: dict[str, Any], size: Any, message: str, tmp_path: Path
) -> None:
    second = {key: value for key, value in opencv("2", **change).items() if value is not None}
    first = opencv("1", **({} if "image_size" not in change else change))
    (tmp_path / "rig.json").write_text(json.dumps({"1": first, "2": second}))
    with pytest.raises(InputError, match=message) as caught:
        read_calibration(tmp_path / "rig.json").vectors(rows(width=size[0], height=size[1]))
    assert "rig.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_view_without_a_camera_is_named(tmp_path: Path) -> None:
    (tmp_path / "rig.json").write_text(json.dumps({"1": opencv("1")}))
    with pytest.raises(InputError, match=r"no camera for 1 of 2 videos \(view 2 of setup 3\)"):
        read_calibration(tmp_path / "rig.json").vectors(rows(setup=3))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rig.json", "[1]", "does not hold cameras"),
        ("rig.json", "{", "cannot be read as a file of cameras"),
        ("rig.json", 99_999 * "[", "cannot be read as a file of cameras"),
        ("rig.yml", "a: [", "cannot be read as a file of cameras"),
        ("rig.json", '{"1": 3}', "does not hold cameras"),
        ("rig.csv", "view,fx\n1,2\n", "lacks the column fy, cx"),
        ("rig.csv", "view,fx,fy,cx,cy,tx,ty,tz\n1,1,1,1,1,0,0,0\n", "lacks a rotation"),
        ("rig.csv", "view,fx,fy,cx,cy,tx,ty,tz,rx,ry,rz\n1,big,1,1,1,0,0,0,0,0,0\n", "does not hold a camera"),
        ("images.txt", "1 1 0 0 0 0 0 0 1 1.png\n\n", "cameras.txt cannot be read"),
    ],
)
def test_other_files_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_calibration(tmp_path if name == "images.txt" else tmp_path / name)
    with pytest.raises(InputError, match="no cameras at"):
        read_calibration(tmp_path / "nowhere.json")


def test_a_camera_model_with_another_projection_is_refused(tmp_path: Path) -> None:
    as_colmap(tmp_path)
    (tmp_path / "cameras.txt").write_text("1 FOV 640 480 600 610 330 235 0.1\n")
    with pytest.raises(InputError, match="camera model FOV is none of"):
        read_calibration(tmp_path)


def test_without_a_file_nothing_is_known_and_beside_the_manifest_it_is_found(tmp_path: Path) -> None:
    manifest = write_manifest(rows(), tmp_path / "m.csv")
    assert cameras_of(str(manifest)) == Cameras()
    assert np.isnan(Cameras().vectors(rows())).all()
    sample = cameras_of("sample")
    assert sample.name.endswith("cameras.json")
    (tmp_path / "cameras.json").write_text(Path(sample.name).read_text())
    assert len(cameras_of(str(manifest)).rig) == len(sample.rig)


def test_unit_quaternions_are_rotations() -> None:
    for view, turn in TURNS.items():
        np.testing.assert_allclose(
            rotation_of_quaternion(np.array(quaternion(view))), rotation_of_vector(turn), atol=1e-12
        )
