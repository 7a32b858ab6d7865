"""Things that move on their own while the person acts: what differences between frames see, and should not trust.

They live in the room, so all cameras see the same; they keep their distance from the person.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mv2mae.synthetic.people.bodies import NUM_SUBJECTS, load_body
from mv2mae.synthetic.people.skeleton import Skeleton
from mv2mae.synthetic.people.style import Style, standing
from mv2mae.synthetic.people.targets import Motion
from mv2mae.synthetic.rotations import rotation
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import PARTS, Model, Mover, vertex_areas
from mv2mae.synthetic.world.rooms import CEILING, Room, against_wall
from mv2mae.synthetic.world.solids import Solid, ball, cuboid, drum

_COLOURS = np.array(
    [(200, 60, 50), (60, 110, 190), (230, 190, 60), (70, 150, 90), (235, 232, 226), (60, 60, 66), (150, 90, 160)], float
)
_PART = PARTS.index("distractor")
_INNER, _OUTER = 1.5, 2.15  # metres from the origin: beyond the person's reach, within every wall
_TAU = 2 * np.pi


def draw_distractors(
    rng: np.random.Generator,
    chances: Sequence[float],
    room: Room,
    cameras: Sequence[Camera],
    seconds: np.ndarray,
    subject: int,
    kinds: Sequence[str] = (),
    crowd: int = 0,
) -> tuple[Mover, ...]:
    """Distractors of one performance, all of different kinds, then a crowd.

    Args:
        chances: how likely 0, 1, 2 ... of them are.
        seconds: [t] the times of the frames.
        subject: who performs; somebody else walks by.
        kinds: of `KINDS`; all of them if empty.
        crowd: people more, who walk by or stand about, each on a way of his own.
    """
    names = tuple(kinds or KINDS)
    share = np.asarray(chances, float)
    count = min(int(rng.choice(len(share), p=share / share.sum())), len(names))
    chosen = rng.choice(len(names), count, replace=False)
    scene = _Scene(rng=rng, room=room, cameras=tuple(cameras), seconds=np.asarray(seconds, float), subject=subject)
    things = [KINDS[names[int(k)]](scene) for k in chosen]
    return (*things, *(_person(scene) for _ in range(crowd)))


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What the makers of distractors need to know."""

    rng: np.random.Generator
    room: Room
    cameras: tuple[Camera, ...]
    seconds: np.ndarray
    subject: int

    def colour(self) -> np.ndarray:
        """A colour [3], varied."""
        return np.clip(_COLOURS[int(self.rng.integers(len(_COLOURS)))] * self.rng.uniform(0.8, 1.1, 3), 0, 255)

    def arc(self, metres_per_second: float, *, inner: float = _INNER) -> tuple[np.ndarray, np.ndarray]:
        """A way [t, 2] round the person at a constant distance, and its direction [t] as an angle against +y.

        Of some ways at random that which meets the least furniture and passes the fewest cameras' view of the person.
        """
        best, least = (np.zeros((len(self.seconds), 2)), self.seconds), np.inf
        for _ in range(24):
            camera = self.cameras[int(self.rng.integers(len(self.cameras)))]
            radius, turn = float(self.rng.uniform(inner, _OUTER)), float(self.rng.choice([-1, 1]))
            middle = np.radians(camera.azimuth + 180) + self.rng.normal(0, 0.6)
            angle = middle + turn * (self.seconds - self.seconds[-1] / 2) * metres_per_second / radius
            way = radius * np.stack([-np.sin(angle), np.cos(angle)], 1)
            cost = self.trouble(way) + 0.1 * self.rng.random()
            if cost < least:
                best, least = (way, angle + turn * np.pi / 2), cost
        return best

    def trouble(self, way: np.ndarray) -> float:
        """How many pieces of furniture a way [t, 2] meets, and before how many cameras it crosses."""
        met = 0
        for piece in self.room.pieces:
            middle = np.mean([box.centre[:2] for box in piece.boxes], axis=0)
            met += bool((np.hypot(*(way - middle).T) < 0.6 * max(piece.size[:2])).any())
        crossed = 0
        for camera in self.cameras:
            forward = camera.position[:2] / np.hypot(*camera.position[:2])
            aside = way @ np.array([-forward[1], forward[0]])
            crossed += bool(((way @ forward > 0.2) & (np.abs(aside) < 0.7)).any())
        return met + crossed

    def wall(self, width: float) -> tuple[np.ndarray, float]:
        """A place [2] on a wall that some camera sees, for something of this width, and its yaw (`against_wall`)."""
        camera = self.cameras[int(self.rng.integers(len(self.cameras)))]
        return against_wall(np.radians(camera.azimuth + 180 + self.rng.normal(0, 20)), self.room.walls, width)

    def still(self, joints: int) -> tuple[np.ndarray, np.ndarray]:
        """No rotation [t, j, 3, 3], no displacement [t, j, 3]."""
        t = len(self.seconds)
        return np.tile(np.eye(3), (t, joints, 1, 1)), np.zeros((t, joints, 3))


