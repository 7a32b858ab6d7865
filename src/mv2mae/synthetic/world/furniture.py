"""Pieces of furniture, made of boxes.

In a piece's own axes x runs along its width, +y to its back, z up; its middle stands on the floor at (0, 0).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.world.surfaces import Palette, Surface, draw_surface, plain

WOODS: Palette = [(122, 84, 54), (168, 126, 84), (86, 62, 46), (200, 196, 188), (190, 160, 110), (96, 98, 104)]
CLOTHS: Palette = [(70, 92, 116), (110, 120, 92), (136, 72, 64), (150, 146, 140), (84, 84, 96), (176, 140, 96)]
_BOOKS: Palette = [(150, 60, 52), (52, 84, 120), (196, 172, 110), (70, 110, 84), (110, 70, 110), (210, 204, 190)]
_METAL = (70.0, 70.0, 74.0)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A solid: centre and half size [3] in metres, `axes` [3, 3] its own axes as rows, how it looks."""

    centre: np.ndarray
    half: np.ndarray
    axes: np.ndarray
    surface: Surface


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of furniture, not yet placed: its boxes in its own axes; width, depth and height in metres."""

    kind: str
    boxes: tuple[Box, ...]
    size: tuple[float, float, float]

    def placed(self, at: np.ndarray, yaw: float) -> "Piece":
        """The piece with its middle at the floor point `at` [2], turned about the vertical by `yaw` radians."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        moved = tuple(
            Box(centre=turn @ b.centre + [*at, 0], half=b.half, axes=b.axes @ turn.T, surface=b.surface)
            for b in self.boxes
        )
        return Piece(kind=self.kind, boxes=moved, size=self.size)


def draw_piece(rng: np.random.Generator, kind: str, height: float | None = None) -> Piece:
    """A piece of the kind (a key of `KINDS`) in a size and colours at random; `height` in metres where given."""
    parts, size = KINDS[kind](rng, height)
    return Piece(kind=kind, boxes=tuple(parts), size=size)


Made = tuple[list[Box], tuple[float, float, float]]
_UPRIGHT = np.eye(3)


def _box(x: float, y: float, z: float, w: float, d: float, h: float, look: Surface, axes: np.ndarray = _UPRIGHT) -> Box:
    """A box by its centre and whole size."""
    return Box(centre=np.array([x, y, z]), half=np.array([w, d, h]) / 2, axes=axes, surface=look)


def _wood(rng: np.random.Generator) -> Surface:
    return draw_surface(rng, ("wood",), WOODS, 0.75)


def _cloth(rng: np.random.Generator) -> Surface:
    return draw_surface(rng, ("weave",), CLOTHS, 0.75)


def _darker(look: Surface, part: float = 0.45) -> Surface:
    return plain(tuple(part * c for c in look.colour), look.seed)


def _legs(w: float, d: float, h: float, thick: float, look: Surface) -> list[Box]:
    at = [(x * (w - thick) / 2, y * (d - thick) / 2) for x in (-1, 1) for y in (-1, 1)]
    return [_box(x, y, h / 2, thick, thick, h, look) for x, y in at]


def _cabinet(rng: np.random.Generator, height: float | None) -> Made:
    """Doors side by side, or drawers one over another."""
    w, d, h = float(rng.uniform(0.7, 1.2)), 0.45, height or float(rng.choice([0.8, 1.1, 1.9]) * rng.uniform(0.95, 1.05))
    look = _wood(rng)
    gap, handle = _darker(look), plain(_METAL)
    parts = [_box(0, 0, h / 2 + 0.03, w, d, h - 0.06, look), _box(0, 0.02, 0.03, w - 0.06, d - 0.06, 0.06, gap)]
    front = -d / 2
    if h < 1.3 and rng.random() < 0.5:
        rows = 3 if h < 1 else 4
        for k in range(rows):
            z = 0.06 + (h - 0.06) * k / rows
            parts.append(_box(0, front, z, w, 0.004, 0.016, gap))
            parts.append(_box(0, front - 0.01, z + (h - 0.06) / rows / 2, 0.16, 0.03, 0.025, handle))
    else:
        parts.append(_box(0, front, h / 2, 0.016, 0.004, h - 0.1, gap))
        parts += [_box(x, front - 0.01, h * 0.55, 0.025, 0.03, 0.2, handle) for x in (-0.06, 0.06)]
    if h < 1.2:
        parts += _things_on_top(rng, w, h)
    return parts, (w, d, h)


