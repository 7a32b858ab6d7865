"""Rooms: textured walls and floor, a few pieces of furniture, a light. `backdrop.py` draws them."""

from dataclasses import dataclass

import numpy as np

_WALL_COLOURS = [
    (206, 198, 184),
    (182, 196, 204),
    (190, 200, 178),
    (214, 196, 170),
    (186, 180, 196),
    (222, 220, 214),
    (164, 182, 180),
    (208, 178, 164),
    (150, 164, 184),
    (226, 210, 176),
]
_FLOOR_COLOURS = [
    (150, 112, 76),
    (112, 84, 62),
    (176, 146, 108),
    (128, 128, 130),
    (168, 162, 152),
    (96, 108, 118),
    (134, 120, 102),
    (110, 122, 104),
]
_FURNITURE_COLOURS = [
    (122, 84, 54),
    (168, 126, 84),
    (86, 62, 46),
    (200, 196, 188),
    (70, 92, 116),
    (110, 120, 92),
    (136, 72, 64),
    (96, 98, 104),
    (190, 160, 110),
]
_WALL_TEXTURES = ("plain", "plain", "bricks", "panels", "stripes", "blocks")
_FLOOR_TEXTURES = ("planks", "planks", "tiles", "checker", "carpet")
CEILING = 2.9  # metres


@dataclass(frozen=True, kw_only=True)
class Surface:
    """How a wall, the floor or a box looks; colours are rgb 0-255."""

    texture: str
    colour: tuple[float, ...]
    second: tuple[float, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Box:
    """A piece of furniture: centre and half size [3] in metres, turned about z by `yaw`."""

    centre: np.ndarray
    half: np.ndarray
    yaw: float
    surface: Surface


@dataclass(frozen=True, kw_only=True)
class Room:
    """walls: distances of the walls at x-, x+, y-, y+; surfaces of the four walls and then the floor; light:
    direction to it, unit [3].
    """

    walls: tuple[float, float, float, float]
    surfaces: tuple[Surface, ...]
    boxes: tuple[Box, ...]
    pictures: tuple[tuple[int, float, float, float, float, Surface], ...]
    light: np.ndarray
    light_colour: np.ndarray
    ambient: float


def draw_room(rng: np.random.Generator, azimuths: list[float]) -> Room:
    """A room whose furniture stands behind the subject as seen from the cameras."""
    away = np.radians(float(np.mean(azimuths)) + 180)
    away_xy = np.array([-np.sin(away), np.cos(away)])

    # The room is turned in steps of 90 degrees only through its wall distances: far where the cameras are, near
    # behind.
    def distance(sign: float, along: float) -> float:
        return float(rng.uniform(2.0, 3.0) if sign * along > 0.5 else rng.uniform(2.3, 3.6))

    walls = (distance(-1, away_xy[0]), distance(1, away_xy[0]), distance(-1, away_xy[1]), distance(1, away_xy[1]))
    wall = [_draw_surface(rng, _WALL_TEXTURES, _WALL_COLOURS, 0.8) for _ in range(2)]
    pick = rng.integers(0, 2, 4)
    surfaces = (*(wall[int(k)] for k in pick), _draw_surface(rng, _FLOOR_TEXTURES, _FLOOR_COLOURS, 0.72))
    boxes: list[Box] = []
    for k in range(int(rng.integers(2, 5))):
        angle = away + np.radians((k - 1) * 48 + rng.uniform(-16, 16))
        boxes += _furniture(rng, angle, walls)
    light_angle = np.radians(float(np.mean(azimuths))) + rng.uniform(-1.3, 1.3)
    elevation = rng.uniform(0.75, 1.2)
    light = np.array(
        [-np.sin(light_angle) * np.cos(elevation), np.cos(light_angle) * np.cos(elevation), np.sin(elevation)]
    )
    warmth = rng.uniform(-0.06, 0.08)
    return Room(
        walls=walls,
        surfaces=surfaces,
        boxes=tuple(boxes),
        pictures=_draw_pictures(rng, walls),
        light=light,
        light_colour=np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.9, 1.1),
        ambient=float(rng.uniform(0.5, 0.65)),
    )


def _draw_surface(
    rng: np.random.Generator, textures: tuple[str, ...], colours: list[tuple[int, int, int]], contrast: float
) -> Surface:
    colour = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.85, 1.08) + rng.normal(0, 5, 3)
    second = colour * rng.uniform(contrast, contrast + 0.15) + rng.normal(0, 6, 3)
    return Surface(
        texture=str(rng.choice(textures)), colour=tuple(colour), second=tuple(second), seed=int(rng.integers(1 << 20))
    )


