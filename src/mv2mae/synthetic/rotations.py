"""Rotation matrices [..., 3, 3], and directions, as the pure functions under all that moves.

Axes x right, y front, z up; radians.
"""

import numpy as np


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def rotation(axis: int, angle: np.ndarray | float) -> np.ndarray:
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


def turn(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors [3] or [t, 3] turned by matrices [t, 3, 3]."""
    return (matrices @ np.broadcast_to(vectors, matrices.shape[:-1])[..., None])[..., 0]


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal axes as columns [..., 3, 3]: along `first`, towards `second`, and square to both."""
    first = unit(first)
    second = unit(second - first * (first * second).sum(-1, keepdims=True))
    return np.stack([first, second, np.cross(first, second)], axis=-1)


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
