"""Ground truth beside the video: depth, parts, flow and joints, at the centres of pixels, without mixing or noise.

depth: depth [t, h, w] float32, metres along the optical axis, the room included.
parts: parts [t, h, w] uint8, indices into `mesh.PARTS`; 0 is the room.
flow: flow [t - 1, h, w, 2] float32, pixels (right, down) to where the same point is in the next frame, seen or not.
joints: of the person (the first mover) joints [t, j, 3] float32, metres in the world; joints_2d [t, j, 2] float32,
    pixels; joints_visible [t, j] bool, in the frame and not behind anything.
poses: poses [t, 3, 4] float64, the camera in each frame: `x_camera = poses @ (x, y, z, 1)`, x right, y down, z forward;
    the shake of the picture is not in it.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mv2mae.errors import InputError
from mv2mae.files import atomic_write
from mv2mae.synthetic.render.posing import Posed
from mv2mae.synthetic.render.rasterizer import depth_of, faces_of, rasterize, snap
from mv2mae.synthetic.render.sight import Sight, poses_of
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import Mover

TRUTH = ("depth", "parts", "joints", "flow", "poses")
FLESH = 0.2  # metres: a joint lies so deep in the body that what covers it by less is the body part itself
_MILLIMETRES = 1000
_STORED = {
    "depth": np.uint16,
    "parts": np.uint8,
    "flow": np.float16,
    "joints": np.float32,
    "joints_2d": np.float32,
    "joints_visible": np.bool_,
    "poses": np.float64,
}


def check_truth(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each known and given once.

    Raises:
        InputError: one is unknown, or given twice.
    """
    if isinstance(names, str) or len(set(names)) != len(names) or not set(names) <= set(TRUTH):
        raise InputError(f"truth={names!r}; give any of {', '.join(TRUTH)} as a list, each once")
    return tuple(names)


