"""Rooms: textured walls and floor, furniture, a light; `backdrop.py` draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.furniture import CLOTHS, WOODS, Box, Piece, draw_piece
from mv2mae.synthetic.world.surfaces import Palette, Surface, draw_surface, plain

_WALL_COLOURS: Palette = [
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
_FLOOR_COLOURS: Palette = [
    (150, 112, 76),
    (112, 84, 62),
    (176, 146, 108),
    (128, 128, 130),
    (168, 162, 152),
    (96, 108, 118),
    (134, 120, 102),
    (110, 122, 104),
]
_WALL_TEXTURES = ("plain", "plain", "plain", "bricks", "panels", "stripes", "blocks", "wainscot")
_FLOOR_TEXTURES = ("planks", "planks", "planks", "tiles", "checker", "carpet")
_BEHIND = ("cabinet", "cabinet", "shelf", "table", "sofa", "chair", "plant", "plant", "lamp", "television", "desk")
_BETWEEN = ("chair", "chair", "sofa", "plant", "plant", "table", "cabinet")
CEILING = 2.9
"""Metres."""
CLEARANCE = 1.15
"""Metres round the origin that furniture leaves free: people walk 0.9 m from it."""
MOST_HIDDEN = 1 / 3
"""The largest part of a standing body that furniture may hide from a camera; of a crouching one, half."""
_PLACES = np.array([1, 1, 1, 1, 1, MOST_HIDDEN / 0.5])  # what the rows of `hidden` count
_ELBOW_ROOM = 0.7  # metres between a camera and furniture, which would fill its picture
_UNNOTICED = 0.05  # what furniture that is not meant to hide anything may hide all the same


@dataclass(frozen=True, kw_only=True)
class WallPicture:
    """Something flat: on wall 0-3 (u along it, v up), the floor 4 or the ceiling 5 (u = x, v = y); in metres."""

    plane: int
    u: tuple[float, float]
    v: tuple[float, float]
    surface: Surface


@dataclass(frozen=True, kw_only=True)
class Room:
    """walls: distances of the walls at x-, x+, y-, y+; surfaces: of the four walls, the floor and the ceiling; light:
    direction to it, unit [3]; light_colour [3] and ambient are factors; light_colour is that of the sun alone.
    """

    walls: tuple[float, float, float, float]
    surfaces: tuple[Surface, ...]
    pieces: tuple[Piece, ...]
    pictures: tuple[WallPicture, ...]
    light: np.ndarray
    light_colour: np.ndarray
    ambient: float

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes of the furniture."""
        return tuple(box for piece in self.pieces for box in piece.boxes)


def draw_room(rng: np.random.Generator, cameras: Sequence[Camera], occluders: float = 0.0) -> Room:
    """A room for these cameras.

    Args:
        cameras: furniture stands in their backgrounds, and hides no more than `MOST_HIDDEN` of the person from any.
        occluders: how likely it is that a piece or two stand between a camera and a part of the body.
    """
    walls = tuple(rng.uniform(2.4, 3.5, 4).tolist())
    wall = [draw_surface(rng, _WALL_TEXTURES, _WALL_COLOURS, 0.8) for _ in range(2)]
    surfaces = [wall[int(k)] for k in rng.integers(0, 2, 4)]
    surfaces += [draw_surface(rng, _FLOOR_TEXTURES, _FLOOR_COLOURS, 0.72), plain((228.0, 227, 223))]
    towards = np.radians(_middle([camera.azimuth for camera in cameras]) + rng.uniform(-75, 75))
    elevation = rng.uniform(0.75, 1.2)
    light = [-np.sin(towards) * np.cos(elevation), np.cos(towards) * np.cos(elevation), np.sin(elevation)]
    warmth = rng.uniform(-0.06, 0.08)
    return Room(
        walls=walls,
        surfaces=tuple(surfaces),
        pieces=_furnish(rng, cameras, walls, occluders),
        pictures=_draw_pictures(rng, walls),
        light=np.array(light),
        light_colour=np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.9, 1.1),
        ambient=float(rng.uniform(0.5, 0.65)),
    )


def _middle(azimuths: Sequence[float]) -> float:
    """The mean direction in degrees; of a whole ring, some direction."""
    angles = np.radians(azimuths)
    return float(np.degrees(np.arctan2(np.sin(angles).sum(), np.cos(angles).sum())))


