"""Bodies move well: what actions are made of."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from mv2mae.data.synthetic import Group, SynthConfig, generate_frames
from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.bodies import NUM_SUBJECTS, load_body
from mv2mae.data.synthetic.motion import Skeleton, two_bone
from mv2mae.data.synthetic.performing import Style, perform

SMALL = SynthConfig(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)


def test_forty_people_of_both_sexes_and_many_ages_stand_on_the_floor() -> None:
    people = [load_body(i) for i in range(1, NUM_SUBJECTS + 1)]
    for body in people:
        assert abs(body.vertices[:, 2].min()) < 0.002
        assert 1.4 < np.ptp(body.vertices[:, 2]) < 2.05
        assert body.weights.sum(1) == pytest.approx(1)
    for chosen in (people[:10], people):
        assert {p.sex for p in chosen} == {"f", "m"}
        assert max(p.age for p in chosen) - min(p.age for p in chosen) > 35
    with resources.as_file(resources.files("mv2mae.data.synthetic") / "bodies.npz") as file:
        assert file.stat().st_size < 1_000_000


def test_limbs_keep_their_length_and_reach_their_goal() -> None:
    rng = np.random.default_rng(0)
    start, goal, pole = rng.normal(size=(3, 50, 3))
    goal = start + 0.5 * (goal - start) / np.linalg.norm(goal - start, axis=1, keepdims=True)
    middle, end, _ = two_bone(start, goal, pole, 0.31, 0.27)
    assert np.linalg.norm(middle - start, axis=1) == pytest.approx(0.31)
    assert np.linalg.norm(end - middle, axis=1) == pytest.approx(0.27)
    np.testing.assert_allclose(end, goal, atol=1e-9)


def performance(name: str, seed: int, subject: int = 5) -> tuple[Skeleton, np.ndarray]:
    """A skeleton, and its joints [t, j, 3] from the hips, in body heights."""
    motion = perform(ACTIONS[name], Style.draw(np.random.default_rng([seed, ACTIONS[name].id])), 64, 30)
    skeleton = Skeleton(load_body(subject), motion)
    return skeleton, (skeleton.positions - skeleton.positions[:, :1]) / load_body(subject).height


@pytest.mark.parametrize("name", ACTIONS)
def test_planted_feet_do_not_slide(name: str) -> None:
    for seed in range(4):
        skeleton, _ = performance(name, seed)
        motion, joints = skeleton.motion, list(load_body(5).joints)
        for side, foot in enumerate(("LeftFoot", "RightFoot")):
            still = (motion.planted[side] > 0.999) & (np.abs(motion.feet[side] - motion.feet[side][0]).max(1) < 1e-9)
            places = skeleton.positions[still, joints.index(foot)]
            assert np.ptp(places, axis=0).max(initial=0) < 0.002, (seed, foot)


def test_actions_differ_in_motion_but_not_in_their_first_pose() -> None:
    names = list(ACTIONS)[:10]
    moving, first, labels = [], [], []
    for name in names:
        for seed in range(16):
            skeleton, joints = performance(name, seed, subject=1 + (seed * 5) % NUM_SUBJECTS)
            speed = np.abs(np.diff(skeleton.positions, axis=0)).mean(0)
            moving.append(np.concatenate([joints.std(0), joints.mean(0), 10 * speed]).ravel())
            first.append(joints[0].ravel())
            labels.append(names.index(name))

    def accuracy(features: list[np.ndarray]) -> float:
        """Nearest neighbour, from the even performances to the odd ones."""
        x, y = np.array(features), np.array(labels)
        x = (x - x.mean(0)) / (x.std(0) + 1e-3)
        known, asked = slice(0, None, 2), slice(1, None, 2)
        nearest = ((x[asked, None] - x[None, known]) ** 2).sum(-1).argmin(1)
        return float((y[known][nearest] == y[asked]).mean())

    assert accuracy(moving) > 0.9
    assert accuracy(first) < 0.3  # chance is 0.1


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_seen_to_move(name: str) -> None:
    config = replace(SMALL, actions=(name,), num_frames=20, fps=10, difficulty="easy", num_groups=None)
    frames = generate_frames(config, Group(setup=1, subject=3, repetition=1, action=name), (2,))[2]
    assert frames.shape == (20, 48, 48, 3)
    assert frames.dtype == np.uint8
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3))
    assert change.max() > 0.4
