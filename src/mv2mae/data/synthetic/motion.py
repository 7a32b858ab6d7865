"""From targets of hands and feet to the pose of a skeleton: forward kinematics of the trunk, two-bone inverse
kinematics of the limbs.

Sides are indexed 0 = left, 1 = right. Limb coordinates are (out, front, up): `out` points away from the body's
middle, so that an
action written for one hand serves the other. Lengths are in arm lengths (hands) and leg lengths (feet, pelvis),
so that one action
fits a child and a tall man.
"""

from dataclasses import dataclass, field

import numpy as np

from mv2mae.data.synthetic.bodies import Body

OUT_SIGN = (-1.0, 1.0)  # x of "out" for left, right
ANCHORS = ("chest", "head", "ground", "hips")
_SPINE = ("Hips", "LowerBack", "Spine", "Spine1")


@dataclass(kw_only=True)
class Reach:
    """Where a hand is wanted: `offset` [t, 3] from an anchor, and how much it counts (`weight` [t], 0 to 1)
    against what was set before.
    """

    anchor: str
    offset: np.ndarray
    weight: np.ndarray


@dataclass(kw_only=True)
class Motion:
    """What an action asks of a body over t moments; the defaults are a person standing still.

    pelvis [t, 3]: (right, front, up) from standing, in leg lengths. yaw [t]: heading, radians, left positive.
    bend [t, 3] and head [t, 3]: (forward, right, left turn) of the whole trunk and of the head against it, radians.
    hips_share: the part of the forward bend that happens in the hips.
    hands [2, t, 3]: wrists from the middle of the shoulders, arm lengths; `reaches` then pull them elsewhere.
    elbow [2, t, 3]: direction (out, front, up) in which the elbow points. palm [2, t]: twist of the hand, radians.
    feet [2, t, 3]: (out, front, up) from the standing place, leg lengths. toes [2, t]: foot pitch, radians,
        toes down positive.
    planted [2, t]: 1 where the foot must reach its place (the pelvis sinks if the leg is too short).
    """

    num_frames: int
    pelvis: np.ndarray = field(init=False)
    yaw: np.ndarray = field(init=False)
    bend: np.ndarray = field(init=False)
    head: np.ndarray = field(init=False)
    hands: np.ndarray = field(init=False)
    elbow: np.ndarray = field(init=False)
    palm: np.ndarray = field(init=False)
    feet: np.ndarray = field(init=False)
    toes: np.ndarray = field(init=False)
    planted: np.ndarray = field(init=False)
    hips_share: float = 0.3
    reaches: tuple[list[Reach], list[Reach]] = field(init=False)

    def __post_init__(self) -> None:
        t = self.num_frames
        self.pelvis, self.bend, self.head = (np.zeros((t, 3)) for _ in range(3))
        self.yaw = np.zeros(t)
        self.hands = np.tile([0.50, 0.10, -0.93], (2, t, 1))
        self.elbow = np.tile([0.5, -0.75, -0.5], (2, t, 1))
        self.feet = np.zeros((2, t, 3))
        self.palm, self.toes = np.zeros((2, t)), np.zeros((2, t))
        self.planted = np.ones((2, t))
        self.reaches = ([], [])

    def reach(self, side: int, anchor: str, offset: np.ndarray, weight: np.ndarray) -> None:
        """Pulls a hand towards a place: `offset` [3] or [t, 3] in (out, front, up) arm lengths from the anchor."""
        offset = np.broadcast_to(np.asarray(offset, float), (self.num_frames, 3))
        self.reaches[side].append(
            Reach(anchor=anchor, offset=offset, weight=np.broadcast_to(weight, (self.num_frames,)))
        )

    def point_elbow(self, side: int, direction: tuple[float, float, float], weight: np.ndarray) -> None:
        """Turns the elbow towards (out, front, up)."""
        w = np.broadcast_to(weight, (self.num_frames,))[:, None]
        self.elbow[side] = (1 - w) * self.elbow[side] + w * np.array(direction)


def rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] about x, y or z (0, 1, 2)."""
    out = np.zeros((*np.shape(angle), 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., j, j] = out[..., k, k] = np.cos(angle)
    out[..., k, j], out[..., j, k] = np.sin(angle), -np.sin(angle)
    return out


def tilt(angles: np.ndarray) -> np.ndarray:
    """Rotation [t, 3, 3] of (forward, right, left turn) angles [t, 3]."""
    return rotation(2, angles[:, 2]) @ rotation(0, -angles[:, 0]) @ rotation(1, angles[:, 1])


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _frame(bone: np.ndarray, normal: np.ndarray) -> np.ndarray:
    bone = unit(bone)
    normal = unit(normal - bone * (bone * normal).sum(-1, keepdims=True))
    return np.stack([bone, normal, np.cross(bone, normal)], axis=-1)


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


class Skeleton:
    """Solves a `Motion` for one body. Results: `rotations` [t, j, 3, 3] against rest, `positions` [t, j, 3],
    joints as in `body.joints`.
    """

    def __init__(self, body: Body, motion: Motion) -> None:
        self.rest, self.motion = body.joints, motion
        self.R: dict[str, np.ndarray] = {}
        self.P: dict[str, np.ndarray] = {}
        rest = self.rest
        self.arm = sum(
            np.linalg.norm(rest[b] - rest[a]) for a, b in (("RightArm", "RightForeArm"), ("RightForeArm", "RightHand"))
        )
        self.leg = sum(
            np.linalg.norm(rest[b] - rest[a]) for a, b in (("RightUpLeg", "RightLeg"), ("RightLeg", "RightFoot"))
        )
        heading = rotation(2, motion.yaw)
        feet = [self._foot_goal(side, heading) for side in range(2)]
        self._trunk(heading, self._sink(feet, heading))
        for side in range(2):
            self._leg(side, feet[side], heading)
            self._arm(side, heading)
        names = list(rest)
        self.rotations = np.stack([self.R[n] for n in names], axis=1)
        self.positions = np.stack([self.P[n] for n in names], axis=1)

    def _attach(self, child: str, parent: str) -> np.ndarray:
        return self.P[parent] + np.einsum("tab,b->ta", self.R[parent], self.rest[child] - self.rest[parent])

    def _bends(self) -> list[np.ndarray]:
        """Cumulative trunk angles [t, 3] at hips, lower back, spine, chest."""
        bend, share = self.motion.bend, self.motion.hips_share
        forward = (share, share + (1 - share) * 0.35, share + (1 - share) * 0.7, 1.0)
        return [
            bend * np.array([f, side, turn])
            for f, side, turn in zip(forward, (0.15, 0.4, 0.7, 1.0), (0.3, 0.5, 0.75, 1.0), strict=True)
        ]

    def _foot_goal(self, side: int, heading: np.ndarray) -> np.ndarray:
        name = ("Left", "Right")[side] + "Foot"
        offset = self.motion.feet[side] * self.leg * np.array([OUT_SIGN[side], 1, 1])
        return np.einsum("tab,tb->ta", heading, self.rest[name] + offset)

    def _sink(self, feet: list[np.ndarray], heading: np.ndarray) -> np.ndarray:
        """Pelvis positions [t, 3], lowered until planted feet can be reached with a slightly bent knee."""
        hips = np.einsum("tab,tb->ta", heading, self.rest["Hips"] + self.motion.pelvis * self.leg)
        turn = heading @ tilt(self._bends()[0])
        for _ in range(4):
            for side, name in enumerate(("LeftUpLeg", "RightUpLeg")):
                line = feet[side] - (hips + np.einsum("tab,b->ta", turn, self.rest[name] - self.rest["Hips"]))
                flat = np.minimum((line[:, :2] ** 2).sum(1), (0.95 * self.leg) ** 2)
                excess = -line[:, 2] - np.sqrt((0.985 * self.leg) ** 2 - flat)
                hips[:, 2] -= np.maximum(excess, 0) * self.motion.planted[side]
        return hips

    def _trunk(self, heading: np.ndarray, hips: np.ndarray) -> None:
        for name, angles, parent in zip(_SPINE, self._bends(), (None, *_SPINE[:-1]), strict=True):
            self.R[name] = heading @ tilt(angles)
            self.P[name] = hips if parent is None else self._attach(name, parent)
        for name, parent, share in (("Neck", "Spine1", 0.45), ("Head", "Neck", 1.0)):
            self.R[name] = self.R["Spine1"] @ tilt(self.motion.head * share)
            self.P[name] = self._attach(name, parent)

    def _leg(self, side: int, goal: np.ndarray, heading: np.ndarray) -> None:
        hip, knee, foot, toe = (("Left", "Right")[side] + n for n in ("UpLeg", "Leg", "Foot", "ToeBase"))
        start = self._attach(hip, "Hips")
        thigh, shank = self.rest[knee] - self.rest[hip], self.rest[foot] - self.rest[knee]
        pole = heading @ np.array([0.18 * OUT_SIGN[side], 1.0, 0.25])
        middle, end, normal = two_bone(start, goal, pole, float(np.linalg.norm(thigh)), float(np.linalg.norm(shank)))
        rest_normal = -np.cross(self.rest[foot] - self.rest[hip], [0, 1.0, 0])
        self._bone(hip, start, middle - start, normal, thigh, rest_normal)
        self._bone(knee, middle, end - middle, normal, shank, rest_normal)
        self.R[foot] = heading @ rotation(0, -self.motion.toes[side])
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
        self.R[name] = _frame(bone, normal) @ _frame(rest_bone, rest_normal).T

    def _hand_goal(self, side: int, heading: np.ndarray) -> np.ndarray:
        chest = (self.P["LeftArm0"] + self.P["RightArm0"]) / 2
        places = {
            "chest": (chest, self.R["Spine1"]),
            "head": (self.P["Head"], self.R["Head"]),
            "hips": (self.P["Hips"], self.R["Hips"]),
            "ground": (self.P["Hips"] * np.array([1, 1, 0]), heading),
        }
        scale = self.arm * np.array([OUT_SIGN[side], 1, 1])
        goal = chest + np.einsum("tab,tb->ta", self.R["Spine1"], self.motion.hands[side] * scale)
        for reach in self.motion.reaches[side]:
            origin, turn = places[reach.anchor]
            there = origin + np.einsum("tab,tb->ta", turn, reach.offset * scale)
            goal = goal + reach.weight[:, None] * (there - goal)
        return goal

    def _arm(self, side: int, heading: np.ndarray) -> None:
        clavicle, arm, fore, hand = (("Left", "Right")[side] + n for n in ("Shoulder", "Arm", "ForeArm", "Hand"))
        rest, chest = self.rest, self.R["Spine1"]
        for s in ("Left", "Right"):  # the shoulders before they are raised: what `chest` targets refer to
            self.P[f"{s}Arm0"] = self.P["Spine1"] + chest @ (rest[f"{s}Arm"] - rest["Spine1"])
        goal = self._hand_goal(side, heading)
        lift = np.einsum("tba,tb->ta", chest, goal - self.P[arm + "0"])[:, 2] / self.arm
        self.R[clavicle] = chest @ rotation(1, -OUT_SIGN[side] * 0.5 * np.clip(lift + 0.2, 0, 1))
        self.P[clavicle] = self._attach(clavicle, "Spine1")
        start = self._attach(arm, clavicle)
        upper, lower = rest[fore] - rest[arm], rest[hand] - rest[fore]
        pole = np.einsum("tab,tb->ta", chest, self.motion.elbow[side] * np.array([OUT_SIGN[side], 1, 1]))
        middle, end, normal = two_bone(start, goal, pole, float(np.linalg.norm(upper)), float(np.linalg.norm(lower)))
        rest_normal = np.cross(upper, lower)
        self._bone(arm, start, middle - start, normal, upper, rest_normal)
        self._bone(fore, middle, end - middle, normal, lower, rest_normal)
        # Half of the twist is the forearm's, as in a real arm.
        twist = _about(unit(end - middle), OUT_SIGN[side] * self.motion.palm[side] / 2)
        self.R[fore] = twist @ self.R[fore]
        self.R[hand], self.P[hand] = twist @ self.R[fore], end


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation [t, 3, 3] about unit axes [t, 3] (Rodrigues)."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    k = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + s * k + (1 - c) * (k @ k)
