"""Films moving people in rooms: many takes at once, on any device."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from mv2mae.errors import InputError
from mv2mae.synthetic.difficulty import Disturbance
from mv2mae.synthetic.render.light import COVER, MAP, Lighting, shaded
from mv2mae.synthetic.render.posing import Posed, pose
from mv2mae.synthetic.render.rasterizer import faces_of, rasterize, snap
from mv2mae.synthetic.render.sensor import Draws, noise_field
from mv2mae.synthetic.render.sight import Sight
from mv2mae.synthetic.render.stage import MARGIN, SUPERSAMPLE, Plates, Stage, centre_keys, cut
from mv2mae.synthetic.render.truth import Measurer, check_truth
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import Mover

_SHADOW = 0.85  # of the sun that a mover keeps from the room: the rest is scattered round it


@dataclass(frozen=True, kw_only=True)
class Take:
    """One camera's film of a performance: the room it sees, what moves in it (the person first), what the camera adds,
    and the seed of that. path: of a camera that moves, its pose in each frame; it then casts the room anew for each.
    """

    stage: Stage
    movers: tuple[Mover, ...]
    disturbance: Disturbance
    seed: int
    path: tuple[Camera, ...] = ()

    def at(self, moment: int) -> Stage:
        """The room as the camera sees it in a frame."""
        if not self.path:
            return self.stage
        return Stage(self.stage.room, self.path[moment], self.stage.size)

    def cameras(self, moments: slice) -> tuple[Camera, ...]:
        """The poses in these frames, or the only one."""
        return self.path[moments] or (self.stage.camera,)


@dataclass(frozen=True, kw_only=True)
class Footage:
    """frames [t, size, size, 3] uint8 on the device; truth: what was asked for, see `truth.py`."""

    frames: Tensor
    truth: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How much is drawn together: at most so many takes, and frames of all of them together. It changes no pixel."""

    takes: int
    frames: int

    @classmethod
    def of(cls, device: torch.device, size: int) -> "Batch":
        """On a CPU what stays in its cache; elsewhere enough to keep the device busy (some 5 MB a frame at 128 px)."""
        part = (128 / size) ** 2
        if device.type == "cpu":
            return cls(takes=1, frames=max(1, round(8 * part)))
        return cls(takes=max(1, round(256 * min(part, 1))), frames=max(1, round(2048 * part)))


