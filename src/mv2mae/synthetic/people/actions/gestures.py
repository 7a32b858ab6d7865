"""Gestures of arms and hands."""

import numpy as np

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.style import Beat, Style, path, smooth
from mv2mae.synthetic.people.targets import Motion

_TOUCH = 0.035  # arm lengths from the middle at which the flat hands meet


@action(1, hertz=1.7, sits=True, hands=1)
def wave(m: Motion, b: Beat, s: Style) -> None:
    """One raised hand swings from side to side."""
    d = s.side
    swing = 0.26 * s.size * b.wave(s.phase)
    height = 0.45 + 0.25 * s.free[0]
    m.reach(d, "chest", path(0.80 + swing, 0.30 - 0.1 * s.free[1], height - 0.25 * np.abs(swing)), b.on)
    m.point_elbow(d, (0.9, -0.1, -0.9), b.on)
    m.aim(d, path(0.9 * swing / 0.26, 0.15, 1.0), (-0.1, 1.0, -0.1), b.on)
    m.bend[:, 1] += (1 if d == 0 else -1) * 0.05 * b.on


@action(2, hertz=2.0, sits=True)
def clap(m: Motion, b: Beat, s: Style) -> None:
    """Both palms meet before the chest again and again."""
    apart = (0.5 + 0.5 * b.wave(s.phase)) ** 0.8
    gap = _TOUCH + 0.36 * s.size * apart
    for side in range(2):
        m.reach(side, "chest", path(gap, 0.74 - 0.15 * apart, -0.24 + 0.25 * s.free[0]), b.on, at="palm")
        m.aim(side, path(0.25 * apart - 0.05, 0.75, 0.6), path(-1.0, 0.12 * apart, 0.0), b.on)
        m.point_elbow(side, (0.6, -0.2, -1.0), b.on)
    m.head[:, 0] += 0.04 * b.wave(s.phase) * b.on


@action(11, hertz=1.5, sits=True)
def wave_both(m: Motion, b: Beat, s: Style) -> None:
    """Both arms swing from side to side above the head."""
    m.free_hands((0, 1), b.on)
    for side in range(2):
        swing = 0.3 * s.size * b.wave(s.phase) * (1 if s.free[0] < 0.5 or side else -1)
        m.reach(side, "chest", path(0.50 + swing, 0.18, 0.80 - 0.3 * np.abs(swing)), b.on)
        m.aim(side, path(1.2 * swing, 0.1, 1.0), (-0.1, 1.0, 0.0), b.on)
        m.point_elbow(side, (1.0, -0.2, -0.3), b.on)


@action(14, hertz=0.6, ramp_s=0.3, sits=True, hands=1)
def point(m: Motion, b: Beat, s: Style) -> None:
    """One arm stretches out towards something, stays, and sinks."""
    d, out = s.side, b.bump(0.4) * b.on
    angle = -0.1 + 1.2 * s.free[0]
    m.free_hands((d,), out)
    high = 0.02 + 0.2 * (s.free[1] - 0.3)
    m.reach(d, "chest", path(0.36 + 0.95 * np.sin(angle), 0.95 * np.cos(angle), high), out)
    m.aim(d, (np.sin(angle), np.cos(angle), 0.1), (-0.5, 0.0, -1.0), out)
    m.head[:, 2] += -s.turn * 0.6 * angle * out
    m.bend[:, 2] += -s.turn * 0.15 * angle * out


@action(15, hertz=0.62, ramp_s=0.3, sits=True, hands=1)
def salute(m: Motion, b: Beat, s: Style) -> None:
    """A flat hand goes to the temple and snaps down."""
    d, up = s.side, b.bump(0.45) * b.on
    m.free_hands((d,), up)
    m.reach(d, "brow", path(0.07, 0.05, 0.05), up, at="tips")
    m.aim(d, (-0.85, 0.25, 0.5), (-0.3, 0.45, -0.8), up, anchor="head")
    m.point_elbow(d, (1.0, 0.15, -0.1), up)
    m.bend[:, 0] -= 0.04 * up


@action(18, hertz=0.95, ramp_s=0.3, sits=True)
def push(m: Motion, b: Beat, s: Style) -> None:
    """Both palms go from the chest to the front and back."""
    out = b.bump(0.1)
    m.free_hands((0, 1), b.on)
    for side in range(2):
        m.reach(side, "chest", path(0.34 - 0.06 * out, 0.36 + 0.56 * min(s.size, 1.05) * out, -0.16 + 0.14 * out), b.on)
        m.aim(side, (-0.15, 0.25, 1.0), (0.0, 1.0, -0.2), b.on)
        m.point_elbow(side, (0.9, -0.5, -0.6), b.on)
    m.bend[:, 0] += 0.16 * out * b.on