def _model(parts: Sequence[tuple[Solid, np.ndarray, int]], pivots: np.ndarray) -> Model:
    """Solids with a colour [3] or [f, 3] each and the joint that moves them; `pivots` [j, 3] the joints at rest."""
    first = np.cumsum([0] + [len(vertices) for (vertices, _), _, _ in parts])
    vertices = np.concatenate([v for (v, _), _, _ in parts])
    faces = np.concatenate([f + k for ((_, f), _, _), k in zip(parts, first[:-1], strict=True)])
    colours = np.concatenate([np.broadcast_to(colour, f.shape) for (_, f), colour, _ in parts])
    owner = np.concatenate([np.full(len(v), joint) for (v, _), _, joint in parts])
    return Model(
        vertices=vertices,
        faces=faces,
        colours=np.clip(colours, 0, 255).astype(np.uint8),
        parts=np.full(len(faces), _PART, np.uint8),
        weights=np.eye(len(pivots))[owner],
        joints={f"joint{k}": pivot for k, pivot in enumerate(np.asarray(pivots, float))},
        areas=vertex_areas(vertices, faces),
    )


def _mover(model: Model, rotations: np.ndarray, shifts: np.ndarray, at: np.ndarray, yaw: np.ndarray | float) -> Mover:
    """The model with its joints turned and shifted in its own axes, standing at `at` [3] or [t, 3], turned by `yaw`."""
    t = len(rotations)
    turn = rotation(2, np.broadcast_to(yaw, (t,)))
    positions = np.stack(list(model.joints.values())) + shifts
    return Mover(
        model=model,
        rotations=turn[:, None] @ rotations,
        positions=np.einsum("tab,tjb->tja", turn, positions) + np.broadcast_to(at, (t, 3))[:, None],
    )


def _floor(way: np.ndarray, height: np.ndarray | float = 0.0) -> np.ndarray:
    return np.column_stack([way, np.broadcast_to(height, (len(way),))])


def _person(scene: _Scene) -> Mover:
    """Somebody else, who walks by or stands about."""
    others = [k for k in range(1, NUM_SUBJECTS + 1) if k != scene.subject]
    body = load_body(others[int(scene.rng.integers(len(others)))])
    motion = standing(scene.seconds, Style.draw(scene.rng))
    motion.stand(np.zeros(2), 0.0)
    walks = bool(scene.rng.random() < 0.65)
    hertz, stride = float(scene.rng.uniform(0.75, 1.0)), float(scene.rng.uniform(0.3, 0.42)) * walks
    leg = float(body.joints["LeftUpLeg"][2])
    if walks:
        _stride(motion, hertz * scene.seconds + scene.rng.random(), stride)
    way, heading = scene.arc(2 * stride * leg * hertz)
    if not walks:
        motion.hands[int(scene.rng.integers(2)), :, 2] += 0.5 + 0.3 * np.sin(_TAU * hertz * scene.seconds)
        motion.bend[:, 1] += 0.1 * np.sin(_TAU * 0.5 * hertz * scene.seconds)
        heading = heading + scene.rng.uniform(-1, 1)
    skeleton = Skeleton(body, motion)
    turn = rotation(2, heading)
    return Mover(
        model=replace(body, parts=np.full_like(body.parts, _PART)),
        rotations=turn[:, None] @ skeleton.rotations,
        positions=np.einsum("tab,tjb->tja", turn, skeleton.positions) + _floor(way)[:, None],
    )