class Measurer:
    """Measures b takes on a device.

    Args:
        wanted: names out of `TRUTH`.
        scene_of: the scene of each take, of those that are posed.
        people: of each take the mover whose joints are wanted.
    """

    def __init__(
        self,
        wanted: tuple[str, ...],
        posed: Posed,
        sight: Sight,
        cameras: Sequence[Sequence[Camera]],
        people: Sequence[Mover],
        size: int,
    ) -> None:
        self.wanted, self.posed, self.sight, self.size = wanted, posed, sight, size
        self.people, self.device = people, posed.vertices.device
        known = np.moveaxis(poses_of(cameras), 0, -1).swapaxes(0, 1)
        poses = known[..., :12].reshape(*known.shape[:2], 3, 4)
        # The first two rows scaled by the focal length: x / z is then in units of the frame's side.
        poses[..., :2, :3] *= known[..., 12, None, None]
        self.poses = torch.from_numpy(poses).to(self.device)  # [b, t or 1, 3, 4]
        self.paths = cameras
        self.parts = torch.cat([posed.parts.new_zeros(1), posed.parts])

    def measure(self, keys: Tensor, piece: slice, at: slice, shift: Tensor) -> list[dict[str, Tensor]]:
        """The truth of each take in moments `at`, which are `piece` of what is posed.

        Args:
            keys: [b, t, h, w] of the rooms at the centres of pixels.
            shift: [b, t (+ 1 if a frame follows), 2] pixels that the camera has moved.
        """
        b, t = keys.shape[:2]
        x, y, depth = self.sight.project(piece, shift[:, :t], self.size)
        rasterize(keys, *snap(x, y, depth), self.sight.faces, owner=self.sight.owner, number=self.sight.number)
        seen, metres = faces_of(keys), depth_of(keys)
        found: list[dict[str, Tensor]] = [{} for _ in range(b)]
        flow = self._flow(seen, metres, piece, shift) if "flow" in self.wanted else None
        for k, truth in enumerate(found):
            if "depth" in self.wanted:
                truth["depth"] = metres[k]
            if "parts" in self.wanted:
                truth["parts"] = self.parts[seen[k]]
            if flow is not None:
                truth["flow"] = flow[k]
            if "joints" in self.wanted:
                truth |= self._joints(k, metres[k], at, piece, shift[k, :t])
            if "poses" in self.wanted:
                truth["poses"] = self._world_to_camera(k, piece, t)
        return found

    def _flow(self, seen: Tensor, metres: Tensor, piece: slice, shift: Tensor) -> Tensor:
        """[b, t or t - 1, h, w, 2]: the room moves with the camera only, a mover's point with its face."""
        steps = shift.shape[1] - 1
        flow = (shift[:, :-1] - shift[:, 1:])[:, :, None, None].expand(-1, -1, self.size, self.size, -1).contiguous()
        if self.poses.shape[1] > 1:
            self._room_flow(flow, metres[:, :steps], piece, shift)
        take, moment, row, column = torch.nonzero(seen[:, :steps], as_tuple=True)
        face = seen[take, moment, row, column] - 1
        pixel = torch.stack([column, row], -1) + 0.5
        ray = (pixel + shift[take, moment] - self.size / 2) / self.size
        ray = torch.cat([ray, torch.ones_like(ray[:, :1])], -1)
        a, b, c = (self._local(take, moment + piece.start, corner[face]) for corner in self.posed.faces)
        # The ray meets the face at the corners' mean with these weights: Cramer's rule for [a b c] w = ray.
        weights = [(ray * torch.linalg.cross(p, q)).sum(-1, keepdim=True) for p, q in ((b, c), (c, a), (a, b))]
        after = [self._local(take, moment + piece.start + 1, corner[face]) for corner in self.posed.faces]
        point = sum(w * p for w, p in zip(weights, after, strict=True))
        assert isinstance(point, Tensor)
        target = point[:, :2] / point[:, 2:] * self.size + self.size / 2 - shift[take, moment + 1]
        flow[take, moment, row, column] = target - pixel
        return flow.float()

    def _room_flow(self, flow: Tensor, metres: Tensor, piece: slice, shift: Tensor) -> None:
        """Fills in the flow [b, t, h, w, 2] of what stands still, for cameras that move."""
        steps = metres.shape[1]
        line = torch.arange(self.size, device=self.device) + 0.5
        pixel = torch.stack([line.expand(self.size, -1), line[:, None].expand(-1, self.size)], -1)
        for k in (k for k, path in enumerate(self.paths) if len(path) > 1):
            here, there = (self.poses[k, piece.start + d : piece.start + d + steps, None, None] for d in (0, 1))
            ray = (pixel + shift[k, :-1, None, None] - self.size / 2) / self.size
            local = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * metres[k, ..., None].double()
            world = (torch.linalg.inv(here[..., :3]) @ local[..., None])[..., 0] + here[..., 3]
            after = self._turned(there, world)
            target = after[..., :2] / after[..., 2:] * self.size + self.size / 2 - shift[k, 1:, None, None]
            flow[k] = target - pixel

    def _local(self, take: Tensor, moment: Tensor, vertex: Tensor) -> Tensor:
        """Vertices [n, 3] in the (scaled) space of the take's camera."""
        poses = self.poses[take, moment if self.poses.shape[1] > 1 else 0]
        return self._turned(poses, self.posed.vertices[moment, :, vertex])

    @staticmethod
    def _turned(poses: Tensor, points: Tensor) -> Tensor:
        return (poses[..., :3] * (points - poses[..., 3])[..., None, :]).sum(-1)

    def _world_to_camera(self, take: int, piece: slice, t: int) -> Tensor:
        path = self.paths[take]
        matrices = [np.column_stack([c.rotation, -c.rotation @ c.position]) for c in (path[piece] or path)]
        return torch.from_numpy(np.stack(matrices)).expand(t, -1, -1)

    def _joints(self, take: int, metres: Tensor, at: slice, piece: slice, shift: Tensor) -> dict[str, Tensor]:
        world = torch.from_numpy(np.ascontiguousarray(self.people[take].positions[at], np.float64)).to(self.device)
        poses = self.poses[take] if self.poses.shape[1] == 1 else self.poses[take, piece]
        local = self._turned(poses[:, None], world)
        pixels = local[..., :2] / local[..., 2:] * self.size + self.size / 2 - shift[:, None]
        inside = ((pixels >= 0) & (pixels < self.size)).all(-1) & (local[..., 2] > 0)
        column, row = pixels.nan_to_num(0.0).clamp(0, self.size - 1).long().unbind(-1)
        surface = metres[torch.arange(len(metres), device=self.device)[:, None], row, column]
        visible = inside & (surface > local[..., 2] - FLESH)
        return {"joints": world.float(), "joints_2d": pixels.float(), "joints_visible": visible}


def write_truth(path: str | Path, truth: Mapping[str, Tensor | np.ndarray]) -> None:
    """Writes the ground truth of a video as a compressed npz; it appears under its name only when it is whole.

    Depth is kept in millimetres (uint16, 65 m at most), flow as float16. Equal truth gives equal bytes.
    """
    path = Path(path)
    arrays: dict[str, Any] = {}
    for name, values in truth.items():
        array = values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        if name == "depth":
            array = np.clip(np.rint(array * _MILLIMETRES), 0, np.iinfo(np.uint16).max)
        arrays[name] = array.astype(_STORED[name])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_truth(path: str | Path) -> dict[str, np.ndarray]:
    """What `write_truth` wrote, in the units of the table above: depth in metres, flow as float32.

    Raises:
        InputError: the file is missing or is no ground truth.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as ground truth ({error}); make it anew with `truth` set") from None
    if not arrays or not set(arrays) <= set(_STORED):
        raise InputError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected any of {', '.join(_STORED)}")
    if "depth" in arrays:
        arrays["depth"] = arrays["depth"].astype(np.float32) / _MILLIMETRES
    if "flow" in arrays:
        arrays["flow"] = arrays["flow"].astype(np.float32)
    return arrays
