"""Things that people use: low-poly rigid models, each drawn a little different. Metres."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.people.skeleton import Face
from mv2mae.synthetic.world.mesh import Model

Colour = tuple[int, int, int]
_PAINTS: tuple[Colour, ...] = (
    (196, 60, 52),
    (48, 96, 168),
    (236, 232, 224),
    (62, 128, 84),
    (222, 176, 62),
    (40, 42, 48),
    (134, 84, 150),
    (214, 120, 52),
    (120, 170, 190),
    (150, 112, 78),
)
_WOODS: tuple[Colour, ...] = ((150, 108, 68), (112, 76, 48), (188, 150, 104), (70, 72, 78), (206, 202, 194))


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A thing and how it is held.

    rest: height of its origin when it lies on the floor. grip: its origin from the middle of the palm, in metres along
    (fingers, out of the palm, thumb). axes: which of those its x and z axes follow (index 0, 1, 2). worn: its origin
    from the joint Head. half: half its extents.
    """

    kind: str
    model: Model
    rest: float
    grip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axes: tuple[int, int] = (0, 2)
    worn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    half: tuple[float, float, float] = (0.0, 0.0, 0.0)


Piece = tuple[np.ndarray, np.ndarray, np.ndarray]


def block(centre: Sequence[float], half: Sequence[float], colour: Colour) -> Piece:
    """An upright box: vertices [8, 3], faces [12, 3], colours [12, 3]."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = np.array([(q[0], q[i], q[i + 1]) for q in quads for i in (1, 2)])
    return np.asarray(centre) + corners * np.asarray(half), faces, np.tile(np.array(colour, np.uint8), (len(faces), 1))


def lathe(profile: Sequence[tuple[float, float]], colours: Sequence[Colour], sides: int = 10) -> Piece:
    """A closed solid of revolution about z: `profile` is (radius, z) from bottom to top, `colours` one a band, the
    bottom's and the top's lid taking the first and the last.
    """
    turns = 2 * np.pi * np.arange(sides) / sides
    rings = [np.stack([r * np.cos(turns), r * np.sin(turns), np.full(sides, z)], 1) for r, z in profile]
    bottom, top = len(profile) * sides, len(profile) * sides + 1
    vertices = np.concatenate([*rings, [[0, 0, profile[0][1]], [0, 0, profile[-1][1]]]])
    faces: list[tuple[int, int, int]] = []
    paint: list[Colour] = []
    for i in range(sides):
        j = (i + 1) % sides
        last = (len(profile) - 1) * sides
        faces += [(bottom, j, i), (top, last + i, last + j)]
        paint += [colours[0], colours[-1]]
        for band in range(len(profile) - 1):
            a, b = band * sides, (band + 1) * sides
            faces += [(a + i, a + j, b + j), (a + i, b + j, b + i)]
            paint += [colours[band]] * 2
    return vertices, np.array(faces), np.array(paint, np.uint8)


def join(*pieces: Piece) -> Model:
    """One rigid model of several pieces."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in pieces[:-1])])
    return Model.rigid(
        np.concatenate([vertices for vertices, _, _ in pieces]),
        np.concatenate([faces + start for (_, faces, _), start in zip(pieces, starts, strict=True)]),
        np.concatenate([colours for _, _, colours in pieces]),
        "prop",
    )


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...] = _PAINTS) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _darker(colour: Colour, factor: float = 0.7) -> Colour:
    r, g, b = (int(c * factor) for c in colour)
    return r, g, b


def _cup(rng: np.random.Generator, face: Face) -> Prop:
    r, h, paint = rng.uniform(0.038, 0.046), rng.uniform(0.05, 0.066), _pick(rng)
    profile = [(0.8 * r, -h), (r, 0.3 * h), (r, h), (0.86 * r, h), (0.8 * r, 0.7 * h)]
    body = lathe(profile, (paint, paint, paint, _darker(paint, 0.35)))
    handle = block((0.0, -r - 0.012, -0.1 * h), (0.006, 0.014, 0.5 * h), paint)
    return Prop(kind="cup", model=join(body, handle), rest=h, grip=(0.01, r + 0.010, 0.0))


def _phone(rng: np.random.Generator, face: Face) -> Prop:
    case, half = _pick(rng), (rng.uniform(0.035, 0.040), rng.uniform(0.072, 0.082), 0.005)
    screen = block((0, 0, 0.0045), (half[0] * 0.9, half[1] * 0.92, 0.002), _pick(rng, ((40, 52, 70), (150, 190, 220))))
    return Prop(
        kind="phone", model=join(block((0, 0, 0), half, case), screen), rest=0.005, grip=(0.02, 0.014, 0.0), axes=(2, 1)
    )


def _ball(rng: np.random.Generator, face: Face) -> Prop:
    r, paint, second = rng.uniform(0.045, 0.065), _pick(rng), _pick(rng)
    angles = np.linspace(-0.44 * np.pi, 0.44 * np.pi, 7)
    profile = [(r * np.cos(a), r * np.sin(a)) for a in angles]
    return Prop(
        kind="ball",
        model=join(lathe(profile, (paint, paint, second, second, paint, paint))),
        rest=r,
        grip=(0.02, r + 0.006, 0.0),
    )


