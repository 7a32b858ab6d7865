"""An endless source of pairs: synthetic performances that are drawn when they are asked for, and never twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.utils.data import Dataset

from mv2mae.config import PairConfig
from mv2mae.data.alike import Alike
from mv2mae.data.augment import Box, crop_resize, draw_box
from mv2mae.data.pairing import within
from mv2mae.data.sampling import ItemKey, fingerprint_of
from mv2mae.data.stopwatch import timed
from mv2mae.data.views import Pair, make_pair, reading_size, seen_cameras
from mv2mae.errors import InputError
from mv2mae.synthetic.data_set import Group, SyntheticSet
from mv2mae.synthetic.generate import cast_group, make_take, plan_setup
from mv2mae.synthetic.render.film import film
from mv2mae.synthetic.render.stage import Stage
from mv2mae.synthetic.world.cameras import Camera
from mv2mae.synthetic.world.mesh import Mover

STREAM = "synthetic-stream"
"""The manifest's name that stands for this source."""

_RATE = 30.0
"""Frames a second at which `frame_stride` counts where `data.fps` says nothing."""
_HELD_OUT = 64
_TRAIN, _LOOK = 0, 1  # what a draw is for


@dataclass(frozen=True, kw_only=True)
class Script:
    """A pair before it is drawn.

    group: who does what, in which room. views: of the target, then of the sources. boxes: how each is cropped.
    index, seed: of the pair. alike: what is done to all clips. movers: what moves, once it has been worked out.
    """

    group: Group
    views: tuple[int, ...]
    boxes: tuple[Box, ...]
    index: int
    seed: int
    alike: Alike
    movers: tuple[Mover, ...] = ()


