"""Repeated sampling: several pairs from one decoding, equal to as many independent readings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_videos import even_times, time_of, write_video

from mv2mae.config import OptimConfig, PairConfig, PretrainConfig, StoreConfig
from mv2mae.data.augment import crop_resize, draw_box
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.loader import make_loader
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.sampling import StepSampler
from mv2mae.data.store.prepare import prepare
from mv2mae.data.stream import STREAM
from mv2mae.data.videos import Videos
from mv2mae.data.views import Pair, PairDataset, collate_pairs, reading_size
from mv2mae.errors import InputError

SEED, SIZE = 7, 32


class CountingVideos(Videos):
    """Notes how often each video is read."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reads: Counter[str] = Counter()

    def read(self, path: str, *args: Any, **options: Any) -> torch.Tensor:
        self.reads[path] += 1
        return super().read(path, *args, **options)


def pairs(frame: pd.DataFrame, num_repeats: int, videos: Videos | None = None, **changes: Any) -> PairDataset:
    config = PairConfig(frame_stride=2, num_repeats=num_repeats, **changes)
    return PairDataset(frame, config, num_frames=8, size=SIZE, seed=SEED, videos=videos or Videos())


def read_on_its_own(dataset: PairDataset, epoch: int, index: int, repeat: int) -> Pair:
    """The slow reference: one repeat, its own reading of every video, its own generator."""
    of_item = np.random.default_rng((SEED, epoch, index))
    sources = [int(i) for i in of_item.choice(dataset.others[index], dataset.config.num_sources, replace=False)]
    rng = np.random.default_rng((SEED, epoch, index, 1 + repeat)) if repeat else of_item
    rows, clips = [dataset.targets[index], *sources], []
    for row, times in zip(rows, dataset.window(rows, rng.random()), strict=True):
        frames = dataset.videos.read(dataset.paths[row], times, short_side=reading_size(dataset.config, SIZE))
        box = draw_box(dataset.config.crop, *frames.shape[1:3], rng, min_crop=dataset.config.min_crop)
        clips.append(crop_resize(frames, box, SIZE))
    seed = int(rng.integers(2**60))
    return {"target": clips[0], "sources": torch.stack(clips[1:]), "index": index, "seed": seed}


