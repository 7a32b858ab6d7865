"""Rotations and limbs: the pure functions under `motion`. Axes x right, y front, z up; radians."""

import numpy as np


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


def about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation [t, 3, 3] about unit axes [t, 3] (Rodrigues)."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    k = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + s * k + (1 - c) * (k @ k)


def turn(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors [3] or [t, 3] turned by matrices [t, 3, 3]."""
    return (matrices @ np.broadcast_to(vectors, matrices.shape[:-1])[..., None])[..., 0]


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthonormal axes as columns [..., 3, 3]: along `first`, towards `second`, and square to both."""
    first = unit(first)
    second = unit(second - first * (first * second).sum(-1, keepdims=True))
    return np.stack([first, second, np.cross(first, second)], axis=-1)


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
