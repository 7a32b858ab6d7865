"""Two processes on the CPU do what one does with the whole batch."""

import subprocess
import sys

import pytest
import torch

from mv2mae.runs import read_log
from mv2mae.weights import read_weights

TINY = {
    "model.num_frames": 4,
    "model.image_size": 32,
    "model.tubelet_size": "[2,8,8]",
    "model.encoder_width": 32,
    "model.encoder_depth": 2,
    "model.encoder_heads": 2,
    "model.decoder_width": 24,
    "model.decoder_depth": 1,
    "model.decoder_heads": 2,
    "data.train_query": "subject in [1, 2, 3] and label in [5, 7] and setup == 1",
    "data.frame_stride": 8,
    "optim.lr": 1e-3,
    "optim.base_lr": "null",
    "optim.batch_size": 4,
    "optim.epochs": "null",
    "optim.steps": 6,
    "optim.warmup_epochs": "null",
    "compute.accelerator": "cpu",
    "compute.num_workers": 0,
    "compute.num_threads": 1,
    "log.log_every": 1,
    "log.held_out_pairs": 4,
}


TINY_FINETUNE = {
    **{name: value for name, value in TINY.items() if name != "log.held_out_pairs"},
    "num_repeats": 2,
    "optim.batch_size": 8,
    "head.drop_path": 0.0,  # its draws are a rank's own
    "augment.mixup": 0.8,
    "augment.cutmix": 1.0,
    "augment.erase_prob": 0.25,
    "head.class_weights": "balanced",
    "train_blocks": 1,
    "ema_decay": 0.9,
}


def train(verb, run, **options):
    words = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "mv2mae.cli", verb, "--run", str(run), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pretrain(run, **options):
    return train("pretrain", run, **{**TINY, **options})


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    pretrain(tmp_path / "one")
    said = pretrain(tmp_path / "two", **{"compute.devices": 2, "compute.strategy": "ddp"})
    assert said.count("Pre-training") == 1
    assert "2 device(s) x 2 pairs" in said
    one, two = (read_weights(tmp_path / name).tensors for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)
    rows = (tmp_path / "two" / "log.csv").read_text().splitlines()
    assert len(rows) == len({tuple(row.split(",")[:2]) for row in rows})  # each quantity once a step
    losses = [read_log(tmp_path / name)["held_out/loss"].dropna() for name in ("one", "two")]
    assert losses[0].iloc[-1] == pytest.approx(losses[1].iloc[-1], rel=1e-4)


@pytest.mark.slow
def test_two_processes_fine_tune_as_one_does(tmp_path):
    train("finetune", tmp_path / "one", **TINY_FINETUNE)
    train("finetune", tmp_path / "two", **{**TINY_FINETUNE, "compute.devices": 2, "compute.strategy": "ddp"})
    one, two = (read_weights(tmp_path / name).tensors for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)
