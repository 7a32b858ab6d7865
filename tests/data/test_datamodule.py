"""From configuration to loaders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from mv2mae.config import ClipConfig, EvalConfig, PairConfig
from mv2mae.data.datamodule import eval_data, finetune_data, held_out_batch, pretrain_data
from mv2mae.data.held_out import describe_held_out
from mv2mae.data.loader import make_loader
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.sampling import StepSampler
from mv2mae.data.views import collate_pairs
from mv2mae.errors import InputError

SHAPE = {"num_frames": 4, "size": 16}


@pytest.fixture(scope="module")
def manifest(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five groups of two views (the same two files under five names), five people."""
    rows = [
        {"path": takes["path"][view + 2], "group": f"g{g}", "view": view, "label": g % 3, "subject": g, "start": g / 50}
        for g in range(1, 6)
        for view in (1, 2)
    ]
    return write_manifest(make_frame(rows), tmp_path_factory.mktemp("set") / "m.parquet")


def test_held_out_groups_are_drawn_by_seed_and_left_out_of_training(manifest: Path) -> None:
    data = pretrain_data(PairConfig(manifest=str(manifest), held_out_groups=2), **SHAPE, seed=0)
    held, kept = set(data.held_out.frame["group"]), set(data.train.frame["group"])
    assert len(held) == 2
    assert held | kept == {f"g{g}" for g in range(1, 6)}
    assert not held & kept
    assert data.summary == {
        "groups": 3,
        "videos": 6,
        "views": 2,
        "skipped_groups": 0,
        "held_out_groups": 2,
        "set_aside": 0,
    }
    again = pretrain_data(PairConfig(manifest=str(manifest)), **SHAPE, seed=0)
    assert set(again.held_out.frame["group"]) == held
    drawn = {
        tuple(pretrain_data(PairConfig(manifest=str(manifest)), **SHAPE, seed=s).held_out.frame["group"])
        for s in range(6)
    }
    assert len(drawn) > 1


def test_no_group_at_all_may_be_held_out(manifest: Path) -> None:
    data = pretrain_data(PairConfig(manifest=str(manifest), held_out_groups=0), **SHAPE, seed=0)
    assert data.summary["held_out_groups"] == 0
    assert data.summary["groups"] == data.train.num_groups == read_manifest(manifest)["group"].nunique()
    assert "given_up_groups" not in data.summary
    assert (
        describe_held_out(data.summary, data.apart)[0] == "pairs of the training itself, of which no group is held out"
    )


def test_groups_may_lack_a_view_that_others_have(takes: pd.DataFrame, tmp_path: Path) -> None:
    rows = [
        {"path": takes["path"][view - 1], "group": f"g{g}", "view": view, "start": g / 50}
        for g in range(1, 5)
        for view in ((1, 2, 3) if g == 1 else (1, 2))
    ]
    file = str(write_manifest(make_frame(rows), tmp_path / "m.csv"))
    data = pretrain_data(PairConfig(manifest=file, target_views=(1, 2, 3), held_out_groups=2), **SHAPE, seed=0)
    assert data.summary["groups"] == data.summary["held_out_groups"] == 2
    with pytest.raises(InputError, match="data.target_views names 4; the manifest's views are 1, 2, 3"):
        pretrain_data(PairConfig(manifest=file, target_views=(3, 4)), **SHAPE, seed=0)


def test_a_single_group_is_trained_on_and_looked_at(takes: pd.DataFrame, tmp_path: Path) -> None:
    file = write_manifest(takes[takes["group"] == "a"], tmp_path / "m.csv")
    data = pretrain_data(PairConfig(manifest=str(file)), **SHAPE, seed=0)
    assert data.summary["held_out_groups"] == 0
    assert len(data.train) == len(data.held_out) == 3


def test_the_held_out_batch_is_fixed(manifest: Path) -> None:
    data = pretrain_data(PairConfig(manifest=str(manifest)), **SHAPE, seed=0)
    first, second = held_out_batch(data.held_out, 6), held_out_batch(data.held_out, 6)
    assert first["target"].shape == (6, 3, 4, 16, 16)
    assert torch.equal(first["sources"], second["sources"])
    assert first["index"].tolist() == [0, 1, 2, 3, 0, 3]


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_batches_do_not_depend_on_the_number_of_workers(manifest: Path, cache: str) -> None:
    data = pretrain_data(
        PairConfig(manifest=str(manifest), cache=cache),  # type: ignore[arg-type]
        **SHAPE,
        seed=3,
        progress=False,
    )

    def batches(num_workers: int) -> list[torch.Tensor]:
        sampler = StepSampler(len(data.train), 4, 3, seed=3)
        loader = make_loader(data.train, sampler, device_batch_size=2, num_workers=num_workers, collate=collate_pairs)
        return [torch.cat([batch["target"], batch["sources"][:, 0]]) for batch in loader]

    here, there = batches(0), batches(2)
    assert len(here) == len(there) == 6
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    assert data.train.videos.in_memory == (cache == "memory")


