"""Known cameras: what one is, how it follows crops and mirroring, and which camera took a video of a manifest.

A camera travels with its clip as 16 numbers: fx, fy, cx, cy as shares of the picture's width and height, so that
scaling the picture changes nothing; then the rotation from world to camera, row by row, and the translation in metres:
`x_camera = R x_world + t`, x right, y down, z forward (OpenCV). A point is seen at `fx x / z + cx, fy y / z + cy`,
0, 0 being the upper left corner of the picture and 1, 1 the lower right one. All NaN = not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from mv2mae.data.augment import Box
from mv2mae.errors import InputError
from mv2mae.text import listed

CAMERA_SIZE = 16
"""Numbers of a camera."""
FURTHEST = 100.0
"""Metres between two cameras of a setup; what is further apart is taken for another unit."""
_LOOSE = 0.03
"""Share by which the proportions of a picture may differ from those of the calibrated one: rounding of its sides."""
_CENTRAL = (0.35, 0.65)
"""Where a principal point lies, as a share of a side, if it is that of the videos' own picture size."""

_SIGHT = (0.5, 30.0)
"""Metres between which a ray is followed."""

Vector = Float32[np.ndarray, "16"]


@dataclass(frozen=True, kw_only=True)
class Pinhole:
    """A camera without distortion.

    focal, centre: (x, y) in pixels of a picture of `size` (width, height); rotation [3, 3], translation [3] in metres:
    world to camera. size: None = that of the videos, whatever it is.

    Raises:
        InputError: wrong shapes, numbers that are none, or a matrix that is no rotation.
    """

    focal: tuple[float, float]
    centre: tuple[float, float]
    rotation: np.ndarray
    translation: np.ndarray
    size: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, shape in (("rotation", (3, 3)), ("translation", (3,))):
            got = np.shape(getattr(self, name))
            if got != shape:
                raise InputError(f"its {name} has the shape {list(got)}; {list(shape)} was expected")
        numbers = [*self.focal, *self.centre, *self.rotation.flat, *self.translation, *(self.size or ())]
        if not np.isfinite(numbers).all():
            raise InputError("it holds numbers that are not finite")
        if min(*self.focal, *(self.size or (1,))) <= 0:
            raise InputError(f"its focal lengths {list(self.focal)} and its picture's sides must be positive")
        off = float(np.abs(self.rotation @ self.rotation.T - np.eye(3)).max())
        if off > 0.01 or np.linalg.det(self.rotation) < 0:
            what = f"R R^T differs from 1 by {off:.2g}" if off > 0.01 else "it mirrors (its determinant is -1)"
            raise InputError(f"its rotation is none: {what}; give the rotation from world to camera")

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """Where it stands in the world, in metres."""
        return np.asarray(-self.rotation.T @ self.translation)

    def cut(self, box: Sequence[int], size: tuple[float, float]) -> Pinhole:
        """The camera of a part of its pictures: left, top, right, bottom in pixels of a video of `size`."""
        own = self.size or size
        across, down = own[0] / size[0], own[1] / size[1]
        left, top, right, bottom = box[0], box[1], min(box[2], size[0]), min(box[3], size[1])
        centre = self.centre[0] - left * across, self.centre[1] - top * down
        return replace(self, centre=centre, size=((right - left) * across, (bottom - top) * down))

    def vector(self, size: tuple[float, float] | None = None) -> Vector:
        """The 16 numbers, for a video of `size` pixels (width, height).

        Raises:
            InputError: it was calibrated for pictures of other proportions or, where it does not say for which, the
                principal point is not near the middle of the video's; or neither size is known.
        """
        own = self.size or size
        if own is None:
            raise InputError("it does not say for which picture size, nor does the manifest; state width and height")
        if size is not None and self.size is not None and abs(own[0] * size[1] / own[1] / size[0] - 1) > _LOOSE:
            raise InputError(
                f"it was calibrated for pictures of {own[0]:g} x {own[1]:g} pixels, but its video has "
                f"{size[0]:g} x {size[1]:g}, which is no scaling of them; give the camera of the pictures as they are"
            )
        shares = [self.focal[0] / own[0], self.focal[1] / own[1], self.centre[0] / own[0], self.centre[1] / own[1]]
        if self.size is None and not all(_CENTRAL[0] < share < _CENTRAL[1] for share in shares[2:]):
            raise InputError(
                f"its principal point {self.centre[0]:g}, {self.centre[1]:g} is not near the middle of the video's "
                f"{own[0]:g} x {own[1]:g} pixels: a calibration of another picture size? State its width and height"
            )
        return np.concatenate([shares, self.rotation.ravel(), self.translation]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """The cameras of a data set.

    name: where they come from, for messages; empty = nothing is known of any camera.
    rig: by setup and view; setup "" = every one.
    takes: by group and view, where videos were cropped one by one; they come first.
    motion: how cameras move that do not stand still; their poses here are those about which they move.
    """

    name: str = ""
    rig: Mapping[tuple[str, str], Pinhole] = field(default_factory=dict)
    takes: Mapping[tuple[str, str], Pinhole] = field(default_factory=dict)
    motion: str = ""

    def __post_init__(self) -> None:
        setups: dict[str, list[np.ndarray]] = {}
        for (setup, _), camera in self.rig.items():
            setups.setdefault(setup, []).append(camera.position)
        for setup, places in setups.items():
            apart = float(np.ptp(np.stack(places), axis=0).max())
            if apart > FURTHEST:
                raise InputError(
                    f"{self.name}: cameras{f' of setup {setup}' if setup else ''} stand {apart:,.0f} m apart; "
                    "translations must be in metres (millimetres divided by 1,000)"
                )

    def vectors(self, frame: pd.DataFrame, *, may_lack: bool = False) -> Float32[np.ndarray, "n 16"]:
        """The camera of each row of a manifest; all NaN where nothing is known of any camera.

        Args:
            may_lack: NaN for a row that has none, where others may be looked at without it.

        Raises:
            InputError: some have none, or one does not fit its video.
        """
        if not self.name:
            return np.full((len(frame), CAMERA_SIZE), np.nan, np.float32)
        known: dict[Any, Vector] = {}
        rows = []
        found = self._found(frame) if may_lack else self.of_rows(frame)
        for camera, row in zip(found, frame.itertuples(), strict=True):
            if camera is None:
                rows.append(np.full(CAMERA_SIZE, np.nan, np.float32))
                continue
            size = size_of(row)
            key = id(camera), size
            if key not in known:
                try:
                    known[key] = camera.vector(size)
                except InputError as error:
                    raise InputError(f"{self.name}: the camera of {_said(*place_of(row))}: {error}") from error
            rows.append(known[key])
        return np.stack(rows)

    def of_rows(self, frame: pd.DataFrame) -> list[Pinhole]:
        """The camera of each row of a manifest.

        Raises:
            InputError: some have none.
        """
        found = self._found(frame)
        lacking = [row for row, camera in zip(frame.itertuples(), found, strict=True) if camera is None]
        if lacking:
            kinds = dict.fromkeys(_said(*place_of(row)) for row in lacking)
            raise InputError(
                f"{self.name} has no camera for {len(lacking)} of {len(frame)} videos ({listed(list(kinds))}); add "
                "them, leave those videos out (data.train_query), or set model.cameras to none"
            )
        return [camera for camera in found if camera is not None]

    def _found(self, frame: pd.DataFrame) -> list[Pinhole | None]:
        return [
            self.takes.get((str(row.group), str(row.view))) or self._of(*place_of(row)) for row in frame.itertuples()
        ]

    def _of(self, setup: str, view: str) -> Pinhole | None:
        for name in (setup, ""):
            for table in (self.rig, self._numbered):
                if (name, view) in table:
                    return table[name, view]
        return None

    @cached_property
    def _numbered(self) -> dict[tuple[str, str], Pinhole]:
        """The rig with `cam1`, `camera_02`, `view-3` called 1, 2, 3: names in OpenCV's files cannot begin with a
        number.
        """
        bare = {(setup, number_of(view)): camera for (setup, view), camera in self.rig.items()}
        return {key: camera for key, camera in bare.items() if key[1]}


def number_of(view: str) -> str:
    """The number in the name of a camera, such as 2 in `cam02`; empty without one."""
    word, digits = view.rstrip("0123456789"), view[len(view.rstrip("0123456789")) :]
    return str(int(digits)) if digits and word.rstrip("_-").lower() in ("", "c", "cam", "camera", "view") else ""


def crop_camera(camera: Vector, box: Box, height: int, width: int) -> Vector:
    """The camera of a picture from which a box was cut; height and width are those of the picture, in pixels."""
    across, down = width / box.width, height / box.height
    cut = camera.copy()
    cut[:4] = (
        camera[0] * across,
        camera[1] * down,
        (camera[2] - box.left / width) * across,
        (camera[3] - box.top / height) * down,
    )
    return cut


def line_of_sight(camera: Vector, other: Vector, point: tuple[float, float]) -> Float[np.ndarray, "k 2"]:
    """Where another camera sees the ray through a point of a camera's picture: the epipolar line.

    Args:
        point: in shares of the picture (right, down).

    Returns:
        points in shares of the other picture, from near to far; those before the other camera alone. They may lie
        outside of the picture.
    """
    one, two = camera.astype(np.float64), other.astype(np.float64)
    ray = np.array([(point[0] - one[2]) / one[0], (point[1] - one[3]) / one[1], 1.0])
    turn, there = one[4:13].reshape(3, 3), two[4:13].reshape(3, 3)
    along = np.geomspace(*_SIGHT, 64)[:, None] * (ray / np.linalg.norm(ray)) @ turn - one[13:] @ turn
    x, y, z = (along @ there.T + two[13:]).T
    before = z > 0.05
    return np.stack([two[0] * x[before] / z[before] + two[2], two[1] * y[before] / z[before] + two[3]], axis=-1)


def mirror_camera(camera: Vector) -> Vector:
    """The camera of a picture whose left and right were exchanged."""
    mirrored = camera.copy()
    mirrored[0], mirrored[2] = -camera[0], 1 - camera[2]
    return mirrored


def size_of(row: Any) -> tuple[float, float] | None:
    """Width and height of a manifest's row; None where it does not say."""
    return None if pd.isna(row.width) or pd.isna(row.height) else (float(row.width), float(row.height))


def place_of(row: Any) -> tuple[str, str]:
    """Setup and view of a manifest's row; "" for a setup that it does not say."""
    return "" if pd.isna(row.setup) else str(row.setup), str(row.view)


def _said(setup: str, view: str) -> str:
    return f"view {view} of setup {setup}" if setup else f"view {view}"
