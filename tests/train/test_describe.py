"""What a training says of itself."""

import dataclasses

import pytest
from clips import moving_blobs

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.train.describe import describe_data, describe_motion, describe_warmup
from mv2mae.train.pretrain import pretrain


def test_numbers_and_what_chose_the_videos():
    data = PairConfig(manifest="m.csv", split="ntu60/xsub")
    assert describe_data(data, {"groups": 1, "views": 3, "held_out_groups": 1, "set_aside": 0}) == (
        "1 group, 3 views, 1 held out group, 0 set aside; from m.csv, training part of ntu60/xsub"
    )
    query = dataclasses.replace(data, split="", train_query="view != 1")
    assert describe_data(query, {"classes": 1, "videos": 1200}) == "1 class, 1,200 videos; from m.csv, where view != 1"
    assert describe_data(PairConfig(), {"rooms_at_a_time": 1}) == "1 room at a time; from sample"


@pytest.mark.parametrize(
    ("steps", "warmup", "said"),
    [(100, 10, "10 of them warm-up"), (100, 0, "0 of them warm-up"), (5, 10, "all of them within the warm-up of 10")],
)
def test_a_run_shorter_than_its_warm_up_is_told(steps, warmup, said):
    assert describe_warmup(steps, warmup).startswith(said)


def test_a_run_names_the_split_in_use(tiny, tmp_path, capsys):
    config = PretrainConfig(
        model=tiny,
        data=PairConfig(split="synthetic/xsub", frame_stride=8, held_out_groups=1),
        optim=OptimConfig(lr=1e-3, batch_size=2, steps=1, warmup_steps=3),
        compute=ComputeConfig(accelerator="cpu", num_workers=0),
        log=LogConfig(held_out_pairs=2),
    )
    pretrain(config, tmp_path / "run")
    said = capsys.readouterr().out
    assert "; from sample, training part of synthetic/xsub; " in said
    assert "all of them within the warm-up of 3" in said
    assert "motion  weights are worth " in said
    assert "1 held out group;" in said or "1 held out group," in said


@pytest.mark.parametrize(
    ("changes", "worth", "warned"),
    [
        ({}, "(1.00)", True),  # temperature 60 on normalised frames
        ({"effective_tokens": 0.5}, "16.0 of 32 tokens (0.50)", False),
        ({"motion_temperature": None}, "32.0 of 32 tokens (1.00)", False),  # uniform is what was asked for
    ],
)
def test_what_the_motion_weights_are_worth_is_measured(tiny, changes, worth, warned):
    batch = {"target": moving_blobs(3, seed=1), "sources": moving_blobs(3, seed=2)[:, None]}
    first, *rest = describe_motion(dataclasses.replace(tiny, **changes), batch)
    assert worth in first
    assert "measured on 6 clips of 3 pairs" in first
    assert [line for line in rest if "warning" in line] == rest
    assert bool(rest) == warned
