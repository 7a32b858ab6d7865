"""What b cameras see of posed movers: the vertices in each camera's space, and the faces between them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mv2mae.synthetic.render.posing import Posed
from mv2mae.synthetic.world.cameras import Camera


class Sight:
    """The movers of b takes, take after take (ragged): v vertices and f faces in all.

    faces [3, f] int64 into v; owner [f], the take of a face; number [f], a face's number among all posed faces, from 1.

    Args:
        cameras: of each take its only pose, or those in each frame that is posed.
    """

    def __init__(
        self, posed: Posed, scene_of: Sequence[int], cameras: Sequence[Sequence[Camera]], device: torch.device
    ) -> None:
        self.device, self._posed = device, posed
        vertex_ranges = [(posed.vertex_ends[s], posed.vertex_ends[s + 1]) for s in scene_of]
        face_ranges = [(posed.face_ends[s], posed.face_ends[s + 1]) for s in scene_of]
        self._range = vertex_ranges[0]
        counts = np.array([[end - start for start, end in r] for r in (vertex_ranges, face_ranges)])
        self._counts = torch.from_numpy(counts).to(device)
        self._total = counts.sum(1).tolist()
        first = np.cumsum(counts[0]) - counts[0] - [start for start, _ in vertex_ranges]
        self.number = torch.cat([torch.arange(start, end, device=device) for start, end in face_ranges])
        self.faces = posed.faces.index_select(1, self.number) + self._per_face(torch.from_numpy(first).to(device))
        self.number += 1
        self.owner = self._per_face(torch.arange(len(cameras), device=device))
        self._vertex = torch.cat([torch.arange(start, end, device=device) for start, end in vertex_ranges])
        self.moving = any(len(path) > 1 for path in cameras)
        poses = torch.from_numpy(poses_of(cameras)).to(device)
        self._poses = poses if self.moving else self._per_vertex(poses)

    def _per_vertex(self, values: Tensor) -> Tensor:
        """[..., b] for each vertex [..., v]; of a single take [..., 1]."""
        if values.shape[-1] == 1:
            return values
        return values.repeat_interleave(self._counts[0], dim=-1, output_size=self._total[0])

    def _per_face(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self._counts[1], dim=-1, output_size=self._total[1])

    def local(self, piece: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices in the space of their camera, three of [t, v] float64: metres to the right, down, forward."""
        world = self._posed.vertices[piece]
        if len(self._counts[0]) == 1:
            world = world[:, :, self._range[0] : self._range[1]]
        else:
            world = world.index_select(2, self._vertex)
        r = self._poses_at(piece)
        x, y, z = world[:, 0] - r[3], world[:, 1] - r[7], world[:, 2] - r[11]
        return tuple(r[4 * k] * x + r[4 * k + 1] * y + r[4 * k + 2] * z for k in range(3))  # type: ignore[return-value]

    def _poses_at(self, piece: slice) -> Tensor:
        """For each vertex [13, 1 or t, v], or [13, 1 or t, 1] of a single take."""
        return self._per_vertex(self._poses[:, piece]) if self.moving else self._poses

    def project(self, piece: slice, shift: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where vertices are on pictures of `side` samples, and their depth in metres; three of [t, v] float64.

        Args:
            shift: [b, t, 2] samples that the camera has moved to the right and down.
        """
        x, y, depth = self.local(piece)
        scale = self._poses_at(piece)[12] * side / depth
        by_vertex = self._per_vertex(shift.permute(1, 2, 0))
        return x * scale + (side / 2 - by_vertex[:, 0]), y * scale + (side / 2 - by_vertex[:, 1]), depth


def poses_of(cameras: Sequence[Sequence[Camera]]) -> np.ndarray:
    """Rotation and position row by row, then the focal length: [13, t, b], t being 1 where no camera moves."""
    t = max(len(path) for path in cameras)
    each = [
        np.stack([np.append(np.column_stack([c.rotation, c.position]).ravel(), c.focal) for c in path], -1)
        for path in cameras
    ]
    return np.stack([np.broadcast_to(path, (13, t)) for path in each], -1)
