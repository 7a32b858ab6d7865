"""Draws a moving person into a room, as one camera sees it."""

from collections.abc import Sequence

import numpy as np
import torch

from mv2mae.data.synthetic.backdrop import cast
from mv2mae.data.synthetic.cameras import Camera
from mv2mae.data.synthetic.difficulty import Disturbance
from mv2mae.data.synthetic.mesh import Mover
from mv2mae.data.synthetic.render import DEPTH_SCALE, SUBPIXEL, rasterize
from mv2mae.data.synthetic.rooms import Room

SUPERSAMPLE = 2
_MARGIN = 8  # samples around the frame that camera shake may bring into it
_BATCH = 8  # frames rasterised together: more do not fit the processor's cache
_SHADOW_GRID = 2  # the shadow is soft: half the frame's resolution is enough


class Stage:
    """A room seen by one camera, kept ready for any number of performances."""

    def __init__(self, room: Room, camera: Camera, size: int) -> None:
        self.room, self.camera, self.size = room, camera, size
        colour, depth = cast(room, camera, size, SUPERSAMPLE, _MARGIN)
        self.colour = colour.astype(np.uint8)
        self.depth = torch.from_numpy(np.rint(DEPTH_SCALE / depth).astype(np.int64))
        # The background at frame resolution, for each shift that shake has asked for.
        self.frames: dict[tuple[int, int], np.ndarray] = {}
        self.floor = self._find_floor(depth)

    def _find_floor(self, depth: np.ndarray) -> np.ndarray:
        """Where the floor is seen, [size, size] 0 or 1: walls and furniture take no shadow of the person."""
        line = np.arange(self.size) + 0.5
        x, y = (a.ravel() for a in np.meshgrid(line, line))
        middle = self._window(depth, 0, 0)[::SUPERSAMPLE, ::SUPERSAMPLE].reshape(-1, 1)
        height = (self.camera.position + self.camera.rays(x, y, self.size) * middle)[:, 2]
        return (height < 0.03).astype(np.float32).reshape(self.size, self.size)

    def _window(self, samples: np.ndarray, dx: int, dy: int) -> np.ndarray:
        n = self.size * SUPERSAMPLE
        return samples[_MARGIN + dy : _MARGIN + dy + n, _MARGIN + dx : _MARGIN + dx + n]

    def empty(self, dx: int, dy: int) -> np.ndarray:
        """The room [size, size, 3] uint16 sums over each pixel's samples, the camera shaken by (dx, dy) samples."""
        if (dx, dy) not in self.frames:
            self.frames[dx, dy] = _shrink(self._window(self.colour, dx, dy))
        return self.frames[dx, dy]

    def film(self, movers: Sequence[Mover], disturbance: Disturbance, rng: np.random.Generator) -> np.ndarray:
        """The video of a person and other moving things.

        Args:
            movers: what moves, each over the same t frames.
            rng: for shake, flicker and noise.

        Returns:
            [t, size, size, 3] uint8.
        """
        moving = _Moving(movers)
        vertices = moving.vertices
        t = len(vertices)
        shift = _shake(rng, t, disturbance.shake)
        colours = self._lit(moving)
        xy, depth = self.camera.project(vertices, self.size * SUPERSAMPLE)
        xy = xy - shift[:, None]
        shadows = self._shadows(moving, shift)
        gain = 1 + disturbance.flicker * _drift(rng, t)
        noise = rng.standard_normal((self.size * 2, self.size * 2, 3), dtype=np.float32) * disturbance.noise
        corners = rng.integers(0, self.size + 1, (t, 2))
        out = np.empty((t, self.size, self.size, 3), np.uint8)
        for start in range(0, t, _BATCH):
            part = slice(start, min(start + _BATCH, t))
            people = self._people(moving.faces, xy[part], depth[part], colours[part], shift[part])
            for k, (box, pixels, cover) in enumerate(people):
                i = start + k
                frame = self.empty(*shift[i]) * (0.25 * (1 - 0.5 * shadows[i]))[..., None].astype(np.float32)
                frame[box] += pixels - cover[..., None] * frame[box]
                y, x = corners[i]
                frame = frame * np.float32(gain[i]) + noise[y : y + self.size, x : x + self.size]
                out[i] = np.clip(frame + 0.5, 0, 255).astype(np.uint8)
        return out

    def _lit(self, moving: "_Moving") -> np.ndarray:
        """Colours [t, f, 3] of the faces: ambient, sky, and Lambert's cosine."""
        # Written out by coordinate: numpy.cross is slow, and a matrix product may round differently elsewhere.
        v = np.ascontiguousarray(moving.vertices.transpose(2, 0, 1), dtype=np.float32)
        first = v[:, :, moving.faces[:, 0]]
        ax, ay, az = v[:, :, moving.faces[:, 1]] - first
        bx, by, bz = v[:, :, moving.faces[:, 2]] - first
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        inverse = 1 / np.sqrt(np.maximum(nx * nx + ny * ny + nz * nz, 1e-18))
        lx, ly, lz = self.room.light.astype(np.float32)
        ambient = np.float32(self.room.ambient)
        sun = np.maximum((nx * lx + ny * ly + nz * lz) * inverse, 0) * (np.float32(1.2) - ambient)
        sky = ambient * (np.float32(0.88) + np.float32(0.12) * nz * inverse)
        light = sky[..., None] + sun[..., None] * self.room.light_colour.astype(np.float32)
        return np.clip(moving.colours.astype(np.float32) * light, 0, 255).astype(np.uint8)

    def _people(
        self, faces: np.ndarray, xy: np.ndarray, depth: np.ndarray, colours: np.ndarray, shift: np.ndarray
    ) -> list[tuple[tuple[slice, slice], np.ndarray, np.ndarray]]:
        """For each frame: the pixels' box, the person's colour there (premultiplied, [h, w, 3]) and coverage
        [h, w].
        """
        n = self.size
        low = np.clip(np.floor(xy.min((0, 1)) / SUPERSAMPLE).astype(int), 0, n - 1)
        high = np.clip(np.ceil(xy.max((0, 1)) / SUPERSAMPLE).astype(int), low + 1, n)
        snapped = torch.from_numpy(np.rint((xy - low * SUPERSAMPLE) * SUBPIXEL).astype(np.int64))
        inverse = torch.from_numpy(np.rint(DEPTH_SCALE / np.maximum(depth, 0.1)).astype(np.int64))
        w, h = ((high - low) * SUPERSAMPLE).tolist()
        x0, y0 = (low * SUPERSAMPLE + _MARGIN).tolist()
        behind = torch.stack([self.depth[y0 + dy : y0 + dy + h, x0 + dx : x0 + dx + w] for dx, dy in shift.tolist()])
        flipped = torch.from_numpy(faces[:, [0, 2, 1]])  # the screen's y runs down
        seen = rasterize(snapped, inverse, flipped, h, w, behind).numpy()
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        out = []
        for ids, table in zip(seen, colours, strict=True):
            padded = np.concatenate([table, np.zeros((1, 3), np.uint8)])
            out.append(
                (box, _shrink(padded[ids]) * np.float32(0.25), _shrink((ids >= 0).astype(np.uint8)) * np.float32(0.25))
            )
        return out

    def _shadows(self, moving: "_Moving", shift: np.ndarray) -> np.ndarray:
        """How much of the sun the person takes from the floor, [t, size, size] in 0 to 1: vertices cast along
        the light, blurred.
        """
        vertices = moving.vertices
        t, n = len(vertices), -(-self.size // _SHADOW_GRID)
        along = vertices[..., 2:] / self.room.light[2] * self.room.light
        xy, _ = self.camera.project(vertices - along, self.size)
        cell = np.floor((xy - shift[:, None] / SUPERSAMPLE) / _SHADOW_GRID).astype(np.int64)
        inside = ((cell >= 0) & (cell < n)).all(-1)
        flat = (np.arange(t)[:, None] * n + cell[..., 1]) * n + cell[..., 0]
        count = np.bincount(
            flat[inside], weights=np.broadcast_to(moving.areas, flat.shape)[inside], minlength=t * n * n
        ).reshape(t, n, n)
        # Skin area per cell against a cell's own area at the subject's distance: how well the cell is covered.
        cell_side = np.linalg.norm(self.camera.position) / (self.camera.focal * self.size) * _SHADOW_GRID
        soft: np.ndarray = np.minimum(count / cell_side**2, 1).astype(np.float32)
        for axis in (1, 2):
            for _ in range(2):
                padded = np.pad(soft, [(1, 1) if a == axis else (0, 0) for a in range(3)])
                first, second, third = (np.take(padded, range(k, k + n), axis) for k in range(3))
                soft = (first + second + third) / np.float32(3)
        soft = np.repeat(np.repeat(soft, _SHADOW_GRID, 1), _SHADOW_GRID, 2)[:, : self.size, : self.size]
        return soft * self.floor


class _Moving:
    """All movers as one mesh: vertices [t, v, 3], faces [f, 3], colours [f, 3], areas [v]."""

    def __init__(self, movers: Sequence[Mover]) -> None:
        models = [mover.model for mover in movers]
        first = np.cumsum([0] + [len(model.vertices) for model in models])
        self.vertices = np.concatenate([mover.vertices() for mover in movers], axis=1)
        self.faces = np.concatenate([model.faces + k for model, k in zip(models, first[:-1], strict=True)])
        self.colours = np.concatenate([model.colours for model in models])
        self.areas = np.concatenate([model.areas for model in models])


def _shrink(samples: np.ndarray) -> np.ndarray:
    """Sums of the 2 x 2 samples of each pixel, uint16."""
    rows = samples[0::2].astype(np.uint16) + samples[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _drift(rng: np.random.Generator, t: int) -> np.ndarray:
    """[t] a smooth random walk about 0 of about unit size."""
    steps = rng.standard_normal(t + 8)
    return np.convolve(steps, np.hanning(9)[:9] / 2, "valid")[:t]


def _shake(rng: np.random.Generator, t: int, pixels: float) -> np.ndarray:
    """[t, 2] shifts of the picture in whole samples."""
    walk = np.stack([_drift(rng, t), _drift(rng, t)], 1)
    smoothed = np.stack([np.convolve(np.pad(w, 6, "edge"), np.ones(13) / 13, "valid") for w in walk.T], 1)
    return np.clip(np.rint(smoothed * pixels * SUPERSAMPLE), -_MARGIN, _MARGIN).astype(np.int64)
