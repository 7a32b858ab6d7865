"""One performance: a person of the cast, moved by an action, with the things it needs and some that it does not."""

from dataclasses import dataclass

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.capture.library import perform_capture
from mv2mae.synthetic.capture.retarget import Retargeted
from mv2mae.synthetic.data_set import STYLE, Group, SyntheticSet
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import Body, load_body
from mv2mae.synthetic.people.prop_motion import move_prop
from mv2mae.synthetic.people.props import HANDY, make_chair, make_prop
from mv2mae.synthetic.people.skeleton import Skeleton
from mv2mae.synthetic.people.style import Action, Style, perform
from mv2mae.synthetic.people.targets import Hold, Motion, Use
from mv2mae.synthetic.rotations import rotation
from mv2mae.synthetic.world.mesh import Model, Mover

# Things that stand, lie or are held about for no reason, so that a thing alone does not tell the action.
_CHAIR, _BOX, _HAT, _HELD, _FEET = 0.35, 0.15, 0.2, 0.5, 0.25
_AT_FEET = ("ball", "cup", "snack", "phone", "box", "box")
_SEAT_BACK = 0.44  # leg lengths from where the person stands to the middle of the seat
_CUSHION = 0.135  # leg lengths from a sitting person's hip joints down to the seat


@dataclass(frozen=True, kw_only=True)
class Performance:
    """movers: the person first, then props; skeleton: the person's joints; props: the kinds of the props."""

    movers: tuple[Mover, ...]
    skeleton: Skeleton | Retargeted
    props: tuple[str, ...] = ()


def animate(config: SyntheticSet, group: Group) -> Performance:
    """The moving person of a performance and the props."""
    rng = config.rng(STYLE, *group.key)
    if config.library is not None and group.captured_id is not None:
        body = load_body(group.subject)
        captured = perform_capture(config.library, group.action, body, rng, config.num_frames, config.fps)
        person = Mover(model=body, rotations=captured.rotations, positions=captured.positions)
        return Performance(movers=(person,), skeleton=captured)
    return stage_performance(load_body(group.subject), group.action, rng, config.num_frames, config.fps)


def stage_performance(
    body: Body, action: str, rng: np.random.Generator, num_frames: int, fps: float, style: Style | None = None
) -> Performance:
    """A person performs an action for `num_frames` at `fps`; what is left open follows from `rng`.

    Raises:
        InputError: there is no such action, or less than two frames.
    """
    if action not in ACTIONS:
        raise InputError(f"action {action!r} is unknown; choose from {', '.join(ACTIONS)}")
    if num_frames < 2 or fps <= 0:
        raise InputError(f"num_frames={num_frames}, fps={fps}; expected at least 2 frames and a positive rate")
    act, drawn = ACTIONS[action], Style.draw(rng)
    style = style or drawn
    motion = perform(act, style, num_frames, fps)
    skeleton = Skeleton(body, motion)
    seconds = np.arange(num_frames) / fps
    uses = [*motion.uses, *_idle_uses(rng, act, style, motion)]
    things = [(use.kind, move_prop(use, make_prop(use.kind, rng, skeleton.face), skeleton, seconds)) for use in uses]
    things += [*_furniture(rng, act, skeleton), *_at_the_feet(rng, act, skeleton)]
    person = Mover(model=body, rotations=skeleton.rotations, positions=skeleton.positions)
    kinds, movers = tuple(kind for kind, _ in things), tuple(mover for _, mover in things)
    return Performance(movers=(person, *movers), skeleton=skeleton, props=kinds)


def _idle_uses(rng: np.random.Generator, act: Action, style: Style, motion: Motion) -> list[Use]:
    """A hat that is worn and a thing that is held while something else is done."""
    wears, holds, kind, hand = rng.random(), rng.random(), HANDY[int(rng.integers(len(HANDY)))], int(rng.integers(2))
    hat = any(use.kind == "hat" for use in motion.uses)
    found = []
    if wears < _HAT and not hat:
        found.append(Use(kind="hat", holds=(Hold(since=0.0, carrier="head"),)))
        hat = True
    if holds < _HELD and act.hands < 2 and not (hat and kind == "hat"):
        side = hand if act.hands == 0 else 1 - style.side
        found.append(Use(kind=kind, holds=(Hold(since=0.0, carrier=("left", "right")[side]),)))
    return found


