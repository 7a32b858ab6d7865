"""Clips of fine-tuning and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_videos import even_times, time_of, write_video

from mv2mae.config import ClipConfig, EvalConfig
from mv2mae.data.augment import cut_eval_crops, eval_short_side
from mv2mae.data.clips import ClipDataset, EvalDataset, collate_clips
from mv2mae.data.manifest import make_frame
from mv2mae.data.video import read_frames
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.errors import InputError


def clips(frame: pd.DataFrame, num_repeats: int = 3, seed: int = 0, **changes: Any) -> ClipDataset:
    config = ClipConfig(**{"frame_stride": 3, "flip": True, **changes})
    return ClipDataset(frame, config, num_frames=8, size=32, num_repeats=num_repeats, seed=seed, videos=Videos())


def evaluation(frame: pd.DataFrame, videos: Videos | None = None, **changes: Any) -> EvalDataset:
    return EvalDataset(
        frame,
        ClipSpec(num_frames=8, size=32, frame_stride=3),
        test=EvalConfig(**changes),
        videos=videos or Videos(),
    )


def test_one_window_is_augmented_several_times(takes: pd.DataFrame) -> None:
    item = clips(takes)[(0, 1)]
    assert item is not None
    assert item["clips"].shape == (3, 3, 8, 32, 32)
    assert (item["label"], item["index"]) == (0, 1)
    for clip in item["clips"][1:]:
        np.testing.assert_allclose(time_of(clip), time_of(item["clips"][0]), atol=0.01)


def test_clips_draw_by_seed_epoch_and_index(takes: pd.DataFrame) -> None:
    first, second = clips(takes), clips(takes)
    _ = second[(3, 0)]
    assert torch.equal(first[(1, 2)]["clips"], second[(1, 2)]["clips"])  # type: ignore[index]
    starts = {round(float(time_of(first[(epoch, 0)]["clips"][0])[0]), 2) for epoch in range(6)}  # type: ignore[index]
    assert len(starts) > 2


def test_each_clip_has_a_seed_of_its_own_whatever_its_crop(takes: pd.DataFrame) -> None:
    keys = [(epoch, index) for epoch in range(3) for index in range(3)]
    seeds = np.concatenate([clips(takes)[key]["seeds"] for key in keys])
    assert len(set(seeds.tolist())) == 9 * 3
    others = [clips(takes, crop="centre", flip=False)[key] for key in keys]
    np.testing.assert_array_equal(collate_clips(others)["seeds"], seeds)
    assert not set(clips(takes, seed=1)[(0, 0)]["seeds"].tolist()) & set(seeds.tolist())


def test_flips_mirror_about_half_of_the_clips(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(20, 148, 2, dtype=np.uint8)[None, :, None], (64, 64, 3)).copy()
    path = write_video(tmp_path / "1.mp4", even_times(25, 25), size=(64, 64), image=lambda _: ramp)
    frame = make_frame([{"path": str(path), "group": "g", "view": 1, "label": 0}])

    def mirrored(**changes: Any) -> int:
        item = clips(frame, num_repeats=40, **changes)[0]
        left, right = (item["clips"][..., column].float().mean((1, 2, 3)) for column in (0, -1))  # type: ignore[index]
        return int((left > right).sum())

    assert 10 <= mirrored() <= 30
    assert mirrored(flip=False) == 0


def test_missing_labels_are_refused(takes: pd.DataFrame) -> None:
    without = takes.assign(label=takes["label"].where(takes["view"] == 1))
    with pytest.raises(InputError, match="3 of 6 training videos have no label"):
        clips(without)


def test_other_clips_take_the_place_of_a_broken_video(takes: pd.DataFrame, tmp_path: Path) -> None:
    frame = takes.copy()
    frame.loc[3, "path"] = str(tmp_path / "gone.mp4")
    dataset = clips(frame)
    instead = dataset[3]["index"]
    assert instead != 3
    batch = collate_clips([dataset[0], dataset[3], dataset[5]])
    assert batch["clips"].shape == (9, 3, 8, 32, 32)
    assert batch["index"].tolist() == [0] * 3 + [instead] * 3 + [5] * 3
    assert batch["label"].tolist() == [dataset.labels[i] for i in batch["index"]]
    assert dataset.videos.problems.items() == [(str(tmp_path / "gone.mp4"), "no such file")]
    with pytest.raises(InputError, match=r"no readable item was found for .* in 21 tries; see the list of problems"):
        clips(frame.iloc[3:4].reset_index(drop=True))[0]


@pytest.mark.parametrize("cached", [False, True])
def test_evaluation_spreads_windows_evenly_and_crops_in_order(takes: pd.DataFrame, cached: bool) -> None:
    videos = Videos(cache_size=eval_short_side(32))
    if cached:
        videos.preload(takes["path"], progress=False)
    item = evaluation(takes, videos, num_clips=3, num_crops=5)[0]
    assert (item["index"], item["label"]) == (0, 0)
    assert item["clips"].shape == (15, 3, 8, 32, 32)
    starts = [round(float(time_of(clip)[0]), 2) for clip in item["clips"]]
    # 50 frames at 25 a second, 8 frames at stride 3: the window may begin on frames 0 to 28
    np.testing.assert_allclose(starts, np.repeat([0, 14 / 25, 28 / 25], 5), atol=0.02)


def test_evaluation_equals_reading_and_cropping_by_hand(takes: pd.DataFrame) -> None:
    item = evaluation(takes, num_clips=1, num_crops=10)[0]
    times = (14 + 3 * np.arange(8)) / 25
    frames = read_frames(takes["path"][0], times, short_side=eval_short_side(32))
    assert torch.equal(item["clips"], cut_eval_crops(frames, 32, 10))


def test_only_clips_that_need_damaged_frames_fail(takes: pd.DataFrame, tmp_path: Path) -> None:
    def noise(time: float) -> np.ndarray:
        return np.random.default_rng(round(1000 * time)).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    path = write_video(tmp_path / "v.mp4", even_times(150, 75), image=noise, gop=10)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 6] = bytes(len(data) // 6)
    path.write_bytes(data)
    frame = takes.assign(path=[str(path), *takes["path"][1:]])
    test = evaluation(frame, num_clips=4, num_crops=1)
    assert test[0]["clips"].shape == (4, 3, 8, 32, 32)
    train = clips(frame)
    drawn = [train[(epoch, 0)]["index"] for epoch in range(20)]
    assert 5 < drawn.count(0) < 20  # the other times another video takes its place
    assert test.videos.problems.items() == train.videos.problems.items() == []


def test_evaluation_reports_broken_videos_and_missing_labels(takes: pd.DataFrame, tmp_path: Path) -> None:
    frame = takes.assign(label=pd.array([None] * 6, dtype="Int64"))
    frame.loc[1, "path"] = str(tmp_path / "gone.mp4")
    dataset = evaluation(frame, num_clips=1, num_crops=1)
    assert dataset[0]["label"] == -1
    assert dataset[1] == {"index": 1, "label": -1, "error": "no such file"}
