"""Distractors move, keep away from the person, and are the same for all who ask."""

from __future__ import annotations

import numpy as np
import pytest

from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.difficulty import DIFFICULTIES
from mv2mae.synthetic.generate import plan_setup
from mv2mae.synthetic.world.distractors import KINDS, draw_distractors
from mv2mae.synthetic.world.mesh import PARTS, Mover
from mv2mae.synthetic.world.rooms import CEILING
from mv2mae.synthetic.world.solids import ball, cuboid, drum

SECONDS = np.arange(32) / 15


def draw(kind: str, setup: int = 1, cameras: str = "ntu") -> Mover:
    config = SyntheticSet(cameras=cameras, seed=2)
    rig, room = plan_setup(config, setup)
    rng = np.random.default_rng([setup, list(KINDS).index(kind)])
    (mover,) = draw_distractors(rng, (0, 1), room, rig, SECONDS, 3, kinds=(kind,))
    return mover


@pytest.mark.parametrize("kind", KINDS)
def test_each_moves_in_the_room_and_keeps_away_from_the_person(kind: str) -> None:
    for setup in range(1, 5):
        mover = draw(kind, setup)
        vertices = mover.vertices()
        assert vertices.shape == (len(SECONDS), len(mover.model.vertices), 3)
        assert np.ptp(vertices, axis=0).max() > 0.03
        assert np.hypot(vertices[..., 0], vertices[..., 1]).min() > 0.95
        assert vertices[..., 2].min() > -0.03
        assert vertices[..., 2].max() < CEILING + 0.01
        assert (mover.model.parts == PARTS.index("distractor")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_moves_without_jumps(kind: str) -> None:
    steps = np.abs(np.diff(draw(kind, 2).vertices(), axis=0)).max((1, 2))
    assert steps.max() < 0.35  # metres in a fifteenth of a second: a swinging foot


def test_who_walks_by_does_not_slide() -> None:
    walked = 0
    for setup in range(1, 9):
        mover = draw("person", setup)
        names = list(mover.model.joints)
        feet = mover.positions[:, [names.index("LeftFoot"), names.index("RightFoot")]]
        body = np.ptp(mover.positions[:, names.index("Hips"), :2], axis=0)
        if np.hypot(*body) < 0.5:
            continue  # stands
        walked += 1
        speed = np.linalg.norm(np.diff(feet[..., :2], axis=0), axis=-1).min(1) * 15  # of the slower foot, m/s
        assert np.median(speed) < 0.25
    assert walked >= 3


def test_the_number_follows_the_chances() -> None:
    rig, room = plan_setup(SyntheticSet(seed=2), 1)
    counts = [
        len(draw_distractors(np.random.default_rng(k), (0.5, 0.0, 0.5), room, rig, SECONDS[:2], 1)) for k in range(60)
    ]
    assert set(counts) == {0, 2}
    assert 15 < counts.count(0) < 45


def test_a_crowd_comes_on_top_and_changes_nothing_else() -> None:
    rig, room = plan_setup(SyntheticSet(seed=2), 1)
    alone, crowded = (
        draw_distractors(np.random.default_rng(5), (0, 0, 1), room, rig, SECONDS[:4], 1, crowd=crowd)
        for crowd in (0, 3)
    )
    assert (len(alone), len(crowded)) == (2, 5)
    for mover, same in zip(alone, crowded[:2], strict=True):
        np.testing.assert_array_equal(mover.positions, same.positions)
    people = crowded[2:]
    assert all(np.ptp(mover.vertices()[..., 2]) > 1.4 for mover in people)  # of a person's height
    places = [mover.positions[0, 0, :2] for mover in people]
    assert min(np.hypot(*(a - b)) for k, a in enumerate(places) for b in places[:k]) > 0.05
    assert DIFFICULTIES["crowded"].crowd == 3


def test_few_pass_between_a_camera_and_the_person() -> None:
    crossings, total = 0, 0
    for setup in range(1, 11):
        rig, _ = plan_setup(SyntheticSet(seed=2), setup)
        middle = draw("ball", setup).positions[:, 0, :2]
        for camera in rig:
            forward = camera.position[:2] / np.hypot(*camera.position[:2])
            aside = middle @ np.array([-forward[1], forward[0]])
            crossings += bool(((middle @ forward > 0.3) & (np.abs(aside) < 0.4)).any())
            total += 1
    assert crossings / total < 0.1


@pytest.mark.parametrize(
    ("solid", "volume"),
    [
        (cuboid((1.0, 2.0, 0.5), (3.0, 1.0, 0.2)), 1.0),
        (drum(0.5, 0.1, 1.1, sides=60), np.pi / 4),
        (ball(0.5, 24, 48), np.pi / 6),
    ],
)
def test_solids_are_closed_and_face_outwards(solid: tuple[np.ndarray, np.ndarray], volume: float) -> None:
    vertices, faces = solid
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert {tuple(e) for e in edges.tolist()} == {tuple(e) for e in edges[:, ::-1].tolist()}
    assert len({tuple(e) for e in edges.tolist()}) == len(edges)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(volume, rel=0.02)
