"""The contrastive baseline as a run: resumed exactly, fine-tuned, refused where a decoder is wanted."""

import dataclasses

import pytest
import torch
from power_cut import power_cut

from mv2mae.config import (
    ClipConfig,
    ComputeConfig,
    FinetuneConfig,
    LogConfig,
    OptimConfig,
    PairConfig,
    PretrainConfig,
)
from mv2mae.errors import InputError
from mv2mae.runs import read_log
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.weights import ENCODER, load_pretrained, read_weights

FEW = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"


@pytest.fixture
def contrastive(tiny):
    return PretrainConfig(
        objective="contrastive",
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=PairConfig(train_query=FEW, cache="memory", frame_stride=8),
        optim=OptimConfig(lr=1e-3, batch_size=6, steps=6, warmup_steps=2),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1),
        log=LogConfig(log_every=2, check_every=3, save_every=2, held_out_pairs=4),
    )


def test_a_run_keeps_the_encoder_from_which_a_classifier_starts(contrastive, tmp_path, capsys):
    run = pretrain(contrastive, tmp_path / "run")
    assert "contrastive, no decoders" in capsys.readouterr().out
    stored = read_weights(run)
    assert stored.kind == ENCODER
    assert {"train/loss", "train/top1", "held_out/loss", "held_out/top1"} <= set(read_log(run).columns)
    with pytest.raises(InputError, match="holds .*encoder"):
        load_pretrained(run)
    finetune(
        FinetuneConfig(
            init=str(run),
            data=ClipConfig(train_query=FEW, cache="memory", frame_stride=8),
            num_repeats=1,
            optim=OptimConfig(lr=1e-3, batch_size=4, steps=1),
            compute=contrastive.compute,
        ),
        tmp_path / "finetuned",
    )
    assert "tensors used; 2 not: norm)" in capsys.readouterr().out  # its last norm is left out


def test_a_stopped_run_goes_on_exactly(contrastive, tmp_path, monkeypatch):
    whole = read_weights(pretrain(contrastive, tmp_path / "whole"))
    with power_cut(monkeypatch, PretrainModule, 3):
        pretrain(contrastive, tmp_path / "stopped")
    stopped = read_weights(pretrain(contrastive, tmp_path / "stopped"))
    assert all(torch.equal(stopped.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_views_of_one_performance_do_not_repel_each_other(contrastive, tmp_path, monkeypatch):
    seen = []
    original = PretrainModule.training_step

    def watch(self, batch, batch_idx):
        names = [self.items.groups[i] for i in batch["index"].tolist()]
        groups = self.groups[batch["index"]].tolist()
        seen.append(
            [
                (a == b) == (g == h)
                for a, g in zip(names, groups, strict=True)
                for b, h in zip(names, groups, strict=True)
            ]
        )
        return original(self, batch, batch_idx)

    monkeypatch.setattr(PretrainModule, "training_step", watch)
    pretrain(contrastive, tmp_path / "run")
    assert len(seen) == 6
    assert all(all(same) for same in seen)


def test_it_starts_from_scratch_only(contrastive):
    with pytest.raises(InputError, match="objective=contrastive starts from scratch"):
        dataclasses.replace(contrastive, init="synthetic-small")
    with pytest.raises(InputError, match="contrastive_temperature=0"):
        dataclasses.replace(contrastive, contrastive_temperature=0)
