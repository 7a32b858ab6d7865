"""Known cameras: where each token's ray runs, seen from the target's camera.

A camera is 16 numbers: fx, fy, cx, cy in shares of the picture's width and height (of the crop, not of the file), its
rotation from world to camera, row by row, and its translation in metres: x_camera = R x_world + t, with x to the right,
y down, z forward. A mirrored picture has a negative fx. NaN = unknown.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mv2mae.model.tubelets import Size3

_USUAL_DISTANCE = 3.0
"""Metres from a camera to what it films, where its axis crosses no other one."""
_TRUST = 0.02
"""Weight of that distance against the crossing of the axes, which cameras side by side leave open."""
_NUM_FREQUENCIES = 4


def known_cameras(cameras: Float[Tensor, "b v 16"]) -> Bool[Tensor, " b"]:
    """Which items have a camera for every view."""
    return cameras.isfinite().all(dim=2).all(dim=1)


def token_rays(cameras: Float[Tensor, "b v 16"], grid: Size3) -> Float[Tensor, "b v n 6"]:
    """Direction and moment (Pluecker coordinates) of the ray through each token's middle, in the target's frame.

    The frame has the target camera's axes (mirrored where its picture is) and its origin where the axes of the
    cameras come nearest to each other, so that moments are small for what all of them film; lengths are counted in the
    distance from the target's camera to there, so that they do not depend on the unit. Rays are the same at all times.

    Args:
        cameras: of the views, the target's first; all known.
        grid: tokens along time, height and width.
    """
    with torch.autocast(cameras.device.type, enabled=False):  # geometry wants float32
        return _token_rays(cameras.float(), grid)


def _token_rays(cameras: Float[Tensor, "b v 16"], grid: Size3) -> Float[Tensor, "b v n 6"]:
    t, h, w = grid
    intrinsics, (rotation, shift) = cameras[..., :4], (cameras[..., 4:13].unflatten(-1, (3, 3)), cameras[..., 13:])
    centre = -(rotation.mT @ shift[..., None])[..., 0]
    focus = _crossing(centre, rotation[..., 2, :])
    mirror = torch.ones_like(centre[:, :1])
    mirror[..., 0] = intrinsics[:, :1, 0].sign()
    to_frame = mirror[..., None] * rotation[:, :1]
    unit = (focus - centre[:, 0]).norm(dim=-1)[:, None, None]
    origin = (to_frame @ (centre - focus[:, None])[..., None])[..., 0] / unit
    direction = _pixel_rays(intrinsics, h, w) @ (to_frame @ rotation.mT).mT
    direction = direction / direction.norm(dim=-1, keepdim=True)
    moment = torch.linalg.cross(origin[:, :, None].expand_as(direction), direction)
    return torch.cat([direction, moment], dim=-1).repeat(1, 1, t, 1)


def _pixel_rays(intrinsics: Float[Tensor, "b v 4"], h: int, w: int) -> Float[Tensor, "b v p 3"]:
    """Where the middles of h x w tokens lie in each camera's own frame, at depth 1."""
    fx, fy, cx, cy = (value[..., None] for value in intrinsics.unbind(-1))
    rows = (torch.arange(h, device=intrinsics.device, dtype=intrinsics.dtype) + 0.5) / h
    columns = (torch.arange(w, device=intrinsics.device, dtype=intrinsics.dtype) + 0.5) / w
    v, u = (axis.flatten() for axis in torch.meshgrid(rows, columns, indexing="ij"))
    x, y = (u - cx) / fx, (v - cy) / fy
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _crossing(centre: Float[Tensor, "b v 3"], axis: Float[Tensor, "b v 3"]) -> Float[Tensor, "b 3"]:
    """The point nearest to all optical axes, in the sense of least squares, drawn a little to the usual distance."""
    eye = torch.eye(3, device=centre.device, dtype=centre.dtype)
    off_axis = eye - axis[..., None] * axis[..., None, :]
    usual = centre[:, 0] + _USUAL_DISTANCE * axis[:, 0]
    left = off_axis.sum(dim=1) + _TRUST * eye
    right = (off_axis @ centre[..., None])[..., 0].sum(dim=1) + _TRUST * usual
    return torch.linalg.solve_ex(left, right[..., None]).result[..., 0]  # solve_ex: no check that a GPU would wait for


class RayEmbedding(nn.Module):
    """A token's ray as what is added to it: Fourier features of direction and moment, two linear layers.

    The last layer begins at 0, so that a model begins as it would without cameras.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.Linear(6 * (1 + 2 * _NUM_FREQUENCIES), width), nn.GELU(), last)
        self.frequencies: Tensor
        frequencies = math.pi * 2.0 ** torch.arange(_NUM_FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, rays: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b d"]:
        """What is added to the tokens with these rays."""
        angles = (rays[..., None] * self.frequencies).flatten(-2)
        return self.mlp(torch.cat([rays, angles.sin(), angles.cos()], dim=-1))
