"""Pre-training on the endless synthetic stream."""

import dataclasses

import pandas as pd
import pytest
import torch
from power_cut import power_cut

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig, PairConfig, PretrainConfig, StreamConfig
from mv2mae.runs import read_log
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.weights import load_pretrained


@pytest.fixture
def config(tiny):
    stream = StreamConfig(num_rooms=2, pairs_per_room=8, actions=("wave", "squat"))
    return PretrainConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=PairConfig(manifest="synthetic-stream", stream=stream, frame_stride=8),
        optim=OptimConfig(lr=1e-3, batch_size=4, steps=6, warmup_steps=2),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1),
        log=LogConfig(log_every=1, check_every=3, save_every=3, held_out_pairs=4),
    )


def losses(run):
    log = read_log(run)
    return log[["train/loss", "held_out/loss", "held_out/source_gain"]].dropna(how="all")


def test_a_stopped_stream_goes_on_exactly(config, tmp_path, monkeypatch):
    whole = load_pretrained(pretrain(config, tmp_path / "whole"))
    with power_cut(monkeypatch, PretrainModule, 4):
        pretrain(config, tmp_path / "parts")
    parts = load_pretrained(pretrain(config, tmp_path / "parts"))
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b), name
    pd.testing.assert_frame_equal(losses(tmp_path / "whole"), losses(tmp_path / "parts"))


def test_it_does_not_matter_where_pairs_are_drawn(config, tmp_path):
    pretrain(config, tmp_path / "loader")
    on_device = dataclasses.replace(config.compute, draw_on="device")
    pretrain(dataclasses.replace(config, compute=on_device), tmp_path / "device")
    pd.testing.assert_frame_equal(losses(tmp_path / "loader"), losses(tmp_path / "device"))
    assert losses(tmp_path / "loader")["train/loss"].nunique() == 6
