"""What is said of drawn tokens, against the renderer's own truth in the other view and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mv2mae.errors import InputError
from mv2mae.studies.geometry import two_views
from mv2mae.studies.geometry.two_views import draw_pairs, token_truth
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.render.film import film
from mv2mae.synthetic.render.truth import FLESH
from mv2mae.synthetic.views import BODY, BODY_OF_PART, View, seen_from
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import PARTS

SIZE = 96
HARD = SyntheticSet(cameras="ntu", difficulty="hard", num_frames=4, fps=10, size=SIZE, seed=3)


@pytest.fixture(scope="module")
def filmed():
    """A performance with shaken cameras, and the whole truth of its two takes."""
    kept = []

    def filming(takes, *, truth):
        footages = film(takes, truth=(*truth, "flow"))
        kept.extend(footages)
        return footages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_views, "film", filming)
        drawn = draw_pairs(HARD, 1)[0]
    return drawn, [{name: values.numpy() for name, values in footage.truth.items()} for footage in kept]


def test_parts_are_gathered_into_head_torso_arms_and_legs():
    assert {part: BODY[k] for part, k in zip(PARTS, BODY_OF_PART, strict=True)} == {
        "background": "none", "prop": "none", "distractor": "none", "head": "head", "torso": "torso",
        "left_upper_arm": "left arm", "left_forearm": "left arm", "left_hand": "left arm",
        "right_upper_arm": "right arm", "right_forearm": "right arm", "right_hand": "right arm",
        "left_thigh": "left leg", "left_shank": "left leg", "left_foot": "left leg",
        "right_thigh": "right leg", "right_shank": "right leg", "right_foot": "right leg",
    }  # fmt: skip


def test_shake_is_that_of_all_joints_and_of_the_room(filmed):
    drawn, truths = filmed
    assert max(np.abs(view.shake).max() for view in drawn.views) >= 0.5
    for view, truth in zip(drawn.views, truths, strict=True):
        places, _ = view.camera.project(truth["joints"].astype(float), SIZE)
        np.testing.assert_allclose(places - view.shake[:, None], truth["joints_2d"], atol=1e-3)
        for t in range(HARD.num_frames - 1):
            room = truth["parts"][t] == 0
            moved = truth["flow"][t][room].mean(axis=0)
            np.testing.assert_allclose(moved, view.shake[t] - view.shake[t + 1], atol=1e-3)


def test_a_joint_seen_by_both_cameras_is_found_in_the_other_picture(filmed):
    (views, _), truths = filmed
    both = truths[0]["joints_visible"] & truths[1]["joints_visible"]
    assert both.sum() > 15
    moment, joint = np.nonzero(both)
    column, row = truths[0]["joints_2d"][moment, joint].astype(int).T
    places, depth = seen_from(views[0], views[1], (moment, row, column))
    off = np.linalg.norm(places - truths[1]["joints_2d"][moment, joint], axis=1)
    # the picture shows the skin before the joint, so that they differ by the flesh and by half a pixel
    assert (off < FLESH * views[1].camera.focal * SIZE / depth + 1).all()
    assert np.median(off) < 4


def test_what_one_camera_sees_is_never_behind_the_surface_that_lies_there_for_the_other(filmed):
    (a, b), _ = filmed[0]
    pixels = np.nonzero(a.body)
    places, depth = seen_from(a, b, pixels)
    column, row = places.astype(int).T
    around = np.stack(
        [
            b.depth[pixels[0], np.clip(row + i, 0, SIZE - 1), np.clip(column + j, 0, SIZE - 1)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
    )
    # a surface stops the ray: the other camera sees it or something nearer (silhouettes give or take a pixel)
    assert (around.min(axis=0) < depth + 0.03).mean() > 0.99
    seen = np.abs(b.depth[pixels[0], row, column] - depth) < 0.02
    assert seen.mean() > 0.25
    assert (a.body[pixels] == b.body[pixels[0], row, column])[seen].mean() > 0.95


def by_hand(view: View, other: View, t: int, y: int, x: int) -> np.ndarray:
    """The point under a pixel as the solution of two linear equations, projected with a 3 x 4 matrix."""

    def matrix(camera: Camera) -> np.ndarray:
        lens = np.array([[camera.focal * SIZE, 0, SIZE / 2], [0, camera.focal * SIZE, SIZE / 2], [0, 0, 1]])
        return lens @ np.column_stack([camera.rotation, -camera.rotation @ camera.position])

    (right, down), depth = view.shake[t], float(view.depth[t, y, x])
    seen = np.array([x + 0.5 + right, y + 0.5 + down, 1])
    source = matrix(view.camera)
    point = np.linalg.solve(source[:, :3], seen * depth - source[:, 3])
    there = matrix(other.camera) @ [*point, 1]
    return there[:2] / there[2] - other.shake[t]


def test_places_and_parts_equal_plain_loops(filmed):
    (view, other), _ = filmed[0]
    size, share = (2, 16, 24), 0.2
    found = token_truth(view, other, size, share)
    token = 0
    for t in range(0, 4, 2):
        for y in range(0, SIZE, 16):
            for x in range(0, SIZE, 24):
                cube = view.body[t : t + 2, y : y + 16, x : x + 24]
                shares = [(cube == part).mean() for part in range(len(BODY))]
                shares[0] = sum(shares[1:])
                assert found.shows[token].tolist() == [s >= share for s in shares]
                part = int(np.argmax(shares[1:])) + 1 if max(shares[1:]) >= share else 0
                assert int(found.part[token]) == part
                if part:
                    places = [by_hand(view, other, t + i, y + j, x + k) for i, j, k in np.argwhere(cube == part)]
                    np.testing.assert_allclose(found.place[token].numpy(), np.mean(places, axis=0), atol=1e-3)
                else:
                    assert found.place[token].isnan().all()
                token += 1
    assert token == len(found.part)
    assert (found.part > 0).sum() >= 3


def test_a_performance_depends_on_its_number_alone():
    config = SyntheticSet(cameras="ring", num_cameras=6, difficulty="easy", num_frames=2, fps=2, size=32)
    first, again, second = (draw_pairs(config, number)[0] for number in (0, 0, 1))
    for a, b in zip(first.views, again.views, strict=True):
        assert torch.equal(a.clip, b.clip)
        assert (a.depth == b.depth).all()
    assert not torch.equal(first.views[0].clip, second.views[0].clip)
    for drawn in (first, second):
        a, b = (view.camera for view in drawn.views)
        assert a.view != b.view
        assert drawn.angle == pytest.approx(abs((a.azimuth - b.azimuth + 180) % 360 - 180), abs=12)


def test_one_camera_is_not_enough():
    config = SyntheticSet(cameras="free", num_cameras=1, num_frames=2, fps=2, size=32)
    with pytest.raises(InputError, match=r"cameras=free with 1 view\(s\); give at least 2"):
        draw_pairs(config, 0)[0]
