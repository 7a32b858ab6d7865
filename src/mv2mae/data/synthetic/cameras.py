"""Pinhole cameras about a subject who stands at the origin and faces +y.

Azimuth 0 is in front of the subject, positive azimuths are on the subject's left; degrees.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mv2mae.errors import InputError

NTU_AZIMUTHS = (45.0, 0.0, -45.0)  # cameras 1, 2, 3 of NTU RGB+D
_STANDING_HEIGHT = 1.70  # metres; what the distance of a camera is chosen for
_FRAME_SHARE = (0.67, 0.75)  # part of the frame's height that this person fills
_MIN_SEPARATION = 8.0  # degrees between two cameras of a setup


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera: `x_camera = rotation @ (x_world - position)`, then x right, y down, z forward; square pixels.

    position [3] in metres; rotation [3, 3]; focal: in units of the frame's height; azimuth in degrees.
    """

    view: int
    azimuth: float
    position: np.ndarray
    rotation: np.ndarray
    focal: float

    def project(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """World points [..., 3] to pixels [..., 2] (x right, y down, origin at the frame's corner) and depth
        [...] in metres.
        """
        local = (points - self.position) @ self.rotation.T
        depth = local[..., 2]
        return local[..., :2] * (self.focal * size / depth[..., None]) + size / 2, depth

    def rays(self, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
        """Directions [n, 3] in the world through pixels (x, y) [n], with camera depth 1."""
        local = np.stack(
            [(x - size / 2) / (self.focal * size), (y - size / 2) / (self.focal * size), np.ones_like(x)], -1
        )
        return local @ self.rotation

    def to_json(self, size: int) -> dict[str, Any]:
        """The pose for cameras.json, for square frames of `size` pixels."""
        return {
            "azimuth_deg": round(self.azimuth, 4),
            "position_m": self.position.round(6).tolist(),
            "rotation": self.rotation.round(8).tolist(),
            "focal_px": round(self.focal * size, 5),
            "principal_point_px": [size / 2, size / 2],
            "width": size,
            "height": size,
        }


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of an upright camera at `position` that looks at `target`."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def draw_azimuths(
    rng: np.random.Generator, preset: str, num_cameras: int, ranges: tuple[tuple[float, float], ...]
) -> list[float]:
    """Where the cameras of a setup stand: `ntu` jitters (45, 0, -45), `free` draws `num_cameras` from the ranges.

    Raises:
        InputError: the preset is unknown or the cameras do not fit.
    """
    if preset == "ntu":
        return [a + float(rng.normal(0, 2.5)) for a in NTU_AZIMUTHS]
    if preset != "free":
        raise InputError(f"cameras={preset!r} is not a preset; choose 'ntu' or 'free'")
    check_free(num_cameras, ranges)
    lengths = np.array([high - low for low, high in ranges])
    for _ in range(1000):
        chosen = []
        for _ in range(num_cameras):
            low, high = ranges[int(rng.choice(len(ranges), p=lengths / lengths.sum()))]
            chosen.append(float(rng.uniform(low, high)))
        gaps = np.abs(np.subtract.outer(chosen, chosen)) + 360 * np.eye(num_cameras)
        if np.minimum(gaps, np.abs(360 - gaps) + 360 * np.eye(num_cameras)).min() >= _MIN_SEPARATION:
            return chosen
    raise InputError(
        f"{num_cameras} cameras {_MIN_SEPARATION:g} degrees apart were not found in {ranges}; "
        "ask for fewer or widen the ranges"
    )


def check_free(num_cameras: int, ranges: tuple[tuple[float, float], ...]) -> None:
    """Raises InputError if the cameras of the `free` preset cannot be placed."""
    if num_cameras < 1:
        raise InputError(f"num_cameras={num_cameras}; a setup needs at least 1")
    if not ranges or any(not -360 <= low < high <= 360 for low, high in ranges):
        raise InputError(
            f"azimuth_ranges={ranges}; give at least one (low, high) with low < high, in degrees, such as ((-70, 25),)"
        )
    room = sum(high - low for low, high in ranges)
    if num_cameras > 1 and room < (num_cameras - 1) * _MIN_SEPARATION * 1.5:
        raise InputError(
            f"{num_cameras} cameras do not fit into {room:g} degrees; allow {_MIN_SEPARATION * 1.5:g} degrees for each"
        )


def draw_camera(rng: np.random.Generator, view: int, azimuth: float) -> Camera:
    """A camera at this azimuth whose lens, height, distance and aim vary; the distance makes a standing person
    fill the frame.
    """
    half_angle = np.radians(rng.uniform(17, 25))
    distance = _STANDING_HEIGHT / rng.uniform(*_FRAME_SHARE) / 2 / np.tan(half_angle)
    height = rng.uniform(1.0, 1.9)
    a = np.radians(azimuth)
    level = np.sqrt(max(distance**2 - (height - 0.95) ** 2, 1.0))
    position = np.array([-np.sin(a) * level, np.cos(a) * level, height])
    target = np.array([rng.normal(0, 0.04), rng.normal(0, 0.04), rng.uniform(0.99, 1.06)])
    return Camera(
        view=view,
        azimuth=azimuth,
        position=position,
        rotation=look_at(position, target),
        focal=float(0.5 / np.tan(half_angle)),
    )
