"""Pinhole cameras about a subject who stands at the origin and faces +y.

Azimuth 0 is in front of the subject, positive azimuths are on the subject's left; degrees.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mv2mae.data.cameras import Pinhole
from mv2mae.errors import InputError

NTU_AZIMUTHS = (45.0, 0.0, -45.0)
"""Where cameras 1, 2, 3 of NTU RGB+D stand."""
ETRI_AZIMUTHS = (60.0, 20.0, -20.0, -60.0)
"""Four positions round the front, as ETRI-Activity3D has; which angles they have is not published, these are ours."""
ETRI_HEIGHTS = (0.7, 1.2)
"""Metres; two Kinects stand at each of ETRI-Activity3D's positions, as a small and a tall robot would see."""
RING_SIZE = 28
"""Cameras of a ring, unless another number is asked for: as many viewpoints as KIST SynADL has."""
CAMERA_PRESETS = ("ntu", "etri", "ring", "free")

Ranges = tuple[tuple[float, float], ...]
Draw = Callable[[int], np.random.Generator]

_STANDING_HEIGHT = 1.70  # metres; what the distance of a camera is chosen for
_FRAME_SHARE = (0.56, 0.65)  # part of the frame's height that this person fills: room to walk and to stretch
_HALF_ANGLE = (13.0, 19.0)  # degrees
_HEIGHT = (1.0, 1.9)  # metres
_MIN_SEPARATION = 8.0  # degrees between two freely placed cameras of a setup
_MAX_RING = 72


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

    def pinhole(self) -> Pinhole:
        """The same camera in the form in which cameras go with clips; sides of the picture count 1."""
        return Pinhole(
            focal=(self.focal, self.focal),
            centre=(0.5, 0.5),
            rotation=self.rotation,
            translation=-self.rotation @ self.position,
            size=(1.0, 1.0),
        )

    def to_json(self, size: int) -> dict[str, Any]:
        """The pose for cameras.json, for square frames of `size` pixels; `read_cameras` tells what it means."""
        return {
            "azimuth_deg": round(self.azimuth, 4),
            "position_m": self.position.round(6).tolist(),
            "rotation": self.rotation.round(8).tolist(),
            "focal_px": round(self.focal * size, 5),
            "principal_point_px": [size / 2, size / 2],
            "width": size,
            "height": size,
        }


