"""Nothing computes in bfloat16 on a processor that would emulate it: each operation of small trainings is checked."""

import dataclasses

import pytest
import torch
from frozen import DATA, few_videos, tiny_weights
from tiny_runs import FINETUNING, PRETRAINING
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mv2mae.config import FeatureConfig, ProbeConfig
from mv2mae.model import precision
from mv2mae.studies.probes.measure import probe
from mv2mae.train import muon
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain


class Count(TorchDispatchMode):
    """Counts operations, and names those that touch bfloat16."""

    def __init__(self):
        super().__init__()
        self.all, self.bf16 = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.all += 1
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 for x in tree_leaves((args, kwargs, out))):
            self.bf16.add(str(func))
        return out


@pytest.fixture
def emulated(monkeypatch, tmp_path):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    for module in (precision, muon):
        monkeypatch.setattr(module, "multiplies_bf16", lambda device: False)


def quick(config, **settings):
    """Two steps, with Muon, in the precision that the machine is good at."""
    optim = dataclasses.replace(config.optim, optimizer="muon", steps=2, warmup_steps=1)
    compute = dataclasses.replace(config.compute, precision="auto")
    return dataclasses.replace(config, optim=optim, compute=compute, **settings)


def test_trainings_and_probes_do_without(emulated, tiny, tmp_path, capsys):
    with Count() as count:
        run = pretrain(quick(PRETRAINING), tmp_path / "pretrain")
        pretrain(quick(PRETRAINING, objective="contrastive"), tmp_path / "contrastive")
        finetune(quick(FINETUNING, init=str(run)), tmp_path / "finetune")
        data = dataclasses.replace(DATA, manifest=str(few_videos(tmp_path / "m.csv")), split="synthetic/xsub")
        weights = tiny_weights(tmp_path / "model.safetensors", tiny)
        few = ProbeConfig(epochs=1, min_steps=1, weight_decays=(0.1,))
        probe(weights, data, FeatureConfig(), few, tmp_path / "probe", floor=False, progress=False)
    assert count.all > 5000
    assert count.bf16 == set()
    assert "32-true, Muon in float32" in capsys.readouterr().out


def test_the_count_sees_what_torchs_muon_does():
    parameter = torch.nn.Parameter(torch.randn(4, 4))
    parameter.grad = torch.randn(4, 4)
    with Count() as count:
        torch.optim.Muon([parameter]).step()
    assert count.bf16
