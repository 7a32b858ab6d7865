"""Falling."""

import numpy as np

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.style import Beat, Style, path, smooth
from mv2mae.synthetic.people.targets import Motion


@action(32, hertz=0.7, once=True, roams=True, hands=0)
def fall(m: Motion, b: Beat, s: Style) -> None:
    """Falls to the floor, on the back or on one side, and stays there."""
    u = np.clip(b.cycle / 0.75, 0, 1)
    drop = u**2 * (2.2 - 1.2 * u)
    m.stand(m.place[0] * 0.5 + np.array([0.0, 0.25]), float(np.clip(m.yaw[0], -0.6, 0.6)))
    m.pelvis *= 1 - drop[:, None]
    m.bend *= 1 - 0.8 * drop[:, None]
    (_on_the_back if s.free[0] < 0.5 else _on_the_side)(m, drop, s)
    m.free_hands((0, 1), smooth(drop * 3))


def _on_the_back(m: Motion, drop: np.ndarray, s: Style) -> None:
    m.pelvis += path(0.0, -0.72 * smooth(1.2 * drop), -0.94 * drop)
    m.lean[:, 0] -= 1.33 * smooth((drop - 0.45) / 0.55)
    m.bend[:, 0] += 0.75 * np.sin(np.pi * drop) ** 2 + 0.10 * drop
    m.head[:, 0] += 0.35 * drop
    for side in range(2):
        m.feet[side] += path(0.06, 0.12, 0.0) * drop[:, None]
        m.planted[side] = 1 - smooth(3 * drop)
        m.reach(side, "chest", path(0.75, 0.35, -0.30), np.sin(np.pi * drop))
        m.reach(side, "chest", path(0.80, -0.02, -0.45 + 0.3 * s.free[1]), smooth(2 * drop - 1))
        m.aim(side, (0.4, 0.2, -0.8), (0.0, -1.0, 0.0), smooth(2 * drop - 1))
        m.point_elbow(side, (1.0, 0.2, -0.2), smooth(2 * drop - 1))


def _on_the_side(m: Motion, drop: np.ndarray, s: Style) -> None:
    d, o = s.side, 1 - s.side
    m.pelvis += path(s.turn * 0.55 * smooth(1.1 * drop), -0.10 * drop, -0.845 * drop)
    m.lean[:, 1] += s.turn * 1.47 * smooth((drop - 0.3) / 0.7)
    m.bend[:, 0] += 0.35 * drop
    m.head[:, 1] -= s.turn * 0.1 * drop
    for side in range(2):
        m.planted[side] = 1 - smooth(3 * drop)
        m.feet[side] += path(0.0, -0.06 if side == d else 0.10, 0.03 if side == d else 0.16) * drop[:, None]
    m.reach(d, "chest", path(0.60, 0.60, -0.20), np.sin(np.pi * np.minimum(1.3 * drop, 1)))
    m.reach(d, "chest", path(0.30, 0.80, 0.05), smooth(2 * drop - 1))
    m.reach(o, "chest", path(0.05, 0.62, -0.15), smooth(2 * drop))
    m.point_elbow(d, (-0.2, 0.2, -1.0), smooth(2 * drop))
    m.aim(d, (-0.5, 1.0, 0.3), (0.5, 0.5, 0.0), smooth(3 * drop))
