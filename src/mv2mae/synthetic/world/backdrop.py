"""Ray-casts a room once per camera: colours and depth at every sample of the frame, with a margin for camera
shake.
"""

from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.furniture import Box
from mv2mae.synthetic.world.rooms import CEILING, Room
from mv2mae.synthetic.world.surfaces import paint, paint_picture

_FAR = 1e6
_NEAR = 0.05


def cast(
    room: Room, camera: Camera, size: int, supersample: int, margin: int, phase: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """The empty room.

    Args:
        size: pixels of the frame's side; `supersample` samples per pixel and side, `margin` extra samples on
            every side; `phase` is where a sample lies in its cell, 0 to 1.

    Returns:
        rgb [n, n, 3] float32 in 0-255 and depth [n, n] float64 in metres along the optical axis, n = size *
        supersample + 2 * margin.
    """
    n = size * supersample + 2 * margin
    line = (np.arange(n) + phase - margin) / supersample
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    rays = camera.rays(x, y, size)
    view = _View(
        eye=camera.position,
        rays=rays,
        depth=np.full(len(rays), _FAR),
        colour=np.zeros((len(rays), 3), np.float32),
    )
    boxes = room.boxes
    windows = [_window(box, camera, size, supersample, margin) for box in boxes]
    seen = np.full(len(rays), -1)
    for k, (box, (rows, columns)) in enumerate(zip(boxes, windows, strict=True)):
        within = (np.arange(rows.start, rows.stop)[:, None] * n + np.arange(columns.start, columns.stop)).ravel()
        t = _reach(box, view.eye, view.rays[within])
        hit = (t > _NEAR) & (t < view.depth[within])
        view.depth[within[hit]], seen[within[hit]] = t[hit], k
    _cast_shell(room, view, seen)
    order = np.argsort(seen, kind="stable")
    starts = np.searchsorted(seen[order], np.arange(len(boxes) + 1))
    for box, first, last in zip(boxes, starts[:-1], starts[1:], strict=True):
        if last > first:
            _paint_box(room, box, view, order[first:last])
    return np.clip(view.colour, 0, 255).reshape(n, n, 3), view.depth.reshape(n, n)


@dataclass(frozen=True)
class _View:
    """The samples of a camera: its place [3], rays [n, 3] of camera depth 1; depth [n] and colour [n, 3] so far."""

    eye: np.ndarray
    rays: np.ndarray
    depth: np.ndarray
    colour: np.ndarray


def _window(box: Box, camera: Camera, size: int, supersample: int, margin: int) -> tuple[slice, slice]:
    """Rows and columns of samples that may see the box."""
    n = size * supersample + 2 * margin
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    xy, depth = camera.project(box.centre + (signs * box.half) @ box.axes, size)
    if depth.max() <= _NEAR:
        return slice(0, 0), slice(0, 0)
    if depth.min() <= _NEAR:
        return slice(0, n), slice(0, n)
    low = np.clip(np.floor(xy.min(0) * supersample + margin - 1), 0, n).astype(int)
    high = np.clip(np.ceil(xy.max(0) * supersample + margin + 1), low, n).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _reach(box: Box, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """How far [n], in lengths of the rays, the box is from `origin` [3] or [n, 3]; `_FAR` where it is missed."""
    start, turned = (origin - box.centre) @ box.axes.T, rays @ box.axes.T
    inverse = 1 / np.where(np.abs(turned) < 1e-9, 1e-9, turned)
    width = np.abs(inverse) * box.half
    middle = start * inverse
    near = np.maximum(np.maximum(-middle[:, 0] - width[:, 0], -middle[:, 1] - width[:, 1]), -middle[:, 2] - width[:, 2])
    far = np.minimum(np.minimum(width[:, 0] - middle[:, 0], width[:, 1] - middle[:, 1]), width[:, 2] - middle[:, 2])
    return np.where(near < far, near, _FAR)


def _light(room: Room, normal: np.ndarray, sun: np.ndarray | float = 1.0) -> np.ndarray:
    """The light [..., 3] (rgb) on a surface that faces `normal`; `sun` [...]: the part of it that arrives."""
    direct = (1.02 - room.ambient) * max(0.0, float(normal @ room.light)) * room.light_colour
    return room.ambient + np.asarray(sun)[..., None] * direct


def _cast_shell(room: Room, view: _View, seen: np.ndarray) -> None:
    """Walls, floor and ceiling behind the boxes; they are seen from inside only, so that a camera may stand behind a
    wall.
    """
    left, right, back, front = room.walls
    planes = [(0, -left), (0, right), (1, -back), (1, front), (2, 0.0), (2, CEILING)]
    plane = np.full(len(seen), -1)
    for k, (axis, at) in enumerate(planes):
        inward = -1.0 if k in (1, 3, 5) else 1.0
        ray = view.rays[:, axis]
        t = np.where(ray * inward < -1e-9, (at - view.eye[axis]) / np.where(ray * inward < -1e-9, ray, 1), _FAR)
        hit = (t > _NEAR) & (t < view.depth)
        view.depth[hit], plane[hit], seen[hit] = t[hit], k, -1
    for k, (axis, _) in enumerate(planes):
        on = np.nonzero(plane == k)[0]
        points = view.eye + view.rays[on] * view.depth[on, None]
        normal = np.eye(3)[axis] * (-1.0 if k in (1, 3, 5) else 1.0)
        sun = _sunlit(room, points) if k == 4 else 1.0
        view.colour[on] = _shell_colour(room, k, points, _light(room, normal, sun)) * _corner_shade(room, k, points)


def _shell_colour(room: Room, k: int, points: np.ndarray, light: np.ndarray) -> np.ndarray:
    u = points[:, 1] if k < 2 else points[:, 0]
    v = points[:, 1] if k > 3 else points[:, 2]
    out = paint(room.surfaces[k], u, v)
    if k < 4:
        out[v < 0.09] = np.array(room.surfaces[k].second) * 0.7  # skirting board
    factor = np.broadcast_to(light, out.shape).copy()
    for picture in room.pictures:
        if picture.plane == k:
            (u0, u1), (v0, v1) = picture.u, picture.v
            on = np.nonzero((u >= u0) & (u <= u1) & (v >= v0) & (v <= v1))[0]
            if picture.surface.glow:
                out[on], factor[on] = picture.surface.colour, 1.0
                continue
            look = paint_picture(picture.surface, (u[on] - u0) / (u1 - u0), (v[on] - v0) / (v1 - v0))
            there = look[:, 0] >= 0
            out[on[there]] = look[there]
    return out * factor


def _sunlit(room: Room, points: np.ndarray) -> np.ndarray:
    """The part of the sun, 1 or less, that furniture lets through to points [n, 3] of the floor."""
    out = np.ones(len(points), np.float32)
    for piece in room.pieces:
        reach = np.array([_shadow(box, room.light) for box in piece.boxes])
        close = _between(points, reach[:, 0].min(0), reach[:, 1].max(0), np.arange(len(points)))
        for box, (low, high) in zip(piece.boxes, reach, strict=True):
            near = _between(points, low, high, close)
            rays = np.broadcast_to(room.light, (len(near), 3))
            out[near[_reach(box, points[near], rays) < _FAR]] = 0.25
    return out


def _shadow(box: Box, light: np.ndarray) -> np.ndarray:
    """The lower and the upper corner [2, 2] of a rectangle of the floor that holds the shadow of the box."""
    extent = box.half @ np.abs(box.axes)
    heights = np.maximum(box.centre[2] + extent[2] * np.array([-1, 1]), 0)
    ends = box.centre[:2] - heights[:, None] * (light[:2] / light[2])
    return np.stack([ends.min(0) - extent[:2], ends.max(0) + extent[:2]])


def _between(points: np.ndarray, low: np.ndarray, high: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Those of the indices `among` whose points lie within the rectangle."""
    among = among[(points[among, 0] > low[0]) & (points[among, 0] < high[0])]
    return among[(points[among, 1] > low[1]) & (points[among, 1] < high[1])]


def _corner_shade(room: Room, k: int, points: np.ndarray) -> np.ndarray:
    """[n, 1] darker towards corners and round the feet of furniture: a cheap ambient occlusion."""
    left, right, back, front = room.walls
    x, y, z = points.T
    gaps = [x + left, right - x, y + back, front - y, z, CEILING - z]
    shade = np.ones(len(points), np.float32)
    for j, gap in enumerate(gaps):
        if j // 2 != k // 2:
            close = np.nonzero(gap < 1.2)[0]
            shade[close] *= 1 - 0.28 * np.exp(-np.maximum(gap[close], 0) / 0.35)
    if k == 4:
        for box in room.boxes:
            if box.centre[2] - box.half[2] < 0.13 and box.half[:2].min() > 0.05:
                offset = points[:, :2] - box.centre[:2]
                close = np.nonzero(np.abs(offset).max(1) < box.half[:2].max() + 0.5)[0]
                local = offset[close] @ box.axes[:2, :2].T
                gap = np.hypot(*np.maximum(np.abs(local) - box.half[:2], 0).T)
                shade[close] *= 1 - 0.4 * np.exp(-gap / 0.12)
    return shade[:, None]


def _paint_box(room: Room, box: Box, view: _View, hit: np.ndarray) -> None:
    rays = view.rays[hit] @ box.axes.T
    points = (view.eye - box.centre) @ box.axes.T + rays * view.depth[hit, None]
    axis = (np.abs(points) - box.half).argmax(1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    u, v = (np.take_along_axis(points, others[:, j : j + 1], 1)[:, 0] for j in range(2))
    if box.surface.glow:
        view.colour[hit] = box.surface.colour
        return
    look = paint(box.surface, u + box.half.max(), v + (0 if box.surface.texture == "leaf" else box.half[2]))
    lights = np.stack([[_light(room, sign * box.axes[a]) for sign in (-1, 1)] for a in range(3)])
    facing = (rays[np.arange(len(hit)), axis] < 0).astype(int)
    # Edges a little lighter: boxes read as solid things.
    rim = np.minimum(box.half[others[:, 0]] - np.abs(u), box.half[others[:, 1]] - np.abs(v)) < 0.012
    rim &= bool(box.half.min() > 0.03)
    view.colour[hit] = look * lights[axis, facing] * np.where(rim, 1.12, 1.0)[:, None]
