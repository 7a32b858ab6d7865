"""`data.cache: device`: all frames of a training in the memory of its device, where clips are cut out of them.

The loader's processes then only draw: which frames of which video, cut how. What they draw is what they would have
read, so that pairs are those of `data.cache: memory`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from mv2mae.data.alike import change_alike
from mv2mae.data.augment import resized
from mv2mae.data.device_memory import free_bytes, sent
from mv2mae.data.sampling import ItemKey
from mv2mae.data.videos import Videos, readable_item
from mv2mae.data.views import DrawnPair, PairBatch, PairDataset
from mv2mae.errors import InputError

_AT_ONCE = 1 << 24
"""Pixels that are gathered at a time; the numbers of their places take eight bytes each."""
_USED = 0.8
"""Share of the free memory that frames may take."""


class Located(NamedTuple):
    """Frames by their numbers: of a part of a video, which has the number `part` among all."""

    part: int
    numbers: Int64[np.ndarray, " t"]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As the frames themselves have it."""
        return len(self.numbers), self.height, self.width, 3

    def __getitem__(self, part: Any) -> Any:
        """Some of the frames."""
        return self._replace(numbers=self.numbers[part])


@dataclass(frozen=True, kw_only=True)
class PlannedBatch:
    """b pairs of v views before they are cut, in arrays of the host."""

    part: Int64[np.ndarray, "b v"]
    numbers: Int64[np.ndarray, "b v t"]
    box: Int64[np.ndarray, "b v 4"]
    """Top, left, height, width."""
    alike: Int64[np.ndarray, "b 5"]
    index: Int64[np.ndarray, " b"]
    seed: Int64[np.ndarray, " b"]
    cameras: Float32[Tensor, "b v 16"] | None


class PlannedPairs(Dataset[DrawnPair[Located]]):
    """The items of a data set of pairs, drawn but not cut, for a training that has their frames on its device."""

    def __init__(self, pairs: PairDataset) -> None:
        self.pairs, self.target_paths = pairs, pairs.target_paths
        self.shuffled, self.fingerprint, self.strata = pairs.shuffled, pairs.fingerprint, pairs.strata

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: ItemKey) -> DrawnPair[Located]:
        """The first pair of a key."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[ItemKey]) -> list[DrawnPair[Located]]:
        """The pairs of a batch: `num_repeats` of each key."""
        pairs = self.pairs
        make = partial(pairs.drawn, num_repeats=pairs.config.num_repeats, read=self._locate)
        return [
            drawn
            for key in keys
            for drawn in readable_item(make, key, pairs.seed, self.target_paths, pairs.videos.problems)
        ]

    def _locate(self, path: str, times: np.ndarray) -> Located:
        number, video = self.pairs.videos.find(path, times)
        return Located(number, video.numbers(times), *video.frames.shape[1:3])

    def collate(self, items: Sequence[DrawnPair[Located]]) -> PlannedBatch:
        """Puts pairs together."""
        seen = [self.pairs.seen_cameras(item) for item in items] if self.pairs.cameras is not None else None
        return PlannedBatch(
            part=np.array([[frames.part for frames in item.frames] for item in items]),
            numbers=np.array([[frames.numbers for frames in item.frames] for item in items]),
            box=np.array([[box for box, *_ in item.cuts] for item in items]),
            alike=np.array([item.alike.numbers for item in items]),
            index=np.array([item.index for item in items]),
            seed=np.array([item.seed for item in items]),
            cameras=None if seen is None else torch.stack(seen),
        )


class FrameBank:
    """The frames of decoded videos on a device, one after the other as a row of pixels.

    Args:
        videos: gives its frames away, and keeps only their shapes.
        device: where to.
        size: height and width of a clip in pixels.

    Raises:
        InputError: they do not fit there.
    """

    def __init__(self, videos: Videos, device: torch.device, size: int) -> None:
        shapes = np.array(videos.shapes(), dtype=np.int64)
        counts = shapes.prod(axis=1)
        wanted, free = 3 * int(counts.sum()), free_bytes(device)
        if device.type != "cpu" and wanted > _USED * free:  # on a CPU they are there already
            raise InputError(
                f"data.cache=device would take {wanted / 2**30:,.1f} GB of {device}, where {free / 2**30:,.1f} GB are "
                "free; give data.cache=memory, or a smaller data.cache_size"
            )
        self.size = size
        self.first = counts.cumsum() - counts
        self.height, self.width = shapes[:, 1], shapes[:, 2]
        self.pixels: UInt8[Tensor, "p 3"] = torch.empty(wanted // 3, 3, dtype=torch.uint8, device=device)
        for first, frames in zip(self.first, videos.hand_over(), strict=True):
            self.pixels[first : first + frames[..., 0].numel()] = frames.reshape(-1, 3).to(device)

    def pairs(self, batch: PlannedBatch) -> PairBatch:
        """The pairs of a batch, cut on the device and left there."""
        views = batch.part.shape[1]
        part, numbers, box = (array.reshape(-1, *array.shape[2:]) for array in (batch.part, batch.numbers, batch.box))
        clips = self.cut(part, numbers, box)
        if (batch.alike != (0, 1, 2, 0, 0)).any():
            clips = change_alike(clips, self._sent(batch.alike.repeat(views, axis=0)))
        clips = clips.unflatten(0, (-1, views))
        made: PairBatch = {
            "target": clips[:, 0],
            "sources": clips[:, 1:],
            "index": self._sent(batch.index),
            "seed": self._sent(batch.seed),
        }
        if batch.cameras is not None:
            made["cameras"] = sent(batch.cameras, self.pixels.device)
        return made

    def cut(
        self, part: Int64[np.ndarray, " n"], numbers: Int64[np.ndarray, "n t"], box: Int64[np.ndarray, "n 4"]
    ) -> UInt8[Tensor, "n 3 t s s"]:
        """Clips: so many frames of each part, the same box of all of them, scaled; boxes of one size together."""
        n, t = numbers.shape
        out = self.pixels.new_empty(n, 3, t, self.size, self.size)
        width = self.width[part]
        corner = self.first[part][:, None] + (numbers * self.height[part][:, None] + box[:, :1]) * width[:, None]
        corner += box[:, 1:2]
        for rows in _alike_in(box[:, 2:], _AT_ONCE // t):
            height, across = (int(side) for side in box[rows[0], 2:])
            places = self._sent(corner[rows])[:, :, None, None]
            down = torch.arange(height, device=out.device)[:, None] * self._sent(width[rows])[:, None, None, None]
            places = places + down + torch.arange(across, device=out.device)
            frames = resized(self.pixels[places].flatten(0, 1), self.size, self.size)
            out[self._sent(rows)] = frames.unflatten(0, (len(rows), t)).transpose(1, 2)
        return out

    def _sent(self, array: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(array), self.pixels.device)


def _alike_in(sides: Int64[np.ndarray, "n 2"], most: int) -> Iterator[Int64[np.ndarray, " k"]]:
    """Rows with equal sides, so many at a time that their pixels are at most `most`."""
    kinds, kind = np.unique(sides, axis=0, return_inverse=True)
    for number, (height, width) in enumerate(kinds):
        rows = np.flatnonzero(kind.reshape(-1) == number)
        count = max(1, most // int(height * width))
        yield from (rows[first : first + count] for first in range(0, len(rows), count))