def read_cameras(path: str | Path) -> dict[int, dict[int, Camera]]:
    """The cameras of a synthetic data set, {setup: {view: Camera}}, from its cameras.json.

    The world: x to the right of the person, y to the front, z up; metres; the person stands near the origin and faces
    +y. `rotation` [3, 3] takes the world to the camera: `x_camera = rotation @ (x_world - position_m)`, x right, y
    down, z forward. A point is seen at `focal_px * x_camera[:2] / x_camera[2] + principal_point_px`, in pixels from the
    corner of the frame (the centre of the first pixel is at 0.5, 0.5). No distortion; slight shake is not included.
    Cameras that move are told where they are on average.
    The azimuth is NaN where the file does not say it.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        setups = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            int(setup): {int(view): _from_json(int(view), pose) for view, pose in entry["cameras"].items()}
            for setup, entry in setups.items()
            if setup
        }
    except FileNotFoundError as error:
        raise InputError(f"no file at {path}; give the cameras.json that `mv2mae synth` wrote") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} does not hold cameras as `mv2mae synth` writes them ({error!r})") from error


def _from_json(view: int, pose: dict[str, Any]) -> Camera:
    return Camera(
        view=view,
        azimuth=float(pose.get("azimuth_deg", np.nan)),
        position=np.array(pose["position_m"], dtype=float).reshape(3),
        rotation=np.array(pose["rotation"], dtype=float).reshape(3, 3),
        focal=float(np.ravel(pose["focal_px"])[-1]) / float(pose["height"]),
    )


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of an upright camera at `position` that looks at `target`."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def count_cameras(preset: str, num_cameras: int | None, ranges: Ranges, azimuths: Sequence[float] = ()) -> int:
    """How many cameras a setup has.

    Args:
        preset: one of `CAMERA_PRESETS`.
        num_cameras: of "ring" and "free"; None for their usual number, 28 and 3.
        ranges: of "free": where cameras may stand, (low, high) in degrees.
        azimuths: of "free": where they do stand, in degrees; then `ranges` is not used.

    Raises:
        InputError: no such preset, or no such set of cameras is possible.
    """
    if preset not in CAMERA_PRESETS:
        raise InputError(f"cameras={preset!r} is not a preset; choose from {', '.join(CAMERA_PRESETS)}")
    if azimuths:
        return _count_azimuths(preset, num_cameras, azimuths)
    fixed = {"ntu": len(NTU_AZIMUTHS), "etri": len(ETRI_AZIMUTHS) * len(ETRI_HEIGHTS)}.get(preset)
    if fixed is not None:
        if num_cameras not in (None, fixed):
            raise InputError(
                f"num_cameras={num_cameras}, but cameras={preset!r} always has {fixed}; leave num_cameras out, or "
                "choose 'free' or 'ring'"
            )
        return fixed
    count = {"ring": RING_SIZE, "free": 3}[preset] if num_cameras is None else num_cameras
    if preset == "ring" and not 2 <= count <= _MAX_RING:
        raise InputError(f"num_cameras={count}; a ring has 2 to {_MAX_RING} cameras")
    if preset == "free":
        _check_free(count, ranges)
    return count


def _count_azimuths(preset: str, num_cameras: int | None, azimuths: Sequence[float]) -> int:
    if preset != "free":
        raise InputError(f"azimuths={tuple(azimuths)}, but cameras={preset!r} has places of its own; set cameras free")
    if num_cameras not in (None, len(azimuths)):
        raise InputError(f"num_cameras={num_cameras}, but azimuths has {len(azimuths)}; leave num_cameras out")
    if any(not -360 <= azimuth <= 360 for azimuth in azimuths) or len(set(azimuths)) != len(azimuths):
        raise InputError(f"azimuths={tuple(azimuths)}; give degrees from -360 to 360, each only once")
    return len(azimuths)


def _check_free(num_cameras: int, ranges: Ranges) -> None:
    if num_cameras < 1:
        raise InputError(f"num_cameras={num_cameras}; a setup needs at least 1")
    if not ranges or any(not -360 <= low < high <= 360 for low, high in ranges):
        raise InputError(
            f"azimuth_ranges={ranges}; give at least one (low, high) with low < high, in degrees, such as ((-70, 25),)"
        )
    room = min(360.0, sum(high - low for low, high in ranges))
    if num_cameras > 1 and room < (num_cameras - 1) * _MIN_SEPARATION * 1.5:
        raise InputError(
            f"{num_cameras} cameras do not fit into {room:g} degrees; allow {_MIN_SEPARATION * 1.5:g} degrees for each"
        )


def draw_rig(
    draw: Draw,
    preset: str,
    num_cameras: int | None = None,
    ranges: Ranges = ((-90.0, 90.0),),
    azimuths: Sequence[float] = (),
) -> list[Camera]:
    """The cameras of a setup; view k + 1 is item k.

    Args:
        draw: gives the generator of a view, and for view 0 that of what the cameras of a setup have in common.
        preset: "ntu": +45, 0 and -45 degrees at one height and distance. "etri": four positions round the front,
            views 1 to 4 at 0.7 m from the person's left to the right, 5 to 8 above them at 1.2 m. "ring": evenly all
            round. "free": at `azimuths`, else drawn from `ranges`, each camera with a lens, height and distance of its
            own.
        num_cameras, ranges, azimuths: as for `count_cameras`.

    Raises:
        InputError: as `count_cameras`.
    """
    count = count_cameras(preset, num_cameras, ranges, azimuths)
    common = draw(0)
    if preset == "free":
        places = azimuths or _free_azimuths(common, count, ranges)
        own = [draw(view) for view in range(1, count + 1)]
        return [_place(rng, k + 1, a, _Habit.draw(rng)) for k, (rng, a) in enumerate(zip(own, places, strict=True))]
    habit = _Habit.draw(common)
    heights = [habit.height] * count
    if preset == "ntu":
        places = list(NTU_AZIMUTHS)
    elif preset == "etri":
        places = list(ETRI_AZIMUTHS) * len(ETRI_HEIGHTS)
        heights = [h for h in ETRI_HEIGHTS for _ in ETRI_AZIMUTHS]
    else:
        start = float(common.uniform(-180, 180)) / count
        places = [(start + 360 * k / count + 180) % 360 - 180 for k in range(count)]
    loose = min(5.0, 54 / count)  # degrees: tripods are not set up to the dot, but keep their order
    cameras = []
    for k, (azimuth, height) in enumerate(zip(places, heights, strict=True)):
        rng = draw(k + 1)
        cameras.append(_place(rng, k + 1, azimuth + float(rng.uniform(-loose, loose)), habit.varied(rng, height)))
    return cameras


def _free_azimuths(rng: np.random.Generator, count: int, ranges: Ranges) -> list[float]:
    """`count` azimuths from the ranges, apart from one another."""
    lengths = np.array([high - low for low, high in ranges])
    for _ in range(1000):
        picks = [ranges[int(k)] for k in rng.choice(len(ranges), count, p=lengths / lengths.sum())]
        chosen = [float(rng.uniform(low, high)) for low, high in picks]
        gaps = np.abs((np.subtract.outer(chosen, chosen) + 180) % 360 - 180) + 360 * np.eye(count)
        if gaps.min() >= _MIN_SEPARATION:
            return chosen
    raise InputError(
        f"{count} cameras {_MIN_SEPARATION:g} degrees apart were not found in {ranges}; ask for fewer, or widen them"
    )


@dataclass(frozen=True, kw_only=True)
class _Habit:
    """How a camera is set up: half its angle of view in degrees, the part of the frame that a standing person fills,
    and its height in metres.
    """

    half_angle: float
    share: float
    height: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Habit":
        return cls(
            half_angle=float(rng.uniform(*_HALF_ANGLE)),
            share=float(rng.uniform(*_FRAME_SHARE)),
            height=float(rng.uniform(*_HEIGHT)),
        )

    def varied(self, rng: np.random.Generator, height: float) -> "_Habit":
        """A little different, as another camera of the same rig is; at this height."""
        return _Habit(
            half_angle=self.half_angle * float(rng.uniform(0.95, 1.05)),
            share=float(np.clip(self.share * rng.uniform(0.97, 1.03), *_FRAME_SHARE)),
            height=height + float(rng.uniform(-0.05, 0.05)),
        )


def _place(rng: np.random.Generator, view: int, azimuth: float, habit: _Habit) -> Camera:
    """A camera at this azimuth whose distance makes a standing person fill the habit's share of the frame."""
    tangent = np.tan(np.radians(habit.half_angle))
    distance = _STANDING_HEIGHT / habit.share / 2 / tangent
    a = np.radians(azimuth)
    level = np.sqrt(distance**2 - (habit.height - 0.95) ** 2)
    position = np.array([-np.sin(a) * level, np.cos(a) * level, habit.height])
    target = np.array([rng.normal(0, 0.04), rng.normal(0, 0.04), rng.uniform(0.93, 1.01)])
    return Camera(
        view=view,
        azimuth=azimuth,
        position=position,
        rotation=look_at(position, target),
        focal=float(0.5 / tangent),
    )