def _snack(rng: np.random.Generator, face: Face) -> Prop:
    r, paint = rng.uniform(0.032, 0.042), _pick(rng, ((176, 40, 40), (120, 160, 60), (206, 160, 96), (150, 96, 52)))
    profile = [(0.5 * r, -r), (0.95 * r, -0.45 * r), (r, 0.3 * r), (0.6 * r, r)]
    return Prop(kind="snack", model=join(lathe(profile, (paint,) * 3, sides=8)), rest=r, grip=(0.055, r, 0.01))


def _toothbrush(rng: np.random.Generator, face: Face) -> Prop:
    paint = _pick(rng)
    stick = block((0, 0, 0), (0.0065, 0.10, 0.006), paint)
    bristles = block((0, 0.085, 0.012), (0.007, 0.016, 0.010), (240, 242, 246))
    return Prop(kind="toothbrush", model=join(stick, bristles), rest=0.006, grip=(0.055, 0.010, 0.0), axes=(2, 1))


def _book(rng: np.random.Generator, face: Face) -> Prop:
    w, h, thick, cover = 0.10, rng.uniform(0.095, 0.125), rng.uniform(0.010, 0.018), _pick(rng)
    pages = block((0, 0, 0.5 * thick), (w - 0.006, h - 0.006, 0.6 * thick), (238, 234, 222))
    back = block((0, 0, -0.5 * thick), (w, h, 0.4 * thick), cover)
    return Prop(kind="book", model=join(back, pages), rest=thick, grip=(0.02, w, 0.0), axes=(1, 2))


def _hat(rng: np.random.Generator, face: Face) -> Prop:
    r, h, paint = face.width + 0.014, rng.uniform(0.075, 0.095), _pick(rng)
    brim, band = 0.035 + 0.035 * (rng.random() < 0.5), _darker(paint)
    crown = [(r + brim, 0.0), (r + brim, 0.006), (r, 0.008), (r, 0.03), (0.97 * r, 0.6 * h), (0.6 * r, h)]
    dome = lathe(crown, (band, band, band, paint, paint), sides=12)
    vertices = dome[0] * np.array([1.0, 1.16, 1.0])
    pieces: list[Piece] = [(vertices, dome[1], dome[2])]
    if brim < 0.05:  # a cap: narrow brim, and a peak to the front
        pieces.append(block((0, 1.16 * r + 0.035, 0.0), (0.6 * r, 0.045, 0.005), band))
    return Prop(
        kind="hat",
        model=join(*pieces),
        rest=0.0,
        grip=(0.11, 0.03, 0.0),
        axes=(0, 2),
        worn=(0.0, 0.008, face.crown - h + 0.012),
    )


def _box(rng: np.random.Generator, face: Face) -> Prop:
    half = (rng.uniform(0.13, 0.15), rng.uniform(0.10, 0.15), rng.uniform(0.08, 0.13))
    paint = _pick(rng, ((178, 138, 92), (196, 160, 112), (150, 112, 78), (90, 120, 150), (170, 90, 80)))
    tape = block((0, 0, half[2]), (0.025, half[1] + 0.001, 0.002), _darker(paint))
    return Prop(kind="box", model=join(block((0, 0, 0), half, paint), tape), rest=half[2], half=half)


KINDS: dict[str, Callable[[np.random.Generator, Face], Prop]] = {
    "cup": _cup,
    "phone": _phone,
    "ball": _ball,
    "snack": _snack,
    "toothbrush": _toothbrush,
    "book": _book,
    "hat": _hat,
    "box": _box,
}
HANDY = ("cup", "phone", "ball", "snack", "book", "toothbrush", "hat")
"""What one hand can hold."""


def make_prop(kind: str, rng: np.random.Generator, face: Face) -> Prop:
    """A thing of this kind, its colours and size at random; a hat fits the face."""
    return KINDS[kind](rng, face)


def make_chair(rng: np.random.Generator, seat: float) -> Model:
    """A chair whose seat is `seat` metres high: origin on the floor under the seat's middle, its back at -y."""
    wood, cloth = _pick(rng, _WOODS), _pick(rng)
    w, d, leg = rng.uniform(0.20, 0.24), 0.21, rng.uniform(0.014, 0.022)
    top = seat + rng.uniform(0.36, 0.48)
    legs = [
        block((x * (w - leg), y * (d - leg), seat / 2), (leg, leg, seat / 2), wood) for x in (-1, 1) for y in (-1, 1)
    ]
    posts = [block((x * (w - leg), -d + leg, (seat + top) / 2), (leg, leg, (top - seat) / 2), wood) for x in (-1, 1)]
    panel = rng.uniform(0.10, 0.18)
    back = block((0, -d + leg, top - panel), (w - 2 * leg, 0.010, panel), cloth)
    return join(block((0, 0, seat - 0.02), (w, d, 0.02), cloth), *legs, *posts, back)
