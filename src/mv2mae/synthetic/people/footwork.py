"""Steps: feet that stay where they are put while the body goes along a course."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.people.style import smooth
from mv2mae.synthetic.people.targets import Motion

Course = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Seconds [t] -> places [t, 2] in leg lengths and headings [t]."""


@dataclass(frozen=True, kw_only=True)
class Gait:
    """Steps in turn: the first begins at `start` (seconds) with foot `side`, one every `step_s`, until `stop`.

    A swing lasts `swing` of two steps. lift: height in leg lengths.
    """

    start: float
    stop: float
    step_s: float
    side: int
    swing: float = 0.42
    lift: float = 0.12


def walk(m: Motion, seconds: np.ndarray, course: Course, gait: Gait) -> np.ndarray:
    """Moves the person along a course and sets the feet; each lands where the body will pass over it.

    Returns [2, t]: how far each foot is into its swing, 0 to 1 (0 while it stands).
    """
    m.place[:], m.yaw[:] = course(seconds)
    count = max(int(np.ceil((gait.stop - gait.start) / gait.step_s)) + 1, 1)
    swing_s = 2 * gait.step_s * gait.swing
    swings = np.zeros((2, len(seconds)))
    for side in range(2):
        lifts = np.array([gait.start + i * gait.step_s for i in range(count) if (gait.side + i) % 2 == side])
        progress = (seconds[None] - lifts[:, None]) / swing_s
        # A foot stands under the body in the middle of its stance; both meet at the end of the course.
        middle = np.minimum(lifts + swing_s + 0.5 * (2 * gait.step_s - swing_s), gait.stop)
        middle[lifts + 2 * gait.step_s > gait.stop] = gait.stop
        knots = np.concatenate([[gait.start], middle])
        places, yaws = course(knots)
        share = smooth(progress)
        m.foot_place[side] = places[0] + np.einsum("kt,kd->td", share, np.diff(places, axis=0))
        m.foot_yaw[side] = yaws[0] + np.einsum("kt,k->t", share, np.diff(yaws))
        inside = (progress > 0) & (progress < 1)
        u = np.where(inside, progress, 0).sum(0)
        moved = (np.linalg.norm(np.diff(places, axis=0), axis=1) + np.abs(np.diff(yaws)) > 1e-6) @ inside
        swings[side] = u * moved
        m.feet[side, :, 2] += gait.lift * np.sin(np.pi * swings[side]) ** 1.3
        m.toes[side] += 0.55 * np.sin(np.pi * np.minimum(2 * swings[side], 1)) - 0.3 * np.sin(
            np.pi * np.maximum(2 * swings[side] - 1, 0)
        )
        m.planted[side] = np.where(swings[side] > 0, 0.0, m.planted[side])
    return swings


def straight(start: np.ndarray, end: np.ndarray, yaw: float, begin: float, finish: float) -> Course:
    """From `start` to `end` [2] between two moments, at an even pace but for the ends, heading `yaw`."""

    def at(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = np.clip((seconds - begin) / (finish - begin), 0, 1)
        u = 0.75 * u + 0.25 * smooth(u)
        return start + u[:, None] * (end - start), np.full(len(seconds), yaw)

    return at
