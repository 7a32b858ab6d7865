"""Labelled clips: augmented for fine-tuning, spread and cropped in a fixed way for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from mv2mae.config import ClipConfig, EvalConfig
from mv2mae.data.augment import crop_resize, cut_eval_crops, draw_box, eval_short_side, flip
from mv2mae.data.manifest import parts_of, rates_of
from mv2mae.data.media import GapError
from mv2mae.data.sampling import ItemKey, fingerprint_of
from mv2mae.data.video import VideoError
from mv2mae.data.videos import Videos, readable_item
from mv2mae.data.views import reading_size, tell_of_rate
from mv2mae.data.windows import ClipSpec, Span, even_offsets, video_span
from mv2mae.errors import InputError

_PLACES_TRIED = 17


class Clips(TypedDict):
    """One item of fine-tuning: the same frames of one video, augmented r times."""

    clips: UInt8[Tensor, "r 3 t h w"]
    label: int
    index: int
    seeds: Int64[np.ndarray, " r"]
    """Of the draws that are made after loading (RandAugment, mixing), one a clip."""


class ClipBatch(TypedDict):
    """What `collate_clips` makes of them: b items of r clips, flattened."""

    clips: UInt8[Tensor, "br 3 t h w"]
    label: Tensor
    index: Tensor
    seeds: Int64[np.ndarray, " br"]
    """An array, so that it stays on the host when the batch goes to a device."""


class EvalItem(TypedDict):
    """One video of a test: its crops in order, or `error` where it cannot be read."""

    index: int
    label: int
    """-1 where the manifest has none."""
    clips: NotRequired[UInt8[Tensor, "k 3 t h w"]]
    error: NotRequired[str]


class _VideoRows:
    """Rows of a manifest as plain lists, and the frames of their windows."""

    def __init__(self, frame: pd.DataFrame, clip: ClipSpec, videos: Videos) -> None:
        self.frame, self.clip, self.videos = frame, clip, videos
        self.paths: list[str] = frame["path"].tolist()
        self.labels: list[int] = frame["label"].fillna(-1).astype(int).tolist()
        self._parts, self._rates = parts_of(frame), rates_of(frame)

    def __len__(self) -> int:
        return len(self.paths)

    def span(self, index: int) -> Span:
        info = self.videos.info(self.paths[index])
        tell_of_rate(self.videos, self.paths[index], info, self._rates[index], self._parts[index][2])
        return video_span(info, *self._parts[index])

    def times(self, index: int, offset: float) -> np.ndarray:
        """Seconds of the frames of a clip; `offset` from 0, the first possible place, to 1, the last."""
        return self.clip.times([self.span(index)], offset)[0]


class ClipDataset(_VideoRows, Dataset[Clips]):
    """Labelled videos for fine-tuning: one window of each is decoded once and augmented `num_repeats` times.

    Crops and mirror images as the configuration says, constant over a clip; every draw follows from
    (seed, epoch, index). (Repeated augmentation: Table 16.)

    Raises:
        InputError: rows without a label, or with a negative one.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        config: ClipConfig,
        *,
        num_frames: int,
        size: int,
        num_repeats: int,
        seed: int,
        videos: Videos,
    ) -> None:
        super().__init__(frame, ClipSpec.of(config, num_frames, size), videos)
        self.config, self.num_repeats, self.seed = config, num_repeats, seed
        self.shuffled, self.strata, self.fingerprint = True, None, fingerprint_of(self.paths)
        bad = [path for path, label in zip(self.paths, self.labels, strict=True) if label < 0]
        if bad:
            raise InputError(
                f"{len(bad)} of {len(frame)} training videos have no label, or a negative one (first: {bad[0]}); "
                "fill the manifest's column `label` with classes from 0"
            )

    def __getitem__(self, key: ItemKey | int) -> Clips:
        """The clips of a key (epoch, index), an index alone meaning epoch 0.

        A broken video is set aside and listed, and the clips of another key take its place (`readable_item`).

        Raises:
            InputError: this one and all that could take its place are broken.
        """
        return readable_item(self._clips, key, self.seed, self.paths, self.videos.problems)

    def _clips(self, epoch: int, index: int) -> Clips:
        rng = np.random.default_rng((self.seed, epoch, index))
        times = self.times(index, rng.random())
        frames = self.videos.read(self.paths[index], times, short_side=reading_size(self.config, self.clip.size))
        clips = [self._augment(frames, rng) for _ in range(self.num_repeats)]
        # from a stream of their own, so that they do not depend on how many draws a crop takes
        seeds = np.random.default_rng((self.seed, epoch, index, 2)).integers(2**63, size=self.num_repeats)
        return {"clips": torch.stack(clips), "label": self.labels[index], "index": index, "seeds": seeds}

    def _augment(self, frames: UInt8[Tensor, "t h w 3"], rng: np.random.Generator) -> UInt8[Tensor, "3 t h w"]:
        box = draw_box(self.config.crop, frames.shape[1], frames.shape[2], rng, min_crop=self.config.min_crop)
        clip = crop_resize(frames, box, self.clip.size)
        return flip(clip) if self.config.flip and rng.random() < 0.5 else clip


