"""A batched, exact triangle rasteriser, and the drawing of a person into a cached background.

Coverage is decided by integer edge functions on vertices snapped to 1/256 of a sample, so it is the same on
every machine;
the edge functions are evaluated in float64, where integers below 2**53 are exact and vectorise better than int64.
"""

import torch
from torch import Tensor

SUBPIXEL = 256  # snapping positions per sample
DEPTH_SCALE = 1 << 18  # quantised inverse depth: 1 / (1 m) maps to this; 0.1 mm steps at 3 m
_FACE_BITS = 16
_BUCKETS = (2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 512, 1024)


def rasterize(
    xy: Tensor, inverse_depth: Tensor, faces: Tensor, height: int, width: int, background: Tensor | None = None
) -> Tensor:
    """Which face is seen at every sample.

    A sample at column i, row k lies at ((i + 1/2), (k + 1/2)) * 256 in the units of `xy`. Faces are drawn when
    they are
    counter-clockwise on a y-down screen seen from the front (`area > 0` below); shared edges belong to exactly
    one face.

    Args:
        xy: [b, v, 2] int64 snapped positions.
        inverse_depth: [b, v] int64, larger is nearer, below 2**20.
        faces: [f, 3] int64, f < 65535.
        height, width: of the sample grid.
        background: [b, h, w] int64 inverse depth of what is already there; nothing if None.

    Returns:
        [b, h, w] int64 face index, -1 where the background is seen. Of two faces at equal depth the higher
        index wins.
    """
    b = xy.shape[0]
    keys = (
        torch.full((b, height, width), -1, dtype=torch.int64, device=xy.device)
        if background is None
        else background << _FACE_BITS
    )
    keys = keys.reshape(-1).clone()
    tri = _Triangles.prepare(xy, inverse_depth, faces, height, width)
    for size, chosen in tri.buckets():
        tri.splat(keys, size, chosen, height, width)
    # Faces are stored as 1..f, so that a bare background key ends in 0.
    return ((keys & ((1 << _FACE_BITS) - 1)) - 1).masked_fill(keys < 0, -1).view(b, height, width)


class _Triangles:
    """Edge functions of the faces that may cover a sample, one row each."""

    def __init__(
        self, origin: Tensor, step: Tensor, bias: Tensor, depth: Tensor, area: Tensor, extent: Tensor, place: Tensor
    ) -> None:
        self.origin, self.step, self.bias, self.depth, self.area, self.extent, self.place = (
            origin,
            step,
            bias,
            depth,
            area,
            extent,
            place,
        )

    @classmethod
    def prepare(cls, xy: Tensor, inverse_depth: Tensor, faces: Tensor, height: int, width: int) -> "_Triangles":
        f = faces.shape[0]
        # Column by column: reductions over a last axis of 3 are slow.
        x0, x1, x2 = (xy[:, :, 0][:, faces[:, k]].view(-1) for k in range(3))
        y0, y1, y2 = (xy[:, :, 1][:, faces[:, k]].view(-1) for k in range(3))
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        half, minimum, maximum = SUBPIXEL // 2, torch.minimum, torch.maximum
        low_x = ((minimum(minimum(x0, x1), x2) + half - 1) >> 8).clamp_min_(0)
        low_y = ((minimum(minimum(y0, y1), y2) + half - 1) >> 8).clamp_min_(0)
        high_x = ((maximum(maximum(x0, x1), x2) - half) >> 8).clamp_max_(width - 1)
        high_y = ((maximum(maximum(y0, y1), y2) - half) >> 8).clamp_max_(height - 1)
        kept = torch.nonzero((area > 0) & (high_x >= low_x) & (high_y >= low_y)).squeeze(1)
        x = torch.stack([x0[kept], x1[kept], x2[kept]], 1)
        y = torch.stack([y0[kept], y1[kept], y2[kept]], 1)
        low_x, low_y = low_x[kept], low_y[kept]
        # Edge k runs from vertex k+1 to k+2, so that its value is the weight of vertex k.
        next_x, next_y = x.roll(-1, 1), y.roll(-1, 1)
        dx, dy = x.roll(-2, 1) - next_x, y.roll(-2, 1) - next_y
        px, py = (low_x * SUBPIXEL + half)[:, None], (low_y * SUBPIXEL + half)[:, None]
        origin = dx * (py - next_y) - dy * (px - next_x)
        # Samples exactly on an edge belong to the face on one side only: the top-left rule.
        bias = ((dy > 0) | ((dy == 0) & (dx < 0))).long()
        frame = kept // f
        depth = inverse_depth[frame[:, None], faces[kept - frame * f]]
        extent = torch.maximum(high_x[kept] - low_x, high_y[kept] - low_y) + 1
        place = torch.stack([frame, low_y, low_x, kept - frame * f], 1)
        return cls(origin, torch.stack([-dy, dx], 2) * SUBPIXEL, bias, depth, area[kept], extent, place)

    def buckets(self) -> list[tuple[int, Tensor]]:
        """Faces sorted by the size of the square of samples that holds them: most are tiny, so squares waste
        little.
        """
        found, low = [], 0
        for size in _BUCKETS:
            chosen = torch.nonzero((self.extent > low) & (self.extent <= size)).squeeze(1)
            low = size
            rows = max(1, (1 << 21) // size**2)
            found += [(size, part) for part in chosen.split(rows) if len(part)]
        assert not len(self.extent) or int(self.extent.max()) <= _BUCKETS[-1], "the frame is larger than 1024 samples"
        return found

    def splat(self, keys: Tensor, size: int, chosen: Tensor, height: int, width: int) -> None:
        """Writes the nearest of the chosen faces into the flat key buffer [b * h * w]."""
        steps = torch.arange(size, device=keys.device, dtype=torch.float64)
        origin = (self.origin[chosen] - self.bias[chosen]).double()
        step = self.step[chosen].double()
        edges = []
        for k in range(3):
            along_x = origin[:, k, None] + step[:, k, 0, None] * steps
            edges.append(along_x[:, None, :] + (step[:, k, 1, None] * steps)[:, :, None])
        inside = torch.minimum(torch.minimum(edges[0], edges[1]), edges[2]).view(len(chosen), -1) >= 0
        row, cell = torch.nonzero(inside, as_tuple=True)
        face = chosen[row]
        place = self.place[face]
        y, x = place[:, 1] + cell // size, place[:, 2] + cell % size
        weights = torch.stack([e.view(len(chosen), -1)[row, cell] for e in edges], 1).long() + self.bias[face]
        depth = (weights * self.depth[face]).sum(1) // self.area[face]
        key = (depth << _FACE_BITS) | (place[:, 3] + 1)
        at = (place[:, 0] * height + y) * width + x
        fits = (x < width) & (y < height)
        if size > 1 and not bool(fits.all()):
            at, key = at[fits], key[fits]
        keys.scatter_reduce_(0, at, key, "amax")
