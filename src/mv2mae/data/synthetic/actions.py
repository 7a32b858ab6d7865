"""The actions: each a small function that, given a beat and a style, writes targets into a person standing still.

Most repeat; all begin and end near the same few standing poses, so that a first frame says little about what follows.
Numbers are in arm or leg lengths, see `motion.Motion`. `d` is the side that acts, `o` the other.
"""

from collections.abc import Callable

import numpy as np

from mv2mae.data.synthetic.motion import Motion
from mv2mae.data.synthetic.performing import TAU, Action, Beat, Style, Write, smooth

MOUTH, BROW = (0.20, 0.30, -0.27), (0.30, 0.16, 0.10)

ACTIONS: dict[str, Action] = {}


def action(hertz: float, ramp_s: float = 0.35) -> Callable[[Write], Write]:
    """Registers a function; the order in this file is the order of the ids (append only: data sets depend on it)."""

    def register(write: Write) -> Write:
        name = write.__name__
        ACTIONS[name] = Action(id=len(ACTIONS) + 1, name=name, write=write, hertz=hertz, ramp_s=ramp_s)
        return write

    return register


def free_hands(m: Motion, sides: tuple[int, ...], on: np.ndarray) -> None:
    """Lets go of the standing pose's grip (hands folded, hand on hip) while an action uses the hand."""
    for side in sides:
        for reach in m.reaches[side]:
            reach.weight = reach.weight * (1 - on)


def path(*columns: np.ndarray | float) -> np.ndarray:
    """[t, 3] from three columns, numbers repeated."""
    return np.stack(np.broadcast_arrays(*columns), -1).astype(float)


# --- A001 to A010: told apart by motion; the packaged sample set uses these
# -----------------------------------------------------


@action(hertz=1.7)
def wave(m: Motion, b: Beat, s: Style) -> None:
    """One raised hand swings from side to side."""
    d = s.side
    swing = 0.26 * s.size * b.wave(s.phase)
    height = 0.45 + 0.25 * s.free[0]
    m.reach(d, "chest", path(0.80 + swing, 0.30 - 0.1 * s.free[1], height - 0.25 * np.abs(swing)), b.on)
    m.point_elbow(d, (0.9, -0.1, -0.9), b.on)
    m.palm[d] += -1.0 * b.on
    m.bend[:, 1] += (1 if d == 0 else -1) * 0.05 * b.on


@action(hertz=2.0)
def clap(m: Motion, b: Beat, s: Style) -> None:
    """Both hands meet before the chest again and again."""
    gap = 0.12 + 0.36 * s.size * (0.5 + 0.5 * b.wave(s.phase))
    for side in range(2):
        m.reach(side, "chest", path(gap, 0.66 - 0.25 * gap, -0.28 + 0.25 * s.free[0]), b.on)
        m.point_elbow(side, (0.5, -0.2, -1.0), b.on)
    m.head[:, 0] += 0.04 * b.wave(s.phase) * b.on


@action(hertz=0.62, ramp_s=0.3)
def drink(m: Motion, b: Beat, s: Style) -> None:
    """A hand goes to the mouth, the head tips back, the hand sinks to the chest."""
    d, lift = s.side, b.bump(0.35)
    m.reach(d, "chest", path(0.28, 0.50, -0.45), b.on)
    m.reach(d, "head", path(MOUTH[0], MOUTH[1], MOUTH[2]), lift * b.on)
    m.point_elbow(d, (0.75, 0.0, -0.8), b.on)
    m.palm[d] += 0.5 * lift * b.on
    m.head[:, 0] -= 0.38 * s.size * smooth(lift * 2 - 1) * b.on


@action(hertz=0.75, ramp_s=0.25)
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


@action(hertz=0.65, ramp_s=0.25)
def bow(m: Motion, b: Beat, s: Style) -> None:
    """The trunk bends forward from the hips and comes up again."""
    down = b.bump(0.15) * b.on
    m.hips_share = 0.55
    m.bend[:, 0] += 1.05 * s.size * down
    m.head[:, 0] += 0.15 * down
    m.pelvis[:, 1] -= 0.13 * down
    for side in range(2):
        if s.free[0] < 0.5:
            m.reach(side, "hips", path(0.30, 0.25, -0.45), 0.85 * down)


