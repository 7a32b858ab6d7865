"""What a training is looked at with: the gains, against a slow way of computing them, and what is said beside them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from clips import moving_blobs

from mv2mae.config import LogConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.config.training import ComputeConfig
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.second_view import emptied_memory, target_losses
from mv2mae.runs import read_log
from mv2mae.train.held_out import held_out_metrics
from mv2mae.train.pretrain import pretrain
from mv2mae.weights import read_weights

RAYS = {"source_mask_ratio": 0.0, "directions": "one", "cameras": "rays", "masking": "tube"}
"""A whole source, one direction, known cameras: what the second view counts with."""


@pytest.fixture(params=[{}, RAYS], ids=["paper", "rays"])
def model(tiny, request):
    torch.manual_seed(0)
    model = MV2MAE(dataclasses.replace(tiny, motion_temperature=20.0, **request.param)).eval()
    with torch.no_grad():  # so that the source matters
        for block in model.cross_decoder.blocks:
            block.cross_attention.proj.weight.mul_(20)
    return model


def batch_of(number):
    return {
        "sources": moving_blobs(number, seed=1).unsqueeze(1),
        "target": moving_blobs(number, seed=2),
        "seed": torch.arange(number),
        "group": torch.arange(number),
        "other_room": torch.tensor([2, 3, 0, 1]),
        "same_room": torch.tensor([1, 0, -1, -1]),
    }


def test_gains_are_those_of_items_one_by_one(model):
    batch = batch_of(4)
    found = held_out_metrics(model, batch, chunk=3)

    def loss(item, source, name="cross_target"):
        with torch.no_grad():
            out = model(batch["sources"][[source]], batch["target"][[item]], seeds=batch["seed"][[item]])
        return float(getattr(out, name))

    own, other = [loss(k, k) for k in range(4)], [loss(k, [2, 3, 0, 1][k]) for k in range(4)]
    alone = sum(loss(k, k, "self_target") for k in range(4))
    assert float(found["cross_target"]) == pytest.approx(sum(own) / 4, rel=1e-5)
    assert float(found["source_gain"]) == pytest.approx((sum(other) - sum(own)) / 4, abs=5e-6)
    assert float(found["cross_target_other_room"]) == pytest.approx(sum(other) / 4, rel=1e-5)
    same = (loss(0, 1) + loss(1, 0) - own[0] - own[1]) / 2
    assert float(found["source_gain_same_room"]) == pytest.approx(same, abs=5e-6)
    assert float(found["cross_gain"]) == pytest.approx(1 - sum(own) / alone, abs=1e-5)
    assert abs(float(found["source_gain"])) > 3e-5


def test_an_emptied_memory_is_a_decoder_without_cross_attention(model):
    batch = batch_of(4)
    found = held_out_metrics(model, batch)
    with torch.no_grad():
        for block in model.cross_decoder.blocks:
            block.cross_attention.proj.weight.zero_()
            block.cross_attention.proj.bias.zero_()
        out = model(batch["sources"], batch["target"], seeds=batch["seed"])
    assert float(found["empty_gain"]) == pytest.approx(float(out.cross_target - found["cross_target"]), abs=1e-5)


def test_after_an_emptied_look_the_source_is_back(model):
    batch = batch_of(4)
    with torch.no_grad():
        before = model(batch["sources"], batch["target"], seeds=batch["seed"])
        with emptied_memory(model):
            empty = [model(s, batch["target"], seeds=batch["seed"]) for s in (batch["sources"], batch["target"])]
        after = model(batch["sources"], batch["target"], seeds=batch["seed"])
    assert torch.equal(empty[0].cross_target, empty[1].cross_target)
    assert torch.equal(before.cross_target, after.cross_target)
    assert not torch.equal(before.cross_target, empty[0].cross_target)


@pytest.mark.parametrize("literal", [False, True])
def test_losses_of_tokens_add_up_to_those_of_the_model(model, literal):
    model.config = dataclasses.replace(model.config, literal_loss_scale=literal)
    batch = batch_of(4)
    with torch.no_grad():
        out = model(batch["sources"], batch["target"], seeds=batch["seed"], with_reconstructions=True)
        losses = target_losses(out, batch["target"], model.config)
    for name, errors in (("self_target", losses.self_view), ("cross_target", losses.cross_view)):
        torch.testing.assert_close(losses.of_items(errors).mean(), getattr(out, name))
    torch.testing.assert_close(losses.of_items(losses.baseline).mean(), out.baseline_target)


def test_a_run_looks_at_seen_and_unseen_and_says_which_is_which(tiny, tmp_path, capsys):
    config = PretrainConfig(
        model=tiny,
        data=PairConfig(split="synthetic/xsub", frame_stride=8, held_out_groups=4),
        optim=OptimConfig(lr=1e-3, batch_size=2, steps=2, warmup_steps=0),
        compute=ComputeConfig(accelerator="cpu", num_workers=0),
        log=LogConfig(held_out_pairs=4, check_every=2),
    )
    pretrain(config, tmp_path / "run")
    said = capsys.readouterr().out
    assert "4 groups held out, rooms and people trained on or not known" in said
    assert "4 groups unseen, people not trained on, rooms trained on or not known" in said
    log = read_log(tmp_path / "run")
    names = ("loss", "cross_gain", "source_gain", "source_gain_same_room", "empty_gain")
    assert {f"{check}/{name}" for check in ("held_out", "unseen") for name in names} <= set(log)
    apart = read_weights(tmp_path / "run").about["apart"]
    assert apart == {"held_out": [], "unseen": ["subject"]}


def test_a_run_with_rays_is_told_the_cameras_of_its_pairs_and_looks_with_them(tiny, tmp_path, monkeypatch, capsys):
    told, looked = [], []
    forward, embedded = MV2MAE.forward, MV2MAE.embedded_rays

    def listening(self, *args, cameras=None, **kwargs):
        told.append(cameras)
        return forward(self, *args, cameras=cameras, **kwargs)

    def embedding(self, cameras):
        looked.append(cameras)
        return embedded(self, cameras)

    monkeypatch.setattr(MV2MAE, "forward", listening)
    monkeypatch.setattr(MV2MAE, "embedded_rays", embedding)
    config = PretrainConfig(
        model=dataclasses.replace(tiny, **RAYS),
        data=PairConfig(split="synthetic/xsub", frame_stride=8, augment_alike=True),
        optim=OptimConfig(lr=1e-3, batch_size=2, steps=1, warmup_steps=0),
        compute=ComputeConfig(accelerator="cpu", num_workers=0),
        log=LogConfig(held_out_pairs=4, check_every=1),
    )
    pretrain(config, tmp_path / "run")
    assert "known cameras" in capsys.readouterr().out
    assert len(told) > 4
    assert len(looked) > len(told)  # for other sources too
    assert all(cameras.shape[1:] == (2, 16) and cameras.isfinite().all() for cameras in told + looked)
    assert read_log(tmp_path / "run")["unseen/cross_gain"].notna().any()
