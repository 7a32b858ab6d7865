"""From the targets of a `Motion` to the pose of a body: forward kinematics of the trunk, two-bone inverse
kinematics of the limbs, hands turned to where they are aimed.
"""

from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.people.bodies import Body
from mv2mae.synthetic.people.targets import OUT_SIGN, Motion
from mv2mae.synthetic.rotations import about, frame, rotation, tilt, turn, unit

_SPINE = ("Hips", "LowerBack", "Spine", "Spine1")
_SIDES = ("Left", "Right")
_WRIST = 1.25  # radians that a hand bends at most against the forearm
_WRIST_FLOOR = 0.10  # metres that a wrist stays above the floor


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A hand at rest: unit vectors along the fingers and out of the palm, and its length from wrist to tips."""

    fingers: np.ndarray
    palm: np.ndarray
    length: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """Places on the head at rest, from the joint Head, metres; `width` is half the head's."""

    front: float
    crown: float
    width: float

    def offset(self, anchor: str, side: int) -> np.ndarray:
        """Where mouth, ear, brow or crown is."""
        return {
            "mouth": np.array([0.0, self.front - 0.012, -0.040]),
            "ear": np.array([OUT_SIGN[side] * (self.width - 0.012), 0.010, 0.005]),
            "brow": np.array([OUT_SIGN[side] * 0.058, self.front - 0.040, 0.062]),
            "crown": np.array([0.0, 0.010, self.crown]),
            "head": np.zeros(3),
        }[anchor]


def measure_hand(body: Body, side: int) -> Hand:
    """Reads a hand's directions and length off the mesh."""
    joint = list(body.joints).index(_SIDES[side] + "Hand")
    points = body.vertices[body.weights[:, joint] > 0.5] - body.joints[_SIDES[side] + "Hand"]
    distance = np.linalg.norm(points, axis=1)
    fingers = unit(points[distance > np.quantile(distance, 0.8)].mean(0))
    palm = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][2]
    palm = unit(palm - fingers * (palm @ fingers)) * -np.sign(palm[0] * OUT_SIGN[side])
    return Hand(fingers=fingers, palm=palm, length=float(distance.max()))


def measure_face(body: Body) -> Face:
    """Reads the places on the head off the mesh (hair included, so that nothing sinks into it)."""
    joint = list(body.joints).index("Head")
    shown = np.zeros(len(body.vertices), bool)
    shown[body.faces] = True
    points = body.vertices[shown & (body.weights[:, joint] > 0.9)] - body.joints["Head"]
    middle = points[(np.abs(points[:, 0]) < 0.02) & (np.abs(points[:, 2]) < 0.06)]
    temples = points[(points[:, 2] > 0) & (points[:, 2] < 0.1)]
    return Face(
        front=float(middle[:, 1].max()), crown=float(points[:, 2].max()), width=float(np.abs(temples[:, 0]).max())
    )


def measure_sole(body: Body, side: int) -> tuple[float, float]:
    """How far a foot reaches ahead of the ankle and behind it, metres."""
    names = list(body.joints)
    chosen = sum(body.weights[:, names.index(_SIDES[side] + n)] for n in ("Foot", "ToeBase")) > 0.5
    ahead = body.vertices[chosen, 1] - body.joints[_SIDES[side] + "Foot"][1]
    return float(ahead.max()), float(-ahead.min())


