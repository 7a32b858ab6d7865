"""Cameras stand where they should, and their poses can be read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, read_cameras
from mv2mae.synthetic.generate import plan_setup
from mv2mae.synthetic.world.cameras import ETRI_HEIGHTS, Camera

SMALL = SyntheticSet(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)


def rig(config: SyntheticSet, setup: int = 1) -> list[Camera]:
    return plan_setup(config, setup)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, cameras="etri"),
        replace(SMALL, cameras="ring"),
        replace(SMALL, cameras="free", num_cameras=4, azimuth_ranges=((-70, 25), (150, 180))),
    ],
    ids=lambda config: config.cameras,
)
def test_cameras_have_the_whole_person_in_the_frame_also_after_some_steps(config: SyntheticSet) -> None:
    places = np.array([[0, 0], [0.9, 0], [-0.9, 0], [0, 0.9], [0, -0.9]])
    for setup in (1, 2, 3):
        cameras = rig(config, setup)
        assert [camera.view for camera in cameras] == list(config.views)
        for camera in cameras:
            assert camera.rotation @ camera.rotation.T == pytest.approx(np.eye(3))
            for k, place in enumerate(places):
                pixels, depth = camera.project(np.array([[*place, 0], [*place, 0.9], [*place, 1.7]]), 100)
                assert (depth > 1).all()
                assert ((pixels > 0) & (pixels < 100))[1:].all()
                assert pixels[0, 1] < (100 if k == 0 else 112)  # one step before the camera the feet may be cut off
                if k == 0:
                    assert 53 < pixels[0, 1] - pixels[2, 1] < 68


def azimuth(camera: Camera) -> float:
    x, y, _ = camera.position  # the subject's left is -x, the front +y
    return float(np.degrees(np.arctan2(-x, y)))


def test_ntu_cameras_stand_at_plus_45_0_and_minus_45_degrees() -> None:
    for camera, expected in zip(rig(SMALL), (45, 0, -45), strict=True):
        assert azimuth(camera) == pytest.approx(expected, abs=5)
        assert azimuth(camera) == pytest.approx(camera.azimuth)


def test_etri_cameras_stand_at_four_places_and_two_heights() -> None:
    cameras = rig(replace(SMALL, cameras="etri"))
    assert len(cameras) == 8
    for low, high in zip(cameras[:4], cameras[4:], strict=True):
        assert azimuth(low) == pytest.approx(azimuth(high), abs=15)
        assert low.position[2] == pytest.approx(ETRI_HEIGHTS[0], abs=0.06)
        assert high.position[2] == pytest.approx(ETRI_HEIGHTS[1], abs=0.06)
    assert np.all(np.diff([azimuth(camera) for camera in cameras[:4]]) < -15)


@pytest.mark.parametrize("count", [None, 2, 5])
def test_a_ring_goes_evenly_all_round(count: int | None) -> None:
    cameras = rig(replace(SMALL, cameras="ring", num_cameras=count))
    assert len(cameras) == (count or 28)
    steps = np.diff([azimuth(camera) for camera in [*cameras, cameras[0]]]) % 360
    assert steps == pytest.approx(360 / len(cameras), abs=110 / len(cameras))
    assert steps.sum() == pytest.approx(360)


def test_free_cameras_keep_to_their_ranges_and_apart() -> None:
    config = replace(SMALL, cameras="free", num_cameras=3, azimuth_ranges=((-70, -30), (60, 80)))
    for setup in range(1, 9):
        angles = sorted(azimuth(camera) for camera in rig(config, setup))
        assert all(-70 <= a <= -30 or 60 <= a <= 80 for a in angles)
        assert np.diff(angles).min() >= 8


def test_ranges_that_overlap_round_the_circle_keep_their_cameras_apart_too() -> None:
    config = replace(SMALL, cameras="free", num_cameras=6, azimuth_ranges=((-30, 30), (330, 360), (-180, -90)))
    for setup in range(1, 4):
        angles = np.sort([azimuth(camera) % 360 for camera in rig(config, setup)])
        assert np.diff([*angles, angles[0] + 360]).min() >= 8


def test_free_cameras_stand_where_they_are_told_each_with_a_lens_of_its_own() -> None:
    config = replace(SMALL, cameras="free", azimuths=(0, 5, 90))
    assert config.views == (1, 2, 3)
    cameras = rig(config)
    assert [azimuth(camera) for camera in cameras] == pytest.approx([0, 5, 90])
    assert np.ptp([camera.focal for camera in cameras]) > 0.05


def test_rigs_differ_between_setups_unless_they_are_to_be_the_same() -> None:
    def poses(config: SyntheticSet, setup: int) -> np.ndarray:
        return np.array([[*camera.position, camera.focal] for camera in rig(config, setup)])

    assert np.abs(poses(SMALL, 1) - poses(SMALL, 2)).max() > 0.05
    fixed = replace(SMALL, same_cameras=True)
    np.testing.assert_array_equal(poses(fixed, 1), poses(fixed, 2))
    assert plan_setup(fixed, 1)[1].walls != plan_setup(fixed, 2)[1].walls


def test_poses_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    written = rig(replace(SMALL, cameras="free"))
    entry = {"cameras": {str(camera.view): camera.to_json(48) for camera in written}}
    (tmp_path / "cameras.json").write_text(json.dumps({"7": entry}))
    read = read_cameras(tmp_path / "cameras.json")
    assert list(read) == [7]
    points = np.random.default_rng(0).normal(0, 0.5, (20, 3))
    for camera in written:
        for mine, theirs in zip(camera.project(points, 48), read[7][camera.view].project(points, 48), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-3)
        pose = entry["cameras"][str(camera.view)]  # and by the formula of the documentation
        local = (points - pose["position_m"]) @ np.array(pose["rotation"]).T
        by_hand = pose["focal_px"] * local[:, :2] / local[:, 2:] + pose["principal_point_px"]
        np.testing.assert_allclose(by_hand, camera.project(points, 48)[0], atol=1e-3)


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"1": {}}', '{"1": {"cameras": {"1": {"azimuth_deg": 3}}}}'])
def test_something_else_than_poses_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text(content)
    with pytest.raises(InputError, match="does not hold cameras"):
        read_cameras(tmp_path / "cameras.json")


def test_missing_poses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file at"):
        read_cameras(tmp_path / "cameras.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": "octagon"}, "'octagon'.*ntu, etri, ring, free"),
        ({"num_cameras": 5}, "'ntu' always has 3"),
        ({"cameras": "etri", "num_cameras": 4}, "'etri' always has 8"),
        ({"cameras": "ring", "num_cameras": 1}, "2 to 72"),
        ({"cameras": "ring", "num_cameras": 100}, "2 to 72"),
        ({"cameras": "free", "num_cameras": 0}, "num_cameras=0"),
        ({"cameras": "free", "azimuth_ranges": ()}, "azimuth_ranges"),
        ({"cameras": "free", "azimuth_ranges": ((30, 10),)}, "low < high"),
        ({"azimuths": (0, 5)}, "cameras='ntu' has places of its own"),
        ({"cameras": "free", "azimuths": (0, 5), "num_cameras": 3}, "azimuths has 2"),
        ({"cameras": "free", "azimuths": (0, 500)}, "-360 to 360"),
        ({"cameras": "free", "azimuths": (5, 5)}, "only once"),
        ({"cameras": "free", "num_cameras": 9, "azimuth_ranges": ((0, 20),)}, "do not fit"),
        ({"cameras": "free", "num_cameras": 60, "azimuth_ranges": ((-360, 360),)}, "do not fit"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **change)  # type: ignore[arg-type]
