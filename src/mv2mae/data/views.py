"""Pairs of views for pre-training: one item is a target video and random other views of its group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from mv2mae.config import DataConfig
from mv2mae.data.augment import crop_resize, draw_box
from mv2mae.data.sampling import ItemKey
from mv2mae.data.videos import Videos, readable_item
from mv2mae.data.windows import Span, clip_step, first_on_grid, overlap, shared_clock, video_span, window_times
from mv2mae.errors import InputError


class Pair(TypedDict):
    """One item of pre-training."""

    target: UInt8[Tensor, "3 t h w"]
    sources: UInt8[Tensor, "v 3 t h w"]
    index: int
    """Row of the target video in `PairDataset.frame`."""
    source_index: list[int]
    """Rows of the source videos."""
    seed: int
    """From which the masks of this item follow."""


class PairBatch(TypedDict):
    """What `collate_pairs` makes of them."""

    target: UInt8[Tensor, "b 3 t h w"]
    sources: UInt8[Tensor, "b v 3 t h w"]
    index: Tensor
    source_index: Tensor
    seed: Tensor


class PairDataset(Dataset[Pair]):
    """Every video as target once an epoch, with `num_sources` random other views of its group as sources.

    Target and sources show the same moments (`windows`); each is cropped on its own, and a crop stays
    where it is over its clip (Section 3.2; Table 15). Every draw follows from (seed, epoch, index).

    Args:
        frame: rows of a manifest.
        config: how clips are drawn.
        num_frames: frames in a clip.
        size: height and width of a clip in pixels.
        seed: of all draws.
        videos: where frames come from.

    Attributes:
        frame: the rows in use.
        num_groups, num_views, skipped_groups: counts; a group with too few views for a pair is skipped.

    Raises:
        InputError: no group has enough views.
    """

    def __init__(
        self, frame: pd.DataFrame, config: DataConfig, *, num_frames: int, size: int, seed: int, videos: Videos
    ) -> None:
        self.config, self.num_frames, self.size, self.seed, self.videos = config, num_frames, size, seed, videos
        counts = frame.groupby("group")["view"].transform("size")
        needed = config.num_sources + 1
        self.frame = frame[counts >= needed].reset_index(drop=True)
        self.num_groups = self.frame["group"].nunique()
        self.num_views = self.frame["view"].nunique()
        self.skipped_groups = frame["group"].nunique() - self.num_groups
        if self.frame.empty:
            most = 0 if frame.empty else int(counts.max())
            raise InputError(
                f"manifest has no group with {needed} views (most: {most} in {self.skipped_groups} groups); "
                "pre-training pairs need videos of the same `group` and different `view`"
            )
        self.paths: list[str] = self.frame["path"].tolist()
        self.spans = list(zip(_optional(self.frame["start"]), _optional(self.frame["end"]), strict=True))
        rows_of = self.frame.groupby("group").indices
        self.others = [rows_of[group] for group in self.frame["group"]]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: ItemKey | int) -> Pair:
        """The pair of a key (epoch, index), an index alone meaning epoch 0.

        A broken video is set aside and listed, and the pair of another key takes its place (`readable_item`).

        Raises:
            InputError: this one and all that could take its place are broken.
        """
        return readable_item(self._pair, key, self.seed, self.paths, self.videos.problems)

    def _pair(self, epoch: int, index: int) -> Pair:
        rng = np.random.default_rng((self.seed, epoch, index))
        others = self.others[index][self.others[index] != index]
        sources = [int(i) for i in rng.choice(others, self.config.num_sources, replace=False)]
        clips = self._clips([index, *sources], rng)
        return {
            "target": clips[0],
            "sources": torch.stack(clips[1:]),
            "index": index,
            "source_index": sources,
            "seed": int(rng.integers(2**60)),
        }

    def window(self, rows: Sequence[int], offset: float) -> list[np.ndarray]:
        """Times of a clip's frames in each of the videos `rows`, the first being the target; seconds."""
        spans = [video_span(self.videos.info(self.paths[row]), *self.spans[row]) for row in rows]
        spans = shared_clock(spans, [self.spans[row][0] for row in rows])
        return aligned_times(spans, self.config, num_frames=self.num_frames, offset=offset)

    def _clips(self, rows: Sequence[int], rng: np.random.Generator) -> list[UInt8[Tensor, "3 t h w"]]:
        clips = []
        for row, times in zip(rows, self.window(rows, rng.random()), strict=True):
            frames = self.videos.read(self.paths[row], times, short_side=reading_size(self.config, self.size))
            box = draw_box(self.config.crop, frames.shape[1], frames.shape[2], rng, min_crop=self.config.min_crop)
            clips.append(crop_resize(frames, box, self.size))
        return clips


def aligned_times(spans: Sequence[Span], config: DataConfig, *, num_frames: int, offset: float) -> list[np.ndarray]:
    """The same window in every view, on each file's own clock; the first span is the target's, whose rate counts."""
    target, (first, last) = spans[0], overlap(spans)
    grid = 1 / target.fps
    times = window_times(
        first_on_grid(first, last, target.first - target.zero, grid),
        last,
        num_frames=num_frames,
        step=clip_step(config.frame_stride, config.fps or target.fps),
        offset=offset,
        grid=grid,
    )
    return [times + span.zero for span in spans]


def reading_size(config: DataConfig, size: int) -> int:
    """Short side at which training frames are read: the smallest at which no crop has to be enlarged."""
    return size if config.crop == "centre" else math.ceil(size / config.min_crop)


def collate_pairs(items: Sequence[Pair]) -> PairBatch:
    """Stacks pairs."""
    return {
        "target": torch.stack([item["target"] for item in items]),
        "sources": torch.stack([item["sources"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "source_index": torch.tensor([item["source_index"] for item in items]),
        "seed": torch.tensor([item["seed"] for item in items]),
    }


def _optional(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]
