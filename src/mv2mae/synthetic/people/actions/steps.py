"""Kicks, jumps, steps and walks."""

import numpy as np

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.footwork import Course, Gait, straight, walk
from mv2mae.synthetic.people.style import TAU, Beat, Style, path, smooth
from mv2mae.synthetic.people.targets import Motion

_REACH = 0.88  # leg lengths from the middle of the room that a walk keeps to


@action(6, hertz=0.8, ramp_s=0.25, hands=0)
def kick(m: Motion, b: Beat, s: Style) -> None:
    """One leg swings back and then kicks forward and up, the arms balance."""
    d, o, u = s.side, 1 - s.side, b.cycle % 1.0
    back = smooth(u / 0.25) * (1 - smooth((u - 0.25) / 0.15)) * b.on
    out = smooth((u - 0.28) / 0.22) * (1 - smooth((u - 0.58) / 0.36)) * b.on
    lean = np.maximum(back, out)
    m.feet[d] += path(0.0, -0.42, 0.30) * back[:, None] + path(-0.05, 0.92, 0.55 + 0.6 * (s.size - 1)) * out[:, None]
    m.planted[d] = 1 - np.minimum(3 * lean, 1)
    m.toes[d] += 0.9 * back - 0.35 * out
    m.pelvis[:, 0] += (1 if o else -1) * 0.07 * b.on
    m.bend[:, 0] += 0.12 * back - 0.16 * out
    m.free_hands((0, 1), b.on)
    m.reach(o, "chest", path(0.62, 0.30, -0.45), 0.8 * out)
    m.reach(d, "chest", path(0.62, -0.25, -0.62), 0.8 * out)


@action(7, hertz=1.5)
def punch(m: Motion, b: Beat, s: Style) -> None:
    """From a guard before the chest a fist shoots forward; some people use both fists in turn."""
    d, o = s.side, 1 - s.side
    m.free_hands((0, 1), b.on)
    both = s.free[0] < 0.4
    hit = np.clip(b.bump(0.0) * 1.6 - 0.6, 0, 1)
    mine = hit * (np.floor(b.cycle) % 2 == 0) if both else hit
    other = hit - mine
    for side, blow in ((d, mine), (o, other)):
        m.reach(side, "chest", path(0.33, 0.40, -0.10), b.on)
        m.reach(side, "chest", path(0.10, 1.02 * min(s.size, 1.0), 0.06), blow * b.on)
        m.aim(side, path(-0.2, 0.6 + blow, 0.8 - 0.8 * blow), path(-1 + blow, -0.2, -blow), b.on)
        m.point_elbow(side, (0.35, -0.3, -0.9), b.on)
    m.bend[:, 2] += 0.42 * s.turn * (mine - other - 0.3) * b.on
    m.pelvis[:, 2] -= 0.035 * b.on
    m.bend[:, 0] += 0.10 * b.on


@action(8, hertz=0.85, ramp_s=0.2)
def jump(m: Motion, b: Beat, s: Style) -> None:
    """Crouch, spring up with swinging arms, land softly."""
    u = b.cycle % 1.0
    before = smooth(u / 0.28) * (1 - smooth((u - 0.28) / 0.1))
    crouch = (before + smooth((u - 0.66) / 0.08) * (1 - smooth((u - 0.76) / 0.22))) * b.on
    air = np.clip((u - 0.36) / 0.32, 0, 1)
    flight = 4 * air * (1 - air) * 0.19 * s.size * b.on
    m.pelvis += path(0.0, -0.06, -0.2) * crouch[:, None] + path(0.0, 0.0, 1.0) * flight[:, None]
    m.bend[:, 0] += 0.5 * crouch
    swing = smooth((u - 0.2) / 0.2) * (1 - smooth((u - 0.62) / 0.25)) * b.on
    m.free_hands((0, 1), np.minimum(b.on, crouch + swing))
    for side in range(2):
        m.feet[side, :, 2] += flight
        m.toes[side] += 0.7 * np.minimum(flight * 8, 1)
        m.reach(side, "chest", path(0.5, -0.45, -0.75), 0.8 * crouch * (u < 0.5))
        m.reach(side, "chest", path(0.45, 0.55, 0.35 + 0.3 * s.free[0]), swing)
        m.aim(side, (0.0, 0.8, 0.6), (-0.5, 0.5, -0.7), 0.8 * swing)