def _furniture(rng: np.random.Generator, act: Action, skeleton: Skeleton) -> list[tuple[str, Mover]]:
    """The chair that is sat on, or one that stands there; a box on the floor."""
    chair, box, side, more, x, y, turned = rng.random(7)
    motion, sign = skeleton.motion, 1 if side < 0.5 else -1
    seat = _seat_height(skeleton)
    found = []
    if motion.seat.any():
        found.append(("chair", _behind(skeleton, make_chair(rng, seat), 0.0)))
    elif act.roams and chair < _CHAIR:
        place = np.array([sign * (0.9 + 0.1 * x), -0.95 - 0.1 * y, 0.0])
        model, yaw = make_chair(rng, seat * (0.95 + 0.1 * more)), sign * 0.8 + turned - 0.5
        found.append(("chair", _still(model, place, yaw, skeleton)))
    elif chair < _CHAIR:
        # Out of the way of a leg that swings back, else where a chair to sit on would be.
        back = float(np.maximum(-motion.feet[..., 1].min(), -motion.pelvis[:, 1].min() + 0.05))
        gap = 0.12 * more + (0.3 if back > 0.15 else 0.0)
        found.append(("chair", _behind(skeleton, make_chair(rng, seat * (0.97 + 0.06 * more)), gap)))
    if box < _BOX and all(use.kind != "box" for use in motion.uses):
        prop = make_prop("box", rng, skeleton.face)
        place = np.array([-sign * (0.85 + 0.2 * x), -0.75 + 0.3 * y, prop.rest])
        found.append(("box", _still(prop.model, place, 3 * turned, skeleton)))
    return found


def _at_the_feet(rng: np.random.Generator, act: Action, skeleton: Skeleton) -> list[tuple[str, Mover]]:
    """A thing on the floor where one would pick it up, if the feet stay out of its way."""
    lies, kind, x, y, turned = rng.random(), _AT_FEET[int(rng.integers(len(_AT_FEET)))], *rng.random(3)
    motion = skeleton.motion
    on_floor = any(hold.carrier == "floor" for use in motion.uses for hold in use.holds)
    if lies > _FEET or on_floor or act.roams or np.ptp(motion.feet, axis=1).max() > 0:
        return []
    prop = make_prop(kind, rng, skeleton.face)
    spread = 0.06 if kind == "box" else 0.24
    offset = rotation(2, float(motion.yaw[0])) @ np.array(
        [spread * (x - 0.5), 0.22 + 0.08 * y + prop.half[1], prop.rest]
    )
    return [(kind, _still(prop.model, skeleton.ground[0] + offset, float(motion.yaw[0]) + 0.6 * turned, skeleton))]


def _seat_height(skeleton: Skeleton) -> float:
    """Metres from the floor to the seat that fits the person."""
    hip = skeleton.rest["RightUpLeg"][2] - 0.455 * skeleton.leg
    return float(hip - _CUSHION * skeleton.leg)


def _behind(skeleton: Skeleton, model: Model, gap: float) -> Mover:
    """A chair behind the person, who stands or sits with the back to it; gap in metres."""
    yaw = float(skeleton.motion.yaw[0])
    offset = rotation(2, yaw) @ np.array([0.0, -_SEAT_BACK * skeleton.leg - gap, 0.0])
    return _still(model, skeleton.ground[0] + offset, yaw, skeleton)


def _still(model: Model, place: np.ndarray, yaw: float, skeleton: Skeleton) -> Mover:
    t = len(skeleton.ground)
    return Mover(model=model, rotations=np.tile(rotation(2, yaw), (t, 1, 1, 1)), positions=np.tile(place, (t, 1, 1)))
