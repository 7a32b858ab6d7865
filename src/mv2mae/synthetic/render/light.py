"""Light on the movers, and the shadows they cast on everything: on themselves, floor, walls and furniture.

The movers are rasterised once more as the light sees them. A point is in shadow where a mover is nearer to the light.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mv2mae.synthetic.render.posing import Posed
from mv2mae.synthetic.render.rasterizer import FACE_BITS, SUBPIXEL, empty_keys, rasterize
from mv2mae.synthetic.world.rooms import Room

MAP = 128  # side of a shadow map in texels
TEXEL = 0.04  # metres
_PIVOT = np.array([0.0, 0.0, 0.9])  # what a shadow map is centred on: beyond 2.56 m of it nothing casts a shadow
_REACH = 16.0  # metres along the light about the pivot
_STEPS = 1024  # steps of nearness to the light per metre
_BIAS = 0.035  # metres that a face must lie behind another to be in its shadow
COVER = 36  # the bit of a packed colour that counts samples; below it 12 bits each for red, green, blue


@dataclass(frozen=True)
class LightPoints:
    """Points as the light sees them, [..., n]: the texel above and to the left of each, what part of it lies beyond
    that texel's middle, and its nearness to the light in metres.
    """

    texel: Tensor
    right: Tensor
    down: Tensor
    nearness: Tensor


def light_axes(room: Room) -> np.ndarray:
    """[3, 3] rows: right and down across the light's rays, and towards the light."""
    towards = room.light / np.linalg.norm(room.light)
    right = np.cross(towards, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, towards), towards])


def from_light(right: Tensor, down: Tensor, towards: Tensor) -> LightPoints:
    """Points given along the light's axes, in metres from the pivot."""
    x, y = right / TEXEL + (MAP / 2 - 0.5), down / TEXEL + (MAP / 2 - 0.5)
    outside = (x < 0) | (y < 0) | (x >= MAP - 1) | (y >= MAP - 1)
    column, row = (a.floor().clamp_(0, MAP - 2) for a in (x, y))
    return LightPoints(
        texel=row.long() * MAP + column.long(),
        right=(x - column).float(),
        down=(y - row).float(),
        nearness=towards.float().masked_fill_(outside, float("inf")),
    )


def light_points(room: Room, points: np.ndarray) -> LightPoints:
    """Points [n, 3] in the world, float64."""
    axes = light_axes(room)
    along = [torch.from_numpy(((points - _PIVOT) * axis).sum(-1)) for axis in axes]
    return from_light(*along)


def shaded(maps: Tensor, first: Tensor, at: LightPoints) -> Tensor:
    """How much of the light the movers take from points, 0 to 1; the four texels about each vote.

    Args:
        maps: shadow maps one after another, flat.
        first: where the map of each point begins, broadcastable against the points.
        at: the points.
    """
    texel, nearness = first + at.texel, at.nearness
    flat = texel.view(-1)

    def taken(offset: int) -> Tensor:
        return (maps.index_select(0, flat + offset).view(texel.shape) > nearness).float()

    upper = torch.lerp(taken(0), taken(1), at.right)
    return torch.lerp(upper, torch.lerp(taken(MAP), taken(MAP + 1), at.right), at.down)