def _things_on_top(rng: np.random.Generator, w: float, h: float) -> list[Box]:
    """A vase, a pile of books."""
    parts = []
    if rng.random() < 0.7:
        x, tall = float(rng.uniform(-0.35, 0.35)) * w, float(rng.uniform(0.15, 0.3))
        parts.append(_box(x, 0, h + tall / 2, 0.11, 0.11, tall, draw_surface(rng, ("plain",), _BOOKS, 0.9)))
    if rng.random() < 0.6:
        x = float(rng.uniform(-0.35, 0.35)) * w
        for k in range(3):
            size = rng.uniform(0.16, 0.24)
            parts.append(
                _box(x, 0, h + 0.02 + 0.04 * k, 1.3 * size, size, 0.04, draw_surface(rng, ("plain",), _BOOKS, 0.9))
            )
    return parts


def _shelf(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = float(rng.uniform(0.7, 1.1)), 0.32, height or float(rng.uniform(1.5, 2.0))
    look = _wood(rng)
    floors = np.linspace(0.08, h - 0.02, 5)
    parts = [_box(0, 0, z, w, d, 0.03, look) for z in floors]
    parts += [_box(x * w / 2, 0, h / 2, 0.03, d, h, look) for x in (-1, 1)]
    parts.append(_box(0, d / 2 - 0.01, h / 2, w, 0.015, h, _darker(look, 0.7)))
    for z in floors[:-1]:
        x = -w / 2 + 0.05 + float(rng.uniform(0, 0.25))
        while x < w / 2 - 0.15 and rng.random() < 0.85:
            thick, tall = float(rng.uniform(0.06, 0.14)), float(rng.uniform(0.2, 0.3))
            parts.append(
                _box(
                    x + thick / 2,
                    0.02,
                    z + tall / 2,
                    thick - 0.006,
                    0.2,
                    tall,
                    draw_surface(rng, ("plain",), _BOOKS, 0.8),
                )
            )
            x += thick
    return parts, (w, d, h)


def _table(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.5, 0.75)), height or float(rng.choice([0.45, 0.74]))
    look = _wood(rng)
    parts = [_box(0, 0, h - 0.02, w, d, 0.04, look), *_legs(w - 0.06, d - 0.06, h - 0.04, 0.06, look)]
    return parts + _things_on_top(rng, w, h), (w, d, h)


