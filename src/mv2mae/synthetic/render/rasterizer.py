"""A batched, exact triangle rasteriser in torch.

Coverage is decided by integer edge functions on vertices snapped to 1/256 of a sample, so it is the same on every
machine and device. The integers are held in float64, which is exact below 2**53 and vectorises better than int64.
Triangles are cut into rows, and rows into the samples that they cover, by exact division: no sample is visited in vain,
and triangles of all sizes go through the same few operations, with three waits for the device (counts) in all.
"""

import torch
from torch import Tensor

SUBPIXEL = 256  # snapping positions per sample
DEPTH_SCALE = 1 << 18  # nearness = DEPTH_SCALE / depth in metres; 0.03 mm steps at 3 m
NEAR = 0.25  # metres; nearness stays below 2**21
FACE_BITS = 24  # of a key; the bits above hold the nearness
_GUARD = float(1 << 20)  # snapped positions beyond this are not drawn: products must stay below 2**53


def empty_keys(shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """A key buffer in which nothing is drawn yet: [b, t, h, w] zeros."""
    return torch.zeros(shape, dtype=torch.int64, device=device)


def background_keys(depth: Tensor) -> Tensor:
    """A key buffer filled with surfaces at a depth in metres, which count as face 0."""
    return torch.round(DEPTH_SCALE / depth.double().clamp_min(NEAR)).long() << FACE_BITS


def faces_of(keys: Tensor) -> Tensor:
    """Which face is seen: 1 is the first; 0 where nothing or the background is."""
    return keys & ((1 << FACE_BITS) - 1)


def depth_of(keys: Tensor) -> Tensor:
    """Depth in metres, float32, to the rasteriser's precision; infinite where nothing is."""
    return (DEPTH_SCALE / (keys >> FACE_BITS).double()).float()


def snap(x: Tensor, y: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions in samples and depth in metres, as the rasteriser wants them; NaN marks what cannot be drawn."""
    x, y = torch.round(x * SUBPIXEL), torch.round(y * SUBPIXEL)
    lost = (depth < NEAR) | (x.abs() > _GUARD) | (y.abs() > _GUARD)
    return x.masked_fill(lost, float("nan")), y, torch.round(DEPTH_SCALE / depth)


def rasterize(
    keys: Tensor,
    x: Tensor,
    y: Tensor,
    nearness: Tensor,
    faces: Tensor,
    *,
    owner: Tensor | None = None,
    number: Tensor | None = None,
) -> None:
    """Draws triangles into a key buffer, nearest first, in place.

    The sample at column i, row k lies at ((i + 1/2), (k + 1/2)) * 256 in the units of `x` and `y`. A face is drawn
    where its corners run clockwise on a screen whose y runs down (area > 0 below); shared edges belong to exactly one
    face; of two faces at equal nearness the higher number wins.

    Args:
        keys: [b, t, h, w] int64, contiguous: pictures of b takes at t moments; see `empty_keys`, `background_keys`.
        x, y: [t, v] float64 whole numbers, snapped positions; NaN in x leaves out the faces of this vertex.
        nearness: [t, v] float64 whole numbers below 2**21, larger is nearer.
        faces: [3, f] int64 indices into the vertices.
        owner: [f] int64, the take 0..b-1 that a face belongs to; the first for all if None.
        number: [f] int64, what a face is called in the buffer, 1 to 2**24 - 1; 1 to f if None.
    """
    t, height, width = keys.shape[1:]
    drawn = _Drawn.gather(x, y, nearness, faces)
    name = drawn.face + 1 if number is None else number.index_select(0, drawn.face)
    picture = drawn.moment if owner is None else owner.index_select(0, drawn.face) * t + drawn.moment
    low, rows = drawn.rows(height, width)
    labels = ((picture * height + low.long()) << FACE_BITS) | name
    linear = [*drawn.edges(low), *drawn.plane(low), drawn.area]
    linear, labels, line = _expand(rows, linear, labels)
    line_f = line.double()
    left, right = _span(linear, line_f, width)
    count = right.sub_(left).add_(1).clamp_min_(0).long()
    at = ((labels >> FACE_BITS) + line) * width + left.long()
    plane = linear[9].addcmul_(linear[10], line_f).addcmul_(linear[11], left)
    (plane, along_x, area, at_f), labels, step = _expand(count, [plane, linear[11], linear[12], at.double()], labels)
    near = plane.add_(along_x.mul_(step)).div_(area).floor_().long()
    keys.view(-1).scatter_reduce_(0, at_f.long() + step, (near << FACE_BITS) | faces_of(labels), "amax")


class _Drawn:
    """Faces turned to the camera: corners x, y, z (each three tensors [k]), area [k]; which face and moment [k]."""

    def __init__(
        self, x: list[Tensor], y: list[Tensor], z: list[Tensor], area: Tensor, face: Tensor, moment: Tensor
    ) -> None:
        self.x, self.y, self.z, self.area, self.face, self.moment = x, y, z, area, face, moment

    @classmethod
    def gather(cls, x: Tensor, y: Tensor, nearness: Tensor, faces: Tensor) -> "_Drawn":
        t, v = x.shape
        f = faces.shape[1]
        # Flat indices: torch selects along a flat axis several times faster than along the last of two.
        at = (faces[:, None, :] + (torch.arange(t, device=x.device) * v)[:, None]).view(3, t * f)
        cx, cy = ([a.reshape(-1).index_select(0, at[k]) for k in range(3)] for a in (x, y))
        area = (cx[1] - cx[0]) * (cy[2] - cy[0]) - (cy[1] - cy[0]) * (cx[2] - cx[0])
        kept = torch.nonzero(area > 0).squeeze(1)
        moment = torch.div(kept, f, rounding_mode="floor")
        cz = [nearness.reshape(-1).index_select(0, at[k].index_select(0, kept)) for k in range(3)]
        cx, cy = ([a.index_select(0, kept) for a in c] for c in (cx, cy))
        return cls(cx, cy, cz, area.index_select(0, kept), kept - moment * f, moment)

    def rows(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The first row of samples that a face may lie on, float64, and on how many it may, int64."""
        low, high = _between(self.y, height)
        left, right = _between(self.x, width)
        # A face between two columns is common (tiny faces) and covers nothing.
        return low, (high - low + 1).clamp_min_(0).masked_fill_(right < left, 0).long()

    def edges(self, low: Tensor) -> list[Tensor]:
        """For each edge: its function at column 0 of row `low`, its growth by row, its loss by column.

        An edge's function is the weight of the opposite corner; 1/2 is added and, where samples on the edge belong to
        the neighbour (the top-left rule), 1 taken off: a sample is inside where all three are positive; none is ever 0.
        """
        found = []
        for a, b in ((1, 2), (2, 0), (0, 1)):
            dx, dy = self.x[b] - self.x[a], self.y[b] - self.y[a]
            foreign = (dy > 0) | ((dy == 0) & (dx < 0))
            value = dx * (low * SUBPIXEL + SUBPIXEL / 2 - self.y[a]) - dy * (SUBPIXEL / 2 - self.x[a])
            found += [value.add_(0.5).sub_(foreign.double()), dx.mul_(SUBPIXEL), dy.mul_(SUBPIXEL)]
        return found

    def plane(self, low: Tensor) -> list[Tensor]:
        """Nearness times area at column 0 of row `low`, its growth by row and by column."""
        (ax, bx, cx), (ay, by, cy), (az, bz, cz) = self.x, self.y, self.z
        over_x, over_y = (bx - ax) * (cz - az) - (cx - ax) * (bz - az), (by - ay) * (cz - az) - (cy - ay) * (bz - az)
        # The plane through the corners: az * area + (y - ay) * over_x - (x - ax) * over_y.
        value = az * self.area + (low * SUBPIXEL + SUBPIXEL / 2 - ay) * over_x - (SUBPIXEL / 2 - ax) * over_y
        return [value, over_x.mul_(SUBPIXEL), over_y.mul_(-SUBPIXEL)]


def _between(corners: list[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The first and last of `count` lines of samples between three corners, float64."""
    low = torch.minimum(torch.minimum(corners[0], corners[1]), corners[2])
    high = torch.maximum(torch.maximum(corners[0], corners[1]), corners[2])
    return (
        low.div_(SUBPIXEL).sub_(0.5).ceil_().clamp_min_(0),
        high.div_(SUBPIXEL).sub_(0.5).floor_().clamp_max_(count - 1),
    )


def _span(linear: list[Tensor], line: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The first and last column that a face covers on a line, inclusive; last < first where it covers none."""
    left, right = torch.zeros_like(line), torch.full_like(line, width - 1)
    for k in range(0, 9, 3):
        value, along_y, falling = linear[k : k + 3]
        # A level edge has falling = +0: it bounds nothing (+inf) or leaves nothing (-inf), never 0/0.
        bound = torch.addcmul(value, along_y, line).div_(falling)
        lower = falling < 0
        left = torch.maximum(left, bound.ceil().masked_fill_(~lower, 0))
        right = torch.minimum(right, bound.floor_().masked_fill_(lower, width))
    return left, right


def _expand(count: Tensor, values: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Repeats each entry of all columns `count` times; also says which repetition each is, from 0."""
    end = count.cumsum(0)
    total = int(end[-1]) if len(count) else 0
    row = torch.repeat_interleave(count, output_size=total)
    step = torch.arange(total, device=count.device) - (end - count).index_select(0, row)
    return [value.index_select(0, row) for value in values], labels.index_select(0, row), step
