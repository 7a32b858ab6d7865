"""Empty rooms as cameras see them, cast once and kept on the devices that film in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mv2mae.synthetic.render.light import LightPoints, light_points
from mv2mae.synthetic.render.rasterizer import background_keys
from mv2mae.synthetic.world.backdrop import cast
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.rooms import Room

SUPERSAMPLE = 2
MARGIN = 8  # samples round the frame that camera shake may bring into it
_SPACING = 4  # samples per point at which shadows are looked up: they are soft


class Stage:
    """A room seen by one camera, kept ready for any number of performances.

    Of the n x n samples of the empty room (`SUPERSAMPLE` per pixel and side, `MARGIN` more on every side): colour
    [n, n, 3] uint8 and depth [n, n] float64 in metres along the optical axis.
    """

    def __init__(self, room: Room, camera: Camera, size: int) -> None:
        self.room, self.camera, self.size = room, camera, size
        colour, depth = cast(room, camera, size, SUPERSAMPLE, MARGIN)
        self.colour, self.depth = colour.astype(np.uint8), depth
        self._plates: dict[str, Plates] = {}
        self._centres: dict[str, Tensor] = {}

    def on(self, device: torch.device) -> "Plates":
        """What filming needs of the room, on a device; copied there once."""
        if str(device) not in self._plates:
            self._plates[str(device)] = self._develop(device)
        return self._plates[str(device)]

    def centres(self, device: torch.device) -> Tensor:
        """Keys [n, n] of the room where four samples meet: the middles of pixels lie there, however shaken."""
        if str(device) not in self._centres:
            depth = cast(self.room, self.camera, self.size, SUPERSAMPLE, MARGIN, phase=0.0)[1]
            self._centres[str(device)] = background_keys(torch.from_numpy(depth)).to(device)
        return self._centres[str(device)]

    def _develop(self, device: torch.device) -> "Plates":
        samples = torch.from_numpy(self.colour).to(torch.int16).permute(2, 0, 1)
        n = samples.shape[-1]
        sums = torch.zeros((3, n, n), dtype=torch.int16)
        rows = samples[:, :-1] + samples[:, 1:]
        sums[:, :-1, :-1] = rows[..., :-1] + rows[..., 1:]
        parities = sums.view(3, n // 2, 2, n // 2, 2).permute(2, 4, 0, 1, 3)
        points, share = self._receivers()
        receivers = light_points(self.room, points)
        return Plates(
            picture=parities.contiguous().to(device)[None],
            keys=background_keys(torch.from_numpy(self.depth)).to(device)[None],
            receivers=LightPoints(*(a.to(device)[None, None] for a in vars(receivers).values())),
            sun_share=torch.from_numpy(share).to(device)[None, None],
            stage=torch.zeros(1, dtype=torch.int64, device=device),
        )

    def _receivers(self) -> tuple[np.ndarray, np.ndarray]:
        """Points [k, 3] of the room on a coarse grid, and which part [k] of their light is direct."""
        pick = np.arange(_SPACING // 2, len(self.depth), _SPACING)
        x, y = (a.ravel() for a in np.meshgrid(pick, pick))
        depth = self.depth[y, x][:, None]
        at = [(a + 0.5 - MARGIN) / SUPERSAMPLE for a in (x, y)]
        points = self.camera.position + self.camera.rays(at[0], at[1], self.size) * depth
        grid = points.reshape(len(pick), len(pick), 3)
        normal = np.cross(np.gradient(grid, axis=0), np.gradient(grid, axis=1))
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        normal *= np.sign(((self.camera.position - grid) * normal).sum(-1, keepdims=True))
        sun = (1.02 - self.room.ambient) * np.maximum((normal * self.room.light).sum(-1), 0)
        return points, (sun / (sun + self.room.ambient)).astype(np.float32).ravel()


@dataclass(frozen=True, kw_only=True)
class Plates:
    """Empty rooms on a device, for b takes of s stages (stage says which: [b], or [b * t] where cameras move).

    picture [s, 2, 2, 3, n / 2, n / 2] int16: sums of 2 x 2 samples by the parity of the first one's row and column;
    keys [s, n, n] int64 of the rasteriser; receivers [b, 1 or t, k] and sun_share [b, 1 or t, k]: points that shadows
    may fall on.
    """

    picture: Tensor
    keys: Tensor
    receivers: LightPoints
    sun_share: Tensor
    stage: Tensor

    @classmethod
    def of(cls, stages: Sequence[Stage], device: torch.device, moments: int = 1) -> "Plates":
        """The rooms of b takes; where cameras move those of each take in so many moments, take after take."""
        if len(stages) == 1:
            return stages[0].on(device)
        distinct = list({id(stage): stage for stage in stages}.values())
        number = {id(stage): k for k, stage in enumerate(distinct)}
        single = [stage.on(device) for stage in distinct]
        which = torch.tensor([number[id(stage)] for stage in stages], device=device)
        points = single[0].sun_share.shape[-1]

        def spread(of_stages: list[Tensor]) -> Tensor:
            return torch.cat(of_stages)[which].view(-1, moments, points)

        spreads = [spread([getattr(p.receivers, name) for p in single]) for name in LightPoints.__annotations__]
        return cls(
            picture=torch.cat([p.picture for p in single]),
            keys=torch.cat([p.keys for p in single]),
            receivers=LightPoints(*spreads),
            sun_share=spread([p.sun_share for p in single]),
            stage=which,
        )

    @property
    def receiver_side(self) -> int:
        """The points of `receivers` are a square grid of so many rows."""
        return self.keys.shape[-1] // _SPACING

    def empty(self, shift: Tensor) -> Tensor:
        """The rooms without movers: sums of four samples [b * t, 3, size, size] int16; shift [b, t, 2] in samples."""
        size = (self.keys.shape[-1] - 2 * MARGIN) // SUPERSAMPLE
        x, y = (shift + MARGIN).reshape(-1, 2).unbind(1)
        windows = self.picture.unfold(4, size, 1).unfold(5, size, 1).permute(0, 1, 2, 4, 5, 3, 6, 7)
        return windows[self._take(shift), y % 2, x % 2, y // 2, x // 2]

    def behind(self, shift: Tensor, x0: int, y0: int, w: int, h: int) -> Tensor:
        """Keys [b * t, 2 h, 2 w] of the rooms in a box of pixels."""
        x, y = (shift + MARGIN).reshape(-1, 2).unbind(1)
        windows = self.keys.unfold(1, h * SUPERSAMPLE, 1).unfold(2, w * SUPERSAMPLE, 1)
        return windows[self._take(shift), y + y0 * SUPERSAMPLE, x + x0 * SUPERSAMPLE]

    def _take(self, shift: Tensor) -> Tensor:
        return _each_frame(self.stage, shift)


def _each_frame(stage: Tensor, shift: Tensor) -> Tensor:
    """Stages [b] for each of the frames [b * t] of shift [b, t, 2]; those that are known frame by frame as they are."""
    b, t = shift.shape[:2]
    return stage if len(stage) == b * t else stage.repeat_interleave(t, output_size=b * t)


def cut(pictures: Tensor, corner: Tensor, size: int, which: Tensor | None = None) -> Tensor:
    """Squares [n, c, size, size] out of pictures [m, c, h, w], by the column and row [n, 2] of their first pixel."""
    if which is None:
        which = torch.arange(len(corner), device=corner.device)
    windows = pictures.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
    return windows[which, corner[:, 1], corner[:, 0]]


def centre_keys(stages: Sequence[Stage], shift: Tensor, device: torch.device) -> Tensor:
    """Keys [b, t, size, size] of rooms at the middles of pixels; shift [b, t, 2] in samples.

    Args:
        stages: of the b takes, or, where cameras move, of each take in each moment, take after take.
    """
    b, t = shift.shape[:2]
    distinct = list({id(stage): stage for stage in stages}.values())
    number = {id(stage): k for k, stage in enumerate(distinct)}
    keys = torch.stack([stage.centres(device) for stage in distinct])[:, None]
    which = torch.tensor([number[id(stage)] for stage in stages], device=device)
    size = stages[0].size
    # Sample k's corner is k - MARGIN samples from the frame's edge, a pixel's middle 1, 3, 5 ... samples.
    corner = (shift + MARGIN + 1).reshape(-1, 2)
    all_samples = cut(keys, corner, size * SUPERSAMPLE - 1, _each_frame(which, shift))
    return all_samples[:, 0, ::SUPERSAMPLE, ::SUPERSAMPLE].contiguous().view(b, t, size, size)
