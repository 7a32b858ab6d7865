"""Runs whose loader reads ahead, repeats, or dies."""

import dataclasses
import multiprocessing
import os
import signal
import time

import pandas as pd
import pytest
import torch
from power_cut import power_cut

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.runs import read_log
from mv2mae.train.checkpoints import _Patient
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.train.step import accumulation
from mv2mae.weights import read_weights

FEW = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"


@pytest.fixture
def config(tiny):
    return PretrainConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        # in memory: its workers are forked, which takes no time
        data=PairConfig(train_query=FEW, cache="memory", frame_stride=8, num_repeats=2),
        optim=OptimConfig(lr=1e-3, batch_size=4, epochs=3, warmup_steps=2),
        compute=ComputeConfig(accelerator="cpu", num_workers=2, num_threads=1),
        log=LogConfig(log_every=1, check_every=100, save_every=3, held_out_pairs=4),
    )


def test_a_stopped_run_that_reads_ahead_goes_on_exactly(config, tmp_path, monkeypatch, capsys):
    whole = pretrain(config, tmp_path / "whole")
    said = capsys.readouterr().out
    assert "12 pairs an epoch, 2 from each decoding" in said
    assert "9 of 4 pairs = 3.0 epochs" in said  # repeats count: 3 epochs of pairs, 1.5 of decoding
    assert "1 device(s) x 4 pairs x 1 part(s)" in said
    with power_cut(monkeypatch, PretrainModule, 5):
        pretrain(config, tmp_path / "parts")
    parts = pretrain(config, tmp_path / "parts")
    assert "going on from step 3 of 9" in capsys.readouterr().out
    a, b = (read_weights(run).tensors for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    losses = [read_log(run)["train/loss"].dropna() for run in (whole, parts)]
    pd.testing.assert_series_equal(*losses)
    alone = dataclasses.replace(config, compute=dataclasses.replace(config.compute, num_workers=0))
    there = read_weights(pretrain(alone, tmp_path / "alone")).tensors
    assert all(torch.equal(a[name], there[name]) for name in a)


@pytest.mark.parametrize("place", ["in a step", "while a checkpoint is written"])
def test_a_killed_worker_stops_the_run_with_one_clear_line(config, tmp_path, monkeypatch, place):
    step, write = PretrainModule.training_step, _Patient.write
    killed, written = [], []

    def kill_once():
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.5)  # its signal comes here

    def killing_step(self, batch, batch_idx):
        if batch_idx == 2:
            kill_once()
        return step(self, batch, batch_idx)

    def killing_write(self, data):
        written.append(data)
        if len(written) == 23:  # in the middle of the archive, where torch makes another error of any error
            kill_once()
        return write(self, data)

    if place == "in a step":
        monkeypatch.setattr(PretrainModule, "training_step", killing_step)
    else:
        monkeypatch.setattr(_Patient, "write", killing_write)
    endless = dataclasses.replace(config.optim, epochs=None, steps=1000)
    with pytest.raises(InputError, match="a process that reads videos has died"):
        pretrain(dataclasses.replace(config, optim=endless), tmp_path / "run")
    assert killed


@pytest.mark.parametrize(
    ("batch_size", "device_batch_size", "world_size", "expected"),
    [(48, None, 2, (6, 1)), (48, 8, 2, (2, 3)), (48, 11, 2, (2, 3)), (8, 100, 1, (2, 1))],
)
def test_repeats_stay_together_in_parts_and_on_devices(batch_size, device_batch_size, world_size, expected):
    compute = ComputeConfig(device_batch_size=device_batch_size)
    assert accumulation(batch_size // 4, compute, world_size, num_repeats=4) == expected


@pytest.mark.parametrize(
    ("batch_size", "device_batch_size", "world_size", "message"),
    [
        (12, None, 2, "a step of 3 items of 4 repeats .* does not divide by the 2 devices"),
        (24, 3, 1, "device_batch_size=3 does not divide the 6 items of 4 repeats a device has in a step; try 4"),
        (24, 16, 1, "device_batch_size=16 does not divide the 6 items of 4 repeats .* try 12"),
    ],
)
def test_parts_that_would_tear_repeats_are_refused(batch_size, device_batch_size, world_size, message):
    compute = ComputeConfig(device_batch_size=device_batch_size)
    with pytest.raises(InputError, match=message):
        accumulation(batch_size // 4, compute, world_size, num_repeats=4)
