"""Ray-casts a room once per camera: colours and depth at every sample of the frame, with a margin for camera
shake.
"""

import numpy as np

from mv2mae.data.synthetic.cameras import Camera
from mv2mae.data.synthetic.rooms import CEILING, Box, Room, paint, paint_picture

_FAR = 1e6


def cast(room: Room, camera: Camera, size: int, supersample: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """The empty room.

    Args:
        size: pixels of the frame's side; `supersample` samples per pixel and side, `margin` extra samples on
            every side.

    Returns:
        rgb [n, n, 3] float32 in 0-255 and depth [n, n] float64 in metres along the optical axis, n = size *
        supersample + 2 * margin.
    """
    n = size * supersample + 2 * margin
    line = (np.arange(n) + 0.5 - margin) / supersample
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    rays = camera.rays(x, y, size)
    depth = np.full(len(rays), _FAR)
    colour = np.zeros((len(rays), 3))
    _cast_shell(room, camera.position, rays, depth, colour)
    for box in room.boxes:
        _cast_box(room, box, camera.position, rays, depth, colour)
    return np.clip(colour, 0, 255).astype(np.float32).reshape(n, n, 3), depth.reshape(n, n)


def _light(room: Room, normal: np.ndarray) -> np.ndarray:
    """The light [3] (rgb) on a surface that faces `normal`."""
    return room.ambient + (1.02 - room.ambient) * max(0.0, float(normal @ room.light)) * room.light_colour


def _cast_shell(room: Room, eye: np.ndarray, rays: np.ndarray, depth: np.ndarray, colour: np.ndarray) -> None:
    """Walls, floor and ceiling; they are seen from inside only, so that a camera may stand behind a wall."""
    left, right, back, front = room.walls
    planes = [(0, -left), (0, right), (1, -back), (1, front), (2, 0.0), (2, CEILING)]
    for k, (axis, at) in enumerate(planes):
        inward = -1.0 if k in (1, 3, 5) else 1.0
        towards = rays[:, axis] * inward < -1e-9
        t = np.where(towards, (at - eye[axis]) / np.where(towards, rays[:, axis], 1), _FAR)
        hit = np.nonzero((t > 0.05) & (t < depth))[0]
        depth[hit] = t[hit]
        points = eye + rays[hit] * t[hit, None]
        normal = np.eye(3)[axis] * inward
        colour[hit] = _shell_colour(room, k, points) * _light(room, normal) * _corner_shade(room, k, points)[:, None]


def _shell_colour(room: Room, k: int, points: np.ndarray) -> np.ndarray:
    if k == 5:
        return np.full((len(points), 3), 226.0)
    if k == 4:
        return paint(room.surfaces[4], points[:, 0], points[:, 1])
    along = points[:, 1] if k < 2 else points[:, 0]
    out = paint(room.surfaces[k], along, points[:, 2])
    for wall, u0, u1, z0, z1, surface in room.pictures:
        if wall == k:
            u, v = (along - u0) / (u1 - u0), (points[:, 2] - z0) / (z1 - z0)
            on = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
            out[on] = paint_picture(surface, u[on], v[on])
    out[(points[:, 2] < 0.09)] = np.array(room.surfaces[k].second) * 0.7  # skirting board
    return out


def _corner_shade(room: Room, k: int, points: np.ndarray) -> np.ndarray:
    """Darker towards corners and round the feet of furniture: a cheap ambient occlusion."""
    left, right, back, front = room.walls
    gaps = [
        points[:, 0] + left,
        right - points[:, 0],
        points[:, 1] + back,
        front - points[:, 1],
        points[:, 2],
        CEILING - points[:, 2],
    ]
    shade = np.ones(len(points))
    for j, gap in enumerate(gaps):
        if j // 2 != k // 2:
            shade *= 1 - 0.28 * np.exp(-np.maximum(gap, 0) / 0.35)
    if k == 4:
        for box in room.boxes:
            if box.centre[2] - box.half[2] < 0.05:
                local = _to_box(box, points[:, :2] - box.centre[:2] + 0.12 * room.light[:2])
                gap = np.hypot(*np.maximum(np.abs(local) - box.half[:2], 0).T)
                shade *= 1 - 0.5 * np.exp(-gap / 0.16)
    return shade


def _to_box(box: Box, xy: np.ndarray) -> np.ndarray:
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    return np.stack([xy[..., 0] * c + xy[..., 1] * s, -xy[..., 0] * s + xy[..., 1] * c], -1)


def _cast_box(room: Room, box: Box, eye: np.ndarray, rays: np.ndarray, depth: np.ndarray, colour: np.ndarray) -> None:
    origin = np.append(_to_box(box, (eye - box.centre)[:2]), eye[2] - box.centre[2])
    turned = np.concatenate([_to_box(box, rays[:, :2]), rays[:, 2:]], axis=1)
    turned = np.where(np.abs(turned) < 1e-9, 1e-9, turned)
    near = (-np.sign(turned) * box.half - origin) / turned
    far = (np.sign(turned) * box.half - origin) / turned
    t = near.max(1)
    hit = np.nonzero((t < far.min(1)) & (t > 0.05) & (t < depth))[0]
    if not len(hit):
        return
    axis = near[hit].argmax(1)
    points = origin + turned[hit] * t[hit, None]
    depth[hit] = t[hit]
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    u, v = (np.take_along_axis(points, others[:, j : j + 1], 1)[:, 0] for j in range(2))
    look = paint(box.surface, u + box.half.max(), v + box.half[2])
    lights = np.stack([[_light(room, sign * _box_axis(box, a)) for sign in (-1, 1)] for a in range(3)])
    facing = (turned[hit, axis] < 0).astype(int)
    # Edges a little lighter: boxes read as solid things.
    rim = np.minimum(box.half[others[:, 0]] - np.abs(u), box.half[others[:, 1]] - np.abs(v)) < 0.012
    colour[hit] = look * lights[axis, facing] * np.where(rim, 1.12, 1.0)[:, None]


def _box_axis(box: Box, axis: int) -> np.ndarray:
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])[axis]