class Lighting:
    """The light of s scenes on their movers over t frames.

    colours: [t, 1 + f] int64, packed colours of the faces as lit (`pack`); entry 0, of no face, is 0.
    maps: [s * t * MAP * MAP] float32, flat: nearness to the light of what is first hit, in metres.
    """

    def __init__(self, posed: Posed, rooms: Sequence[Room], batch: int) -> None:
        device, self.num_frames = posed.vertices.device, len(posed.vertices)
        axes = torch.from_numpy(np.stack([light_axes(room) for room in rooms], -1)).to(device)
        self._along = self._axes(posed, axes)
        pieces = [slice(k, k + batch) for k in range(0, self.num_frames, batch)]
        self.maps = torch.cat([self._map(posed, piece) for piece in pieces], 1).reshape(-1)
        self.colours = torch.cat([self._lit(posed, rooms, piece) for piece in pieces])
        del self._along

    def _axes(self, posed: Posed, axes: Tensor) -> list[Tensor]:
        """Vertices [t, v] along the light's axes, from the pivot."""
        x, y, z = posed.vertices.unbind(1)
        by_vertex = posed.per_vertex(axes)
        z = z - float(_PIVOT[2])
        return [x * axis[0] + y * axis[1] + z * axis[2] for axis in by_vertex]

    def _map(self, posed: Posed, frames: slice) -> Tensor:
        right, down, towards = (a[frames] for a in self._along)
        keys = empty_keys((len(posed.face_ends) - 1, len(right), MAP, MAP), right.device)
        x, y = (torch.round((a / TEXEL + MAP / 2) * SUBPIXEL) for a in (right, down))
        nearness = torch.round((towards + _REACH) * _STEPS).clamp_(0, 2 * _REACH * _STEPS)
        owner = None
        if len(posed.face_ends) > 2:
            owner = posed.per_face(torch.arange(len(posed.face_ends) - 1, device=x.device))
        rasterize(keys, x, y, nearness, posed.faces, owner=owner)
        return ((keys >> FACE_BITS).float() / _STEPS - _REACH).flatten(2)

    def _lit(self, posed: Posed, rooms: Sequence[Room], frames: slice) -> Tensor:
        """Ambient light, more of it from above, and Lambert's cosine of what light is not taken; packed [t, 1 + f]."""
        normal = _normals(posed.vertices[frames], posed.faces)
        device = normal.device
        values = np.stack([[*room.light, room.ambient, *room.light_colour] for room in rooms], -1).astype(np.float32)
        lx, ly, lz, ambient, *sun_colour = posed.per_face(torch.from_numpy(values).to(device))
        cosine = (normal[:, 0] * lx + normal[:, 1] * ly + normal[:, 2] * lz).clamp_min_(0)
        sun = cosine * (1.2 - ambient) * (1 - self._own_shadow(posed, frames))
        sky = ambient * (0.88 + 0.12 * normal[:, 2])
        red, green, blue = (
            (base * (sky + sun * tint)).clamp_(0, 255).long()
            for base, tint in zip(posed.colours, sun_colour, strict=True)
        )
        packed = red.new_zeros((red.shape[0], red.shape[1] + 1))
        packed[:, 1:] = red | (green << 12) | (blue << 24) | (1 << COVER)
        return packed

    def _own_shadow(self, posed: Posed, frames: slice) -> Tensor:
        """[t, f] what the movers take from each other and themselves, at the middle of each face."""
        middle = []
        for along in self._along:
            a, b, c = corners(along[frames], posed.faces)
            middle.append((a + b + c) / 3)
        at = from_light(middle[0], middle[1], middle[2] + _BIAS)
        scene = posed.per_face(torch.arange(len(posed.face_ends) - 1, device=middle[0].device))
        moment = torch.arange(*frames.indices(self.num_frames)[:2], device=middle[0].device)
        return shaded(self.maps, (scene * self.num_frames + moment[:, None]) * (MAP * MAP), at)


def corners(values: Tensor, faces: Tensor) -> list[Tensor]:
    """Values [t, v] at the three corners of each face: three of [t, f]."""
    t, v = values.shape
    # Flat indices: torch selects along a flat axis several times faster than along the last of two.
    first = torch.arange(t, device=values.device)[:, None] * v
    return [values.reshape(-1).index_select(0, (first + faces[k]).view(-1)).view(t, -1) for k in range(3)]


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [t, 3, f] float32 that point outwards."""
    (x0, x2, x1), (y0, y2, y1), (z0, z2, z1) = (corners(a, faces) for a in vertices.float().unbind(1))
    ax, ay, az, bx, by, bz = x1 - x0, y1 - y0, z1 - z0, x2 - x0, y2 - y0, z2 - z0
    normal = torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
    return normal * normal.square().sum(1, keepdim=True).clamp_min_(1e-18).rsqrt_()