def hidden(pieces: Sequence[Piece], eye: np.ndarray) -> np.ndarray:
    """Which points of a standing body the furniture hides from `eye` [3].

    Returns:
        [6, n] bool, for a person at the origin, 0.45 m from it to four sides, and crouching at the origin.
    """
    heights = np.linspace(0.08, 1.68, 14)
    width = np.interp(heights, [0.0, 0.8, 1.1, 1.4, 1.5, 1.7], [0.16, 0.2, 0.28, 0.26, 0.1, 0.08])
    level = -eye[:2] / np.hypot(*eye[:2])
    across = np.array([-level[1], level[0]])
    body = np.array([[*(across * w * s), z] for z, w in zip(heights, width, strict=True) for s in (-1, -0.4, 0.4, 1)])
    places = 0.45 * np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0.0]])
    ends = np.concatenate([places[:, None] + body, body[None] * [1, 1, 0.62]]).reshape(-1, 3)
    out = np.zeros(len(ends), bool)
    for box in (box for piece in pieces for box in piece.boxes):
        origin, ray = box.axes @ (eye - box.centre), (ends - eye) @ box.axes.T
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        near = ((-np.sign(ray) * box.half - origin) / ray).max(1)
        far = ((np.sign(ray) * box.half - origin) / ray).min(1)
        out |= (near < far) & (near > 0) & (near < 1)
    return out.reshape(-1, len(body))


class _Furnisher:
    """Puts pieces into a room as long as they leave the person, and each other, room."""

    def __init__(self, cameras: Sequence[Camera], walls: tuple[float, ...]) -> None:
        self.cameras, self.walls = cameras, walls
        self.pieces: list[Piece] = []
        self.places: list[tuple[np.ndarray, float]] = []
        self.hidden = [hidden((), camera.position) for camera in cameras]

    def add(self, piece: Piece, at: np.ndarray, yaw: float, least: float, most: float) -> bool:
        """Whether the piece could be placed. The part of the body that it hides from the camera that sees least of
        the body is at least `least`; what all pieces hide from any, wherever the person stands, at most `most`.
        """
        reach = float(np.hypot(piece.size[0], piece.size[1])) / 2
        left, right, back, front = self.walls
        inside = -left < at[0] < right and -back < at[1] < front
        if not inside or np.hypot(*at) - min(reach, max(piece.size[:2]) / 2) < CLEARANCE:
            return False
        if any(np.hypot(*(at - other)) < 0.85 * (reach + radius) for other, radius in self.places):
            return False
        if any(np.hypot(*(at - camera.position[:2])) < reach + _ELBOW_ROOM for camera in self.cameras):
            return False
        placed = piece.placed(at, yaw)
        new = [hidden([placed], camera.position) for camera in self.cameras]
        own = max(float(h[0].mean()) for h in new)
        total = [old | h for old, h in zip(self.hidden, new, strict=True)]
        if own < least or any(h.any() and (t.mean(1) * _PLACES).max() > most for h, t in zip(new, total, strict=True)):
            return False
        self.pieces.append(placed)
        self.places.append((at, reach))
        self.hidden = total
        return True


def _furnish(
    rng: np.random.Generator, cameras: Sequence[Camera], walls: tuple[float, ...], occluders: float
) -> tuple[Piece, ...]:
    work = _Furnisher(cameras, walls)
    if rng.random() < occluders:
        for _ in range(int(rng.integers(1, 3))):
            _stand_between(rng, work)
    for _ in range(int(rng.integers(4, 8))):
        for _ in range(4):
            piece = draw_piece(rng, str(rng.choice(_BEHIND)))
            camera = cameras[int(rng.integers(len(cameras)))]
            angle = np.radians(camera.azimuth + 180 + rng.normal(0, 32))
            at, yaw = against_wall(angle, walls, piece.size[0] + 0.1, piece.size[1] / 2 + 0.03)
            if rng.random() < 0.25:
                at = at * rng.uniform(0.7, 0.95)
                yaw += float(rng.normal(0, 0.2))
            if work.add(piece, at, yaw, 0.0, _UNNOTICED):
                break
    return tuple(work.pieces)


