"""Another objective is one class: a run of it trains, measures, saves, goes on, and is told apart."""

import dataclasses

import pytest
import torch
from power_cut import power_cut
from tiny_runs import PRETRAINING
from torch import nn

from mv2mae.errors import InputError
from mv2mae.model.encoder import Encoder
from mv2mae.runs import read_log
from mv2mae.train.objective import OBJECTIVES, Objective
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.weights import ENCODER, read_weights


class Brightness(nn.Module):
    """Tells the mean brightness of a clip from its encoded tokens."""

    def __init__(self, config):
        super().__init__()
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.encoder_width, 1)

    def forward(self, clips):
        return self.head(self.encoder(clips).mean(dim=1))[:, 0]


class BrightnessObjective(Objective):
    kind = "of brightness"

    def build(self):
        return Brightness(self.config.model)

    def losses(self, model, batch, *, training=True):
        errors = model(batch["target"]) - batch["target"].float().mean(dim=(1, 2, 3, 4)) / 255
        return {"loss": errors.square().mean(), "largest": errors.abs().max()}

    def saved(self, model):
        return model.encoder, ENCODER


def test_a_run_of_another_objective(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(OBJECTIVES, "brightness", BrightnessObjective)
    config = dataclasses.replace(PRETRAINING, objective="brightness")
    run = pretrain(config, tmp_path / "run")
    assert "of brightness, 0.0" in capsys.readouterr().out
    log = read_log(run)
    assert {"train/largest", "held_out/largest"} <= set(log)
    assert log["held_out/loss"].dropna().iloc[-1] < log["held_out/loss"].dropna().iloc[0]
    assert not (run / "snapshots").exists()
    stored = read_weights(run)
    assert stored.kind == ENCODER
    with power_cut(monkeypatch, PretrainModule, 5):
        pretrain(config, tmp_path / "stopped")
    again = read_weights(pretrain(config, tmp_path / "stopped")).tensors
    assert all(torch.equal(again[name], tensor) for name, tensor in stored.tensors.items())


def test_an_objective_starts_from_scratch_unless_it_says_how_not():
    objective = BrightnessObjective(dataclasses.replace(PRETRAINING, objective="brightness"))
    with pytest.raises(InputError, match="objective=brightness starts from scratch; set init to null"):
        objective.take_over("synthetic-small")
