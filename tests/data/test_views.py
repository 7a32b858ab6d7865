"""Pairs: the same moments in every view, draws that follow from (seed, epoch, index), nothing replaced in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_videos import even_times, time_of, write_video

from mv2mae.config import PairConfig
from mv2mae.data.manifest import make_frame
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.views import PairDataset, collate_pairs, reading_size
from mv2mae.errors import InputError


def pairs(frame: pd.DataFrame, videos: Videos | None = None, **changes: Any) -> PairDataset:
    settings: dict[str, Any] = {"num_frames": 8, "size": 32, "seed": 0, "frame_stride": 3, **changes}
    built = {key: settings.pop(key) for key in ("num_frames", "size", "seed")}
    return PairDataset(frame, PairConfig(**settings), videos=videos or Videos(), **built)


def in_memory(frame: pd.DataFrame, size: int = 48) -> Videos:
    videos = Videos(cache_size=size)
    videos.preload(frame["path"], progress=False)
    return videos


@pytest.mark.parametrize("cached", [False, True])
def test_views_of_unlike_rates_show_the_same_moments(takes: pd.DataFrame, cached: bool) -> None:
    dataset = pairs(takes, in_memory(takes) if cached else None)
    seen = set()
    for epoch in range(14):
        for index in range(len(dataset)):
            item = dataset[(epoch, index)]
            assert item is not None
            assert item["target"].shape == (3, 8, 32, 32)
            assert item["sources"].shape == (1, 3, 8, 32, 32)
            target, source = time_of(item["target"]), time_of(item["sources"][0])
            # each frame is the nearest of its own video: at most half a frame of 20 a second, and 0.01 of grey
            np.testing.assert_allclose(target, source, atol=0.046)
            assert np.diff(target).min() > 0.05
            seen.add((index, item["source_index"][0]))
    assert seen == {(a, b) for a in range(3) for b in range(3) if a != b} | {(3, 4), (4, 3)}


def test_without_synchronisation_each_clip_has_a_moment_of_its_own(takes: pd.DataFrame) -> None:
    apart = takes.assign(synchronised=False)
    with pytest.raises(InputError, match="not synchronised"):
        pairs(apart)
    dataset = pairs(apart, synchronised=False, num_frames=4, frame_stride=2)
    assert len(dataset) == 6  # the lone view of group c too
    shifts = {index: [] for index in range(6)}
    for epoch in range(10):
        for index, shift in shifts.items():
            item = dataset[(epoch, index)]
            shift.append(abs(time_of(item["target"])[0] - time_of(item["sources"][0])[0]))
    assert all(max(shift) > 0.2 for shift in shifts.values())
    assert dataset[(0, 5)]["source_index"] == [5]


def test_the_target_video_sets_the_rate(takes: pd.DataFrame) -> None:
    dataset = pairs(takes)
    for index, fps in ((0, 25), (1, 30), (3, 20)):
        target = dataset[(0, index)]["target"]  # type: ignore[index]
        assert np.diff(time_of(target)).mean() == pytest.approx(3 / fps, abs=0.004)
    at_ten = pairs(takes, fps=10, frame_stride=1)
    assert np.diff(time_of(at_ten[(0, 1)]["target"])).mean() == pytest.approx(0.1, abs=0.005)  # type: ignore[index]


def test_views_that_start_late_or_end_early_meet_in_their_overlap(tmp_path: Path) -> None:
    long = write_video(tmp_path / "1.mkv", even_times(50, 25))
    late = write_video(tmp_path / "2.mkv", even_times(20, 25, start=0.8))
    frame = make_frame([{"path": str(p), "group": "g", "view": v} for v, p in ((1, long), (2, late))])
    dataset = pairs(frame, num_frames=4, frame_stride=2)
    for epoch in range(12):
        item = dataset[(epoch, epoch % 2)]
        times = time_of(item["target"])  # type: ignore[index]
        np.testing.assert_allclose(times, time_of(item["sources"][0]), atol=0.02)  # type: ignore[index]
        assert times.min() > 0.78
        assert times.max() < 1.6


def test_the_manifests_starts_set_the_clocks(tmp_path: Path) -> None:
    one = write_video(tmp_path / "1.mp4", even_times(40, 25))
    ahead = [t + 0.4 for t in even_times(30, 25)]  # the second camera was switched on 0.4 s later
    two = write_video(tmp_path / "2.mp4", even_times(30, 25), shown=ahead)
    rows = [
        {"path": str(one), "group": "g", "view": 1, "start": 0.4},
        {"path": str(two), "group": "g", "view": 2, "start": 0.0},
    ]
    item = pairs(make_frame(rows))[(0, 0)]
    np.testing.assert_allclose(time_of(item["target"]), time_of(item["sources"][0]), atol=0.02)  # type: ignore[index]


def test_short_videos_are_spread_evenly_and_not_frozen(takes: pd.DataFrame) -> None:
    item = pairs(takes, num_frames=16, frame_stride=10)[(0, 0)]
    times = time_of(item["target"])  # type: ignore[index]
    assert times[0] == pytest.approx(0, abs=0.02)
    assert times[-1] > 1.7
    assert np.diff(times).min() > 0.05


def test_draws_follow_from_seed_epoch_and_index_alone(takes: pd.DataFrame) -> None:
    first, second = pairs(takes), pairs(takes)
    expected = {key: first[key] for key in ((0, 0), (0, 3), (5, 1))}
    for key in reversed(expected):
        item = second[key]
        assert item["source_index"] == expected[key]["source_index"]  # type: ignore[index]
        assert torch.equal(item["target"], expected[key]["target"])  # type: ignore[index]
        assert torch.equal(item["sources"], expected[key]["sources"])  # type: ignore[index]
    windows = {float(time_of(first[(epoch, 0)]["target"])[0].round(2)) for epoch in range(8)}  # type: ignore[index]
    assert len(windows) > 2
    assert torch.equal(second[0]["target"], first[(0, 0)]["target"])  # type: ignore[index]
    other_seed = pairs(takes, seed=1)
    assert any(not torch.equal(other_seed[i]["target"], first[i]["target"]) for i in range(4))  # type: ignore[index]


def test_source_and_target_are_cropped_independently_and_steadily(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(40, 200, 2, dtype=np.uint8)[None, :, None], (60, 80, 3)).copy()
    files = [write_video(tmp_path / f"{v}.mp4", even_times(40, 25), size=(60, 80), image=lambda _: ramp) for v in "12"]
    frame = make_frame([{"path": str(p), "group": "g", "view": p.stem} for p in files])
    dataset, differ = pairs(frame), 0
    for epoch in range(8):
        item = dataset[(epoch, 0)]
        target, source = item["target"].float(), item["sources"][0].float()  # type: ignore[index]
        differ += int((target - source).abs().mean() > 3)
        assert (target - target[:, :1]).abs().max() <= 6  # the same place in all frames
    assert differ >= 4


def test_several_sources_are_different_views_of_the_group(takes: pd.DataFrame) -> None:
    dataset = pairs(takes, num_sources=2)
    assert (len(dataset), dataset.num_groups, dataset.skipped_groups) == (3, 1, 2)
    for epoch in range(4):
        item = dataset[(epoch, 1)]
        assert sorted(item["source_index"]) == [0, 2]  # type: ignore[index]
        for source in item["sources"]:  # type: ignore[index]
            np.testing.assert_allclose(time_of(item["target"]), time_of(source), atol=0.046)  # type: ignore[index]


def test_groups_with_too_few_views_are_counted_or_refused(takes: pd.DataFrame) -> None:
    dataset = pairs(takes)
    assert (dataset.num_groups, dataset.skipped_groups, dataset.num_views, len(dataset)) == (2, 1, 3, 5)
    with pytest.raises(InputError, match="no group with 2 views"):
        pairs(takes[takes["view"] == 1])
    with pytest.raises(InputError, match="no group with 4 views"):
        pairs(takes, num_sources=3)


def test_a_broken_video_is_set_aside_and_listed(takes: pd.DataFrame, tmp_path: Path) -> None:
    bad = tmp_path / "2.mp4"
    bad.write_text("nothing")
    frame = takes.copy()
    frame.loc[4, "path"] = str(bad)  # of the group b, rows 3 and 4; rows 0 to 2 are the group a
    log = ProblemLog(tmp_path / "run" / "problems.jsonl")
    dataset = pairs(frame, Videos(problems=log))
    items = [dataset[(0, 3)], dataset[(0, 4)]]  # as source and as target
    assert all(item["index"] in (0, 1, 2) for item in items)  # others took their place
    assert torch.equal(dataset[(0, 4)]["target"], items[1]["target"])  # the same ones every time
    assert [path for path, _ in log.items()] == [str(bad)]
    assert ProblemLog(log.file).items() == log.items()  # another process sees it too
    assert len(log.file.read_text().splitlines()) == 1  # type: ignore[union-attr]
    alone = pairs(frame[frame["group"] == "b"].reset_index(drop=True))
    with pytest.raises(InputError, match=r"no readable item was found for .* in 21 tries; see the list of problems"):
        alone[(0, 0)]


def test_pairs_are_stacked(takes: pd.DataFrame) -> None:
    dataset = pairs(takes)
    batch = collate_pairs([dataset[(0, 0)], dataset[(0, 4)]])
    assert batch["target"].shape == (2, 3, 8, 32, 32)
    assert batch["sources"].shape == (2, 1, 3, 8, 32, 32)
    assert batch["target"].dtype == torch.uint8
    assert batch["index"].tolist() == [0, 4]


def test_frames_are_read_no_larger_than_crops_need() -> None:
    assert reading_size(PairConfig(), 128) == 194
    assert reading_size(PairConfig(crop="centre"), 128) == 128


def test_batches_by_a_column_take_targets_of_one_value(takes: pd.DataFrame) -> None:
    rooms = {group: room for room, group in enumerate(sorted(takes["group"].unique()))}
    dataset = pairs(takes.assign(setup=takes["group"].map(rooms)), batch_by="setup")
    assert dataset.strata is not None
    assert dataset.strata.tolist() == [rooms[group] for group in dataset.groups]
    assert pairs(takes).strata is None
    with pytest.raises(InputError, match=r"data\.batch_by=room: no such column, .* choose one of .*group"):
        pairs(takes, batch_by="room")