def _sofa(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = float(rng.choice([0.85, 1.5, 1.9])), 0.82, height or float(rng.uniform(0.74, 0.9))
    look = _cloth(rng)
    seam = _darker(look, 0.7)
    parts = [_box(0, 0.02, 0.22, w, d - 0.06, 0.22, look), *_legs(w - 0.1, d - 0.1, 0.12, 0.06, plain((60.0, 46, 36)))]
    parts.append(_box(0, d / 2 - 0.1, (0.1 + h) / 2, w, 0.2, h - 0.1, look))
    parts += [_box(x * (w / 2 - 0.08), 0, 0.36, 0.16, d, 0.5, look) for x in (-1, 1)]
    seats = max(1, round((w - 0.3) / 0.6))
    each = (w - 0.34) / seats
    for k in range(seats):
        x = -w / 2 + 0.17 + each * (k + 0.5)
        parts.append(_box(x, -0.06, 0.39, each - 0.015, d - 0.2, 0.14, look))
        parts.append(_box(x + each / 2, -0.06, 0.38, 0.015, d - 0.2, 0.12, seam))
    if rng.random() < 0.6:
        tilt = _tilted(0.0, 0.35)
        side = float(rng.choice([-1, 1]))
        pillow = draw_surface(rng, ("weave",), CLOTHS + _BOOKS, 0.7)
        parts.append(_box(side * (w / 2 - 0.36), d / 2 - 0.28, 0.6, 0.36, 0.1, 0.34, pillow, tilt))
    return parts, (w, d, h)


def _chair(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = 0.44, 0.44, height or float(rng.uniform(0.82, 0.98))
    look = _wood(rng)
    seat = _cloth(rng) if rng.random() < 0.5 else look
    parts = [_box(0, 0, 0.45, w, d, 0.05, seat), *_legs(w, d, 0.44, 0.04, look)]
    parts += [_box(x * (w / 2 - 0.02), d / 2 - 0.02, (0.45 + h) / 2, 0.04, 0.04, h - 0.45, look) for x in (-1, 1)]
    if rng.random() < 0.5:
        parts.append(_box(0, d / 2 - 0.02, h - 0.2, w, 0.03, 0.36, seat))
    else:
        parts += [_box(0, d / 2 - 0.02, z, w, 0.025, 0.07, look) for z in (h - 0.04, h - 0.17, h - 0.3)]
    return parts, (w, d, h)


def _tilted(yaw: float, rise: float) -> np.ndarray:
    """Axes of something long along its first axis that points to `yaw` and rises by `rise`, radians."""
    along = np.array([np.cos(rise) * np.cos(yaw), np.cos(rise) * np.sin(yaw), np.sin(rise)])
    across = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    return np.stack([along, across, np.cross(along, across)])


def _plant(rng: np.random.Generator, height: float | None) -> Made:
    """A pot, and leaves that rise from it, each of two blades of which the outer one hangs."""
    h = height or float(rng.uniform(0.8, 1.6))
    pot, tall = draw_surface(rng, ("plain",), WOODS + CLOTHS, 0.9), 0.22 + 0.1 * h
    green = np.array([64.0, 112, 52]) * rng.uniform(0.8, 1.25) + rng.normal(0, 8, 3)
    parts = [_box(0, 0, tall / 2, 0.28, 0.28, tall, pot), _box(0, 0, tall, 0.32, 0.32, 0.04, pot)]
    parts.append(_box(0, 0, tall + (h - tall) * 0.35, 0.035, 0.035, (h - tall) * 0.7, plain((96.0, 74, 50))))
    count, length = int(rng.integers(9, 14)), 0.26 + 0.13 * h
    for k in range(count):
        yaw, rise = k * 2.4 + float(rng.normal(0, 0.2)), float(rng.uniform(0.35, 1.15))
        colour = green * rng.uniform(0.75, 1.2)
        look = Surface(texture="leaf", colour=tuple(colour), second=tuple(colour * 0.75), seed=k)
        foot = np.array([0, 0, tall + (h - tall) * float(rng.uniform(0.1, 0.7))])
        inner, outer = _tilted(yaw, rise), _tilted(yaw, rise - 0.9)
        knee = foot + inner[0] * length * 0.55
        for start, axes, wide in ((foot, inner, 0.11), (knee, outer, 0.08)):
            middle = start + axes[0] * length * 0.27
            x, y, z = middle.tolist()
            parts.append(_box(x, y, z, length * 0.57, wide, 0.012, look, axes))
    return parts, (0.6, 0.6, h)


def _lamp(rng: np.random.Generator, height: float | None) -> Made:
    h = height or float(rng.uniform(1.4, 1.8))
    metal = plain(_METAL)
    shade = plain((250.0, 236, 200), glow=True)
    parts = [_box(0, 0, 0.015, 0.28, 0.28, 0.03, metal), _box(0, 0, h / 2, 0.03, 0.03, h, metal)]
    parts += [_box(0, 0, h - 0.12, w, w, t, shade) for w, t in ((0.34, 0.1), (0.28, 0.24))]
    return parts, (0.36, 0.36, h)


def _television(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = float(rng.uniform(0.9, 1.3)), 0.4, height or 1.2
    look = _wood(rng)
    low, screen = 0.5, plain((24.0, 26, 32), glow=True)
    parts = [_box(0, 0, low / 2 + 0.04, w + 0.2, d, low - 0.08, look), *_legs(w, d - 0.06, 0.08, 0.05, _darker(look))]
    parts += [_box(x * w / 3, -d / 2, low / 2 + 0.03, 0.015, 0.004, low - 0.1, _darker(look)) for x in (-1, 0, 1)]
    parts.append(_box(0, 0.05, (low + 0.08 + h) / 2, w, 0.05, h - low - 0.08, plain((40.0, 40, 42))))
    parts.append(_box(0, 0.02, (low + 0.08 + h) / 2, w - 0.04, 0.01, h - low - 0.12, screen))
    parts.append(_box(0, 0.05, low + 0.04, 0.3, 0.16, 0.08, plain(_METAL)))
    return parts, (w + 0.2, d, h)


def _desk(rng: np.random.Generator, height: float | None) -> Made:
    w, d, h = float(rng.uniform(1.1, 1.4)), 0.65, height or 0.74
    look = _wood(rng)
    parts = [_box(0, 0, h, w, d, 0.04, look)]
    parts += [_box(x * (w / 2 - 0.02), 0, h / 2, 0.04, d - 0.06, h, look) for x in (-1, 1)]
    parts += [_box(w / 2 - 0.24, 0, h / 2 + 0.05, 0.4, d - 0.1, h - 0.1, look)]
    parts += [_box(w / 2 - 0.24, -d / 2 + 0.05, z * h, 0.4, 0.004, 0.012, _darker(look)) for z in (0.4, 0.7)]
    parts.append(_box(-0.15, 0.15, h + 0.3, 0.55, 0.04, 0.34, plain((36.0, 36, 40))))
    parts.append(_box(-0.15, 0.125, h + 0.3, 0.5, 0.01, 0.29, plain((70.0, 100, 140), glow=True)))
    parts.append(_box(-0.15, 0.17, h + 0.08, 0.06, 0.06, 0.14, plain(_METAL)))
    return parts, (w, d, h)


KINDS: dict[str, Callable[[np.random.Generator, float | None], Made]] = {
    "cabinet": _cabinet,
    "shelf": _shelf,
    "table": _table,
    "sofa": _sofa,
    "chair": _chair,
    "plant": _plant,
    "lamp": _lamp,
    "television": _television,
    "desk": _desk,
}
"""What can be drawn: kind -> its maker."""
