"""Cameras held by hand or carried about: where they are, and that pictures and truth are those of each pose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import DEVICES, SHAKEN, STILL, bare_room, camera, carried, cuboid, take

from mv2mae.data.calibration import cameras_of, told_cameras
from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, generate, read_cameras
from mv2mae.synthetic.generate import camera_path, film_group, plan_setup
from mv2mae.synthetic.render.film import Batch, Take, film
from mv2mae.synthetic.render.stage import Stage
from mv2mae.synthetic.render.truth import TRUTH, read_truth
from mv2mae.synthetic.views import TRUTH as OF_VIEWS
from mv2mae.synthetic.views import seen_from, view_of
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.moving import move

EYE = camera((0.6, 4.0, 1.4))


def path_of(motion: str, seed: int = 0, seconds: float = 4.0, rate: float = 30.0) -> tuple[Camera, ...]:
    return move(EYE, motion, np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate)


def filmed(motion: str, disturbance: object = STILL, frames: int = 4) -> Take:
    """A box that goes its way before a camera that moves."""
    box = carried(cuboid((0.4, 0.3, 0.8)), np.linspace([-0.3, 0.0, 0.8], [0.3, 0.2, 0.9], frames), 0.1)
    shot = replace(take(box, stage=Stage(bare_room((0.3, 0.5, 0.8)), EYE, 48)), seed=5)
    return replace(shot, path=path_of(motion, rate=4.0)[:frames], disturbance=disturbance)  # type: ignore[arg-type]


def aim(path: tuple[Camera, ...]) -> np.ndarray:
    """Degrees [t] to the right of, and below, where the camera looks on average."""
    local = np.stack([pose.rotation[2] for pose in path]) @ EYE.rotation.T
    return np.degrees(local[:, :2])


def test_a_hand_sways_by_a_degree_and_little_from_frame_to_frame() -> None:
    paths = [path_of("handheld", seed, seconds=30) for seed in range(6)]
    assert 0.7 < np.mean([aim(path).std() for path in paths]) < 1.3
    steps = np.concatenate([np.linalg.norm(np.diff(aim(path), axis=0), axis=1) for path in paths])
    assert 0.05 < np.sqrt((steps**2).mean()) < 0.5
    places = np.concatenate([[pose.position - EYE.position for pose in path] for path in paths])
    assert 0.01 < places.std() < 0.03
    assert np.abs(places).max() < 0.1
    for pose in paths[0][::50]:
        np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-12)


def test_whoever_walks_goes_round_the_person_and_keeps_them_in_the_middle() -> None:
    paths = [path_of("moving", seed, seconds=20) for seed in range(6)]
    ways = np.stack([[pose.position for pose in path] for path in paths])
    speed = np.linalg.norm(np.diff(ways[..., :2], axis=1), axis=2) * 30
    assert 0.2 < speed.mean() < 1.0
    assert all(12 < np.ptp([pose.azimuth for pose in path]) < 33 for path in paths)
    pixels = np.stack([[pose.project(np.array([0.0, 0, 1.0]), 100)[0] for pose in path] for path in paths])
    assert np.abs(pixels - 50).max() < 14
    assert np.ptp(pixels, axis=1).min() > 2, "and it is seen to move"


@pytest.mark.parametrize("motion", ["handheld", "moving"])
def test_a_movement_depends_on_the_time_alone(motion: str) -> None:
    slow, quick = path_of(motion, seconds=2, rate=10), path_of(motion, seconds=5, rate=30)
    for one, other in zip(slow, quick[::3], strict=False):
        np.testing.assert_allclose(one.position, other.position, atol=1e-12)
        np.testing.assert_allclose(one.rotation, other.rotation, atol=1e-12)
    assert path_of("none") == ()
    assert np.abs(path_of(motion, seed=1)[0].position - quick[0].position).max() > 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("disturbance", [STILL, SHAKEN], ids=["still", "shaken"])
def test_each_frame_is_what_a_camera_at_its_pose_films(disturbance: object, device: str) -> None:
    shot = filmed("moving", disturbance)
    moving = film([shot], device=device, truth=TRUTH, batch=Batch(takes=1, frames=3))[0]
    for k, pose in enumerate(shot.path):
        stands = replace(shot, path=(), stage=Stage(shot.stage.room, pose, 48))
        still = film([stands], device=device, truth=TRUTH)[0]
        assert torch.equal(moving.frames[k], still.frames[k])
        for name in ("depth", "parts", "joints_2d", "joints_visible", "poses"):
            torch.testing.assert_close(moving.truth[name][k], still.truth[name][k], rtol=0, atol=1e-5)
        matrix = moving.truth["poses"][k].cpu().numpy()
        np.testing.assert_allclose(matrix @ [0.1, 0.2, 0.3, 1], pose.rotation @ ([0.1, 0.2, 0.3] - pose.position))


def test_moving_and_still_cameras_may_be_filmed_together() -> None:
    moving = filmed("handheld", SHAKEN)
    still = replace(moving, path=(), seed=9)
    together = film([moving, still, moving], truth=TRUTH, batch=Batch(takes=3, frames=99))
    for shot, found in zip([moving, still, moving], together, strict=True):
        alone = film([shot], truth=TRUTH)[0]
        assert torch.equal(alone.frames, found.frames)
        for name, values in alone.truth.items():
            assert torch.equal(values, found.truth[name]), name
    with pytest.raises(InputError, match=r"takes of \[3, 4\] frames"):
        film([replace(moving, path=moving.path[:3])])


def test_the_room_flows_as_the_camera_moves() -> None:
    shot = filmed("moving", SHAKEN)
    truth = {name: values.numpy() for name, values in film([shot], truth=TRUTH)[0].truth.items()}
    row, column = (axis.ravel() for axis in np.indices((48, 48)))
    for k in range(3):
        here, there = shot.path[k], shot.path[k + 1]
        shift = [_shift(truth, shot, m) for m in (k, k + 1)]
        at = np.stack([column, row], -1) + 0.5
        seen_at = at + shift[0]
        rays = here.rays(seen_at[:, 0], seen_at[:, 1], 48)
        points = here.position + rays * truth["depth"][k].ravel()[:, None]
        expected = there.project(points, 48)[0] - shift[1] - at
        of_room = truth["parts"][k].ravel() == 0
        found = truth["flow"][k].reshape(-1, 2)
        np.testing.assert_allclose(found[of_room], expected[of_room], atol=1e-3)
        assert np.abs(found[of_room]).mean() > 0.3


def _shift(truth: dict[str, np.ndarray], shot: Take, k: int) -> np.ndarray:
    return shot.path[k].project(truth["joints"][k, 0].astype(float), 48)[0] - truth["joints_2d"][k, 0]


def test_where_another_camera_sees_a_point_follows_both_cameras() -> None:
    config = SyntheticSet(
        actions=("squat",), subjects=(3,), num_frames=3, fps=2, size=48, camera_motion="moving", truth=OF_VIEWS
    )
    group = config.groups()[0]
    cameras = {c.view: c for c in plan_setup(config, group.setup)[0]}
    views = [
        view_of(f.frames, f.truth, cameras[v], camera_path(config, group, cameras[v]))
        for v, f in film_group(config, group, (1, 2)).items()
    ]
    pixels = np.nonzero(views[0].body)
    place, depth = seen_from(views[0], views[1], pixels)
    for moment in range(3):
        at = pixels[0] == moment
        one, two = (view.path[moment] for view in views)
        middle = np.stack([pixels[2][at], pixels[1][at]], -1) + 0.5 + views[0].shake[moment]
        points = (
            one.position
            + one.rays(middle[:, 0], middle[:, 1], 48) * views[0].depth[moment][pixels[1][at], pixels[2][at], None]
        )
        expected, metres = two.project(points, 48)
        np.testing.assert_allclose(place[at], expected - views[1].shake[moment], atol=1e-6)
        np.testing.assert_allclose(depth[at], metres, atol=1e-6)
    cut = views[0].cut(np.array([2, 0]))
    assert (cut.path, cut.clip.shape) == ((views[0].path[2], views[0].path[0]), (3, 2, 48, 48))


def test_a_set_of_moving_cameras_differs_in_its_cameras_alone(tmp_path: Path) -> None:
    config = SyntheticSet(actions=("squat",), subjects=(3,), num_frames=2, fps=2, size=48, truth=("joints", "poses"))
    for motion in ("none", "handheld"):
        generate(tmp_path / motion, replace(config, camera_motion=motion), progress=False)
    still, held = (read_truth(next((tmp_path / m / "truth").glob("*C001*"))) for m in ("none", "handheld"))
    np.testing.assert_array_equal(still["joints"], held["joints"])
    assert np.abs(still["poses"] - held["poses"]).max() > 1e-3
    named = [json.loads((tmp_path / m / "cameras.json").read_text())["1"] for m in ("none", "handheld")]
    assert named[1].pop("camera_motion") == "handheld"
    assert named[0] == named[1], "they stand where they do on average"
    assert read_cameras(tmp_path / "handheld" / "cameras.json")[1][2].view == 2
    data = str(tmp_path / "handheld" / "manifest.csv")
    assert len(cameras_of(data).rig) == 3
    with pytest.raises(InputError, match="cameras of moving views are not told to the model"):
        told_cameras(data)
    with pytest.raises(InputError, match="camera_motion='shaky' is unknown; choose from none, handheld, moving"):
        replace(config, camera_motion="shaky")
