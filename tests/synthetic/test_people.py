"""Bodies move well: what actions are made of."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from mv2mae.synthetic.people.bodies import NUM_SUBJECTS, load_body
from mv2mae.synthetic.people.skeleton import Skeleton, measure_face, measure_hand, two_bone
from mv2mae.synthetic.people.targets import Motion


def test_forty_people_of_both_sexes_and_many_ages_stand_on_the_floor() -> None:
    people = [load_body(i) for i in range(1, NUM_SUBJECTS + 1)]
    for body in people:
        assert abs(body.vertices[:, 2].min()) < 0.002
        assert 1.4 < np.ptp(body.vertices[:, 2]) < 2.05
        assert body.weights.sum(1) == pytest.approx(1)
    for chosen in (people[:10], people):
        assert {p.sex for p in chosen} == {"f", "m"}
        assert max(p.age for p in chosen) - min(p.age for p in chosen) > 35
    with resources.as_file(resources.files("mv2mae.synthetic.people") / "bodies.npz") as file:
        assert file.stat().st_size < 1_000_000


def test_limbs_keep_their_length_and_reach_their_goal() -> None:
    rng = np.random.default_rng(0)
    start, goal, pole = rng.normal(size=(3, 50, 3))
    goal = start + 0.5 * (goal - start) / np.linalg.norm(goal - start, axis=1, keepdims=True)
    middle, end, _ = two_bone(start, goal, pole, 0.31, 0.27)
    assert np.linalg.norm(middle - start, axis=1) == pytest.approx(0.31)
    assert np.linalg.norm(end - middle, axis=1) == pytest.approx(0.27)
    np.testing.assert_allclose(end, goal, atol=1e-9)


def test_hands_are_turned_to_where_they_are_aimed() -> None:
    body, motion = load_body(12), Motion(num_frames=2)
    for side in range(2):
        motion.reach(side, "chest", np.array([0.3, 0.5, -0.2]), np.ones(2), at="palm")
        motion.aim(side, (-0.3, 0.9, 0.3), (-0.9, -0.3, 0.0), np.array([0.0, 1.0]))
    skeleton = Skeleton(body, motion)
    chest = (skeleton.P["LeftArm0"] + skeleton.P["RightArm0"])[1] / 2
    for side, name, out in ((0, "LeftHand", -1), (1, "RightHand", 1)):
        hand = skeleton.hands[side]
        fingers, palm = (skeleton.R[name][1] @ v for v in (hand.fingers, hand.palm))
        axes = skeleton.R["Spine1"][1] * np.array([out, 1, 1])
        assert fingers @ axes @ [-0.3, 0.9, 0.3] / np.sqrt(0.99) > 0.999
        assert palm @ axes @ [-0.9, -0.3, 0.0] / np.sqrt(0.90) > 0.999
        middle = skeleton.P[name][1] + fingers * hand.length / 2 - chest
        np.testing.assert_allclose(middle, axes @ [0.3, 0.5, -0.2] * skeleton.arm, atol=1e-6)


def test_wrists_bend_no_further_than_wrists_do() -> None:
    motion = Motion(num_frames=1)
    motion.reach(1, "chest", np.array([0.3, 0.9, 0.0]), np.ones(1))
    motion.aim(1, (0.0, -1.0, 0.1), (0.0, 0.0, -1.0), np.ones(1))
    skeleton = Skeleton(load_body(4), motion)
    fore = (skeleton.P["RightHand"] - skeleton.P["RightForeArm"])[0]
    fingers = skeleton.R["RightHand"][0] @ skeleton.hands[1].fingers
    assert fingers @ fore / np.linalg.norm(fore) > np.cos(1.26)


def test_hands_and_faces_are_measured_on_all_bodies() -> None:
    for subject in range(1, NUM_SUBJECTS + 1):
        body = load_body(subject)
        for side, out in ((0, -1), (1, 1)):
            hand = measure_hand(body, side)
            assert 0.13 < hand.length < 0.24
            assert hand.palm[0] * out < -0.3  # palms face the thighs
            assert abs(hand.palm @ hand.fingers) < 1e-9
            assert hand.fingers[2] < -0.3
        face = measure_face(body)
        assert 0.09 < face.front < 0.15
        assert 0.06 < face.width < 0.13
        assert 0.10 < face.crown < 0.24
