"""Rotation matrices [..., 3, 3] and what retargeting asks of them."""

import numpy as np

from mv2mae.synthetic.kinematics import unit


def frame(bone: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Right-handed frames whose first axis is along bones [..., 3], the second nearest to normals [..., 3]."""
    bone = unit(bone)
    normal = unit(normal - bone * (bone * normal).sum(-1, keepdims=True))
    return np.stack([bone, normal, np.cross(bone, normal)], axis=-1)


def about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotations by angles [...] about unit axes [..., 3] (Rodrigues)."""
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    s, c = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    out: np.ndarray = np.eye(3) + s * k + (1 - c) * (k @ k)
    return out


def between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations that turn the directions [..., 3] of `start` into those of `end`."""
    a, b = np.broadcast_arrays(unit(start), unit(end))
    cross = np.cross(a, b)
    # Opposite directions have no smallest rotation: any axis across them does.
    spare = np.cross(a, np.where(np.abs(a[..., :1]) < 0.8, [1.0, 0, 0], [0, 1.0, 0]))
    axis = np.where(np.linalg.norm(cross, axis=-1, keepdims=True) > 1e-7, cross, spare)
    return about(unit(axis), np.arctan2(np.linalg.norm(cross, axis=-1), (a * b).sum(-1)))


def axis_angle(turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit axes [..., 3] and angles [...] from 0 to pi."""
    skew = np.stack(
        [turn[..., 2, 1] - turn[..., 1, 2], turn[..., 0, 2] - turn[..., 2, 0], turn[..., 1, 0] - turn[..., 0, 1]], -1
    )
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(turn, axis1=-2, axis2=-1) - 1)
    return unit(skew), angle


def blend(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """The part `share` of the way from one rotation to the other."""
    axis, angle = axis_angle(start.swapaxes(-1, -2) @ end)
    return start @ about(axis, share * angle)


def limit(turn: np.ndarray, most: float) -> np.ndarray:
    """Rotations about the same axes by `most` radians at most."""
    axis, angle = axis_angle(turn)
    return about(axis, np.minimum(angle, most))


def split_twist(turn: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits rotations into a twist about `axis` [3] and the swing after it: (swing, angle [...] of the twist)."""
    axis = unit(axis)
    swing = between(axis, turn @ axis)
    twist = swing.swapaxes(-1, -2) @ turn
    side = unit(np.cross(axis, [0.0, 0, 1] if abs(axis[2]) < 0.8 else [1.0, 0, 0]))
    turned = twist @ side
    return swing, np.arctan2(turned @ np.cross(axis, side), turned @ side)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Rotations from matrices that are nearly rotations (Gram and Schmidt)."""
    x = unit(matrix[..., :, 0])
    y = matrix[..., :, 1]
    y = unit(y - x * (x * y).sum(-1, keepdims=True))
    return np.stack([x, y, np.cross(x, y)], axis=-1)
