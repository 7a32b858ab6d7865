"""Cameras that are held by hand or carried about: a pose for every frame.

Each movement is a sum of swings whose paces lie in the bands below, so that it depends on the time in seconds alone:
another rate, or a longer video, shows the same movement. The bands are those in which a hand moves: a slow drift, which
whoever holds the camera corrects, the sway of body and arms, and a tremor that is small. How far each goes is ours; so
held, a standing person stays in the picture.
"""

from dataclasses import dataclass, replace

import numpy as np

from mv2mae.errors import InputError
from mv2mae.synthetic.rotations import rotation
from mv2mae.synthetic.world.cameras import Camera, look_at

CAMERA_MOTIONS = ("none", "handheld", "moving")
"""Cameras on tripods; held by hand; carried round the person and to and fro by somebody who walks."""

_BANDS = ((0.15, 0.5), (1.0, 3.0), (6.0, 10.0))
"""Swings a second of drift, sway and tremor."""
_SWINGS = 4  # of each band


@dataclass(frozen=True, kw_only=True)
class _Hand:
    """Standard deviations in each band: of turning right and down and of rolling, in degrees; of place, in metres."""

    turn: tuple[float, float, float]
    roll: tuple[float, float, float]
    place: tuple[float, float, float]


_STANDING = _Hand(turn=(0.9, 0.35, 0.05), roll=(0.5, 0.2, 0.03), place=(0.015, 0.005, 0.0005))
_WALKING = _Hand(turn=(1.2, 0.6, 0.06), roll=(0.8, 0.5, 0.04), place=(0.02, 0.015, 0.0005))

_ARC = (8.0, 16.0)  # degrees to either side of where the camera stands otherwise
_DOLLY = (0.04, 0.12)  # share of the distance, nearer and further
_PACE = (0.08, 0.15)  # swings of both a second: the fastest goes 1 m/s at 4 m


def check_motion(name: str) -> str:
    """The name, if it is one of `CAMERA_MOTIONS`.

    Raises:
        InputError: it is not.
    """
    if name not in CAMERA_MOTIONS:
        raise InputError(f"camera_motion={name!r} is unknown; choose from {', '.join(CAMERA_MOTIONS)}")
    return name


def move(camera: Camera, motion: str, rng: np.random.Generator, seconds: np.ndarray) -> tuple[Camera, ...]:
    """The camera's pose at each of the times [t]; nothing for one that stands still.

    Args:
        camera: where it stands on average.
        motion: one of `CAMERA_MOTIONS`.
    """
    if motion == "none":
        return ()
    paths = [camera] * len(seconds)
    if motion == "moving":
        paths = _carried(camera, rng, seconds)
    return _held(paths, _STANDING if motion == "handheld" else _WALKING, rng, seconds)


def _carried(camera: Camera, rng: np.random.Generator, seconds: np.ndarray) -> list[Camera]:
    """Along an arc about the person, nearer and further; what was in the middle of the picture stays there."""
    arc, dolly = np.radians(rng.uniform(*_ARC)), rng.uniform(*_DOLLY)
    pace, phase = rng.uniform(*_PACE, 2), rng.uniform(0, 2 * np.pi, 2)
    swing = np.sin(2 * np.pi * pace * seconds[:, None] + phase)
    forward = camera.rotation[2]
    along = -float(camera.position[:2] @ forward[:2]) / float(forward[:2] @ forward[:2])
    target = camera.position + along * forward
    turns = rotation(2, arc * swing[:, 0])
    places = target + (turns @ (camera.position - target)) * (1 + dolly * swing[:, 1])[:, None]
    return [
        replace(camera, azimuth=camera.azimuth + float(np.degrees(angle)), position=at, rotation=look_at(at, target))
        for angle, at in zip(arc * swing[:, 0], places, strict=True)
    ]


def _held(cameras: list[Camera], hand: _Hand, rng: np.random.Generator, seconds: np.ndarray) -> tuple[Camera, ...]:
    down, right, roll = (np.radians(_swing(rng, seconds, widths)) for widths in (hand.turn, hand.turn, hand.roll))
    place = np.stack([_swing(rng, seconds, hand.place) for _ in range(3)], axis=-1)
    # In the camera's own axes: x right, y down, z forward.
    shaken = rotation(2, roll) @ rotation(0, down) @ rotation(1, right)
    return tuple(
        replace(camera, position=camera.position + at, rotation=turn @ camera.rotation)
        for camera, at, turn in zip(cameras, place, shaken, strict=True)
    )


def _swing(rng: np.random.Generator, seconds: np.ndarray, widths: tuple[float, ...]) -> np.ndarray:
    """[t] swings of all bands, each band with one of the standard deviations over long times."""
    total = np.zeros(len(seconds))
    for (low, high), width in zip(_BANDS, widths, strict=True):
        pace = np.exp(rng.uniform(np.log(low), np.log(high), _SWINGS))
        phase = rng.uniform(0, 2 * np.pi, _SWINGS)
        total += width * np.sqrt(2 / _SWINGS) * np.sin(2 * np.pi * seconds[:, None] * pace + phase).sum(-1)
    return total
