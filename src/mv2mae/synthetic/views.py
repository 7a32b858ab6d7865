"""What a camera of the generator films, with its truth, and where another camera sees the same points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import PARTS

BODY = ("none", "head", "torso", "left arm", "right arm", "left leg", "right leg")
"""What a token may show; a number is an index into this list. The room, props and passers-by are `none`."""
TRUTH = ("depth", "parts", "joints")
_LIMBS = {"upper_arm": "arm", "forearm": "arm", "hand": "arm", "thigh": "leg", "shank": "leg", "foot": "leg"}
_AGREE = 0.03  # part of the distance by which the other camera's depth may differ where it shows the same surface


def _of_body(part: str) -> int:
    """Which of `BODY` one of the renderer's finer `PARTS` belongs to."""
    side, _, limb = part.partition("_")
    name = f"{side} {_LIMBS[limb]}" if limb in _LIMBS else part
    return BODY.index(name) if name in BODY else 0


BODY_OF_PART = np.array([_of_body(part) for part in PARTS])


class View(NamedTuple):
    """What one camera films, with its ground truth."""

    clip: UInt8[Tensor, "3 t h w"]
    camera: Camera
    body: Int[np.ndarray, "t h w"]
    """Which of `BODY` is at the middle of each pixel."""
    depth: Float[np.ndarray, "t h w"]
    """Metres along the optical axis."""
    shake: Float[np.ndarray, "t 2"]
    """Pixels to the right and down by which the camera's picture has moved."""
    path: tuple[Camera, ...] = ()
    """Of a camera that moves its pose in each frame; `camera` is then where it is on average."""

    def at(self, moment: int) -> View:
        """The same pictures, with the camera where it is in a frame."""
        return self._replace(camera=self.path[moment], path=()) if self.path else self

    def cut(self, frames: Int[np.ndarray, " k"]) -> View:
        """Some of the frames."""
        path = tuple(self.path[k] for k in frames) if self.path else ()
        return View(self.clip[:, frames], self.camera, self.body[frames], self.depth[frames], self.shake[frames], path)


def view_of(frames: Tensor, truth: dict[str, Tensor], camera: Camera, path: tuple[Camera, ...] = ()) -> View:
    """What a camera filmed: frames [t, h, w, 3] uint8 and `TRUTH` as the renderer gives them.

    Args:
        path: the camera's pose in each frame, if it moves.
    """
    known = {name: values.numpy() for name, values in truth.items()}
    # the renderer does not tell how the camera shook; where it shows a joint does
    joint = known["joints"][:, 0].astype(np.float64)
    size = frames.shape[1]
    if path:
        steady = np.stack([pose.project(point, size)[0] for pose, point in zip(path, joint, strict=True)])
    else:
        steady = camera.project(joint, size)[0]
    shake = steady - known["joints_2d"][:, 0]
    return View(frames.permute(3, 0, 1, 2), camera, BODY_OF_PART[known["parts"]], known["depth"], shake, path)


def seen_from(
    view: View, other: View, pixels: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Where another camera sees the points at the middles of n pixels, whether or not something hides them from it.

    A pixel's ray and depth give the point, `x = position + depth * ray`; the other camera projects it.

    Args:
        pixels: moment, row and column of each.

    Returns:
        places in the other picture in pixels (right, down; the first pixel's middle is at 0.5), and depths in metres.
    """
    moment, row, column = pixels
    if view.path or other.path:
        return _seen_by_moments(view, other, pixels)
    size = view.depth.shape[-1]
    at = np.stack([column, row], axis=-1) + 0.5 + view.shake[moment]
    rays = view.camera.rays(at[:, 0], at[:, 1], size)
    points = view.camera.position + rays * view.depth[pixels][:, None].astype(np.float64)
    place, depth = other.camera.project(points, size)
    return place - other.shake[moment], depth


def _seen_by_moments(
    view: View, other: View, pixels: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    place, depth = np.empty((len(pixels[0]), 2)), np.empty(len(pixels[0]))
    for moment in np.unique(pixels[0]):
        at = pixels[0] == moment
        chosen = pixels[0][at], pixels[1][at], pixels[2][at]
        place[at], depth[at] = seen_from(view.at(moment), other.at(moment), chosen)
    return place, depth


def sees(
    view: View, other: View, pixels: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """`seen_from`, NaN for points behind the other camera, and whether that really sees each point: it lies in its
    picture and nothing is before it there, depths agreeing within 3 %.
    """
    place, depth = seen_from(view, other, pixels)
    place[depth <= 0] = np.nan
    h, w = view.depth.shape[1:]
    inside = ((place >= 0) & (place < [w, h])).all(axis=1)
    x, y = (np.clip(np.where(inside, place[:, k], 0), 0, side - 1e-6).astype(int) for k, side in enumerate((w, h)))
    return place, inside & (np.abs(other.depth[pixels[0], y, x] - depth) < _AGREE * depth)