@action(hertz=0.8, ramp_s=0.25)
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
    m.reach(o, "chest", path(0.62, 0.30, -0.45), 0.8 * out)
    m.reach(d, "chest", path(0.62, -0.25, -0.62), 0.8 * out)


@action(hertz=1.5)
def punch(m: Motion, b: Beat, s: Style) -> None:
    """From a guard before the chest a fist shoots forward; some people use both fists in turn."""
    d, o = s.side, 1 - s.side
    free_hands(m, (0, 1), b.on)
    both = s.free[0] < 0.4
    hit = np.clip(b.bump(0.0) * 1.6 - 0.6, 0, 1)
    mine = hit * (np.floor(b.cycle) % 2 == 0) if both else hit
    other = hit - mine
    for side, blow in ((d, mine), (o, other)):
        m.reach(side, "chest", path(0.33, 0.36, -0.06), b.on)
        m.reach(side, "chest", path(0.10, 1.02 * min(s.size, 1.0), 0.06), blow * b.on)
        m.point_elbow(side, (0.35, -0.3, -0.9), b.on)
        m.palm[side] += 0.9 * blow * b.on
    turn = 0.42 * (1 if d else -1)
    m.bend[:, 2] += turn * (mine - other - 0.3) * b.on
    m.pelvis[:, 2] -= 0.035 * b.on
    m.bend[:, 0] += 0.10 * b.on


@action(hertz=0.85, ramp_s=0.2)
def jump(m: Motion, b: Beat, s: Style) -> None:
    """Crouch, spring up with swinging arms, land softly."""
    u = b.cycle % 1.0
    crouch = (
        smooth(u / 0.28) * (1 - smooth((u - 0.28) / 0.1)) + smooth((u - 0.66) / 0.08) * (1 - smooth((u - 0.76) / 0.22))
    ) * b.on
    air = np.clip((u - 0.36) / 0.32, 0, 1)
    flight = 4 * air * (1 - air) * 0.19 * s.size * b.on
    m.pelvis += path(0.0, -0.06, -0.2) * crouch[:, None] + path(0.0, 0.0, 1.0) * flight[:, None]
    m.bend[:, 0] += 0.5 * crouch
    swing = smooth((u - 0.2) / 0.2) * (1 - smooth((u - 0.62) / 0.25)) * b.on
    free_hands(m, (0, 1), np.minimum(b.on, crouch + swing))
    for side in range(2):
        m.feet[side, :, 2] += flight
        m.toes[side] += 0.7 * np.minimum(flight * 8, 1)
        m.reach(side, "chest", path(0.5, -0.45, -0.75), 0.8 * crouch * (u < 0.5))
        m.reach(side, "chest", path(0.45, 0.55, 0.35 + 0.3 * s.free[0]), swing)


@action(hertz=0.7, ramp_s=0.3)
def raise_arms(m: Motion, b: Beat, s: Style) -> None:
    """Both straight arms go up, by the sides or by the front, and down."""
    angle = (0.25 + 2.55 * min(s.size, 1.0) * b.bump(0.1)) * b.on + 0.12 * (1 - b.on)
    plane = 0.15 + 1.2 * (s.free[0] < 0.4) + 0.15 * s.free[1]  # 0 to the sides, pi/2 to the front
    side_way, front = np.cos(plane), np.sin(plane)
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        m.reach(
            side,
            "chest",
            path(0.36 + 0.95 * np.sin(angle) * side_way, 0.95 * np.sin(angle) * front, -0.97 * np.cos(angle)),
            b.on,
        )
        m.point_elbow(side, (0.7, -0.6, 0.2), b.on)
    m.head[:, 0] -= 0.15 * b.bump() * b.on


