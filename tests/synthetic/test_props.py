"""Props are closed, face outward, follow who has them without a jump, and stand about where nobody needs them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from performances import palms, performed, prop

from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import load_body
from mv2mae.synthetic.people.props import HANDY, KINDS, make_chair, make_prop
from mv2mae.synthetic.people.skeleton import measure_face
from mv2mae.synthetic.world.mesh import Model


def made(kind: str, seed: int) -> Model:
    rng = np.random.default_rng(seed)
    return make_chair(rng, 0.45) if kind == "chair" else make_prop(kind, rng, measure_face(load_body(3))).model


@pytest.mark.parametrize("kind", [*KINDS, "chair"])
def test_meshes_are_closed_and_face_outward(kind: str) -> None:
    for seed in range(4):
        model = made(kind, seed)
        edges = Counter((int(f[i]), int(f[(i + 1) % 3])) for f in model.faces for i in range(3))
        assert all(count == 1 and edges[(b, a)] == 1 for (a, b), count in edges.items())
        a, b, c = (model.vertices[model.faces[:, i]] for i in range(3))
        six_volumes = (a * np.cross(b, c)).sum(1)
        parts = pieces(model)
        assert all(six_volumes[parts == piece].sum() > 0 for piece in np.unique(parts))
        assert len(model.colours) == len(model.faces)


def pieces(model: Model) -> np.ndarray:
    """The connected piece [f] each face belongs to."""
    label = np.arange(len(model.vertices))
    while True:
        least = label[model.faces].min(1)
        new = label.copy()
        np.minimum.at(new, model.faces.ravel(), np.repeat(least, 3))
        if (new == label).all():
            return label[model.faces[:, 0]]
        label = new


def test_things_differ_from_performance_to_performance() -> None:
    for kind in (*KINDS, "chair"):
        drawn = {made(kind, seed).colours.tobytes() + made(kind, seed).vertices.tobytes() for seed in range(8)}
        assert len(drawn) > 3, kind


@pytest.mark.parametrize("name", ["put_on", "take_off", "pick_up", "lift_box", "throw"])
def test_things_change_hands_without_a_jump(name: str) -> None:
    for seed in range(6):
        performance = performed(name, seed)
        mover, use = performance.movers[1], performance.skeleton.motion.uses[0]
        switch = int(np.searchsorted(np.arange(64) / 30, use.holds[1].since))
        steps = np.linalg.norm(np.diff(mover.positions[:, 0], axis=0), axis=1)
        # The step into the new carrier is no longer than the steps round it.
        assert steps[switch - 1] < 1.5 * max(steps[switch - 2], steps[switch]) + 0.01, seed
        np.testing.assert_allclose(np.linalg.det(mover.rotations), 1, atol=1e-6)


def test_what_lies_on_the_floor_ends_in_the_hand() -> None:
    for seed in range(6):
        performance = performed("pick_up", seed)
        thing = performance.movers[1].positions[:, 0]
        assert np.ptp(thing[:10], axis=0).max() == 0
        assert thing[0, 2] < 0.1
        near = np.linalg.norm(palms(performance)[:, -1] - thing[-1], axis=1).min()
        assert near < 0.12
        assert thing[-1, 2] > 0.3
        box = prop(performed("lift_box", seed), "box")
        assert box[-1, 2] - box[0, 2] > 0.2


def test_a_thrown_ball_flies_off_and_stays_above_the_floor() -> None:
    for seed in range(6):
        performance = performed("throw", seed)
        ball = prop(performance, "ball")
        away = np.linalg.norm(palms(performance) - ball, axis=2).min(0)
        assert away[0] < 0.12
        assert away[-1] > 0.5
        assert ball[:, 2].min() > 0.03


def test_things_are_about_in_actions_that_do_not_need_them() -> None:
    idle: Counter[str] = Counter()
    total = 0
    for name in ACTIONS:
        for seed in range(6):
            performance = performed(name, seed)
            needed = [use.kind for use in performance.skeleton.motion.uses]
            needed += ["chair"] if performance.skeleton.motion.seat.any() else []
            idle.update(set((Counter(performance.props) - Counter(needed)).keys()))
            total += 1
    assert idle["chair"] > 0.2 * total
    assert idle["hat"] > 0.1 * total
    assert idle["box"] > 0.08 * total
    assert all(idle[kind] > 0.015 * total for kind in HANDY)
