"""Performances for the tests of people, actions and props."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import NUM_SUBJECTS, load_body
from mv2mae.synthetic.people.performance import Performance, stage_performance


@lru_cache(maxsize=1024)
def performed(name: str, seed: int) -> Performance:
    """Two seconds of an action by one of the 40 people."""
    rng = np.random.default_rng([seed, ACTIONS[name].id])
    subject = 1 + int(rng.integers(NUM_SUBJECTS))
    return stage_performance(load_body(subject), name, rng, 64, 30)


def palms(performance: Performance) -> np.ndarray:
    """[2, t, 3] the middles of the palms."""
    skeleton = performance.skeleton
    return np.stack(
        [
            skeleton.P[name] + skeleton.R[name] @ (hand.fingers * hand.length / 2)
            for name, hand in zip(("LeftHand", "RightHand"), skeleton.hands, strict=True)
        ]
    )


def on_head(performance: Performance, anchor: str, side: int = 1) -> np.ndarray:
    """[t, 3] mouth, ear or crown."""
    skeleton = performance.skeleton
    return skeleton.P["Head"] + skeleton.R["Head"] @ skeleton.face.offset(anchor, side)


def prop(performance: Performance, kind: str) -> np.ndarray:
    """[t, 3] where the first prop of a kind is."""
    return performance.movers[1 + performance.props.index(kind)].positions[:, 0]
