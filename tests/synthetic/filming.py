"""What the tests of the renderer film: a plain room, a box that moves, devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mv2mae.synthetic.difficulty import Disturbance
from mv2mae.synthetic.render.film import Take
from mv2mae.synthetic.render.stage import Stage
from mv2mae.synthetic.world.cameras import Camera, look_at
from mv2mae.synthetic.world.mesh import Model, Mover
from mv2mae.synthetic.world.rooms import Room, draw_room

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
STILL = Disturbance(noise=0.0, flicker=0.0, shake=0.0)
SHAKEN = Disturbance(noise=3.0, flicker=0.02, shake=2.0, drift=0.1)
QUADS = ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (2, 3, 7, 6), (1, 2, 6, 5), (3, 0, 4, 7))
CUBE_FACES = np.array([face for a, b, c, d in QUADS for face in ((a, b, c), (a, c, d))])


def camera(
    position: tuple[float, float, float] = (0.0, 4.0, 1.0), aim: tuple[float, float, float] = (0, 0, 1)
) -> Camera:
    """By default 4 m before the origin, level at 1 m; the frame is 4 m high there."""
    eye = np.array(position)
    return Camera(view=1, azimuth=0.0, position=eye, rotation=look_at(eye, np.array(aim, float)), focal=1.0)


def bare_room(light: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Room:
    """No furniture, no pictures, walls 3 m away."""
    room = draw_room(np.random.default_rng(0), [camera()])
    towards = np.array(light) / np.linalg.norm(light)
    return replace(room, walls=(3.0, 3.0, 3.0, 3.0), pieces=(), pictures=(), light=towards)


def cuboid(half: tuple[float, float, float], part: str = "prop") -> Model:
    """A grey box about the origin."""
    square = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    vertices = np.array([(x, y, z) for z in (-1, 1) for x, y in square]) * np.array(half)
    return Model.rigid(vertices, CUBE_FACES, np.full((12, 3), 200, np.uint8), part)


def carried(model: Model, path: np.ndarray, turn: float = 0.0) -> Mover:
    """A thing that goes along a path [t, 3] and turns by `turn` radians a frame about z."""
    angle = np.arange(len(path)) * turn
    rotations = np.zeros((len(path), 1, 3, 3))
    rotations[:, 0, 0, 0] = rotations[:, 0, 1, 1] = np.cos(angle)
    rotations[:, 0, 1, 0], rotations[:, 0, 0, 1] = np.sin(angle), -np.sin(angle)
    rotations[:, 0, 2, 2] = 1
    return Mover(model=model, rotations=rotations, positions=path[:, None].astype(float))


def take(*movers: Mover, stage: Stage | None = None, disturbance: Disturbance = STILL, seed: int = 0) -> Take:
    """One take, by default in the bare room at 64 pixels."""
    return Take(stage=stage or Stage(bare_room(), camera(), 64), movers=movers, disturbance=disturbance, seed=seed)
