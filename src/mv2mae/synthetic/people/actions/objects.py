"""Actions with a thing in the hand."""

import numpy as np

from mv2mae.synthetic.people.actions.registry import action
from mv2mae.synthetic.people.style import Beat, Style, path, smooth
from mv2mae.synthetic.people.targets import Motion

HAND = ("left", "right")


@action(3, hertz=0.62, ramp_s=0.3, sits=True, hands=1)
def drink(m: Motion, b: Beat, s: Style) -> None:
    """A cup goes to the mouth, the head tips back, the cup sinks to the chest."""
    d, lift = s.side, b.bump(0.4) * b.on
    m.use("cup", (0.0, HAND[d]))
    m.free_hands((d,), b.on)
    m.reach(d, "chest", path(0.30, 0.60, -0.45), b.on, at="palm")
    m.aim(d, (-0.5, 0.85, 0.0), (-0.85, -0.5, 0.0), b.on)
    m.reach(d, "mouth", path(0.06, 0.19, -0.055), lift, at="palm")
    m.aim(d, (-0.75, 0.55, 0.30), (-0.60, -0.75, -0.10), lift, anchor="head")
    m.point_elbow(d, (0.9, 0.2, -0.8), b.on)
    m.head[:, 0] -= 0.36 * s.size * smooth(lift * 2 - 1)


@action(12, hertz=0.62, ramp_s=0.25, once=True, hands=1)
def throw(m: Motion, b: Beat, s: Style) -> None:
    """The hand draws back beside the head, then swings over and down to the front; the ball flies off."""
    d, o, u = s.side, 1 - s.side, np.clip(b.cycle, 0, 1)
    m.use("ball", (0.0, HAND[d]), (b.at(0.56), "air"))
    m.free_hands((d,), b.on)
    back = smooth(u / 0.36) * (1 - smooth((u - 0.46) / 0.10))
    over = smooth((u - 0.45) / 0.09) * (1 - smooth((u - 0.56) / 0.09))
    done = smooth((u - 0.56) / 0.10) * (1 - smooth((u - 0.78) / 0.22))
    m.reach(d, "chest", path(0.62, -0.22, 0.40), back)
    m.reach(d, "chest", path(0.42, 0.65, 0.60), over)
    m.reach(d, "chest", path(0.05, 0.62, -0.55), done)
    m.aim(d, (0.1, -0.3, 1.0), (0.0, 1.0, 0.3), np.maximum(back, over))
    m.point_elbow(d, (1.0, 0.2, -0.1), back)
    m.reach(o, "chest", path(0.35, 0.62, -0.05), 0.7 * back)
    m.bend[:, 2] += s.turn * s.size * (-0.5 * back + 0.3 * over + 0.5 * done)
    m.bend[:, 0] += -0.12 * back + 0.2 * over + 0.35 * done


@action(13, hertz=0.52, ramp_s=0.25, once=True, hands=1)
def pick_up(m: Motion, b: Beat, s: Style) -> None:
    """The person bends down, a hand takes something from the floor and brings it to the chest."""
    d = s.side
    m.use(("ball", "cup", "snack", "phone")[int(4 * s.free[0])], (0.0, "floor"), (b.at(0.45), HAND[d]))
    down = b.ramp(0.0, 0.4) * (1 - b.ramp(0.5, 0.9))
    m.hips_share = 0.5
    m.pelvis += path(0.0, -0.20, -0.42) * down[:, None]
    m.bend[:, 0] += 1.2 * down
    m.head[:, 0] -= 0.2 * down
    m.free_hands((d,), b.on)
    m.reach(d, "ground", path(0.20, 0.80, 0.08), down, at="palm")
    m.aim(d, (0.0, 0.6, -0.8), (-0.4, -0.6, -0.6), down, anchor="ground")
    after = b.ramp(0.5, 0.9)
    m.reach(d, "chest", path(0.25, 0.58, -0.45), after * (1 - down), at="palm")
    m.aim(d, (-0.4, 0.9, 0.0), (-0.8, -0.4, 0.2), after)