@action(hertz=1.05, ramp_s=0.3)
def walk_in_place(m: Motion, b: Beat, s: Style) -> None:
    """The feet rise in turn, the arms swing against them."""
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        step = b.wave(0.5 * (side == s.side))
        lift = np.maximum(step, 0) ** 1.2 * b.on
        m.feet[side] += path(-0.02, 0.10, 0.30 * s.size) * lift[:, None]
        m.planted[side] = 1 - np.minimum(4 * lift, 1)
        m.toes[side] += 0.45 * lift
        m.pelvis[:, 0] += (-1 if side else 1) * 0.035 * lift
        swing = -step * (0.32 + 0.2 * s.free[0]) * s.size
        m.reach(side, "chest", path(0.48, 0.10 + swing, -0.86 + 0.55 * swing**2 + 0.2 * np.maximum(swing, 0)), b.on)
    m.bend[:, 2] += 0.10 * b.wave(0.0 if s.side else 0.5) * b.on


# --- A011 to A020 ---------------------------------------------------------------------------------------------
# ---------------------


@action(hertz=1.5)
def wave_both(m: Motion, b: Beat, s: Style) -> None:
    """Both arms swing from side to side above the head."""
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        swing = 0.3 * s.size * b.wave(s.phase) * (1 if s.free[0] < 0.5 or side else -1)
        m.reach(side, "chest", path(0.50 + swing, 0.18, 0.80 - 0.3 * np.abs(swing)), b.on)
        m.point_elbow(side, (1.0, -0.2, -0.3), b.on)


@action(hertz=0.8, ramp_s=0.3)
def throw(m: Motion, b: Beat, s: Style) -> None:
    """The hand draws back beside the head, then swings over and down to the front."""
    d, o, u = s.side, 1 - s.side, b.cycle % 1.0
    free_hands(m, (d,), b.on)
    back = smooth(u / 0.3) * (1 - smooth((u - 0.42) / 0.12)) * b.on
    over = smooth((u - 0.42) / 0.12) * (1 - smooth((u - 0.52) / 0.12)) * b.on
    done = smooth((u - 0.52) / 0.12) * (1 - smooth((u - 0.72) / 0.28)) * b.on
    m.reach(d, "chest", path(0.62, -0.22, 0.40), back)
    m.reach(d, "chest", path(0.42, 0.65, 0.60), over)
    m.reach(d, "chest", path(0.05, 0.62, -0.55), done)
    m.point_elbow(d, (1.0, 0.2, -0.1), back)
    m.reach(o, "chest", path(0.35, 0.62, -0.05), 0.7 * back)
    turn = 1 if d else -1
    m.bend[:, 2] += turn * s.size * (-0.5 * back + 0.3 * over + 0.5 * done)
    m.bend[:, 0] += -0.12 * back + 0.2 * over + 0.35 * done


@action(hertz=0.55, ramp_s=0.25)
def pick_up(m: Motion, b: Beat, s: Style) -> None:
    """The person bends down, a hand goes to the floor and comes up to the chest."""
    d, down = s.side, b.bump(0.2) * b.on
    m.hips_share = 0.5
    m.pelvis += path(0.0, -0.18, -0.38) * down[:, None]
    m.bend[:, 0] += 1.2 * down
    m.head[:, 0] -= 0.2 * down
    free_hands(m, (d,), b.on)
    m.reach(d, "ground", path(0.22, 0.70, 0.24), down)
    after = smooth((b.cycle - 0.55) / 0.2) * (1 - down) * b.on
    m.reach(d, "chest", path(0.25, 0.45, -0.45), after)


@action(hertz=0.6, ramp_s=0.3)
def point(m: Motion, b: Beat, s: Style) -> None:
    """One arm stretches out towards something, stays, and sinks."""
    d, out = s.side, b.bump(0.4) * b.on
    angle = -0.1 + 1.2 * s.free[0]
    free_hands(m, (d,), out)
    m.reach(d, "chest", path(0.36 + 0.95 * np.sin(angle), 0.95 * np.cos(angle), 0.02 + 0.2 * (s.free[1] - 0.3)), out)
    m.head[:, 2] += (-1 if d else 1) * 0.6 * angle * out
    m.bend[:, 2] += (-1 if d else 1) * 0.15 * angle * out


