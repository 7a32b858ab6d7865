"""Pictures of held-out clips that a pre-training leaves in its folder."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.records import write_record
from mv2mae.runs import read_log
from mv2mae.train.pretrain import pretrain
from mv2mae.train.snapshots import Snapshots, _steps_in, snapshot_steps
from mv2mae.weights import read_weights


@pytest.fixture
def config(tiny):
    return PretrainConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=PairConfig(train_query="subject in [1, 2] and label == 5", cache="memory", frame_stride=8),
        optim=OptimConfig(lr=1e-3, batch_size=4, steps=6, warmup_steps=2),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1),
        log=LogConfig(log_every=1, check_every=3, save_every=6, held_out_pairs=4),
    )


def test_steps_double_up_to_the_last_and_are_few():
    assert snapshot_steps(6400) == [0, 100, 200, 400, 800, 1600, 3200, 4800, 6400]
    assert snapshot_steps(1) == [0, 1]
    assert all(len(snapshot_steps(steps)) <= 9 for steps in range(1, 2000))


def test_snapshots_are_written_and_change_nothing_of_the_training(config, tmp_path, monkeypatch):
    with_pictures = pretrain(config, tmp_path / "with")
    monkeypatch.setattr(Snapshots, "look", lambda *args: None)
    without = pretrain(config, tmp_path / "without")
    assert not (without / "snapshots").exists()
    logs = [read_log(run).drop(columns=speeds(read_log(run))) for run in (with_pictures, without)]
    assert logs[0].equals(logs[1])
    weights = [read_weights(run).tensors for run in (with_pictures, without)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])

    about = json.loads((with_pictures / "snapshots.json").read_text())
    assert [int(step) for step in about["steps"]] == snapshot_steps(6)
    assert about["frames"] == [0, 2]
    errors = about["steps"]["0"]
    assert set(errors) == {"self-view", "cross-view"}
    assert all(len(values) == about["pairs"] == 2 for values in errors.values())
    sheet = np.asarray(Image.open(with_pictures / "snapshots" / "step=00000006.webp"))
    assert sheet.shape == (4 * 32, 2 * 32, 3)
    given = np.asarray(Image.open(with_pictures / "snapshots" / "clips.webp"))
    assert given.shape == (8 * 32, 2 * 32, 3)
    parts = given[32:64].reshape(4, 8, 8, 8, 3).astype(int)  # the visible tubelets of the target on grey
    is_grey = (np.abs(parts - 128).mean(axis=(1, 3, 4)) < 4).sum()
    assert is_grey == config.model.num_masked


def test_a_damaged_note_of_earlier_pictures_ends_no_training(tmp_path, caplog):
    write_record(tmp_path / "snapshots.json", {"steps": {"0": {"self": [1.0]}}})
    assert _steps_in(tmp_path / "snapshots.json") == {"0": {"self": [1.0]}}
    for text in ("\0" * 9, "{}", '{"steps": 3}'):
        (tmp_path / "snapshots.json").write_text(text)
        assert _steps_in(tmp_path / "snapshots.json") == {}
    assert "the pictures before this step are left out of it" in caplog.text


def speeds(log):
    return [name for name in log if name.startswith("speed/")]


def test_a_disk_that_is_full_costs_the_pictures_only(config, tmp_path, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    run = pretrain(config, tmp_path / "run")
    assert (run / "summary.json").exists()
    assert "no snapshot of step 0: [Errno 28] No space left on device" in caplog.text