@torch.no_grad()
def film(
    takes: Sequence[Take], *, device: str | torch.device = "cpu", truth: Sequence[str] = (), batch: Batch | None = None
) -> list[Footage]:
    """Films takes, all of the same length and frame size; rooms, cameras, people and things may differ.

    A pixel depends on its take alone, not on what is filmed with it. Movers that several takes share (the views of a
    group: the same objects) are posed and lit once.

    Raises:
        InputError: lengths or sizes differ, a take has no movers, or `truth` names something unknown.
    """
    if not takes:
        return []
    t, size = _check(takes)
    device = torch.device(device)
    batch = batch or Batch.of(device, size)
    wanted = check_truth(truth)
    shots: dict[int, Footage] = {}
    for load in _loads(takes, batch.takes):
        chosen = [takes[i] for i in load]
        frames = torch.empty((len(load), t, size, size, 3), dtype=torch.uint8, device=device)
        shooting = _Shooting(chosen, t, size, device, batch, wanted)
        measured = [shooting.shoot(frames, moments) for moments in _pieces(t, 32 * batch.frames // len(load))]
        for k, (i, found) in enumerate(zip(load, _in_sequence(measured, len(load)), strict=True)):
            shots[i] = Footage(frames=frames[k], truth=found)
    return [shots[i] for i in range(len(takes))]


def _check(takes: Sequence[Take]) -> tuple[int, int]:
    """The length and frame size of all takes."""
    for take in takes:
        if not take.movers:
            raise InputError("a take has no movers; give at least one, the person")
    lengths = sorted({len(mover.positions) for take in takes for mover in take.movers})
    lengths = sorted({*lengths, *(len(take.path) for take in takes if take.path)})
    sizes = sorted({take.stage.size for take in takes})
    if len(lengths) > 1 or len(sizes) > 1:
        raise InputError(
            f"takes of {lengths} frames and {sizes} pixels; those filmed together must be equal: film them apart"
        )
    return lengths[0], sizes[0]


def _loads(takes: Sequence[Take], count: int) -> Iterator[list[int]]:
    """Takes whose movers are posed together, by number: whole scenes, `count` takes or one scene at least."""
    scenes: dict[tuple[int, ...], list[int]] = {}
    for i, take in enumerate(takes):
        scenes.setdefault(_scene_key(take), []).append(i)
    load: list[int] = []
    for members in scenes.values():
        if load and len(load) + len(members) > count:
            yield load
            load = []
        load += members
    yield load


def _scene_key(take: Take) -> tuple[int, ...]:
    return (id(take.stage.room), *map(id, take.movers))


def _pieces(total: int, length: int) -> list[slice]:
    length = max(1, length)
    return [slice(start, min(start + length, total)) for start in range(0, total, length)]


class _Shooting:
    """Takes filmed together: what of them does not change from moment to moment."""

    def __init__(
        self, takes: list[Take], t: int, size: int, device: torch.device, batch: Batch, truth: tuple[str, ...]
    ) -> None:
        self.takes, self.t, self.size, self.device, self.batch, self.truth = takes, t, size, device, batch, truth
        keys = [_scene_key(take) for take in takes]
        distinct = list(dict.fromkeys(keys))
        self.scene_of = [distinct.index(key) for key in keys]
        first = [takes[self.scene_of.index(i)] for i in range(len(distinct))]
        self.scenes, self.rooms = [take.movers for take in first], [take.stage.room for take in first]
        seeds, added = [take.seed for take in takes], [take.disturbance for take in takes]
        self.draws = Draws.of(seeds, added, t, size, MARGIN)
        self.noisy = any(a.noise > 0 for a in added)

    def shoot(self, out: Tensor, moments: slice) -> list[dict[str, Tensor]]:
        """Fills frames of out [b, t, size, size, 3]; returns the ground truth of each take in these moments."""
        # One moment more: flow leads to the next frame.
        ahead = slice(moments.start, min(moments.stop + ("flow" in self.truth), self.t))
        posed = pose(self.scenes, ahead, self.device)
        lighting = Lighting(posed, self.rooms, max(1, self.batch.frames // len(self.scenes)))
        found: list[dict[str, Tensor]] = []
        for chosen in _pieces(len(self.takes), self.batch.takes):
            crew = _Crew(self, posed, lighting, chosen, ahead)
            measured = []
            for piece in _pieces(moments.stop - moments.start, self.batch.frames // (chosen.stop - chosen.start)):
                at = slice(moments.start + piece.start, moments.start + piece.stop)
                crew.draw(out[chosen, at], piece, at)
                if crew.measurer is not None:
                    measured.append(crew.measure(crew.measurer, piece, at))
            found += _in_sequence(measured, chosen.stop - chosen.start)
        return found


def _in_sequence(measured: Sequence[Sequence[Mapping[str, Tensor]]], count: int) -> list[dict[str, Tensor]]:
    """The truth of `count` takes, measured piece by piece, each take's pieces put together."""
    if not measured:
        return [{} for _ in range(count)]
    return [{name: torch.cat([piece[k][name] for piece in measured]) for name in measured[0][k]} for k in range(count)]


class _Crew:
    """b takes of a shooting: their cameras, rooms and noise on the device; `ahead` are the moments that are posed."""

    def __init__(self, shooting: _Shooting, posed: Posed, lighting: Lighting, chosen: slice, ahead: slice) -> None:
        self.size, self.device = shooting.size, shooting.device
        self.takes, self.lighting, self.posed = shooting.takes[chosen], lighting, posed
        scene_of, cameras = shooting.scene_of[chosen], [take.cameras(ahead) for take in self.takes]
        self.moving = any(take.path for take in self.takes)
        self._seen: tuple[slice, list[Stage]] = slice(0, 0), []
        self._plates = None if self.moving else Plates.of([take.stage for take in self.takes], self.device)
        self.shift, self.gain, self.corner = (
            a[chosen].to(self.device) for a in (shooting.draws.shift, shooting.draws.gain, shooting.draws.corner)
        )
        seed, sigma = (a[chosen].to(self.device) for a in (shooting.draws.seed, shooting.draws.sigma))
        self.noise = noise_field(seed, sigma, self.size) if shooting.noisy else None
        self.scene = torch.tensor(scene_of, device=self.device)
        self.sight = Sight(posed, scene_of, cameras, self.device)
        self.measurer: Measurer | None = None
        if shooting.truth:
            people = [take.movers[0] for take in self.takes]
            self.measurer = Measurer(shooting.truth, posed, self.sight, cameras, people, self.size)

    def draw(self, out: Tensor, piece: slice, at: slice) -> None:
        """Draws moments `at` of the takes, which are `piece` of what is posed, into out [b, t, size, size, 3]."""
        b, t = out.shape[:2]
        shift = self.shift[:, at]
        self.plates = self._plates or Plates.of(self._stages(at), self.device, moments=t)
        light = 0.25 * (1 - _SHADOW * self._shadows(piece, shift))
        frame = self.plates.empty(shift).float() * light
        (x0, y0, w, h), colour, cover = self._movers(piece, shift)
        window = frame[:, :, y0 : y0 + h, x0 : x0 + w]
        window.mul_(1 - 0.25 * cover).add_(colour, alpha=0.25)
        frame.mul_(self.gain[:, at].reshape(b * t, 3, 1, 1))
        if self.noise is not None:
            frame.add_(self._noise(self.corner[:, at]))
        frame = frame.add_(0.5).clamp_(0, 255).to(torch.uint8)
        out.copy_(frame.view(b, t, 3, self.size, self.size).permute(0, 1, 3, 4, 2))

    def measure(self, measurer: Measurer, piece: slice, at: slice) -> list[dict[str, Tensor]]:
        """The ground truth of each take at the moments that `draw` draws."""
        shift = self.shift[:, at.start : at.stop + 1]
        keys = centre_keys(self._stages(at), self.shift[:, at], self.device)
        return measurer.measure(keys, piece, at, shift.double() / SUPERSAMPLE)

    def _stages(self, at: slice) -> list[Stage]:
        """The room of each take, or, if any camera moves, that of each take in each moment, take after take."""
        if not self.moving:
            return [take.stage for take in self.takes]
        if self._seen[0] != at:
            self._seen = at, [take.at(k) for take in self.takes for k in range(at.start, at.stop)]
        return self._seen[1]

    def _movers(self, piece: slice, shift: Tensor) -> tuple[tuple[int, int, int, int], Tensor, Tensor]:
        """The box of pixels (x, y, width, height) that holds the movers; in it the sums of the samples' colours
        [n, 3, h, w] and how many of the four samples they cover [n, 1, h, w].
        """
        b, t = shift.shape[:2]
        scale = self.size * SUPERSAMPLE
        x, y, depth = self.sight.project(piece, shift.double(), scale)
        x0, y0, w, h = self._box(x, y)
        x, y, nearness = snap(x - x0 * SUPERSAMPLE, y - y0 * SUPERSAMPLE, depth)
        keys = self.plates.behind(shift, x0, y0, w, h).view(b, t, h * SUPERSAMPLE, w * SUPERSAMPLE)
        rasterize(keys, x, y, nearness, self.sight.faces, owner=self.sight.owner, number=self.sight.number)
        table = self.lighting.colours[piece]
        first = torch.arange(t, device=self.device)[:, None, None] * table.shape[1]
        packed = table.reshape(-1).index_select(0, (faces_of(keys) + first).view(-1))
        packed = packed.view(b * t, h, SUPERSAMPLE, w, SUPERSAMPLE)
        rows = packed[:, :, 0] + packed[:, :, 1]
        packed = rows[..., 0] + rows[..., 1]
        colour = torch.stack([(packed >> bit) & 0xFFF for bit in (0, 12, 24)], 1)
        return (x0, y0, w, h), colour.float(), (packed >> COVER).float()[:, None]

    def _box(self, x: Tensor, y: Tensor) -> tuple[int, int, int, int]:
        """For a single take the pixels that hold the movers; many takes share no useful box."""
        if len(self.takes) > 1:
            return 0, 0, self.size, self.size
        ends = torch.stack([x.amin(), y.amin(), x.amax(), y.amax()]) / SUPERSAMPLE
        # A vertex behind the camera projects anywhere: the whole frame is then searched.
        x0, y0, x1, y1 = ends.nan_to_num(0.0).clamp(-1, self.size + 1).tolist()
        left, top = min(max(int(x0), 0), self.size - 1), min(max(int(y0), 0), self.size - 1)
        return left, top, max(min(int(x1) + 1, self.size) - left, 1), max(min(int(y1) + 1, self.size) - top, 1)

    def _shadows(self, piece: slice, shift: Tensor) -> Tensor:
        """How much of its light each pixel of the room loses to the movers, [n, 1, size, size] in 0 to 1."""
        b, t = shift.shape[:2]
        at, share, side = self.plates.receivers, self.plates.sun_share, self.plates.receiver_side
        moment = torch.arange(piece.start, piece.stop, device=self.device)
        first = (self.scene[:, None] * self.lighting.num_frames + moment)[..., None] * (MAP * MAP)
        dark = (shaded(self.lighting.maps, first, at) * share).view(b * t, 1, side, side)
        dark = functional.avg_pool2d(dark, 3, stride=1, padding=1)
        dark = functional.interpolate(dark, scale_factor=2, mode="bilinear", align_corners=False)
        corner = (shift.reshape(b * t, 2) + MARGIN) // SUPERSAMPLE
        return cut(dark, corner, self.size)

    def _noise(self, corner: Tensor) -> Tensor:
        b, t = corner.shape[:2]
        assert self.noise is not None
        take = torch.arange(b, device=self.device).repeat_interleave(t, output_size=b * t)
        return cut(self.noise, corner.reshape(b * t, 2), self.size, take)