@pytest.fixture(scope="module")
def stored(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The takes in a store."""
    folder = tmp_path_factory.mktemp("stored")
    manifest = write_manifest(takes, folder / "m.csv")
    prepare(manifest, folder / "out", StoreConfig(short_side=48), progress=False)
    return read_manifest(folder / "out" / "manifest.parquet")


@pytest.mark.parametrize("place", ["files", "memory", "store"])
@pytest.mark.parametrize("num_sources", [1, 2])
def test_repeats_equal_independent_readings(
    takes: pd.DataFrame, stored: pd.DataFrame, place: str, num_sources: int
) -> None:
    frame, videos = (stored if place == "store" else takes), CountingVideos(cache_size=48)
    if place == "memory":
        videos.preload(frame["path"], progress=False)
    dataset = pairs(frame, 3, videos, num_sources=num_sources)
    for key in ((0, 0), (2, 1), (5, len(dataset) - 1)):
        videos.reads.clear()
        items = dataset.__getitems__([key])
        assert sorted(videos.reads.values()) == [1] * (1 + num_sources)
        for repeat, item in enumerate(items):
            alone = read_on_its_own(dataset, *key, repeat)
            assert torch.equal(item["target"], alone["target"])
            assert torch.equal(item["sources"], alone["sources"])
            assert (item["index"], item["seed"]) == (alone["index"], alone["seed"])
        assert len({item["seed"] for item in items}) == 3


def test_repeats_are_neighbours_with_moments_and_crops_of_their_own(tmp_path: Path) -> None:
    def ramp(time: float) -> np.ndarray:  # brighter to the right, and with time
        columns = np.linspace(0, 60, 64) + 20 + 60 * time
        return np.broadcast_to(columns.astype(np.uint8)[None, :, None], (64, 64, 3)).copy()

    files = [write_video(tmp_path / f"{v}.mp4", even_times(50, 25), size=(64, 64), image=ramp) for v in "12"]
    frame = make_frame([{"path": str(p), "group": "g", "view": p.stem} for p in files])
    dataset = pairs(frame, 4)
    items = dataset.__getitems__([(0, 1), (0, 0)])
    assert [item["index"] for item in items] == [1] * 4 + [0] * 4
    assert len({tuple(item["source_index"]) for item in items[:4]}) == 1
    assert len({float(time_of(item["target"])[0].round(2)) for item in items[:4]}) > 2
    contrasts = {
        round(float(i["target"][0, 0, :, -1].float().mean() - i["target"][0, 0, :, 0].float().mean())) for i in items
    }
    assert len(contrasts) > 1


def test_both_views_of_a_repeat_show_the_same_moments(takes: pd.DataFrame) -> None:
    for item in pairs(takes, 4).__getitems__([(e, i) for e in range(3) for i in range(5)]):
        np.testing.assert_allclose(time_of(item["target"]), time_of(item["sources"][0]), atol=0.046)


def test_the_first_repeat_is_the_pair_without_repeats(takes: pd.DataFrame) -> None:
    once, often = pairs(takes, 1), pairs(takes, 3)
    for key in ((0, 0), (4, 2)):
        first, *_ = often.__getitems__([key])
        assert torch.equal(once[key]["target"], first["target"])
        assert torch.equal(once.__getitems__([key])[0]["sources"], first["sources"])
        assert torch.equal(often[key]["target"], first["target"])


def test_a_broken_video_takes_all_its_repeats_with_it(takes: pd.DataFrame, tmp_path: Path) -> None:
    frame = takes.copy()
    frame.loc[4, "path"] = str(tmp_path / "gone.mp4")
    dataset = pairs(frame, 3)
    items = dataset.__getitems__([(0, 3), (0, 1)])
    indices = [item["index"] for item in items]
    assert len(indices) == 6
    assert indices[0] == indices[1] == indices[2] in (0, 1, 2)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_batches_are_the_same_whatever_the_workers_and_ranks(takes: pd.DataFrame, tmp_path: Path, cache: str) -> None:
    config = PairConfig(
        manifest=str(write_manifest(takes, tmp_path / "m.csv")),
        num_repeats=2,
        held_out_groups=1,
        cache=cache,  # type: ignore[arg-type]
    )
    data = pretrain_data(config, num_frames=4, size=16, seed=3, progress=False)

    def batches(num_workers: int = 0, size: int = 2, **options: int) -> list[dict[str, Any]]:
        sampler = StepSampler(len(data.train), 2, 4, seed=3, **options)
        return list(
            make_loader(data.train, sampler, device_batch_size=size, num_workers=num_workers, collate=collate_pairs)
        )

    expected = batches()
    assert [len(batch["seed"]) for batch in expected] == [4] * 4
    for num_workers in (1, 2):
        for there, here in zip(batches(num_workers), expected, strict=True):
            assert all(torch.equal(there[name], here[name]) for name in here)
    ranks = [batches(size=1, rank=rank, world_size=2) for rank in (0, 1)]
    for first, second, whole in zip(*ranks, expected, strict=True):
        assert torch.equal(torch.cat([first["target"], second["target"]]), whole["target"])
    late = batches(start_step=2)
    assert all(torch.equal(a["sources"], b["sources"]) for a, b in zip(late, expected[2:], strict=True))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"optim.batch_size=6 counts pairs and must be a multiple of data.num_repeats=4"
    ):
        PretrainConfig(data=PairConfig(num_repeats=4), optim=OptimConfig(lr=1, batch_size=6))
    with pytest.raises(InputError, match=r"data.num_repeats=0 must be at least 1"):
        PairConfig(num_repeats=0)
    with pytest.raises(InputError, match=r"data.num_repeats=2 saves decoding, and synthetic-stream decodes nothing"):
        pretrain_data(PairConfig(manifest=STREAM, num_repeats=2), num_frames=4, size=32, seed=0)