def test_workers_share_one_list_of_broken_videos(takes: pd.DataFrame, tmp_path: Path) -> None:
    bad = tmp_path / "2.mp4"
    bad.write_text("no video")
    frame = takes.copy()
    frame.loc[1, "path"] = str(bad)
    problems_file = tmp_path / "problems.jsonl"
    config = PairConfig(manifest=str(write_manifest(frame, tmp_path / "m.csv")), held_out_groups=1)
    data = pretrain_data(config, **SHAPE, seed=0, problems_file=problems_file)
    whole = data.train if "a" in set(data.train.frame["group"]) else data.held_out
    sampler = StepSampler(len(whole), 3, 6, seed=0)
    loader = make_loader(whole, sampler, device_batch_size=3, num_workers=2, collate=len)
    assert list(loader) == [3] * 6  # batches keep their size
    assert [path for path, _ in data.problems.items()] == [str(bad)]


def test_memory_is_filled_once_at_the_asked_size(manifest: Path) -> None:
    data = pretrain_data(
        PairConfig(manifest=str(manifest), cache="memory", cache_size=24), **SHAPE, seed=0, progress=False
    )
    parts = [part for of_video in data.train.videos._decoded.values() for part in of_video]
    num_values = sum(part.frames.numel() for part in parts)
    assert num_values == 40 * 32 * 24 * 3 + 48 * 24 * 32 * 3


def test_files_that_are_not_there_are_set_aside(takes: pd.DataFrame, tmp_path: Path) -> None:
    frame = takes.copy()
    frame.loc[2, "path"] = str(tmp_path / "gone.mp4")
    file = write_manifest(frame, tmp_path / "m.csv")
    data = pretrain_data(PairConfig(manifest=str(file)), **SHAPE, seed=0, problems_file=tmp_path / "problems.jsonl")
    assert data.summary["set_aside"] == 1
    assert data.problems.items() == [(str(tmp_path / "gone.mp4"), "no such file")]
    gone = frame.assign(path=[str(tmp_path / f"{i}.mp4") for i in range(6)])
    with pytest.raises(InputError, match="none of the 6 videos can be read"):
        pretrain_data(PairConfig(manifest=str(write_manifest(gone, file))), **SHAPE, seed=0)


def test_finetuning_takes_the_parts_of_a_split(manifest: Path) -> None:
    config = ClipConfig(manifest=str(manifest), split="synthetic/xsub")
    data = finetune_data(config, **SHAPE, num_repeats=2, seed=0)
    assert data.summary == {"videos": 6, "groups": 3, "classes": 3, "set_aside": 0}
    test = eval_data(config, **SHAPE, test=EvalConfig(num_clips=2, num_crops=2))
    assert set(test.frame["subject"]) == {4, 5}
    assert test[0]["clips"].shape == (4, 3, 4, 16, 16)


def test_evaluation_takes_the_test_part_or_everything(manifest: Path) -> None:
    test = EvalConfig(num_clips=1, num_crops=1)
    assert len(eval_data(PairConfig(manifest=str(manifest)), **SHAPE, test=test)) == 10
    config = PairConfig(manifest=str(manifest), test_query="subject == 5 and view == 2")
    dataset = eval_data(config, **SHAPE, test=test)
    assert len(dataset) == 1
    loader = make_loader(dataset, None, device_batch_size=None, num_workers=0)
    assert [item["clips"].shape for item in loader] == [(1, 3, 4, 16, 16)]


def test_a_test_may_be_of_the_groups_of_some_videos(takes: pd.DataFrame, tmp_path: Path) -> None:
    config = PairConfig(manifest=str(write_manifest(takes, tmp_path / "m.csv")))
    test = EvalConfig(num_clips=1, num_crops=1)
    first, last = takes["group"].iloc[[0, -1]]
    assert takes["group"].nunique() > 2
    some = [takes["path"].iloc[0], takes["path"].iloc[-1], "/elsewhere.mp4"]
    found = eval_data(config, **SHAPE, test=test, groups_of=some)
    assert found.paths == takes["path"][(takes["group"] == first) | (takes["group"] == last)].tolist()
    with pytest.raises(InputError, match="none of the 6 videos is among the 1 that the run was fine-tuned on"):
        eval_data(config, **SHAPE, test=test, groups_of=["/elsewhere.mp4"])


def test_device_batches_must_divide_the_step(manifest: Path) -> None:
    data = pretrain_data(PairConfig(manifest=str(manifest)), **SHAPE, seed=0)
    sampler = StepSampler(len(data.train), 4, 3, seed=3)
    with pytest.raises(InputError, match="device_batch_size=3 does not divide the 4 items"):
        make_loader(data.train, sampler, device_batch_size=3, num_workers=0)