@action(20, hertz=1.1, ramp_s=0.25)
def jumping_jack(m: Motion, b: Beat, s: Style) -> None:
    """Jumps: legs apart with the arms up, legs together with the arms down."""
    open_ = b.bump(0.1)
    hop = np.abs(np.sin(TAU * b.cycle)) ** 0.9 * 0.13 * s.size * b.on
    land = (1 - np.abs(np.sin(TAU * b.cycle))) ** 3 * b.on
    m.pelvis[:, 2] += hop - 0.05 * land
    m.free_hands((0, 1), b.on)
    for side in range(2):
        m.feet[side] += path(0.26 * s.size * open_ * b.on, 0.0, hop)
        m.toes[side] += 3.0 * hop
        angle = 0.15 + 2.5 * open_
        m.reach(side, "chest", path(0.36 + 0.92 * np.sin(angle), 0.05, -0.95 * np.cos(angle)), b.on)
        m.aim(side, path(np.sin(angle), 0.05, -np.cos(angle)), path(-np.cos(angle), 0.5, -0.5), b.on * open_)
        m.point_elbow(side, (0.7, -0.6, 0.2), b.on)


@action(26, hertz=1.6, ramp_s=0.3, hands=0)
def hop(m: Motion, b: Beat, s: Style) -> None:
    """Hops on one leg, the other bent behind."""
    d, o = s.side, 1 - s.side
    u = b.cycle % 1.0
    air = np.clip((u - 0.3) / 0.55, 0, 1)
    flight = 4 * air * (1 - air) * 0.11 * s.size * b.on
    m.pelvis[:, 2] += flight - 0.07 * (1 - smooth(np.minimum(np.abs(u - 0.12), 1 - np.abs(u - 0.12)) / 0.22)) * b.on
    m.pelvis[:, 0] += -s.turn * 0.13 * b.on
    m.bend[:, 0] += 0.12 * b.on
    m.feet[o, :, 2] += flight
    m.toes[o] += 5.0 * flight
    m.feet[d] += path(-0.02, -0.34, 0.42) * b.on[:, None] + path(0.0, 0.0, 1.0) * flight[:, None]
    m.toes[d] += 0.9 * b.on
    m.planted[d] = 1 - np.minimum(4 * b.on, 1)
    for side in range(2):
        m.reach(side, "chest", path(0.66, 0.22, -0.55 + 1.2 * flight), 0.85 * b.on)


@action(10, hertz=1.05, ramp_s=0.3)
def walk_in_place(m: Motion, b: Beat, s: Style) -> None:
    """The feet rise in turn, the arms swing against them."""
    m.free_hands((0, 1), b.on)
    for side in range(2):
        step = b.wave(0.5 * (side == s.side))
        lift = np.maximum(step, 0) ** 1.2 * b.on
        m.feet[side] += path(-0.02, 0.10, 0.30 * s.size) * lift[:, None]
        m.planted[side] = 1 - np.minimum(4 * lift, 1)
        m.toes[side] += 0.45 * lift
        m.pelvis[:, 0] += (-1 if side else 1) * 0.035 * lift
    _swing_arms(m, b.wave(0.5 * s.side), b.on, s)
    m.bend[:, 2] += 0.10 * b.wave(0.0 if s.side else 0.5) * b.on


def _swing_arms(m: Motion, beat: np.ndarray, on: np.ndarray, s: Style) -> None:
    """Swings the arms in turn; `beat` [t] is 1 when the left foot is farthest ahead."""
    m.free_hands((0, 1), on)
    for side in range(2):
        swing = (1 if side else -1) * beat * (0.32 + 0.2 * s.free[0]) * s.size
        m.reach(side, "chest", path(0.48, 0.10 + swing, -0.86 + 0.55 * swing**2 + 0.2 * np.maximum(swing, 0)), on)


def _go(m: Motion, b: Beat, s: Style, course: Course, finish: float) -> None:
    """Walks along a course with swinging arms."""
    step_s = 0.5 / s.tempo
    walk(m, b.seconds, course, Gait(start=b.start, stop=finish, step_s=step_s, side=s.side, lift=0.10 * s.size))
    going = smooth((b.seconds - b.start) / 0.3) * smooth((finish + 0.2 - b.seconds) / 0.4)
    beat = np.sin(np.pi * (b.seconds - b.start) / step_s) * (-s.turn)
    _swing_arms(m, beat, going, s)
    m.bend[:, 0] += 0.05 * going
    m.bend[:, 2] += 0.06 * beat * going
    m.pelvis[:, 2] -= 0.02 * going