def _stand_between(rng: np.random.Generator, work: _Furnisher) -> None:
    """A piece before the legs or at a side of the body, as one camera sees it, if one fits within some attempts."""
    for _ in range(25):
        camera = work.cameras[int(rng.integers(len(work.cameras)))]
        eye, kind = camera.position, str(rng.choice(_BETWEEN))
        towards = eye[:2] / np.hypot(*eye[:2])
        far = float(rng.uniform(1.35, 1.75))
        aside = float(rng.normal(0, 0.3))
        at = towards * far + np.array([-towards[1], towards[0]]) * aside
        # High enough to hide the legs up to here.
        up_to = float(rng.uniform(0.35, 0.8))
        height = up_to + (eye[2] - up_to) * far / float(np.hypot(*eye[:2]))
        height *= 1.35 if kind == "plant" else 1.0
        piece = draw_piece(rng, kind, float(np.clip(height, 0.6, 1.7)))
        yaw = float(rng.integers(4)) * np.pi / 2 + float(rng.normal(0, 0.3))
        if work.add(piece, at, yaw, 0.06, MOST_HIDDEN):
            return


def against_wall(angle: float, walls: tuple[float, ...], width: float, before: float = 0.0) -> tuple[np.ndarray, float]:
    """The place [2] of something of this width with its back (+y) to the wall that lies in this direction, so many
    metres before it, and the yaw that turns it so.
    """
    direction = np.array([-np.sin(angle), np.cos(angle)])
    reach = [walls[2 * a + (direction[a] > 0)] / max(abs(direction[a]), 1e-6) for a in range(2)]
    axis = int(reach[1] < reach[0])
    at = direction * reach[axis]
    sign = 1.0 if direction[axis] > 0 else -1.0
    at[axis] -= sign * before
    other = 1 - axis
    at[other] = np.clip(at[other], -walls[2 * other] + width / 2, walls[2 * other + 1] - width / 2)
    yaw = -sign * np.pi / 2 if axis == 0 else (0.0 if sign > 0 else np.pi)
    return at, yaw


def _draw_pictures(rng: np.random.Generator, walls: tuple[float, ...]) -> tuple[WallPicture, ...]:
    """Windows, doors, pictures and clocks on the walls, perhaps a rug, lamps at the ceiling."""
    out = []
    for wall in range(4):
        low, high = (-walls[2], walls[3]) if wall < 2 else (-walls[0], walls[1])
        taken: list[tuple[float, float]] = []
        for _ in range(int(rng.integers(1, 4))):
            kind = str(rng.choice(["window", "picture", "picture", "door", "clock", "board"]))
            width, bottom, tall = {
                "window": (1.7, 0.9, 1.35),
                "door": (0.9, 0.0, 2.05),
                "picture": (rng.uniform(0.4, 0.9), 1.35, rng.uniform(0.4, 0.7)),
                "clock": (0.32, 1.8, 0.32),
                "board": (1.3, 1.1, 0.9),
            }[kind]
            u = float(low + rng.uniform(0.15, max(0.2, high - low - width - 0.15)))
            palette = {"picture": _WALL_COLOURS + CLOTHS, "window": _WALL_COLOURS + CLOTHS}.get(kind, WOODS)
            surface = draw_surface(rng, (kind,), palette, 0.72)
            if all(u > b + 0.08 or u + width < a - 0.08 for a, b in taken):
                taken.append((u, u + width))
                out.append(WallPicture(plane=wall, u=(u, u + width), v=(bottom, bottom + tall), surface=surface))
    if rng.random() < 0.5:
        kind, (x, y) = str(rng.choice(["rug", "round"])), rng.normal(0, 0.3, 2)
        w, d = rng.uniform(0.9, 1.3, 2) * (1.0 if kind == "round" else 1.2)
        surface = draw_surface(rng, (kind,), CLOTHS, 0.75)
        out.append(WallPicture(plane=4, u=(x - w, x + w), v=(y - d, y + d), surface=surface))
    glow = plain((255.0, 252, 240), glow=True)
    for x in (-1.1, 1.1):
        out.append(WallPicture(plane=5, u=(x - 0.55, x + 0.55), v=(-0.15, 0.15), surface=glow))
    return tuple(out)