@action(39, hertz=0.48, ramp_s=0.25, once=True, roams=True)
def lift_box(m: Motion, b: Beat, s: Style) -> None:
    """The person bends the knees, takes a box from the floor with both hands and comes up with it."""
    m.use("box", (0.0, "floor"), (b.at(0.42), "both"))
    down = b.ramp(0.0, 0.38) * (1 - b.ramp(0.48, 0.9))
    m.hips_share = 0.6
    m.pelvis += path(0.0, -0.24, -0.46) * down[:, None]
    m.bend[:, 0] += 0.95 * down
    m.head[:, 0] -= 0.3 * down
    hold = b.ramp(0.05, 0.38)
    m.free_hands((0, 1), hold)
    for side in range(2):
        m.feet[side, :, 0] += 0.08
        m.reach(side, "ground", path(0.36, 1.08, 0.30), hold, at="palm")
        m.aim(side, (0.0, 0.8, -0.6), (-1.0, 0.0, 0.0), hold)
        m.reach(side, "chest", path(0.36, 0.68, -0.52), b.ramp(0.46, 0.9), at="palm")
        m.aim(side, (-0.05, 1.0, 0.05), (-1.0, 0.0, 0.0), b.ramp(0.46, 0.9))
        m.point_elbow(side, (0.7, -0.5, -0.8), hold)
    m.bend[:, 0] -= 0.08 * b.ramp(0.6, 0.9)


@action(21, hertz=0.5, ramp_s=0.5, sits=True, hands=1)
def phone_call(m: Motion, b: Beat, s: Style) -> None:
    """A phone goes to the ear and stays there, the head leans to it."""
    d = s.side
    m.use("phone", (0.0, HAND[d]))
    m.free_hands((d,), b.on)
    m.reach(d, "ear", path(0.075, 0.03, -0.06), b.on, at="palm")
    m.aim(d, (-0.15, -0.25, 1.0), (-1.0, 0.15, -0.15), b.on, anchor="head")
    m.point_elbow(d, (0.8, 0.45, -0.9), b.on)
    m.head[:, 1] += s.turn * 0.10 * b.on
    m.head[:, 0] += 0.05 * b.wave(s.phase) * b.on
    m.head[:, 2] += 0.12 * np.sin(2 * b.cycle + 6 * s.free[0]) * b.on


@action(24, hertz=0.55, once=True, sits=True, hands=1)
def put_on(m: Motion, b: Beat, s: Style) -> None:
    """A hat in the hand goes onto the head."""
    m.use("hat", (0.0, HAND[s.side]), (b.at(0.52), "head"))
    _hand_to_crown(m, s, b.ramp(0.02, 0.42) * (1 - b.ramp(0.60, 0.95)))


@action(25, hertz=0.55, once=True, sits=True, hands=1)
def take_off(m: Motion, b: Beat, s: Style) -> None:
    """A hat on the head goes into the hand and down."""
    m.use("hat", (0.0, "head"), (b.at(0.48), HAND[s.side]))
    _hand_to_crown(m, s, b.ramp(0.02, 0.40) * (1 - b.ramp(0.55, 0.95)))


def _hand_to_crown(m: Motion, s: Style, up: np.ndarray) -> None:
    """Takes the hand to the brim of a hat, by way of the front."""
    d = s.side
    m.free_hands((d,), up)
    m.reach(d, "chest", path(0.42, 0.60, 0.10), smooth(2 * up))
    m.reach(d, "crown", path(0.10, 0.36, -0.10), smooth(2 * up - 1), at="tips")
    m.aim(d, (-0.35, 0.45, 0.80), (-0.80, -0.50, 0.0), smooth(1.6 * up))
    m.aim(d, (-0.45, -0.55, 0.55), (-0.1, -0.6, -0.7), smooth(1.5 * up - 0.5), anchor="head")
    m.point_elbow(d, (1.0, 0.5, -0.3), up)
    m.head[:, 0] += 0.14 * up