class EvalDataset(_VideoRows, Dataset[EvalItem]):
    """Videos for a test: `num_clips` windows spread evenly x `num_crops` crops of each, nothing drawn.

    `clips` holds them window after window, the crops of a window in the order of `cut_eval_crops`. Frames are
    scaled to a short side of size / 0.875, up or down.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        clip: ClipSpec,
        *,
        test: EvalConfig,
        videos: Videos,
        class_names: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(frame, clip, videos)
        self.test, self.class_names = test, dict(class_names or {})

    def __getitem__(self, index: int) -> EvalItem:
        """The crops of a video, or the reason why there are none."""
        label = self.labels[index]
        try:
            frames = self._frames(index)
        except VideoError as error:
            self.videos.problems.add(error.path, error.reason)
            return {"index": index, "label": label, "error": error.reason}
        clips = frames.unflatten(0, (self.test.num_clips, self.clip.num_frames))
        crops = torch.cat([cut_eval_crops(clip, self.clip.size, self.test.num_crops) for clip in clips])
        return {"index": index, "label": label, "clips": crops}

    def _frames(self, index: int) -> UInt8[Tensor, "kt h w 3"]:
        """The frames of all windows; where some are missing or damaged, other windows take the place of theirs."""
        path, side = self.paths[index], eval_short_side(self.clip.size)
        offsets = even_offsets(self.test.num_clips)
        try:
            windows = np.concatenate([self.times(index, offset) for offset in offsets])
            return self.videos.read(path, windows, short_side=side, exact=True)
        except GapError as error:
            self.videos.tell_once(path, f"{error.reason}; clips beside take the place of those that need them")
            return torch.cat([self._beside(index, offset, side, error) for offset in offsets])

    def _beside(self, index: int, offset: float, side: int, error: GapError) -> UInt8[Tensor, "t h w 3"]:
        """The frames of the readable window nearest to an offset."""
        tried = [offset, *sorted(np.linspace(0, 1, _PLACES_TRIED), key=lambda place: abs(place - offset))]
        for place in tried:
            try:
                return self.videos.read(self.paths[index], self.times(index, place), short_side=side, exact=True)
            except GapError:
                continue
        raise error


def collate_clips(items: Sequence[Clips]) -> ClipBatch:
    """Concatenates the clips of items; labels and indices once a clip."""
    repeats = torch.tensor([len(item["clips"]) for item in items])
    return {
        "clips": torch.cat([item["clips"] for item in items]),
        "label": torch.tensor([item["label"] for item in items]).repeat_interleave(repeats),
        "index": torch.tensor([item["index"] for item in items]).repeat_interleave(repeats),
        "seeds": np.concatenate([item["seeds"] for item in items]),
    }
