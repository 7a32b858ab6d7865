"""Between two lines of the log the host waits for the device in no step."""

import dataclasses
from functools import partial

import pytest
import torch
from host_waits import HostWaits
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.config import AugmentConfig
from mv2mae.train.finetune import FinetuneModule, finetune
from mv2mae.train.guard import FiniteGuard
from mv2mae.train.pretrain import PretrainModule, pretrain

FIRST, LAST = 8, 11
"""Steps, counted from 0, that are watched: no line of the log, no look, no checkpoint, no picture among them."""


def watched(config, device, **parts):
    """A run of twelve steps whose log has lines at steps 6 and 12."""
    compute = {"accelerator": {"cpu": "cpu", "cuda": "gpu"}[device.type], "devices": 1, "precision": "auto"}
    parts = {"compute": compute, "log": {"log_every": 6, "check_every": 100, "save_every": 6}, **parts}
    return dataclasses.replace(
        config, **{name: dataclasses.replace(getattr(config, name), **values) for name, values in parts.items()}
    )


@pytest.fixture
def waits(monkeypatch, device):
    """What is seen from the beginning of one step to that of another one; a GPU raises by itself."""
    monkeypatch.setattr("mv2mae.train.trainer.FiniteGuard", partial(FiniteGuard, late=True))
    monkeypatch.setattr("mv2mae.train.snapshots.snapshot_steps", lambda total_steps: [])
    mode = HostWaits()

    def watch(module):
        step = module.training_step

        def training_step(self, batch, batch_idx):
            if batch_idx == FIRST:
                mode.__enter__()
                if device.type == "cuda":
                    torch.cuda.set_sync_debug_mode("error")
            if batch_idx == LAST:
                torch.cuda.set_sync_debug_mode("default") if device.type == "cuda" else None
                mode.__exit__(None, None, None)
            return step(self, batch, batch_idx)

        monkeypatch.setattr(module, "training_step", training_step)
        return mode.seen

    return watch


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        {"model": {"effective_tokens": 0.5}},
        {"model": {"cameras": "rays", "decoder_positions": "rope"}, "optim": {"optimizer": "muon"}},
    ],
)
def test_no_step_of_a_pre_training_waits(tmp_path, device, waits, parts):
    seen = waits(PretrainModule)
    pretrain(watched(PRETRAINING, device, **parts), tmp_path / "run")
    assert not seen, "\n".join(dict.fromkeys(seen))


@pytest.mark.slow
def test_no_step_of_a_fine_tuning_waits(tmp_path, device, waits):
    seen = waits(FinetuneModule)
    stirred = dataclasses.replace(FINETUNING, augment=AugmentConfig(mixup=0.8, cutmix=1.0, erase_prob=0.5))
    finetune(watched(stirred, device), tmp_path / "run")
    assert not seen, "\n".join(dict.fromkeys(seen))