def _draw_pictures(
    rng: np.random.Generator, walls: tuple[float, ...]
) -> tuple[tuple[int, float, float, float, float, Surface], ...]:
    """Windows, doors and pictures: (wall, u0, u1, z0, z1, surface)."""
    out = []
    for wall in range(4):
        length = (walls[2] + walls[3]) if wall < 2 else (walls[0] + walls[1])
        start = -walls[2] if wall < 2 else -walls[0]
        for _ in range(int(rng.integers(1, 3))):
            kind = str(rng.choice(["window", "picture", "picture", "door"]))
            width, low, tall = {
                "window": (1.2, 0.95, 1.2),
                "door": (0.9, 0.0, 2.05),
                "picture": (rng.uniform(0.4, 0.9), 1.3, rng.uniform(0.4, 0.7)),
            }[kind]
            u = start + rng.uniform(0.15, max(0.2, length - width - 0.15))
            surface = _draw_surface(
                rng, (kind,), _FURNITURE_COLOURS if kind != "picture" else _WALL_COLOURS + _FURNITURE_COLOURS, 0.6
            )
            out.append((wall, u, u + width, low, low + tall, surface))
    return tuple(out)


def _furniture(rng: np.random.Generator, angle: float, walls: tuple[float, ...]) -> list[Box]:
    """One piece, made of boxes, standing at this azimuth (radians) at least 1.4 m from the subject."""
    direction = np.array([-np.sin(angle), np.cos(angle)])
    kind = str(rng.choice(["cabinet", "shelf", "table", "sofa", "crate", "plant"]))
    surface = _draw_surface(rng, ("wood",), _FURNITURE_COLOURS, 0.75)
    other = _draw_surface(rng, ("wood",), _FURNITURE_COLOURS, 0.75)
    w, d, h = {
        "cabinet": (0.9, 0.5, rng.uniform(0.8, 1.9)),
        "shelf": (0.9, 0.35, 1.8),
        "table": (1.2, 0.7, 0.75),
        "sofa": (1.5, 0.8, 0.8),
        "crate": (rng.uniform(0.4, 0.8),) * 3,
        "plant": (0.4, 0.4, 1.2),
    }[kind]
    reach = rng.uniform(1.5, 2.3)
    centre = np.array(
        [
            np.clip(direction[0] * reach, -walls[0] + 0.5, walls[1] - 0.5),
            np.clip(direction[1] * reach, -walls[2] + 0.45, walls[3] - 0.45),
        ]
    )
    if np.hypot(*centre) < 1.25:  # a wall is near: rather no furniture than a person inside it
        return []
    yaw = float(np.round(angle / (np.pi / 2)) * (np.pi / 2) + rng.normal(0, 0.12))
    parts: list[tuple[tuple[float, float, float], tuple[float, float, float], Surface]]
    if kind == "table":
        legs = [
            ((x * (w / 2 - 0.06), y * (d / 2 - 0.06), h / 2 - 0.03), (0.035, 0.035, h / 2 - 0.03), surface)
            for x in (-1, 1)
            for y in (-1, 1)
        ]
        parts = [((0, 0, h), (w / 2, d / 2, 0.03), surface), *legs]
    elif kind == "sofa":
        parts = [
            ((0, 0, 0.21), (w / 2, d / 2, 0.21), surface),
            ((0, d / 2 - 0.1, 0.42), (w / 2, 0.12, 0.42), surface),
            ((-w / 2 + 0.1, 0, 0.3), (0.1, d / 2, 0.3), surface),
            ((w / 2 - 0.1, 0, 0.3), (0.1, d / 2, 0.3), surface),
        ]
    elif kind == "shelf":
        boards = [((0, 0, z), (w / 2, d / 2, 0.02), surface) for z in (0.1, 0.65, 1.2, 1.78)]
        books = [
            ((rng.uniform(-0.2, 0.2), 0, z + 0.17), (rng.uniform(0.1, 0.2), d / 2 - 0.08, 0.15), other)
            for z in (0.1, 0.65, 1.2)
        ]
        parts = [
            *boards,
            ((-w / 2, 0, h / 2), (0.02, d / 2, h / 2), surface),
            ((w / 2, 0, h / 2), (0.02, d / 2, h / 2), surface),
            *books,
        ]
    elif kind == "plant":
        green = Surface(texture="leaves", colour=(84, 128, 66), second=(52, 88, 44), seed=surface.seed)
        parts = [((0, 0, 0.2), (0.16, 0.16, 0.2), surface), ((0, 0, 0.85), (0.3, 0.3, 0.42), green)]
    else:
        parts = [((0, 0, h / 2), (w / 2, d / 2, h / 2), surface)]
    c, s = np.cos(yaw), np.sin(yaw)
    return [
        Box(
            centre=np.array([centre[0] + c * p[0] - s * p[1], centre[1] + s * p[0] + c * p[1], p[2]]),
            half=np.array(half),
            yaw=yaw,
            surface=look,
        )
        for p, half, look in parts
    ]