class Skeleton:
    """Solves a `Motion` for one body. Results: `rotations` [t, j, 3, 3] against rest, `positions` [t, j, 3],
    joints as in `body.joints`; by name in `R` and `P`. arm, leg: lengths in metres; hands: as measured.
    """

    def __init__(self, body: Body, motion: Motion) -> None:
        self.rest, self.motion = body.joints, motion
        self.R: dict[str, np.ndarray] = {}
        self.P: dict[str, np.ndarray] = {}
        self.arm = self._length("RightArm", "RightForeArm") + self._length("RightForeArm", "RightHand")
        self.leg = self._length("RightUpLeg", "RightLeg") + self._length("RightLeg", "RightFoot")
        self.hands, self.face = tuple(measure_hand(body, side) for side in range(2)), measure_face(body)
        self.soles = [measure_sole(body, side) for side in range(2)]
        self.heading = rotation(2, motion.yaw)
        self.ground = np.concatenate([motion.place * self.leg, np.zeros((motion.num_frames, 1))], axis=1)
        feet = [self._foot_goal(side) for side in range(2)]
        self._trunk(self._sink(feet))
        for side in range(2):
            self._leg(side, feet[side])
        for side in range(2):
            self._arm(side)
        names = list(self.rest)
        self.rotations = np.stack([self.R[n] for n in names], axis=1)
        self.positions = np.stack([self.P[n] for n in names], axis=1)

    def _length(self, a: str, b: str) -> float:
        return float(np.linalg.norm(self.rest[b] - self.rest[a]))

    def _attach(self, child: str, parent: str) -> np.ndarray:
        return self.P[parent] + turn(self.R[parent], self.rest[child] - self.rest[parent])

    def _trunk_rotations(self) -> list[np.ndarray]:
        """[t, 3, 3] of hips, lower back, spine, chest."""
        bend, share = self.motion.bend, self.motion.hips_share
        forward = (share, share + (1 - share) * 0.35, share + (1 - share) * 0.7, 1.0)
        base = self.heading @ tilt(self.motion.lean)
        return [
            base @ tilt(bend * np.array([f, side, left]))
            for f, side, left in zip(forward, (0.15, 0.4, 0.7, 1.0), (0.3, 0.5, 0.75, 1.0), strict=True)
        ]

    def _foot_goal(self, side: int) -> np.ndarray:
        m = self.motion
        offset = self.rest[_SIDES[side] + "Foot"] + m.feet[side] * self.leg * np.array([OUT_SIGN[side], 1, 1])
        goal = turn(rotation(2, m.foot_yaw[side]), offset)
        toe, heel = self.soles[side]
        pitch = np.sin(np.clip(m.toes[side], -1.5, 1.5))
        ankle = self.rest[_SIDES[side] + "Foot"][2] + np.maximum(toe * pitch, -heel * pitch)
        goal[:, 2] = np.maximum(goal[:, 2], ankle)  # nothing of the foot sinks into the floor
        goal[:, :2] += m.foot_place[side] * self.leg
        return goal

    def _sink(self, feet: list[np.ndarray]) -> np.ndarray:
        """Pelvis positions [t, 3], lowered until planted feet can be reached with a slightly bent knee."""
        hips = self.ground + turn(self.heading, self.rest["Hips"] + self.motion.pelvis * self.leg)
        base = self._trunk_rotations()[0]
        sockets = [turn(base, self.rest[f"{side}UpLeg"] - self.rest["Hips"]) for side in _SIDES]
        for _ in range(4):
            for side in range(2):
                line = feet[side] - (hips + sockets[side])
                flat = np.minimum((line[:, :2] ** 2).sum(1), (0.95 * self.leg) ** 2)
                excess = -line[:, 2] - np.sqrt((0.985 * self.leg) ** 2 - flat)
                hips[:, 2] -= np.maximum(excess, 0) * self.motion.planted[side]
        return hips

    def _trunk(self, hips: np.ndarray) -> None:
        rotations = self._trunk_rotations()
        for name, matrices, parent in zip(_SPINE, rotations, (None, *_SPINE[:-1]), strict=True):
            self.R[name] = matrices
            self.P[name] = hips if parent is None else self._attach(name, parent)
        for name, parent, share in (("Neck", "Spine1", 0.45), ("Head", "Neck", 1.0)):
            self.R[name] = self.R["Spine1"] @ tilt(self.motion.head * share)
            self.P[name] = self._attach(name, parent)

    def _leg(self, side: int, goal: np.ndarray) -> None:
        hip, knee, foot, toe = (_SIDES[side] + n for n in ("UpLeg", "Leg", "Foot", "ToeBase"))
        start = self._attach(hip, "Hips")
        thigh, shank = self.rest[knee] - self.rest[hip], self.rest[foot] - self.rest[knee]
        facing = rotation(2, self.motion.foot_yaw[side])
        pole = turn(facing, np.array([0.18 * OUT_SIGN[side], 1.0, 0.25]))
        lengths = float(np.linalg.norm(thigh)), float(np.linalg.norm(shank))
        middle, end, normal = two_bone(start, goal, pole, *lengths)
        rest_normal = -np.cross(self.rest[foot] - self.rest[hip], [0, 1.0, 0])
        self._bone(hip, start, middle - start, normal, thigh, rest_normal)
        self._bone(knee, middle, end - middle, normal, shank, rest_normal)
        self.R[foot] = facing @ rotation(0, -self.motion.toes[side])
        self.P[foot] = end
        self.R[toe], self.P[toe] = self.R[foot], self._attach(toe, foot)

    def _bone(
        self,
        name: str,
        start: np.ndarray,
        bone: np.ndarray,
        normal: np.ndarray,
        rest_bone: np.ndarray,
        rest_normal: np.ndarray,
    ) -> None:
        self.P[name] = start
        self.R[name] = frame(bone, normal) @ frame(rest_bone, rest_normal).T

    def _anchor(self, name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Origin [t, 3] and axes [t, 3, 3] of a place that hands refer to."""
        if name == "chest":
            return (self.P["LeftArm0"] + self.P["RightArm0"]) / 2, self.R["Spine1"]
        if name == "hips":
            return self.P["Hips"], self.R["Hips"]
        if name == "ground":
            return self.P["Hips"] * np.array([1, 1, 0]), self.heading
        if name == "knee":
            return self.P[_SIDES[side] + "Leg"], self.heading
        return self.P["Head"] + turn(self.R["Head"], self.face.offset(name, side)), self.R["Head"]

    def _aimed(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where fingers and palm are wanted in the world [t, 3] each, and with what weight [t] at all."""
        t, mirror = self.motion.num_frames, np.array([OUT_SIGN[side], 1, 1])
        fingers, palm, weight = np.zeros((t, 3)), np.zeros((t, 3)), np.zeros(t)
        for aim in self.motion.aims[side]:
            axes, w = self._anchor(aim.anchor, side)[1], aim.weight[:, None]
            fingers = (1 - w) * fingers + w * turn(axes, aim.fingers * mirror)
            palm = (1 - w) * palm + w * turn(axes, aim.palm * mirror)
            weight = 1 - (1 - weight) * (1 - aim.weight)
        return fingers, palm, weight

    def _hand_goal(self, side: int, fingers: np.ndarray) -> np.ndarray:
        """Wrists [t, 3]."""
        scale = self.arm * np.array([OUT_SIGN[side], 1, 1])
        chest, axes = self._anchor("chest", side)
        goal = chest + turn(axes, self.motion.hands[side] * scale)
        for reach in self.motion.reaches[side]:
            origin, axes = self._anchor(reach.anchor, side)
            there = origin + turn(axes, reach.offset * scale) - fingers * (reach.lever * self.hands[side].length)
            goal = goal + reach.weight[:, None] * (there - goal)
        goal[:, 2] = np.maximum(goal[:, 2], _WRIST_FLOOR)
        return goal

    def _arm(self, side: int) -> None:
        clavicle, arm, fore, hand = (_SIDES[side] + n for n in ("Shoulder", "Arm", "ForeArm", "Hand"))
        rest, chest = self.rest, self.R["Spine1"]
        for s in _SIDES:  # the shoulders before they are raised: what `chest` targets refer to
            self.P[f"{s}Arm0"] = self.P["Spine1"] + turn(chest, rest[f"{s}Arm"] - rest["Spine1"])
        fingers, palm, aimed = self._aimed(side)
        goal = self._hand_goal(side, unit(fingers))
        lift = turn(chest.swapaxes(1, 2), goal - self.P[arm + "0"])[:, 2] / self.arm
        self.R[clavicle] = chest @ rotation(1, -OUT_SIGN[side] * 0.5 * np.clip(lift + 0.2, 0, 1))
        self.P[clavicle] = self._attach(clavicle, "Spine1")
        start = self._attach(arm, clavicle)
        upper, lower = rest[fore] - rest[arm], rest[hand] - rest[fore]
        pole = turn(chest, self.motion.elbow[side] * np.array([OUT_SIGN[side], 1, 1]))
        middle, end, normal = two_bone(start, goal, pole, float(np.linalg.norm(upper)), float(np.linalg.norm(lower)))
        rest_normal = np.cross(upper, lower)
        self._bone(arm, start, middle - start, normal, upper, rest_normal)
        self._bone(fore, middle, end - middle, normal, lower, rest_normal)
        bone = unit(end - middle)
        # Half of the twist is the forearm's, as in a real arm.
        twist = about(bone, OUT_SIGN[side] * self.motion.palm[side] / 2)
        self.R[hand], self.P[hand] = twist @ twist @ self.R[fore], end
        self.R[fore] = twist @ self.R[fore]
        self._turn_hand(side, bone, fingers, palm, aimed)

    def _turn_hand(self, side: int, bone: np.ndarray, fingers: np.ndarray, palm: np.ndarray, aimed: np.ndarray) -> None:
        """Turns the hand from where the forearm leaves it to where it is aimed, as far as a wrist bends, and half
        of the twist into the forearm.
        """
        if not aimed.any():
            return
        fore, hand, rest = _SIDES[side] + "ForeArm", _SIDES[side] + "Hand", self.hands[side]
        w = aimed[:, None]
        ahead = turn(self.R[hand], rest.fingers)
        facing = turn(self.R[hand], rest.palm)
        wanted = unit((1 - w) * ahead + w * unit(fingers))
        along = (wanted * bone).sum(1, keepdims=True)
        across = unit(wanted - along * bone)
        angle = np.minimum(np.arccos(np.clip(along, -1, 1)), _WRIST)
        wanted = np.cos(angle) * bone + np.sin(angle) * across
        face = unit((1 - w) * facing + w * unit(palm))
        after = frame(wanted, face) @ frame(rest.fingers, rest.palm).T
        self.R[hand] = after
        new = turn(after, rest.palm)
        flat_old, flat_new = (v - bone * (v * bone).sum(1, keepdims=True) for v in (facing, new))
        twist = np.arctan2((np.cross(flat_old, flat_new) * bone).sum(1), (flat_old * flat_new).sum(1))
        self.R[fore] = about(bone, 0.5 * twist) @ self.R[fore]


def two_bone(
    start: np.ndarray, goal: np.ndarray, pole: np.ndarray, upper: float, lower: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse kinematics of a limb: middle joint, end joint, and normal of the bending plane, each [t, 3].

    The end lies on the line to `goal`, as far as the limb reaches; the middle joint points to `pole`.
    """
    line = goal - start
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    direction = line / np.maximum(distance, 1e-9)
    distance = np.clip(distance, 0.35 * (upper + lower), 0.995 * (upper + lower))
    side = unit(pole - direction * (pole * direction).sum(-1, keepdims=True))
    along = (distance**2 + upper**2 - lower**2) / (2 * distance)
    middle = start + direction * along + side * np.sqrt(np.maximum(upper**2 - along**2, 0))
    return middle, start + direction * distance, -np.cross(direction, side)