@action(hertz=0.62, ramp_s=0.3)
def salute(m: Motion, b: Beat, s: Style) -> None:
    """A flat hand goes to the temple and snaps down."""
    d, up = s.side, b.bump(0.45) * b.on
    free_hands(m, (d,), up)
    m.reach(d, "head", path(*BROW), up)
    m.point_elbow(d, (1.0, 0.25, -0.25), up)
    m.palm[d] += 0.6 * up
    m.bend[:, 0] -= 0.04 * up


@action(hertz=0.6, ramp_s=0.35)
def side_stretch(m: Motion, b: Beat, s: Style) -> None:
    """The trunk bends to the left and right in turn, the upper arm over the head."""
    sway = b.wave(0.0 if s.side else 0.5) * b.on
    m.bend[:, 1] += 0.48 * s.size * sway
    m.pelvis[:, 0] -= 0.05 * sway
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        over = smooth((-sway if side else sway) * 1.4)
        m.reach(side, "chest", path(0.20, 0.12, 0.90), over)
        m.point_elbow(side, (1.0, 0.0, 0.2), over)
        m.feet[side, :, 0] += 0.05


@action(hertz=0.85, ramp_s=0.35)
def twist(m: Motion, b: Beat, s: Style) -> None:
    """The trunk turns left and right, the bent arms swing with it."""
    turn = b.wave(0.0 if s.side else 0.5) * b.on
    free_hands(m, (0, 1), b.on)
    m.bend[:, 2] += 0.75 * s.size * turn
    m.head[:, 2] -= 0.25 * turn
    for side in range(2):
        m.reach(side, "chest", path(0.52, 0.45, -0.12 - 0.2 * s.free[0]), b.on)
        m.point_elbow(side, (1.0, -0.3, -0.3), b.on)
        m.feet[side, :, 0] += 0.04


@action(hertz=0.95, ramp_s=0.3)
def push(m: Motion, b: Beat, s: Style) -> None:
    """Both palms go from the chest to the front and back."""
    out = b.bump(0.1)
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        m.reach(side, "chest", path(0.34 - 0.06 * out, 0.30 + 0.62 * min(s.size, 1.05) * out, -0.16 + 0.14 * out), b.on)
        m.point_elbow(side, (0.9, -0.5, -0.6), b.on)
    m.bend[:, 0] += 0.16 * out * b.on


@action(hertz=2.3)
def rub_hands(m: Motion, b: Beat, s: Style) -> None:
    """The hands rub to and fro before the belly."""
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        slide = 0.10 * s.size * b.wave(s.phase + 0.5 * side)
        m.reach(side, "chest", path(0.135, 0.50 + slide, -0.38 + 0.2 * s.free[0] + 0.3 * slide), b.on)
        m.point_elbow(side, (0.9, -0.3, -0.7), b.on)
    m.head[:, 0] += 0.12 * b.on


@action(hertz=1.0, ramp_s=0.3)
def jumping_jack(m: Motion, b: Beat, s: Style) -> None:
    """Small jumps: legs apart with the arms up, legs together with the arms down."""
    open_ = b.bump(0.1)
    hop = np.abs(np.sin(TAU * b.cycle)) ** 0.8 * 0.09 * s.size * b.on
    m.pelvis[:, 2] += hop - 0.02 * b.on
    free_hands(m, (0, 1), b.on)
    for side in range(2):
        m.feet[side] += path(0.24 * s.size * open_ * b.on, 0.0, hop)
        m.toes[side] += 3.0 * hop
        angle = 0.15 + 2.5 * open_
        m.reach(side, "chest", path(0.36 + 0.92 * np.sin(angle), 0.05, -0.95 * np.cos(angle)), b.on)
        m.point_elbow(side, (0.7, -0.6, 0.2), b.on)
