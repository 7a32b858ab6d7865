"""Low-rank adapters: what learns, that merging changes nothing, and that a stopped run goes on exactly."""

import dataclasses
import importlib.util
import sys

import pytest
import torch
from power_cut import power_cut
from tiny_runs import FINETUNING

from mv2mae.config import OptimConfig
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.train.finetune import FinetuneModule, finetune
from mv2mae.train.lora import add_adapters, merged
from mv2mae.weights import ENCODER, load_classifier_model, read_weights, save_weights

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="NOT TESTED: peft is not installed")
CLIP = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def config(tmp_path):
    encoder = Classifier(FINETUNING.model, 2).encoder
    save_weights(tmp_path / "start" / "model.safetensors", encoder, ENCODER, FINETUNING.model)
    return dataclasses.replace(FINETUNING, init=str(tmp_path / "start"), lora_rank=2)


@needs_peft
def test_merged_it_answers_the_same_without_adapters():
    model = Classifier(FINETUNING.model, 3).eval()
    before, names = model(CLIP), set(model.state_dict())
    line = add_adapters(model, 2, 2.0)
    torch.testing.assert_close(model(CLIP), before)  # B begins at zero
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or not name.startswith("encoder.") for name in learning)
    # rank 2 x (in + out) of qkv, proj and both of the MLP in two blocks of width 32; norm and head
    assert line == f"adapters of rank 2: {2 * 2 * (128 + 64 + 160 + 160) + 64 + 99:,} parameters learn"
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = model(CLIP)
    assert not torch.allclose(adapted, before)
    plain = merged(model)
    torch.testing.assert_close(plain(CLIP), adapted)
    assert set(plain.state_dict()) == names
    assert merged(plain) is plain
    torch.testing.assert_close(model(CLIP), adapted)  # the one that goes on learning is as it was


@needs_peft
def test_a_run_learns_by_adapters_and_goes_on_exactly(config, tmp_path, monkeypatch, capsys):
    run = finetune(config, tmp_path / "whole")
    assert "adapters of rank 2" in " ".join(capsys.readouterr().out.split())
    before, after = read_weights(config.init).tensors, load_classifier_model(run)[0].encoder.state_dict()
    assert not torch.equal(before["blocks.0.mlp.0.weight"], after["blocks.0.mlp.0.weight"])
    change = after["blocks.0.mlp.0.weight"] - before["blocks.0.mlp.0.weight"]
    assert int(torch.linalg.matrix_rank(change, rtol=1e-3)) <= 2
    for name in ("embed.weight", "blocks.0.norm1.weight", "blocks.0.attention.q_bias"):
        assert torch.equal(before[name], after[name])
    with power_cut(monkeypatch, FinetuneModule, 5):
        finetune(config, tmp_path / "parts")
    finetune(config, tmp_path / "parts")
    whole, parts = read_weights(run).tensors, read_weights(tmp_path / "parts").tensors
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"lora_rank": -1}, "lora_rank=-1 must be at least 0"),
        ({"train_blocks": 1}, "exclude each other"),
        ({"init": None}, "give --from"),
        ({"optim": OptimConfig(optimizer="muon", lr=1e-3, steps=1, batch_size=2)}, "goes with optim.optimizer=adamw"),
    ],
)
def test_settings_that_do_not_go_together(settings, problem, config):
    with pytest.raises(InputError, match=problem):
        dataclasses.replace(config, **settings)


def test_without_peft_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'mv2mae\[lora\]'"):
        add_adapters(Classifier(FINETUNING.model, 2), 2, 2.0)