class Rooms:
    """The rooms of setups, and those of their views that were asked for; the ones longest unused are forgotten."""

    def __init__(self, config: SyntheticSet, count: int) -> None:
        self.config, self.count = config, count
        self.plan = lru_cache(count)(partial(plan_setup, config))
        """Cameras and room of a setup."""
        self.stage = lru_cache(count * len(config.views))(self._stage)
        """What one camera of a setup sees of the empty room."""

    def camera(self, setup: int, view: int) -> Camera:
        """One of a setup's cameras."""
        return next(camera for camera in self.plan(setup)[0] if camera.view == view)

    def _stage(self, setup: int, view: int) -> Stage:
        return Stage(self.plan(setup)[1], self.camera(setup, view), self.config.size)

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes make their own."""
        return Rooms, (self.config, self.count)


class PairStream(Dataset[Pair]):
    """Pairs of freshly drawn views, as `PairDataset` gives them from videos.

    Pair number k = epoch x length + index is a function of (seed, k) alone: the room, the person, the action, its
    style, the views. `num_rooms` rooms are in use at a time; each serves `pairs_per_room` pairs and then gives way to
    a new one, one after the other, so that a batch shows many rooms and few of them have to be made.

    Args:
        config: clips, and in `stream` what is shown.
        num_frames: frames in a clip.
        size: height and width of a clip in pixels.
        seed: of all draws.
        held_out: other pairs than those of training, in other rooms.
        cameras: whether pairs tell their cameras.

    Raises:
        InputError: the stream's settings cannot work.
    """

    shuffled, strata = False, None

    def __init__(
        self,
        config: PairConfig,
        *,
        num_frames: int,
        size: int,
        seed: int,
        held_out: bool = False,
        cameras: bool = False,
    ) -> None:
        stream, self.with_cameras = config.stream, cameras
        if cameras and stream.camera_motion != "none":
            raise InputError(
                f"stream.camera_motion={stream.camera_motion}: cameras of moving views are not told to the model; set "
                "model.cameras to none"
            )
        self.config, self.size, self.seed = config, size, seed
        self.purpose = _LOOK if held_out else _TRAIN
        self.length = _HELD_OUT if held_out else stream.pairs_per_epoch
        drawn = reading_size(config, size)
        chosen = {name: getattr(stream, name) for name in ("actions", "subjects") if getattr(stream, name)}
        self.synth = SyntheticSet(
            **chosen,
            **stream.rig(),
            difficulty=stream.difficulty,
            motions=stream.motions,
            num_frames=num_frames,
            fps=(config.fps or _RATE) / config.frame_stride,
            size=drawn + drawn % 2,
            seed=int(np.random.default_rng((seed, self.purpose)).integers(2**62)),
        )
        self.num_views = len(self.synth.views)
        if self.num_views < config.num_sources + 1:
            raise InputError(
                f"stream.cameras={stream.cameras} has {self.num_views} views; {config.num_sources} source(s) need more"
            )
        settings = {"num_frames": num_frames, "size": size, "seed": seed, "data": asdict(config)}
        self.fingerprint = fingerprint_of([json.dumps(settings, sort_keys=True)])
        self.rooms = Rooms(self.synth, 2 * stream.num_rooms)

    def __len__(self) -> int:
        return self.length

    @property
    def groups(self) -> list[str]:
        """The performance of each item of the first epoch."""
        return [self.script((0, index)).group.name for index in range(len(self))]

    @property
    def setups(self) -> list[str]:
        """The room of each item of the first epoch."""
        return [str(self.script((0, index)).group.setup) for index in range(len(self))]

    def script(self, key: ItemKey | int) -> Script:
        """What the pair of a key (epoch, index) shows; an index alone means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        number = epoch * self.length + index
        rng = np.random.default_rng((self.seed, self.purpose, number))
        action = str(rng.choice(self.synth.actions))
        group = Group(
            setup=self._room(number),
            subject=int(rng.choice(self.synth.subjects)),
            repetition=number + 1,
            action=action,
            captured_id=self.synth.captured.get(action),
        )
        views = self._views(rng, number, group.setup)
        side = self.synth.size
        boxes = tuple(draw_box(self.config.crop, side, side, rng, min_crop=self.config.min_crop) for _ in views)
        seed = int(rng.integers(2**60))
        alike = Alike.draw(self.seed, self.purpose, number) if self.config.augment_alike else Alike()
        return Script(group=group, views=views, boxes=boxes, index=index, seed=seed, alike=alike)

    def _views(self, rng: np.random.Generator, number: int, setup: int) -> tuple[int, ...]:
        """The target's view, then those of its sources."""
        count, length = self.config.num_sources, self.config.angle_curriculum * self.length
        if number >= length:
            return tuple(int(v) for v in rng.choice(self.synth.views, count + 1, replace=False))
        axes = np.stack([self.rooms.camera(setup, view).rotation[2] for view in self.synth.views])
        angles = np.degrees(np.arccos(np.clip(axes @ axes.T, -1, 1)))
        target = int(rng.integers(len(axes)))
        others = np.flatnonzero(np.arange(len(axes)) != target)
        near = others[within(angles[target, others], float(angles.max()) * number / length, count)]
        return tuple(int(self.synth.views[k]) for k in (target, *rng.choice(near, count, replace=False)))

    def _room(self, number: int) -> int:
        """The setup of a pair: rooms retire one at a time, spread evenly over the stretch that a room lasts."""
        rooms, pairs = self.config.stream.num_rooms, self.config.stream.pairs_per_room
        place, turn = number % rooms, number // rooms
        return 1 + place + rooms * ((turn + place * pairs // rooms) // pairs)

    def __getitem__(self, key: ItemKey | int) -> Pair:
        """The pair of a key."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[ItemKey | int]) -> list[Pair]:
        """The pairs of a batch, drawn together."""
        return self.draw(self.animate(keys), torch.device("cpu"))

    @timed("animate")
    def animate(self, keys: Sequence[ItemKey | int]) -> list[Script]:
        """The pairs of a batch up to what needs pixels: work for the loader's processes."""
        scripts = [self.script(key) for key in keys]
        return [
            replace(script, movers=cast_group(self.synth, script.group, *self.rooms.plan(script.group.setup)))
            for script in scripts
        ]

    @timed("render")
    def draw(self, scripts: Sequence[Script], device: torch.device) -> list[Pair]:
        """The pairs of animated scripts, drawn on a device and left there."""
        takes = [
            make_take(self.synth, script.group, self.rooms.stage(script.group.setup, view), script.movers)
            for script in scripts
            for view in script.views
        ]
        videos = iter(film(takes, device=device))
        pairs: list[Pair] = []
        for script in scripts:
            clips = self._cut(script, [next(videos).frames for _ in script.views])
            cameras = self._cameras(script) if self.with_cameras else None
            pairs.append(make_pair(clips, script.index, script.seed, cameras))
        return pairs

    @timed("crop, augment")
    def _cut(self, script: Script, frames: Sequence[Tensor]) -> list[Tensor]:
        cut = [crop_resize(view, box, self.size) for view, box in zip(frames, script.boxes, strict=True)]
        return [script.alike.clip(clip) for clip in cut]

    def _cameras(self, script: Script) -> Float32[Tensor, "v1 16"]:
        side, setup = self.synth.size, script.group.setup
        whole = [self.rooms.camera(setup, view).pinhole().vector() for view in script.views]
        return seen_cameras(whole, [(box, side, side) for box in script.boxes], script.alike)


class ScriptedPairs(Dataset[Script]):
    """The same items before they are drawn, for a training that draws them on its own device."""

    def __init__(self, stream: PairStream) -> None:
        self.stream, self.shuffled, self.fingerprint = stream, stream.shuffled, stream.fingerprint
        self.strata = stream.strata

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, key: ItemKey | int) -> Script:
        """The script of a key."""
        return self.stream.animate([key])[0]