@action(19, hertz=2.3, sits=True)
def rub_hands(m: Motion, b: Beat, s: Style) -> None:
    """The palms rub to and fro before the belly."""
    m.free_hands((0, 1), b.on)
    high = -0.36 + 0.25 * s.free[0]
    for side in range(2):
        slide = 0.075 * s.size * b.wave(s.phase + 0.5 * side)
        m.reach(side, "chest", path(_TOUCH, 0.72 + slide, high + 0.5 * slide), b.on, at="palm")
        m.aim(side, (-0.1, 0.8, 0.5), (-1.0, 0.0, 0.1 if side else -0.1), b.on)
        m.point_elbow(side, (0.9, -0.3, -0.7), b.on)
    m.head[:, 0] += 0.12 * b.on


@action(36, hertz=0.55, ramp_s=0.3, sits=True)
def cross_arms(m: Motion, b: Beat, s: Style) -> None:
    """The forearms fold before the chest, one over the other, and stay a while."""
    fold = b.bump(0.5) * b.on
    m.free_hands((0, 1), fold)
    for side in range(2):
        over = 0.075 if side == s.side else 0.0
        m.reach(side, "chest", path(-0.13, 0.46 + over, -0.40 + 0.6 * over), fold)
        m.aim(side, (-1.0, -0.25, 0.15), (0.0, -1.0, 0.0), fold)
        m.point_elbow(side, (0.9, 0.15, -0.8), fold)
    m.bend[:, 0] -= 0.05 * fold


@action(37, hertz=0.62, ramp_s=0.3, sits=True, hands=1)
def check_time(m: Motion, b: Beat, s: Style) -> None:
    """A forearm comes up before the chest, the eyes go down to the wrist."""
    d, up = s.side, b.bump(0.45) * b.on
    m.free_hands((d,), up)
    m.reach(d, "chest", path(0.08, 0.60, -0.22 - 0.15 * s.free[0]), up)
    m.aim(d, (-1.0, 0.1, 0.1), (0.1, 0.6, -0.8), up)
    m.point_elbow(d, (1.0, 0.1, -0.45), up)
    m.head[:, 0] += 0.38 * s.size * up
    m.head[:, 2] += -s.turn * 0.12 * up


@action(33, hertz=0.5, ramp_s=0.4, sits=True)
def stretch(m: Motion, b: Beat, s: Style) -> None:
    """A yawn: both arms go up past the head, the back arches, the elbows bend again on the way down."""
    up = b.bump(0.25) * b.on
    m.free_hands((0, 1), up)
    reach, opened = smooth(up * 1.4 - 0.4), smooth(up * 2.0)
    for side in range(2):
        m.reach(side, "chest", path(0.52, 0.22, 0.12), opened)
        m.reach(side, "chest", path(0.42 + 0.3 * s.free[0], -0.10, 0.95), reach)
        m.aim(side, (0.2, 0.0, 1.0), (-0.3, 1.0, 0.1), opened)
        m.point_elbow(side, (1.0, -0.1, -0.5), opened)
    m.bend[:, 0] -= 0.26 * s.size * reach
    m.bend[:, 1] += 0.12 * (s.free[1] - 0.5) * reach
    m.head[:, 0] -= 0.32 * reach
    if not m.seat.any():
        m.toes[:] += 0.3 * reach
        m.feet[:, :, 2] += 0.05 * reach


@action(38, hertz=1.15, sits=True, hands=1)
def wipe_face(m: Motion, b: Beat, s: Style) -> None:
    """A flat hand wipes over the forehead from side to side."""
    d = s.side
    m.free_hands((d,), b.on)
    stroke = b.wave(s.phase)
    low = 0.10 * s.free[0]
    m.reach(d, "brow", path(0.03 + 0.15 * s.size * stroke, 0.13 - 0.03 * np.abs(stroke), 0.02 - low), b.on, at="palm")
    m.aim(d, path(-1.0, 0.12 - 0.2 * stroke, 0.35), (-0.05, -1.0, -0.05), b.on, anchor="head")
    m.point_elbow(d, (1.0, 0.35, -0.55), b.on)
    m.head[:, 2] += s.turn * 0.10 * stroke * b.on
    m.head[:, 0] += 0.06 * b.on
