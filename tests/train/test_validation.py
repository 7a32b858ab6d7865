"""Fine-tuning looks at groups that it does not train on, and keeps the weights that did best there."""

import dataclasses

import pandas as pd
import pytest
import torch
from tiny_runs import FINETUNING

from mv2mae.data.datamodule import finetune_data
from mv2mae.data.labels import draw_validation
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.runs import read_log
from mv2mae.train.finetune import finetune
from mv2mae.train.validation import middle_clips, validate
from mv2mae.weights import fill, read_weights


def table(**groups):
    """`a=3`: class a has groups a0, a1, a2, of two views each."""
    rows = [{"group": f"{c}{k}", "label": "abc".index(c)} for c, n in groups.items() for k in range(n) for _ in "12"]
    return pd.DataFrame(rows)


def test_validation_groups_are_spread_over_the_classes():
    frame = table(a=4, b=4, c=1)
    drawn = draw_validation(frame, 4, seed=0)
    assert sorted(name[0] for name in drawn) == ["a", "a", "b", "b"]  # c keeps its only group
    assert draw_validation(frame, 2, seed=0) == drawn[:2]
    assert draw_validation(frame.sample(frac=1, random_state=1), 4, seed=0) == drawn
    assert any(draw_validation(frame, 4, seed=s) != drawn for s in range(1, 5))
    assert draw_validation(frame, 0, seed=0) == []
    with pytest.raises(InputError, match="validation_groups=7, but only 6 groups can be spared"):
        draw_validation(frame, 7, seed=0)


def test_the_curve_and_the_best_weights(tmp_path, capsys):
    data = dataclasses.replace(FINETUNING.data, validation_groups=2)
    log = dataclasses.replace(FINETUNING.log, check_every=4, save_every=3)
    config = dataclasses.replace(FINETUNING, data=data, log=log, ema_decay=0.0)
    run = finetune(config, str(tmp_path / "run"))
    said = capsys.readouterr().out
    assert "2 validation groups" in said
    assert "best.safetensors has the lowest loss" in said
    assert "validation top-1" in said

    curve = read_log(run)[["held_out/loss", "held_out/top1"]].dropna()
    assert sorted(curve.index) == [0, 3, 4, 6, 8, 9, 12]
    saved = curve["held_out/loss"].loc[[3, 6, 9, 12]]
    best = read_weights(run / "best.safetensors")
    assert best.about["steps"] == saved.idxmin()

    found = finetune_data(config.data, num_frames=4, size=32, num_repeats=2, seed=0)
    assert not set(found.validation.frame["group"]) & set(found.train.frame["group"])
    model = Classifier(best.config, 2).eval()
    fill(model, best.tensors, best.path)
    clips, labels, _ = middle_clips(found.validation, num_workers=0)
    metrics = validate(model, clips, torch.searchsorted(labels.unique(), labels))
    assert metrics["held_out/loss"] == pytest.approx(saved.min(), rel=1e-4)
    assert metrics["held_out/top1"] == pytest.approx(curve["held_out/top1"].loc[saved.idxmin()])


def test_without_validation_groups_nothing_is_looked_at(tmp_path, capsys):
    run = finetune(FINETUNING, tmp_path / "run")
    assert "validation" not in capsys.readouterr().out
    assert "held_out/loss" not in read_log(run)
    assert not (run / "best.safetensors").exists()
