"""Pairs of views for pre-training: one item is a target video and random other views of its group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from mv2mae.config import PairConfig, TrainingVideosConfig
from mv2mae.data.alike import Alike
from mv2mae.data.augment import Box, crop_resize, draw_box
from mv2mae.data.cameras import Cameras, Vector, crop_camera
from mv2mae.data.manifest import check_synchronised, parts_of, rates_of
from mv2mae.data.pairing import pair_views, source_angles, within
from mv2mae.data.sampling import ItemKey, fingerprint_of
from mv2mae.data.stopwatch import timed
from mv2mae.data.video import VideoInfo
from mv2mae.data.videos import Videos, readable_item
from mv2mae.data.windows import ClipSpec, shared_clock, video_span
from mv2mae.errors import InputError

Cut = tuple[Box, int, int]
"""A crop, and the height and width of the picture that it was cut from."""


class Pair(TypedDict):
    """One item of pre-training."""

    target: UInt8[Tensor, "3 t h w"]
    sources: UInt8[Tensor, "v 3 t h w"]
    index: int
    """Of the item in its data set."""
    source_index: NotRequired[list[int]]
    """Rows of the source videos in `PairDataset.frame`."""
    seed: int
    """From which the masks of this item follow."""
    cameras: NotRequired[Float32[Tensor, "v1 16"]]
    """Of target and sources as they are cropped (`cameras.Pinhole`), where they are asked for; NaN = not known."""


class PairBatch(TypedDict):
    """What `collate_pairs` makes of them."""

    target: UInt8[Tensor, "b 3 t h w"]
    sources: UInt8[Tensor, "b v 3 t h w"]
    index: Tensor
    seed: Tensor
    cameras: NotRequired[Float32[Tensor, "b v1 16"]]


FramesT = TypeVar("FramesT", bound=Any)
"""Frames [t, h, w, 3], or what stands for them and can be sliced as they can."""


@dataclass(frozen=True, kw_only=True)
class DrawnPair(Generic[FramesT]):
    """All that was drawn of a pair: rows of its videos, the target's first, their frames, how each is cut, and the
    rest.
    """

    rows: Sequence[int]
    index: int
    frames: Sequence[FramesT]
    cuts: Sequence[Cut]
    seed: int
    alike: Alike


class PairDataset(Dataset[Pair]):
    """Every video as target once an epoch, with `num_sources` random other views of its group as sources.

    The configuration may leave fewer views to choose from (`pairing`), and may augment all views of a pair alike.

    Target and sources show the same moments (`windows`), unless `synchronised` is off; each is cropped on its own, and
    a crop stays where it is over its clip (Section 3.2; Table 15). Every draw follows from (seed, epoch, index).

    With `num_repeats` a batch holds so many pairs of each of its items, one after the other: the same views,
    decoded once, at moments and in crops that follow from (seed, epoch, index, repeat). (Repeated sampling, as in
    MAE for video; Feichtenhofer et al. 2022.)

    Args:
        frame: rows of a manifest.
        config: how clips are drawn.
        num_frames: frames in a clip.
        size: height and width of a clip in pixels.
        seed: of all draws.
        videos: where frames come from.
        cameras: what is known of the cameras, if pairs shall say so.

    Attributes:
        frame: the rows in use.
        groups, setups: performance and setup of each item; setup "" = not known.
        num_groups, num_views, skipped_groups: counts; a group with too few views for a pair is skipped.

    Raises:
        InputError: no group has enough views, they are not synchronised, or some of their cameras are not known.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        config: PairConfig,
        *,
        num_frames: int,
        size: int,
        seed: int,
        videos: Videos,
        cameras: Cameras | None = None,
    ) -> None:
        self.config, self.seed, self.videos = config, seed, videos
        self.clip = ClipSpec.of(config, num_frames, size)
        if config.synchronised:
            check_synchronised(frame)
        pairing = pair_views(frame, config)
        self.frame, self.targets, self.others = pairing.frame, pairing.targets, pairing.sources
        self.num_groups, self.skipped_groups = self.frame["group"].nunique(), pairing.skipped_groups
        self.num_views = self.frame["view"].nunique()
        self.paths: list[str] = self.frame["path"].tolist()
        self.groups: list[str] = self.frame["group"].iloc[self.targets].tolist()
        self.setups = ["" if pd.isna(s) else str(s) for s in self.frame["setup"].iloc[self.targets]]
        self.target_paths = [self.paths[row] for row in self.targets]
        self.cameras = None if cameras is None else cameras.vectors(self.frame)
        self.angles = source_angles(pairing, config, self.cameras) if config.angle_curriculum else []
        self.widest = max((float(angles.max()) for angles in self.angles), default=0.0)
        self.shuffled, self.fingerprint = True, fingerprint_of(self.target_paths)
        self.strata = strata_of(self.frame.iloc[self.targets], config.batch_by)
        self.spans, self.rates = parts_of(self.frame), rates_of(self.frame)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: ItemKey | int) -> Pair:
        """The first pair of a key (epoch, index), an index alone meaning epoch 0.

        A broken video is set aside and listed, and the pair of another key takes its place (`readable_item`).

        Raises:
            InputError: this one and all that could take its place are broken.
        """
        return self._readable(key, num_repeats=1)[0]

    def __getitems__(self, keys: Sequence[ItemKey | int]) -> list[Pair]:
        """The pairs of a batch: `num_repeats` of each key."""
        return [pair for key in keys for pair in self._readable(key, self.config.num_repeats)]

    def _readable(self, key: ItemKey | int, num_repeats: int) -> list[Pair]:
        make = partial(self._pairs, num_repeats=num_repeats)
        return readable_item(make, key, self.seed, self.target_paths, self.videos.problems)

    def _pairs(self, epoch: int, index: int, num_repeats: int) -> list[Pair]:
        read = partial(self.videos.read, short_side=reading_size(self.config, self.clip.size))
        return [self._pair(drawn) for drawn in self.drawn(epoch, index, num_repeats, read)]

    def drawn(
        self, epoch: int, index: int, num_repeats: int, read: Callable[[str, np.ndarray], FramesT]
    ) -> list[DrawnPair[FramesT]]:
        """The repeats of an item before anything is cut.

        Args:
            epoch, index: of the item.
            num_repeats: how many.
            read: frames of a video at some seconds, each video once; or what stands for them.
        """
        config, rng = self.config, np.random.default_rng((self.seed, epoch, index))
        others = self._reachable(epoch, index)
        sources = [int(i) for i in rng.choice(others, config.num_sources, replace=False)]
        # the first repeat goes on with the item's generator; number 1 of the others is taken by `readable_item`
        later = [np.random.default_rng((self.seed, epoch, index, 1 + repeat)) for repeat in range(1, num_repeats)]
        draws = [rng, *later]
        rows = [self.targets[index], *sources]
        windows = [self._windows(rows, rng) for rng in draws]
        times = [np.concatenate(of_row) for of_row in zip(*windows, strict=True)]
        frames = [read(self.paths[row], t) for row, t in zip(rows, times, strict=True)]
        made = []
        for repeat, rng in enumerate(draws):
            part = slice(repeat * self.clip.num_frames, (repeat + 1) * self.clip.num_frames)
            cuts = [
                (draw_box(config.crop, height, width, rng, min_crop=config.min_crop), height, width)
                for _, height, width, _ in (view.shape for view in frames)
            ]
            made.append(
                DrawnPair(
                    rows=rows,
                    index=index,
                    frames=[view[part] for view in frames],
                    cuts=cuts,
                    seed=int(rng.integers(2**60)),
                    alike=Alike.draw(self.seed, epoch, index, repeat) if config.augment_alike else Alike(),
                )
            )
        return made

    def _reachable(self, epoch: int, index: int) -> np.ndarray:
        """The sources that an item may have in an epoch (`angle_curriculum`)."""
        others = self.others[index]
        if not self.angles:
            return others
        limit = self.widest * min(1.0, epoch / self.config.angle_curriculum)
        return others[within(self.angles[index], limit, self.config.num_sources)]

    def _pair(self, drawn: DrawnPair[Tensor]) -> Pair:
        cameras = None if self.cameras is None else self.seen_cameras(drawn)
        pair = make_pair(self._clips(drawn), drawn.index, drawn.seed, cameras)
        pair["source_index"] = list(drawn.rows[1:])
        return pair

    @timed("crop, augment")
    def _clips(self, drawn: DrawnPair[Tensor]) -> list[UInt8[Tensor, "3 t h w"]]:
        cut = zip(drawn.frames, drawn.cuts, strict=True)
        return [drawn.alike.clip(crop_resize(frames, box, self.clip.size)) for frames, (box, *_) in cut]

    def seen_cameras(self, drawn: DrawnPair[Any]) -> Float32[Tensor, "v1 16"]:
        """Of the target and its sources, as they are cropped."""
        assert self.cameras is not None
        return seen_cameras(self.cameras[list(drawn.rows)], drawn.cuts, drawn.alike)

    def window(self, rows: Sequence[int], offset: float) -> list[np.ndarray]:
        """Times of a clip's frames in each of the videos `rows`, the first being the target; seconds."""
        infos = [self.videos.info(self.paths[row]) for row in rows]
        for row, info in zip(rows, infos, strict=True):
            tell_of_rate(self.videos, self.paths[row], info, self.rates[row], self.spans[row][2])
        spans = [video_span(info, *self.spans[row]) for row, info in zip(rows, infos, strict=True)]
        spans = shared_clock(spans, [self.spans[row][0] for row in rows])
        return self.clip.times(spans, offset)

    def _windows(self, rows: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
        if self.config.synchronised:
            return self.window(rows, rng.random())
        return [self.window([row], rng.random())[0] for row in rows]


def make_pair(
    clips: Sequence[UInt8[Tensor, "3 t h w"]], index: int, seed: int, cameras: Float32[Tensor, "v1 16"] | None
) -> Pair:
    """A pair of clips that are cut, the target first."""
    pair: Pair = {"target": clips[0], "sources": torch.stack(list(clips[1:])), "index": index, "seed": seed}
    return pair if cameras is None else {**pair, "cameras": cameras}


def seen_cameras(cameras: Iterable[Vector], cuts: Iterable[Cut], alike: Alike) -> Float32[Tensor, "v1 16"]:
    """The cameras of whole pictures as those of what was cut out of them and changed alike."""
    seen = [crop_camera(camera, *cut) for camera, cut in zip(cameras, cuts, strict=True)]
    return torch.from_numpy(np.stack([alike.camera(camera) for camera in seen]))


def tell_of_rate(videos: Videos, path: str, info: VideoInfo, fps: float | None, rate: float | None) -> None:
    """Warns where a manifest's `fps` differs from the file's: it has no effect, which its editor may not expect."""
    if fps is not None and rate is None and abs(fps / info.fps - 1) > 0.01:
        videos.tell_once(
            path,
            f"the manifest's fps is {fps:g}, the file's clock gives {info.fps:g}, which is used; where the clock is "
            "wrong, give the true rate in a column `rate`",
        )


def reading_size(config: TrainingVideosConfig, size: int) -> int:
    """Short side at which training frames are read: the smallest at which no crop has to be enlarged."""
    return size if config.crop == "centre" else math.ceil(size / config.min_crop)


@timed("collate")
def collate_pairs(items: Sequence[Pair]) -> PairBatch:
    """Stacks pairs."""
    batch: PairBatch = {
        "target": torch.stack([item["target"] for item in items]),
        "sources": torch.stack([item["sources"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "seed": torch.tensor([item["seed"] for item in items]),
    }
    if "cameras" in items[0]:
        batch["cameras"] = torch.stack([item["cameras"] for item in items])
    return batch


def strata_of(rows: pd.DataFrame, column: str) -> np.ndarray | None:
    """A number for each row, equal where the column's values are; None without a column.

    Raises:
        InputError: there is no such column, or it is empty.
    """
    if not column:
        return None
    if column not in rows or rows[column].isna().any():
        full = [str(name) for name in rows if not rows[name].isna().any()]
        raise InputError(f"data.batch_by={column}: no such column, or not filled in; choose one of {', '.join(full)}")
    return np.unique(rows[column].astype(str), return_inverse=True)[1]
