"""Actions of the whole trunk, on the spot."""

import numpy as np

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.style import Beat, Style, path, sit, smooth
from mv2mae.synthetic.people.targets import Motion


@action(4, hertz=0.75, ramp_s=0.25, hands=0)
def squat(m: Motion, b: Beat, s: Style) -> None:
    """The knees bend and the pelvis sinks, then rises; the arms come forward for balance."""
    down = b.bump(0.1) * b.on
    depth = 0.42 * min(s.size, 1.1)
    m.pelvis += path(0.0, -0.16, -depth) * down[:, None]
    m.bend[:, 0] += 0.62 * down
    m.head[:, 0] -= 0.35 * down
    forward = 0.5 + 0.5 * s.free[0]
    for side in range(2):
        m.reach(side, "chest", path(0.34, 0.80, -0.25), down * forward)
        m.feet[side, :, 0] += 0.06


@action(5, hertz=0.65, ramp_s=0.25, hands=0)
def bow(m: Motion, b: Beat, s: Style) -> None:
    """The trunk bends forward from the hips and comes up again."""
    down = b.bump(0.15) * b.on
    m.hips_share = 0.55
    m.bend[:, 0] += 1.05 * s.size * down
    m.head[:, 0] += 0.15 * down
    m.pelvis[:, 1] -= 0.13 * down
    for side in range(2):
        if s.free[0] < 0.5:
            m.reach(side, "hips", path(0.30, 0.30, -0.45), 0.85 * down)
        else:
            # Hanging arms stay upright while the trunk tips.
            m.reach(side, "chest", path(0.40, 0.55 * np.sin(1.05 * down), -0.93 + 0.2 * down), down)


@action(9, hertz=0.5, ramp_s=0.3)
def raise_arms(m: Motion, b: Beat, s: Style) -> None:
    """Both straight arms go up slowly, by the sides or by the front, and down."""
    angle = (0.25 + 2.55 * min(s.size, 1.0) * b.bump(0.15)) * b.on + 0.12 * (1 - b.on)
    plane = 0.15 + 1.2 * (s.free[0] < 0.4) + 0.15 * s.free[1]  # 0 to the sides, pi/2 to the front
    side_way, front = np.sin(angle) * np.cos(plane), np.sin(angle) * np.sin(plane)
    m.free_hands((0, 1), b.on)
    for side in range(2):
        m.reach(side, "chest", path(0.36 + 0.95 * side_way, 0.95 * front, -0.97 * np.cos(angle)), b.on)
        m.aim(side, path(side_way, front, -np.cos(angle)), path(-0.6, 0.4, -0.2 + 0.4 * angle), b.on * smooth(angle))
        m.point_elbow(side, (0.7, -0.6, 0.2), b.on)
    m.head[:, 0] -= 0.15 * b.bump() * b.on


@action(16, hertz=0.6, ramp_s=0.35)
def side_stretch(m: Motion, b: Beat, s: Style) -> None:
    """The trunk bends to the left and right in turn, the upper arm over the head."""
    sway = b.wave(0.0 if s.side else 0.5) * b.on
    m.bend[:, 1] += 0.48 * s.size * sway
    m.pelvis[:, 0] -= 0.05 * sway
    m.free_hands((0, 1), b.on)
    for side in range(2):
        over = smooth((-sway if side else sway) * 1.4)
        m.reach(side, "chest", path(0.20, 0.12, 0.92), over)
        m.aim(side, (-0.8, 0.05, 0.6), (-0.5, 0.1, -0.8), over)
        m.point_elbow(side, (1.0, 0.0, 0.2), over)
        m.reach(side, "hips", path(0.36, 0.04, 0.22), smooth((sway if side else -sway) * 1.4) * (s.free[0] < 0.5))
        m.feet[side, :, 0] += 0.05


@action(17, hertz=0.85, ramp_s=0.35)
def twist(m: Motion, b: Beat, s: Style) -> None:
    """The trunk turns left and right, the bent arms swing with it."""
    turn = b.wave(0.0 if s.side else 0.5) * b.on
    m.free_hands((0, 1), b.on)
    m.bend[:, 2] += 0.75 * s.size * turn
    m.head[:, 2] -= 0.25 * turn
    for side in range(2):
        m.reach(side, "chest", path(0.52, 0.45, -0.12 - 0.2 * s.free[0]), b.on)
        m.aim(side, (-0.6, 0.8, 0.0), (0.0, 0.0, -1.0), b.on)
        m.point_elbow(side, (1.0, -0.3, -0.3), b.on)
        m.feet[side, :, 0] += 0.04


@action(22, hertz=0.62, once=True)
def sit_down(m: Motion, b: Beat, s: Style) -> None:
    """From standing onto the chair behind."""
    sit(m, b.ramp(0.05, 0.85))


@action(23, hertz=0.62, once=True)
def stand_up(m: Motion, b: Beat, s: Style) -> None:
    """From the chair to standing."""
    sit(m, 1 - b.ramp(0.05, 0.85))