def _stride(motion: Motion, cycle: np.ndarray, stride: float) -> None:
    """Walking on the spot: a foot goes back evenly over the floor for half a cycle, then swings to the front.

    cycle: [t] counts double steps; stride: of half a cycle, in leg lengths.
    """
    motion.feet[:, :, 1] = 0
    for side in range(2):
        u = (cycle + 0.5 * side) % 1.0
        swing = np.clip(2 * u - 1, 0, 1)
        motion.feet[side, :, 1] += stride * np.where(u < 0.5, 0.5 - 2 * u, swing**2 * (3 - 2 * swing) - 0.5)
        motion.feet[side, :, 2] += 0.12 * np.sin(np.pi * swing)
        motion.planted[side] = u < 0.5
        motion.hands[side, :, 1] += 0.35 * np.sin(_TAU * (u + 0.5 + 0.25))
    motion.pelvis[:, 2] -= 0.025 + 0.012 * np.cos(2 * _TAU * cycle)


def _ball(scene: _Scene) -> Mover:
    """A ball that rolls, or bounces."""
    radius, speed = float(scene.rng.uniform(0.09, 0.16)), float(scene.rng.uniform(0.5, 1.1))
    vertices, faces = ball(radius)
    bands = np.where((faces[:, 0] // 3 % 2 == 0)[:, None], scene.colour(), scene.colour())
    way, heading = scene.arc(speed)
    rotations, shifts = scene.still(1)
    rotations[:, 0] = rotation(0, -scene.seconds * speed / radius)
    bounce = float(scene.rng.choice([0.0, 0.6])) * np.abs(np.sin(np.pi * 1.3 * scene.seconds + scene.rng.random()))
    model = _model([((vertices, faces), bands, 0)], np.zeros((1, 3)))
    return _mover(model, rotations, shifts, _floor(way, radius + bounce), heading)


def _vacuum(scene: _Scene) -> Mover:
    """A robot that sweeps the floor."""
    dark, light = scene.colour() * 0.4 + 20, scene.colour()
    parts = [(drum(0.18, 0.015, 0.09), dark, 0), (drum(0.07, 0.09, 0.12), light, 0)]
    parts.append((cuboid((0.2, 0.05, 0.07), (0, 0.15, 0.055)), light, 0))
    way, heading = scene.arc(float(scene.rng.uniform(0.3, 0.6)))
    wobble = 0.35 * np.sin(_TAU * 0.7 * scene.seconds + scene.rng.random() * _TAU)
    return _mover(_model(parts, np.zeros((1, 3))), *scene.still(1), _floor(way), heading + wobble)


def _pet(scene: _Scene) -> Mover:
    """Something on four legs."""
    size, fur = float(scene.rng.uniform(0.8, 1.4)), scene.rng.uniform(40, 190) * np.array([1.0, 0.85, 0.68])
    pivots = [(0, 0, 0.3), *[(x, y, 0.25) for y in (-0.17, 0.17) for x in (-0.07, 0.07)], (0, -0.24, 0.36)]
    parts = [(cuboid((0.18, 0.5, 0.18), (0, 0, 0.32)), fur, 0), (cuboid((0.14, 0.2, 0.15), (0, 0.32, 0.45)), fur, 0)]
    parts += [(cuboid((0.03, 0.04, 0.07), (x, 0.27, 0.55)), fur * 0.7, 0) for x in (-0.05, 0.05)]
    parts.append((cuboid((0.07, 0.07, 0.07), (0, 0.44, 0.42)), fur * 0.6, 0))
    parts += [(cuboid((0.06, 0.07, 0.25), (x, y, 0.125)), fur * 0.85, k + 1) for k, (x, y, _) in enumerate(pivots[1:5])]
    parts.append((cuboid((0.03, 0.03, 0.24), (0, -0.25, 0.46)), fur * 0.8, 5))
    scaled = [((v * size, f), colour, joint) for (v, f), colour, joint in parts]
    rotations, shifts = scene.still(6)
    step = _TAU * 1.8 * scene.seconds + scene.rng.random() * _TAU
    for leg, phase in ((1, 0.0), (2, np.pi), (3, np.pi), (4, 0.0)):
        rotations[:, leg] = rotation(0, 0.5 * np.sin(step + phase))
    rotations[:, 5] = rotation(1, 0.6 * np.sin(1.7 * step))
    way, heading = scene.arc(0.85 * size)
    return _mover(_model(scaled, np.array(pivots) * size), rotations, shifts, _floor(way), heading)


def _pendulum(scene: _Scene) -> Mover:
    """A lamp that swings from the ceiling."""
    length, shade = float(scene.rng.uniform(0.6, 0.9)), np.clip(scene.colour() + 40, 0, 255)
    cord = (cuboid((0.02, 0.02, length), (0, 0, -length / 2)), np.array([50.0, 50, 50]), 0)
    model = _model([cord, (drum(0.2, -length - 0.22, -length, narrow=0.45), shade, 0)], np.zeros((1, 3)))
    rotations, shifts = scene.still(1)
    angle = float(scene.rng.uniform(0.15, 0.35)) * np.sin(3.6 * scene.seconds + scene.rng.random() * _TAU)
    rotations[:, 0] = rotation(1, angle)
    way, _ = scene.arc(0.0, inner=1.2)
    return _mover(model, rotations, shifts, np.array([*way[0], CEILING]), float(scene.rng.random()) * np.pi)


def _curtain(scene: _Scene) -> Mover:
    """Cloth before a wall, moved by a draught."""
    rows, columns, wide, tall = 7, 14, float(scene.rng.uniform(0.8, 1.3)), 1.9
    x, z = np.linspace(-wide / 2, wide / 2, columns), np.linspace(0, -tall, rows)
    folds = np.where(np.arange(columns) % 2, -0.05, 0.0) - 0.06
    sheet = np.stack([np.tile(x, rows), np.tile(folds, rows), np.repeat(z, columns)], 1)
    k = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    front = np.concatenate([np.stack([k, k + columns, k + 1], 1), np.stack([k + 1, k + columns, k + columns + 1], 1)])
    tint = scene.colour()
    colours = np.where((front.min(1) % columns % 2 == 0)[:, None], tint, tint * 0.82)
    flat = _model([((sheet, front), colours, 0), ((sheet, front[:, ::-1]), colours, 0)], np.zeros((1, 3)))
    pivots = np.column_stack([np.zeros((rows, 2)), z])
    weights = np.tile(np.repeat(np.eye(rows), columns, 0), (2, 1))
    model = replace(flat, weights=weights, joints={f"row{i}": p for i, p in enumerate(pivots)})
    rotations, shifts = scene.still(rows)
    depth, phase = np.linspace(0, 1, rows) ** 1.3, scene.rng.random() * _TAU
    wave = np.sin(float(scene.rng.uniform(3, 5)) * scene.seconds[:, None] + phase - 2.2 * depth)
    shifts[:, :, 1] = -0.2 * depth * (1 + wave)
    at, yaw = scene.wall(wide)
    return _mover(model, rotations, shifts, np.array([*at, 2.3]), yaw)


def _screen(scene: _Scene) -> Mover:
    """A screen on the wall whose picture changes: panes change places with the one in front."""
    panes, wide, tall = 5, float(scene.rng.uniform(0.7, 1.1)), 0.55
    parts = [(cuboid((wide + 0.06, 0.06, tall + 0.06), (0, -0.04, 0)), np.array([30.0, 30, 32]), 0)]
    parts += [(cuboid((wide, 0.004, tall)), scene.colour(), k + 1) for k in range(panes)]
    parts += [(cuboid((wide * 0.25, 0.004, tall * 0.4)), scene.colour(), panes + 1)]
    rotations, shifts = scene.still(panes + 2)
    shown = np.floor(scene.seconds * float(scene.rng.uniform(1.0, 2.5)) + scene.rng.random()).astype(int) % panes
    shifts[:, 1:, 1] = -0.04
    shifts[np.arange(len(shown)), 1 + shown, 1] = -0.076
    shifts[:, -1] = [0, -0.084, 0]
    phase = scene.rng.random(2) * _TAU
    shifts[:, -1, 0] = 0.35 * wide * np.sin(2.9 * scene.seconds + phase[0])
    shifts[:, -1, 2] = 0.25 * tall * np.sin(2.1 * scene.seconds + phase[1])
    at, yaw = scene.wall(wide + 0.1)
    height = float(scene.rng.uniform(1.3, 1.7))
    return _mover(_model(parts, np.zeros((panes + 2, 3))), rotations, shifts, np.array([*at, height]), yaw)


KINDS: dict[str, Callable[[_Scene], Mover]] = {
    "person": _person,
    "ball": _ball,
    "vacuum": _vacuum,
    "pet": _pet,
    "pendulum": _pendulum,
    "curtain": _curtain,
    "screen": _screen,
}
"""What can be drawn: kind -> its maker."""
