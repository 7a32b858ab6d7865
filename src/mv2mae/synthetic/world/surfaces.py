"""What walls, floors and furniture look like: colours at points of a surface, by texture."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, ...]
Palette = list[tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """How a wall, the floor or a box looks; colours are rgb 0-255; `glow`: seen as it is, whatever the light."""

    texture: str
    colour: Colour
    second: Colour
    seed: int
    glow: bool = False


def draw_surface(rng: np.random.Generator, textures: tuple[str, ...], colours: Palette, contrast: float) -> Surface:
    """One of the textures, in a variation of one of the colours; the second colour is `contrast` times the first."""
    colour = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.85, 1.08) + rng.normal(0, 5, 3)
    second = colour * rng.uniform(contrast, contrast + 0.15) + rng.normal(0, 6, 3)
    return Surface(
        texture=str(rng.choice(textures)), colour=tuple(colour), second=tuple(second), seed=int(rng.integers(1 << 20))
    )


def plain(colour: Colour, seed: int = 0, *, glow: bool = False) -> Surface:
    """One colour, hardly mottled."""
    return Surface(texture="plain", colour=colour, second=tuple(0.9 * c for c in colour), seed=seed, glow=glow)


def noise(u: np.ndarray, v: np.ndarray, seed: int) -> np.ndarray:
    """Value noise in [0, 1]: random numbers on the integer lattice, smoothly interpolated."""
    iu, iv = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    fu, fv = (u - iu).astype(np.float32), (v - iv).astype(np.float32)
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    # The lattice's numbers come from a table of those cells that occur: there are far fewer than points.
    low_u, low_v = (int(i.min()) if len(i) else 0 for i in (iu, iv))
    span_u, span_v = (int(i.max()) - low + 2 if len(i) else 2 for i, low in ((iu, low_u), (iv, low_v)))
    if span_u * span_v > 4 * len(u) + 64:
        return _blend(fu, fv, *(_hash(iu + a, iv + b, seed) for b in (0, 1) for a in (0, 1)))
    a, b = np.meshgrid(np.arange(low_u, low_u + span_u), np.arange(low_v, low_v + span_v))
    table = _hash(a, b, seed).ravel()
    at = (iv - low_v) * span_u + (iu - low_u)
    return _blend(fu, fv, table[at], table[at + 1], table[at + span_u], table[at + span_u + 1])


def _hash(a: np.ndarray, b: np.ndarray, seed: int) -> np.ndarray:
    h = (a * 374761393 + b * 668265263 + seed * 974634777) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return (((h ^ (h >> 16)) & 0xFFFF) / 65535.0).astype(np.float32)


def _blend(
    fu: np.ndarray, fv: np.ndarray, first: np.ndarray, right: np.ndarray, above: np.ndarray, both: np.ndarray
) -> np.ndarray:
    low = first + (right - first) * fu
    return low + (above + (both - above) * fu - low) * fv


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


def _grid(
    u: np.ndarray, v: np.ndarray, width: float, height: float, joint: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a brick-like grid: a number that identifies each cell, and where the joints are."""
    row = np.floor(v / height)
    uu = u / width + shift * (row % 2) + (0.37 * row if shift == 1 else 0)
    column = np.floor(uu)
    joints = ((uu - column) * width < joint) | ((v / height - row) * height < joint)
    return row * 57 + column, joints


def _pattern(surface: Surface, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How much of the second colour is seen, 0 to 1."""
    kind = surface.texture
    if kind == "checker":
        return (np.floor(u / 0.5) + np.floor(v / 0.5)) % 2
    if kind == "stripes":
        return 0.6 * (np.floor(u / 0.18) % 2)
    if kind == "wood":
        return 0.7 * noise(u * 2, v * 22, surface.seed + 4)
    if kind == "weave":
        return 0.5 * noise(u * 30, v * 30, surface.seed + 5)
    if kind == "leaf":
        return 0.5 * (np.abs(v) < 0.006) + 0.5 * noise(u * 14, v * 30, surface.seed + 5)
    if kind == "carpet":
        return 0.35 * noise(u * 5, v * 5, surface.seed + 6)
    if kind == "wainscot":
        return np.where(v < 0.95, 1.0, 0.0)
    return 0.25 * noise(u * 0.8, v * 0.8, surface.seed + 7)


def paint_picture(surface: Surface, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of something flat on a wall or floor; (u, v) run from 0 to 1. A negative red: nothing is there."""
    one, two = np.array(surface.colour), np.array(surface.second)
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    if surface.texture == "window":
        return _window(one, two, u, v)
    if surface.texture == "door":
        inner = (edge > 0.09) & (np.abs(v - 0.52) > 0.04)
        out = np.where(inner[:, None], one, two) * (0.97 + 0.06 * noise(u * 3, v * 20, surface.seed))[:, None]
        return np.where(((np.abs(u - 0.9) < 0.05) & (np.abs(v - 0.5) < 0.012))[:, None], 70.0, out)
    if surface.texture in ("clock", "round"):
        far = np.hypot(u - 0.5, v - 0.5) * 2
        rings = (far * 5).astype(int) % 2 if surface.texture == "round" else far > 0.86
        out = np.where(rings[:, None], two, one if surface.texture == "round" else 238.0)
        hands = (np.abs(u - 0.5) < 0.04) & (v > 0.5) & (v < 0.85) | (np.abs(v - 0.5) < 0.04) & (u > 0.5) & (u < 0.75)
        out = np.where((hands & (surface.texture == "clock"))[:, None], 40.0, out)
        return np.where((far > 1)[:, None], -1.0, out)
    if surface.texture == "rug":
        bands = (edge > 0.06) & (edge < 0.1) | (edge > 0.16) & (edge < 0.18)
        return np.where(bands[:, None], two, one * (0.9 + 0.2 * noise(u * 30, v * 30, surface.seed))[:, None])
    if surface.texture == "board":
        lines = (np.floor(v * 9) % 2 == 0) & (noise(u * 12, np.floor(v * 9), surface.seed) > 0.55)
        return np.where((edge < 0.04)[:, None], 120.0, np.where(lines[:, None], [90.0, 100, 150], 240.0))
    share = noise(u * 3, v * 3, surface.seed)[:, None]
    return np.where((edge < 0.07)[:, None], 58.0, one * share + two[::-1] * (1 - share))


def _window(one: np.ndarray, two: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sky over green in a white frame, a curtain with folds at either side."""
    x = (u - 0.2) / 0.6
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(v, 1 - v))
    sky = np.array([196, 216, 236.0]) - 40 * (1 - v)[:, None]
    land = 0.3 + 0.05 * np.sin(9 * x) + 0.03 * np.sin(23 * x)
    view = np.where((v < land)[:, None], [122.0, 146, 104], sky)
    bar = (np.abs(x - 0.5) < 0.03) | (np.abs(v - 0.55) < 0.03) | (edge < 0.05)
    folds = 0.5 + 0.5 * np.sin(u * 110 + 2 * np.sin(v * 3))
    cloth = one * folds[:, None] + two * (1 - folds[:, None])
    return np.where(((x < 0) | (x > 1))[:, None], cloth, np.where(bar[:, None], 236.0, view))