def noise(u: np.ndarray, v: np.ndarray, seed: int) -> np.ndarray:
    """Value noise in [0, 1]: random numbers on the integer lattice, smoothly interpolated."""
    iu, iv = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)

    def at(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h = (a * 374761393 + b * 668265263 + seed * 974634777) & 0xFFFFFFFF
        h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
        return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0

    low = at(iu, iv) * (1 - fu) + at(iu + 1, iv) * fu
    return low * (1 - fv) + (at(iu, iv + 1) * (1 - fu) + at(iu + 1, iv + 1) * fu) * fv


def _grid(
    u: np.ndarray, v: np.ndarray, width: float, height: float, joint: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a brick-like grid: a number that identifies each cell, and where the joints are."""
    row = np.floor(v / height)
    uu = u / width + shift * (row % 2) + (0.37 * row if shift == 1 else 0)
    column = np.floor(uu)
    joints = ((uu - column) * width < joint) | ((v / height - row) * height < joint)
    return row * 57 + column, joints


def paint(surface: Surface, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of a surface at (u, v) metres."""
    one, two = np.array(surface.colour), np.array(surface.second)
    grain = 0.94 + 0.12 * (0.6 * noise(u * 2.3, v * 2.3, surface.seed) + 0.4 * noise(u * 9, v * 9, surface.seed + 1))
    layouts = {
        "bricks": (0.34, 0.16, 0.022, 0.5),
        "blocks": (0.8, 0.5, 0.02, 0.5),
        "tiles": (0.45, 0.45, 0.02, 0.0),
        "planks": (1.6, 0.16, 0.008, 1),
        "panels": (0.34, 9.0, 0.03, 0.0),
    }
    if surface.texture in layouts:
        cell, joint = _grid(u, v, *layouts[surface.texture])
        shade = 0.9 + 0.2 * noise(cell * 3.7 + 0.5, np.full_like(cell, 0.5), surface.seed + 2)
        if surface.texture == "planks":
            grain = grain * (0.95 + 0.1 * noise(u * 3, v * 40, surface.seed + 3))
        return np.where(joint[:, None], two, one * shade[:, None]) * grain[:, None]
    share = _pattern(surface, u, v)[:, None]
    return (one * (1 - share) + two * share) * grain[:, None]


def _pattern(surface: Surface, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How much of the second colour is seen, 0 to 1."""
    kind = surface.texture
    if kind == "checker":
        return (np.floor(u / 0.5) + np.floor(v / 0.5)) % 2
    if kind == "stripes":
        return 0.6 * (np.floor(u / 0.18) % 2)
    if kind == "wood":
        return 0.7 * noise(u * 2, v * 22, surface.seed + 4) + 0.3 * ((v % 0.4) < 0.02)
    if kind == "leaves":
        return noise(u * 14, v * 14, surface.seed + 5)
    if kind == "carpet":
        return 0.35 * noise(u * 5, v * 5, surface.seed + 6) + 0.5 * (
            (np.maximum(np.abs(u), np.abs(v)) > 1.05) & (np.maximum(np.abs(u), np.abs(v)) < 1.2)
        )
    return 0.25 * noise(u * 0.8, v * 0.8, surface.seed + 7)


def paint_picture(surface: Surface, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours of a window, a door or a picture; (u, v) run from 0 to 1."""
    one, two = np.array(surface.colour), np.array(surface.second)
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    if surface.texture == "window":
        sky = np.array([196, 216, 236.0]) - 40 * (1 - v)[:, None]
        bar = (np.abs(u - 0.5) < 0.03) | (np.abs(v - 0.5) < 0.03) | (edge < 0.05)
        return np.where(bar[:, None], 236.0, sky)
    if surface.texture == "door":
        inner = (edge > 0.09) & (np.abs(v - 0.52) > 0.04)
        return np.where(inner[:, None], one, two) * (0.97 + 0.06 * noise(u * 3, v * 20, surface.seed))[:, None]
    share = noise(u * 3, v * 3, surface.seed)[:, None]
    return np.where((edge < 0.07)[:, None], 58.0, one * share + two[::-1] * (1 - share))