def _turned(first: float, yaw: float, begin: float, end: float, course: Course) -> Course:
    """A course whose heading comes round from `first` to `yaw` between two moments."""

    def at(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places, _ = course(seconds)
        return places, first + (yaw - first) * smooth((seconds - begin) / (end - begin))

    return at


def _walk_along(m: Motion, b: Beat, s: Style, start: np.ndarray, heading: float, first: float) -> None:
    """Walks 1.1 to 1.5 leg lengths from `start`, heading for `heading`; looked to `first` before."""
    length = (1.1 + 0.4 * s.free[1]) * min(s.size, 1.05)
    end = start + length * np.array([-np.sin(heading), np.cos(heading)])
    end = np.clip(end, -_REACH, _REACH)
    spin = 0.55 / s.tempo if first != heading else 0.0
    finish = b.start + spin * 0.6 + float(np.linalg.norm(end - start)) / (0.85 * s.tempo)
    course = straight(start, end, heading, b.start + 0.6 * spin, finish)
    if spin:
        course = _turned(first, heading, b.start, b.start + spin, course)
    _go(m, b, s, course, finish)


@action(28, hertz=0.5, once=True, hands=0, roams=True)
def walk_towards(m: Motion, b: Beat, s: Style) -> None:
    """Walks from the back of the room to the front."""
    start = np.array([0.5 * (s.free[2] - 0.5), -0.75 + 0.35 * s.free[3]])
    _walk_along(m, b, s, start, 0.3 * (s.free[4] - 0.5), 0.3 * (s.free[4] - 0.5))


@action(29, hertz=0.5, once=True, hands=0, roams=True)
def walk_away(m: Motion, b: Beat, s: Style) -> None:
    """Walks from the front of the room to the back; some people turn round first."""
    start = np.array([0.5 * (s.free[2] - 0.5), 0.75 - 0.35 * s.free[3]])
    heading = s.turn * np.pi + 0.3 * (s.free[4] - 0.5)
    _walk_along(m, b, s, start, heading, heading if s.free[5] < 0.4 else 0.2 * (s.free[6] - 0.5))


@action(30, hertz=0.5, once=True, hands=0, roams=True)
def walk_across(m: Motion, b: Beat, s: Style) -> None:
    """Walks from one side of the room to the other; some people turn that way first."""
    start = np.array([-s.turn * (0.75 - 0.3 * s.free[2]), 0.5 * (s.free[3] - 0.5)])
    heading = -s.turn * np.pi / 2 + 0.3 * (s.free[4] - 0.5)
    _walk_along(m, b, s, start, heading, heading if s.free[5] < 0.4 else 0.2 * (s.free[6] - 0.5))


@action(27, hertz=0.62, once=True, hands=0, roams=True)
def turn_around(m: Motion, b: Beat, s: Style) -> None:
    """Turns on the spot, half round or all the way, in small steps."""
    place, first = m.place[0].copy(), float(m.yaw[0])
    angle = -s.turn * np.pi * (1.0 if s.free[0] < 0.6 else 2.0)
    finish = b.at(0.9)

    def course(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = smooth((seconds - b.start) / (finish - b.start))
        return np.tile(place, (len(seconds), 1)), first + angle * u

    step_s = (finish - b.start) / (4 if s.free[0] < 0.6 else 6)
    walk(m, b.seconds, course, Gait(start=b.start, stop=finish, step_s=step_s, side=s.side, lift=0.07))
    turning = smooth((b.seconds - b.start) / 0.25) * smooth((finish - b.seconds) / 0.3)
    m.head[:, 2] += -s.turn * 0.35 * turning
    m.bend[:, 2] += -s.turn * 0.15 * turning


@action(31, hertz=0.75, once=True, hands=0, roams=True)
def stagger(m: Motion, b: Beat, s: Style) -> None:
    """Loses balance and finds it again: hasty steps to one side and back, the trunk and arms sway."""
    place, yaw = m.place[0].copy() * 0.5, float(m.yaw[0])
    way = np.array([-s.turn * (0.35 + 0.2 * s.free[0]), 0.3 * (s.free[1] - 0.5)]) * s.size
    finish = b.start + 1.7 / s.tempo

    def course(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = np.clip((seconds - b.start) / (finish - b.start), 0, 1)
        there = np.sin(np.pi * 1.35 * u) * (1 - 0.35 * u)
        return place + there[:, None] * way, yaw + 0.35 * np.sin(TAU * u) * (1 - u)

    walk(m, b.seconds, course, Gait(start=b.start, stop=finish, step_s=0.27 / s.tempo, side=1 - s.side, lift=0.09))
    u = np.clip((b.seconds - b.start) / (finish - b.start), 0, 1)
    loose = smooth(u * 5) * smooth((1 - u) * 4)
    sway = np.sin(TAU * 1.35 * u + 0.6)
    m.bend[:, 1] += -s.turn * 0.38 * sway * loose
    m.bend[:, 0] += 0.28 * np.sin(TAU * 1.1 * u) * loose
    m.head[:, 0] += 0.2 * loose
    m.free_hands((0, 1), loose)
    for side in range(2):
        up = 0.25 * np.sin(TAU * 1.6 * u + 2.0 * side)
        m.reach(side, "chest", path(0.85, 0.15 + 0.3 * up, -0.35 + up), loose)
        m.point_elbow(side, (0.6, -0.6, -0.4), loose)