@action(40, hertz=0.5, ramp_s=0.45, sits=True)
def read(m: Motion, b: Beat, s: Style) -> None:
    """A book comes up before the chest, the other hand takes its far edge and turns a page."""
    d, o = s.side, 1 - s.side
    m.use("book", (0.0, HAND[d]))
    m.free_hands((0, 1), b.on)
    page = smooth((b.cycle % 1.0 - 0.40) / 0.18) * (1 - smooth((b.cycle % 1.0 - 0.72) / 0.2)) * b.on
    high, far = -0.28 + 0.1 * s.free[1], 0.66 + 0.05 * s.free[0]
    for side in range(2):
        m.reach(side, "chest", path(0.225, far, high), b.on, at="palm")
        m.aim(side, (-0.05, 0.65, 0.65), (-1.0, 0.0, 0.0), b.on)
        m.point_elbow(side, (0.8, -0.4, -0.9), b.on)
    m.reach(o, "chest", path(-0.08, far - 0.10, high + 0.12), page, at="tips")
    m.aim(o, (-0.7, 0.6, 0.3), (-0.3, 0.3, -0.9), page)
    m.head[:, 0] += 0.36 * b.on
    m.head[:, 2] *= 1 - 0.8 * b.on


@action(41, hertz=2.2, ramp_s=0.45, sits=True)
def use_phone(m: Motion, b: Beat, s: Style) -> None:
    """One hand holds a phone before the chest, a finger of the other taps and swipes on it."""
    d, o = s.side, 1 - s.side
    m.use("phone", (0.0, HAND[d]))
    m.free_hands((0, 1), b.on)
    m.reach(d, "chest", path(0.10, 0.60, -0.34), b.on, at="palm")
    m.aim(d, (-0.25, 0.65, 0.70), (-0.15, -0.75, 0.65), b.on)
    m.point_elbow(d, (0.8, -0.3, -0.9), b.on)
    tap = 0.5 + 0.5 * b.wave(s.phase)
    swipe = 0.06 * np.sin(0.37 * 6.28 * b.cycle + 6 * s.free[0])
    m.reach(o, "chest", path(-0.02 + swipe, 0.60 - 0.08 * tap, -0.22 + 0.08 * tap + 0.6 * swipe), b.on, at="tips")
    m.aim(o, (-0.6, 0.65, -0.15), (-0.2, 0.2, -1.0), b.on)
    m.point_elbow(o, (0.9, -0.3, -0.8), b.on)
    m.head[:, 0] += 0.42 * b.on
    m.head[:, 2] *= 1 - 0.7 * b.on


@action(42, hertz=2.4, ramp_s=0.45, sits=True, hands=1)
def brush_teeth(m: Motion, b: Beat, s: Style) -> None:
    """A toothbrush goes to and fro before the mouth."""
    d = s.side
    m.use("toothbrush", (0.0, HAND[d]))
    m.free_hands((d,), b.on)
    stroke = 0.075 * s.size * b.wave(s.phase)
    m.reach(d, "mouth", path(0.26 + stroke, 0.15, -0.06), b.on, at="palm")
    m.aim(d, (-0.85, -0.30, 0.20), (0.30, -0.90, -0.05), b.on, anchor="head")
    m.point_elbow(d, (1.0, 0.2, -0.6), b.on)
    m.head[:, 2] += -s.turn * 0.3 * stroke * b.on
    m.head[:, 0] += 0.08 * b.on


@action(43, hertz=0.75, ramp_s=0.35, sits=True, hands=1)
def eat(m: Motion, b: Beat, s: Style) -> None:
    """Something small goes to the mouth, a bite, and down; chewing."""
    d, lift = s.side, b.bump(0.2) * b.on
    m.use("snack", (0.0, HAND[d]))
    m.free_hands((d,), b.on)
    m.reach(d, "chest", path(0.26, 0.55, -0.42), b.on, at="palm")
    m.aim(d, (-0.5, 0.75, 0.40), (-0.6, -0.6, 0.5), b.on)
    m.reach(d, "mouth", path(0.05, 0.12, -0.05), lift, at="tips")
    m.aim(d, (-0.50, -0.35, 0.75), (-0.35, -0.75, -0.55), lift, anchor="head")
    m.point_elbow(d, (0.8, 0.3, -0.9), b.on)
    m.head[:, 0] += 0.16 * lift + 0.02 * np.sin(16 * b.seconds) * b.on
