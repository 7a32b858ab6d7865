"""Moves a baked body as a person in a BVH capture moved.

Limbs follow positions: each bone points as in the capture, twisted so that elbows and knees bend about the capture's
own hinges. Trunk, head, hands and feet follow rotations against a neutral pose of the capture. Only ratios of the
capture's lengths count, so that its unit does not matter.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.capture.bvh import Capture, read_bvh
from mv2mae.synthetic.capture.joint_names import SIDES, find_joints
from mv2mae.synthetic.people.bodies import Body
from mv2mae.synthetic.rotations import (
    about,
    between,
    blend,
    frame,
    limit,
    nearest_rotation,
    rotation,
    split_twist,
    unit,
)
from mv2mae.synthetic.world.mesh import Mover

RADIUS_M = 0.9
"""How far from the origin the pelvis may go."""

_PARENTS = {"Hips": "", "LowerBack": "Hips", "Spine": "LowerBack", "Spine1": "Spine", "Neck": "Spine1", "Head": "Neck"}
for _side in SIDES:
    _chains = (("Hips", "UpLeg", "Leg", "Foot", "ToeBase"), ("Spine1", "Shoulder", "Arm", "ForeArm", "Hand"))
    for _root, *_parts in _chains:
        _names = [_root, *(_side + part for part in _parts)]
        _PARENTS |= dict(zip(_names[1:], _names[:-1], strict=True))

_SAMPLES = 240  # frames of a capture that are looked at to learn its axes, hinges and flat feet
_Z_UP = np.eye(3)
_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_HAND_TWIST, _HAND_SWING, _COLLAR, _TOES = np.deg2rad([80.0, 65.0, 35.0, 50.0])


@dataclass(frozen=True, kw_only=True)
class Retargeted:
    """A body's joints over t frames: rotations [t, j, 3, 3] against rest, positions [t, j, 3] in metres, joints as
    in `body.joints`.
    """

    rotations: np.ndarray
    positions: np.ndarray


class Actor:
    """A capture whose person is understood.

    joints: numbers by body joint name. seconds: how long it lasts. The rest is learnt from frames of the whole capture.

    Raises:
        InputError: joints are missing, or there are fewer than two frames.
    """

    def __init__(self, capture: Capture) -> None:
        self.capture, self.joints = capture, find_joints(capture)
        if capture.num_frames < 2:
            raise InputError(f"{capture.path} has one frame; a motion needs two or more")
        self.first = int(self._begins_with_rest())
        frames = np.linspace(self.first, capture.num_frames - 1, min(_SAMPLES, capture.num_frames)).astype(int)
        turns, places = capture.pose(np.unique(frames))
        self.up = self._find_up(places)
        self._turns, self._places = self.up @ turns, places @ self.up.T
        self.leg = self._limb_length("UpLeg", "Leg", "Foot")
        if not self.leg > 0 or not self._limb_length("Arm", "ForeArm", "Hand") > 0:
            raise InputError(f"{capture.path}: arms or legs have no length; its OFFSETs are damaged: export it again")
        self.rest = self._standing_rest()
        self.neutral = self._neutral_turns()
        self.hinges = {
            side + upper: self._hinge(side + upper, side + middle, side + lower)
            for side in SIDES
            for upper, middle, lower in (("Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot"))
        }
        self.flat = {side: self._flat_frame(side) for side in SIDES}

    @property
    def seconds(self) -> float:
        """From the first frame that counts to the last."""
        return (self.capture.num_frames - 1 - self.first) * self.capture.frame_s

    def moments(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [t, j, 3, 3] and positions [t, j, 3], z up, at times [t]; held before the start and after the
        end, interpolated between frames.
        """
        at = np.clip(seconds / self.capture.frame_s + self.first, self.first, self.capture.num_frames - 1)
        low = np.minimum(at.astype(int), self.capture.num_frames - 2)
        share = at - low
        turns, places = self.capture.pose(np.concatenate([low, low + 1]))
        (turns_a, turns_b), (a, b) = np.split(turns, 2), np.split(places, 2)
        mixed = nearest_rotation(turns_a + share[:, None, None, None] * (turns_b - turns_a))
        return self.up @ mixed, (a + share[:, None, None] * (b - a)) @ self.up.T

    def place(self, positions: np.ndarray, name: str) -> np.ndarray:
        """The positions [..., 3] of a body joint."""
        return positions[..., self.joints[name], :]

    def heading(self, positions: np.ndarray) -> np.ndarray:
        """Angles [...] about z by which the person faces left of +y, from the lines of the hips and shoulders."""
        across = sum(
            self.place(positions, f"Right{part}") - self.place(positions, f"Left{part}") for part in ("UpLeg", "Arm")
        )
        return np.arctan2(across[..., 1], across[..., 0])

    def _begins_with_rest(self) -> bool:
        """Whether frame 0 is a pose put before the motion (CMU's T-pose), from which it jumps."""
        count = min(self.capture.num_frames, 12)
        _, places = self.capture.pose(np.arange(count))
        steps = np.linalg.norm(np.diff(places - places[:, :1], axis=0), axis=-1).mean(1)
        span = np.ptp(places[0], axis=0).max()
        return count > 3 and bool(steps[0] > 0.03 * span and steps[0] > 8 * np.median(steps[1:]))

    def _find_up(self, places: np.ndarray) -> np.ndarray:
        """The rotation from the capture's axes to z up: where the head is, seen from the feet."""
        feet = (self.place(places, "LeftFoot") + self.place(places, "RightFoot")) / 2
        moving = (self.place(places, "Head") - feet).mean(0)
        rest = self.capture.rest()
        still = self.place(rest, "Head") - (self.place(rest, "LeftFoot") + self.place(rest, "RightFoot")) / 2
        for line in (moving, still):  # someone who lies all the time does not tell; the skeleton at rest may
            y, z = np.maximum(line[1:], 0) / max(float(np.linalg.norm(line)), 1e-9)
            if max(y, z) > 0.75:
                return _Y_UP if y > z else _Z_UP
        return _Y_UP

    def _limb_length(self, *parts: str) -> float:
        """Median over frames and sides, in the capture's unit."""
        sides = []
        for side in SIDES:
            line = np.stack([self.place(self._places, side + part) for part in parts])
            sides.append(np.linalg.norm(np.diff(line, axis=0), axis=-1).sum(0))
        return float(np.median(sides))

    def _standing_rest(self) -> np.ndarray | None:
        """The skeleton at rest [j, 3], z up, facing +y, if that is somebody who stands upright; else None."""
        rest = self.capture.rest() @ self.up.T
        hips = (self.place(rest, "LeftUpLeg") + self.place(rest, "RightUpLeg")) / 2
        lines = [self.place(rest, f"{side}UpLeg") - self.place(rest, f"{side}Foot") for side in SIDES]
        lines.append(self.place(rest, "Head") - hips)
        if min(unit(line)[2] for line in lines) < 0.8:
            return None
        return rest @ rotation(2, self.heading(rest))  # = the rotation by minus the heading, from the left

    def _neutral_turns(self) -> np.ndarray:
        """Joint rotations [j, 3, 3], z up, of somebody who stands upright and faces +y."""
        if self.rest is not None:
            heading = self.heading(self.capture.rest() @ self.up.T)
            return np.broadcast_to(rotation(2, -heading) @ self.up, self._turns.shape[1:])
        feet = np.minimum(*(self.place(self._places, f"{side}Foot")[:, 2] for side in SIDES))
        tallest = int((self.place(self._places, "Head")[:, 2] - feet).argmax())
        return rotation(2, -self.heading(self._places[tallest])) @ self._turns[tallest]

    def _hinge(self, upper: str, middle: str, lower: str) -> np.ndarray | None:
        """The axis [3] about which a limb bends, in the upper bone's own frame; None if it never bends."""
        a, b, c = (self.place(self._places, name) for name in (upper, middle, lower))
        normal = np.cross(unit(b - a), unit(c - b))  # as long as the sine of the bend
        axis = np.einsum("tba,tb->ta", self._turns[:, self.joints[upper]], normal).mean(0)
        return unit(axis) if np.linalg.norm(axis) > 0.03 else None

    def _flat_frame(self, side: str) -> tuple[np.ndarray, float]:
        """Rotations [j, 3, 3] of a moment in which the foot is flat on the floor, and where it points then (angle
        left of +y).
        """
        ankle = self.place(self._places, f"{side}Foot")
        low = np.argsort(ankle[:, 2], kind="stable")[: max(1, len(ankle) // 8)]
        if f"{side}ToeBase" not in self.joints:
            flat = int(low[0])
            return self._turns[flat], float(self.heading(self._places[flat]))
        line = unit(self.place(self._places, f"{side}ToeBase") - ankle)
        flat = int(low[np.argsort(line[low, 2], kind="stable")[len(low) // 2]])
        return self._turns[flat], float(np.arctan2(-line[flat, 0], line[flat, 1]))


@lru_cache(maxsize=16)
def load_actor(path: Path) -> Actor:
    """The actor of a BVH file, kept for the next performance."""
    return Actor(read_bvh(path))


def retarget(actor: Actor, body: Body, seconds: np.ndarray, *, heading: float = 0.0) -> Retargeted:
    """Moves a body as the capture's person moved at times [t], seconds from the capture's start.

    The person faces `heading` (radians left of +y) at first, stays within `RADIUS_M` of the origin and stands on
    the floor. Somebody who walks farther walks as on a treadmill: what is too much of the way is taken off evenly.
    """
    turns, places = actor.moments(np.asarray(seconds, float))
    turn = rotation(2, heading - actor.heading(places[0]))
    solver = _Solver(actor, body, turn @ turns, places @ turn.T)
    rotations, positions = solver.solve()
    positions = positions + _centre(positions[:, list(body.joints).index("Hips")])[:, None]
    lift = _lift(Mover(model=body, rotations=rotations, positions=positions).vertices()[..., 2].min(1))
    positions[..., 2] += lift[:, None]
    return Retargeted(rotations=rotations, positions=positions)


def _centre(pelvis: np.ndarray) -> np.ndarray:
    """Shifts [t, 3] along the floor that keep a path [t, 3] within `RADIUS_M` of the origin."""
    path = pelvis[:, :2]
    time = np.linspace(-0.5, 0.5, len(path))[:, None]
    way = (time * path).sum(0) / (time**2).sum() * time  # the straight part of the path

    def centred(part: float) -> np.ndarray:
        left = path - part * way
        return left - (left.min(0) + left.max(0)) / 2

    for part in np.linspace(0, 1, 21):
        kept = centred(float(part))
        if np.linalg.norm(kept, axis=1).max() <= RADIUS_M:
            break
    kept = kept * min(1.0, RADIUS_M / max(float(np.linalg.norm(kept, axis=1).max()), 1e-9))
    return np.concatenate([kept - path, np.zeros((len(path), 1))], axis=1)


def _lift(lowest: np.ndarray) -> np.ndarray:
    """By how much to raise a body whose lowest points are at heights [t]: on the floor most of the time (jumps leave
    it), never below, and without jerks.
    """
    ground = np.quantile(lowest, 0.1)
    sunk = np.maximum(ground - lowest, 0)
    reach = max(1, len(lowest) // 16)
    window = np.lib.stride_tricks.sliding_window_view
    highest = window(np.pad(sunk, 2 * reach, "edge"), 2 * reach + 1).max(1)
    # The mean of the largest nearby is nowhere less than the value itself.
    smooth: np.ndarray = window(highest, 2 * reach + 1).mean(1) - ground
    return smooth


class _Solver:
    """Fills `R` and `P`, rotations and positions by joint, from a capture's rotations [t, j, 3, 3] and positions."""

    def __init__(self, actor: Actor, body: Body, turns: np.ndarray, places: np.ndarray) -> None:
        self.actor, self.rest, self.turns, self.places = actor, body.joints, turns, places
        self.R: dict[str, np.ndarray] = {}
        self.P: dict[str, np.ndarray] = {}

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [t, j, 3, 3] and positions [t, j, 3], joints as in the body."""
        self._trunk()
        for side in SIDES:
            self._limb(side, ("UpLeg", "Leg", "Foot"), "Hips", np.array([-1.0, 0, 0]))
            self._foot(side)
            upper, lower = (self._rest_bone(side + a, side + b) for a, b in (("Arm", "ForeArm"), ("ForeArm", "Hand")))
            self._limb(side, ("Arm", "ForeArm", "Hand"), "Spine1", np.cross(upper, lower))
            self._hand(side)
        self._attach_all()
        names = list(self.rest)
        return np.stack([self.R[n] for n in names], axis=1), np.stack([self.P[n] for n in names], axis=1)

    def _rest_bone(self, start: str, end: str) -> np.ndarray:
        return self.rest[end] - self.rest[start]

    def _turned(self, name: str) -> np.ndarray:
        """Rotations [t, 3, 3] of a joint of the capture against its neutral pose."""
        joint = self.actor.joints[name]
        return self.turns[:, joint] @ self.actor.neutral[joint].T

    def _trunk(self) -> None:
        hips, chest, head = (self._turned(name) for name in ("Hips", "Spine1", "Head"))
        self.R |= {"Hips": hips, "Spine1": chest, "Head": head}
        self.R |= {"LowerBack": blend(hips, chest, 0.35), "Spine": blend(hips, chest, 0.7)}
        self.R["Neck"] = blend(chest, head, 0.45)
        for side in SIDES:
            name = f"{side}Shoulder"
            against = chest.swapaxes(-1, -2) @ self._turned(name) if name in self.actor.joints else np.eye(3)
            self.R[name] = chest @ limit(np.broadcast_to(against, chest.shape), _COLLAR)

    def _limb(self, side: str, parts: tuple[str, str, str], trunk: str, rest_normal: np.ndarray) -> None:
        upper, middle, lower = (side + part for part in parts)
        a, b, c = (self.actor.place(self.places, name) for name in (upper, middle, lower))
        normal = np.cross(unit(b - a), unit(c - b))
        hinge = self.actor.hinges[upper]
        if hinge is not None:
            usual = self.turns[:, self.actor.joints[upper]] @ hinge
        else:
            hanging = self.R[trunk] @ self._rest_bone(upper, middle)
            usual = (between(hanging, b - a) @ self.R[trunk]) @ unit(rest_normal)
        # A straight limb has no plane: the usual axis decides then.
        normal = normal + 0.3 * usual
        for name, child, bone in ((upper, middle, b - a), (middle, lower, c - b)):
            self.R[name] = frame(bone, normal) @ frame(self._rest_bone(name, child), rest_normal).T

    def _foot(self, side: str) -> None:
        turns, points = self.actor.flat[side]
        ahead = self._rest_bone(f"{side}Foot", f"{side}ToeBase")
        neutral = rotation(2, np.arctan2(-ahead[0], ahead[1]) - points) @ turns
        joint = self.actor.joints[f"{side}Foot"]
        if self._is_end(joint):
            joint = self.actor.joints[f"{side}Leg"]
        foot = self.turns[:, joint] @ neutral[joint].T
        self.R[f"{side}Foot"] = self.R[f"{side}ToeBase"] = foot
        toe = self.actor.joints.get(f"{side}ToeBase")
        if toe is not None and not self._is_end(toe):
            bent = foot.swapaxes(-1, -2) @ self.turns[:, toe] @ neutral[toe].T
            self.R[f"{side}ToeBase"] = foot @ limit(bent, _TOES)

    def _is_end(self, joint: int) -> bool:
        return joint not in self.actor.capture.parents

    def _hand(self, side: str) -> None:
        fore, hand = f"{side}ForeArm", f"{side}Hand"
        self.R[hand] = self.R[fore]
        rest, joint = self.actor.rest, self.actor.joints[hand]
        if rest is None or self._is_end(joint):
            return
        # The body at rest holds its arms otherwise than the capture's skeleton at rest (mostly a T).
        bone = self._rest_bone(fore, hand)
        to_rest = between(bone, self.actor.place(rest, hand) - self.actor.place(rest, fore))
        against = self.R[fore].swapaxes(-1, -2) @ self._turned(hand) @ to_rest
        swing, angle = split_twist(against, bone)
        angle = np.clip(angle, -_HAND_TWIST, _HAND_TWIST)
        # Half of the twist is the forearm's, as in a real arm.
        axis = np.broadcast_to(unit(bone), (len(angle), 3))
        straight = self.R[fore]
        self.R[fore] = straight @ about(axis, angle / 2)
        self.R[hand] = straight @ limit(swing, _HAND_SWING) @ about(axis, angle)

    def _attach_all(self) -> None:
        """Places the joints, bones as long as the body's; the middle of the hip joints goes where the capture's
        goes, in leg lengths.
        """
        body_leg = np.mean(
            [
                np.linalg.norm(self._rest_bone(side + a, side + b))
                for side in SIDES
                for a, b in (("UpLeg", "Leg"), ("Leg", "Foot"))
            ]
        )
        sockets = [self.actor.place(self.places, f"{side}UpLeg") for side in SIDES]
        middle = (sockets[0] + sockets[1]) / 2 * (2 * body_leg / self.actor.leg)
        rest_middle = (self.rest["LeftUpLeg"] + self.rest["RightUpLeg"]) / 2
        self.P["Hips"] = middle - self.R["Hips"] @ (rest_middle - self.rest["Hips"])
        for name, parent in _PARENTS.items():
            if parent:
                self.P[name] = self.P[parent] + self.R[parent] @ self._rest_bone(parent, name)
