"""Where the props of a performance are, frame by frame: in a hand, on the head, on the floor, in the air."""

from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.people.props import Prop
from mv2mae.synthetic.people.skeleton import Skeleton
from mv2mae.synthetic.people.style import smooth
from mv2mae.synthetic.people.targets import Use
from mv2mae.synthetic.rotations import frame, rotation, turn
from mv2mae.synthetic.world.mesh import Mover

_SETTLE_S = 0.3  # a thing that was taken from the floor slips into the usual grip in this time
_GRAVITY, _DRAG, _BOUNCE = 9.81, 1.1, 0.55
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Pose:
    """Axes [t, 3, 3] and origin [t, 3] of a thing; one moment is [3, 3] and [3]."""

    R: np.ndarray
    p: np.ndarray

    def at(self, index: int) -> "Pose":
        """One moment."""
        return Pose(self.R[index], self.p[index])

    def times(self, other: "Pose") -> "Pose":
        """`other`, given in this pose's axes, in the world."""
        return Pose(self.R @ other.R, (self.R @ other.p[..., None])[..., 0] + self.p)

    def inverse(self) -> "Pose":
        """The world in this pose's axes."""
        back = np.swapaxes(self.R, -1, -2)
        return Pose(back, -(back @ self.p[..., None])[..., 0])

    def faded(self, other: "Pose", share: np.ndarray) -> "Pose":
        """From this one (share 0) to the other (1)."""
        w = share[:, None]
        mixed = (1 - w[..., None]) * self.R + w[..., None] * other.R
        axes = frame(mixed[..., 0], mixed[..., 1])
        return Pose(axes, (1 - w) * self.p + w * other.p)


def move_prop(use: Use, prop: Prop, skeleton: Skeleton, seconds: np.ndarray) -> Mover:
    """The moving prop. The holds follow each other without a jump."""
    last = len(seconds) - 1
    starts = [0] + [min(int(np.searchsorted(seconds, s.since)), last) for s in use.holds[1:]]
    carriers = [s.carrier for s in use.holds]
    poses: list[Pose] = []
    for i, carrier in enumerate(carriers):
        before = poses[i - 1].at(starts[i]) if i else None
        if carrier == "floor":
            taken = _carried(carriers[i + 1], prop, skeleton).at(starts[i + 1])
            poses.append(_lying(taken, prop, len(seconds)))
        elif carrier == "air":
            assert before is not None
            poses.append(_thrown(before, skeleton, seconds - seconds[starts[i]], prop.rest, starts[i]))
        else:
            pose = _carried(carrier, prop, skeleton)
            if before is not None:
                kept = pose.times(pose.at(starts[i]).inverse().times(before))
                settled = smooth((seconds - seconds[starts[i]]) / _SETTLE_S) if carriers[i - 1] == "floor" else 0.0
                pose = kept.faded(pose, np.broadcast_to(settled, seconds.shape)) if carrier != "head" else pose
            elif carriers[i + 1 : i + 2] == ["head"]:
                worn = _carried("head", prop, skeleton).at(starts[i + 1])
                pose = pose.times(pose.at(starts[i + 1]).inverse().times(worn))
            poses.append(pose)
    which = np.searchsorted(starts[1:], np.arange(len(seconds)), side="right")
    turned = np.stack([p.R for p in poses])[which, np.arange(len(seconds))]
    places = np.stack([p.p for p in poses])[which, np.arange(len(seconds))]
    return Mover(model=prop.model, rotations=turned[:, None], positions=places[:, None])


def _carried(carrier: str, prop: Prop, skeleton: Skeleton) -> Pose:
    """Where a thing is all the time if this one carries it in the usual way."""
    if carrier == "head":
        turned = skeleton.R["Head"]
        return Pose(turned, skeleton.P["Head"] + turn(turned, np.array(prop.worn)))
    if carrier == "both":
        left, right = (_palm(skeleton, side) for side in range(2))
        across = right - left
        level = frame(across, turn(skeleton.R["Spine1"], np.array([0.0, 1.0, 0.0])))
        return Pose(level, (left + right) / 2)
    side = 1 if carrier == "right" else 0
    axes = _hand_axes(skeleton, side)
    x, z = axes[..., prop.axes[0]], axes[..., prop.axes[1]]
    turned = np.stack([x, np.cross(z, x), z], axis=-1)
    return Pose(turned, _palm(skeleton, side) + turn(axes, np.array(prop.grip)))


def _hand_axes(skeleton: Skeleton, side: int) -> np.ndarray:
    """[t, 3, 3] columns: along the fingers, out of the palm, to the thumb (a mirror image on the left)."""
    hand, turned = skeleton.hands[side], skeleton.R[("Left", "Right")[side] + "Hand"]
    thumb = np.cross(hand.fingers, hand.palm) * (1 if side else -1)
    return turned @ np.stack([hand.fingers, hand.palm, thumb], axis=-1)


def _palm(skeleton: Skeleton, side: int) -> np.ndarray:
    """[t, 3] the middles of the palm."""
    name, hand = ("Left", "Right")[side] + "Hand", skeleton.hands[side]
    return skeleton.P[name] + turn(skeleton.R[name], hand.fingers * hand.length / 2)


def _lying(taken: Pose, prop: Prop, num_frames: int) -> Pose:
    """On the floor, upright, under where it will be taken."""
    x = taken.R[:, 0] * np.array([1, 1, 0]) + 1e-6
    axes = frame(x, np.cross(_UP, x))
    place = np.array([taken.p[0], taken.p[1], prop.rest])
    return Pose(np.tile(axes, (num_frames, 1, 1)), np.tile(place, (num_frames, 1)))


def _thrown(start: Pose, skeleton: Skeleton, seconds: np.ndarray, radius: float, index: int) -> Pose:
    """Flies to the front, falls, and bounces on the floor."""
    t = np.maximum(seconds, 0)
    ahead = skeleton.heading[index] @ np.array([0.0, 2.6, 0.0])
    place = start.p + ahead * ((1 - np.exp(-_DRAG * t)) / _DRAG)[:, None]
    height, speed, begin = float(start.p[2]), 1.1, 0.0
    z = np.zeros_like(t)
    for _ in range(5):
        u = t - begin
        fallen = height + speed * u - _GRAVITY / 2 * u**2
        z = np.where(u >= 0, fallen, z)
        lands = (speed + np.sqrt(speed**2 + 2 * _GRAVITY * max(height - radius, 0.0))) / _GRAVITY
        begin, speed, height = begin + lands, _BOUNCE * (_GRAVITY * lands - speed), radius
    place[:, 2] = np.maximum(z, radius)
    return Pose(start.R @ rotation(0, -9.0 * t), place)
