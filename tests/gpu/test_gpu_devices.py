"""What a GPU computes is made on it, all of it, and is asked for nothing: on a device that has no numbers to give."""

import numpy as np
import pytest
import torch
from fake_device import DEVICE, fake_device
from torch._subclasses.fake_tensor import DataDependentOutputException

from mv2mae.config import AugmentConfig, ModelConfig, OptimConfig
from mv2mae.data.alike import change_alike
from mv2mae.data.bank import FrameBank
from mv2mae.model.classifier import Classifier
from mv2mae.model.contrastive import ContrastiveModel
from mv2mae.model.layers import checkpoint_activations
from mv2mae.model.pretraining import MV2MAE
from mv2mae.train.draws import draw_drop_paths
from mv2mae.train.ema import averaged_copy, update_average
from mv2mae.train.guard import gradients_are_finite
from mv2mae.train.mixing import erase, mix
from mv2mae.train.optim import build_optimizer, skip_if
from mv2mae.train.randaugment import OPS, Script, rand_augment

SIZE = {
    **{"num_frames": 4, "image_size": 32, "tubelet_size": (2, 8, 8), "encoder_width": 24, "encoder_depth": 1},
    **{"encoder_heads": 1, "decoder_width": 24, "decoder_depth": 1, "decoder_heads": 1},
}
VARIANTS = {
    "the paper's": {},
    "a temperature on bytes": {"effective_tokens": None, "motion_scale": "0-255", "literal_loss_scale": True},
    "rays of all views, tubes": {"cameras": "rays", "masking": "tube"},
    "what lets the second view count": {
        **{"decoder_positions": "rope", "cameras": "rays", "source_mask_ratio": 0.0, "directions": "one"},
        **{"decoded_share": 0.5, "num_masks": 2, "masking": "frame", "mask_ratio": 0.5, "target_floor": 0.05},
    },
    "other decoders": {"decoder_order": "self-first", "self_view_attention": "cross"},
    "single views": {"cross_view_weight": 0.0},
}


def clips(num: int, *lead: int) -> torch.Tensor:
    return torch.empty(num, *lead, 3, 4, 32, 32, dtype=torch.uint8, device=DEVICE)


def take_a_step(model, loss, optimizer="adamw"):
    """Backward pass, the guard's decision, the optimiser's step."""
    assert (loss.device, loss.dtype, loss.shape) == (DEVICE, torch.float32, ())
    made, schedule = build_optimizer(
        model, OptimConfig(lr=1e-3, steps=10, optimizer=optimizer, layer_decay=0.9), depth=1, num_items=10
    )
    loss.backward()
    skip = (~gradients_are_finite(model.parameters())).float()
    assert skip.device == DEVICE
    skip_if(made, skip)
    made.step()
    schedule.step()
    return skip


def test_a_tensor_left_on_the_host_is_found(monkeypatch):
    host = torch.ones(3)
    with fake_device(monkeypatch):
        with pytest.raises(RuntimeError, match="same device"):
            host + torch.ones(3, device=DEVICE)
        with pytest.raises(DataDependentOutputException):
            torch.ones(3, device=DEVICE).sum().item()


@pytest.mark.parametrize("num_sources", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_of_pre_training(variant, num_sources, monkeypatch):
    model = MV2MAE(ModelConfig(**SIZE, **VARIANTS[variant]))
    with fake_device(monkeypatch) as device:
        model = device.model(model)
        cameras = torch.empty(4, 1 + num_sources, 16, device=DEVICE)
        seeds = torch.arange(4, device=DEVICE)
        out = model(clips(4, num_sources), clips(4), seeds=seeds, cameras=cameras)
        assert {(value.device, value.dtype) for value in out.scalars().values()} == {(DEVICE, torch.float32)}
        take_a_step(model, out.loss)


def test_a_step_with_muon_and_less_kept(monkeypatch):
    model = MV2MAE(ModelConfig(**SIZE))
    checkpoint_activations(model)
    with fake_device(monkeypatch) as device:
        model = device.model(model)
        take_a_step(model, model(clips(4), clips(4), seeds=torch.arange(4, device=DEVICE)).loss, "muon")


def test_a_step_of_the_contrastive_baseline(monkeypatch):
    model = ContrastiveModel(ModelConfig(**SIZE))
    with fake_device(monkeypatch) as device:
        model = device.model(model)
        places = torch.arange(4, device=DEVICE)
        out = model(clips(4, 1), clips(4), seeds=places, groups=places)
        assert out.top1.device == DEVICE
        take_a_step(model, out.loss)


def test_a_step_of_fine_tuning_with_all_that_is_done_to_its_clips(monkeypatch):
    config = AugmentConfig(mixup=0.8, cutmix=1.0, erase_prob=0.5)
    model = Classifier(ModelConfig(**SIZE), 3, drop_path=0.1)
    average, num = averaged_copy(model), 2 * len(OPS)
    script = Script(np.tile(np.arange(len(OPS)), 2)[:, None], np.full((num, 1), 0.5))  # every operation
    seeds = np.arange(num)
    with fake_device(monkeypatch) as device:
        model, average = device.model(model), device.model(average)
        made = erase(rand_augment(clips(num), script), seeds, config.erase_prob)
        labels = torch.zeros(num, dtype=torch.long, device=DEVICE)
        made, target = mix(made, labels, seeds, config, num_classes=3, num_repeats=1)
        draw_drop_paths(model, seeds, DEVICE)
        skip = take_a_step(model, torch.nn.functional.cross_entropy(model(made), target))
        update_average(average, model, 0.9, 3, skip)


def test_clips_are_cut_out_of_frames_on_the_device(monkeypatch):
    bank = FrameBank.__new__(FrameBank)
    bank.size, bank.first = 16, np.array([0, 4 * 24 * 32])
    bank.height, bank.width = np.array([24, 24]), np.array([32, 32])
    boxes = np.array([[0, 0, 20, 20], [1, 1, 16, 16], [0, 0, 20, 20]])
    with fake_device(monkeypatch):
        bank.pixels = torch.empty(2 * 4 * 24 * 32, 3, dtype=torch.uint8, device=DEVICE)
        cut = bank.cut(np.array([0, 1, 0]), np.array([[0, 1], [1, 2], [2, 3]]), boxes)
        cut = change_alike(cut, torch.zeros(3, 5, dtype=torch.long, device=DEVICE))
        assert (cut.shape, cut.dtype, cut.device) == ((3, 3, 2, 16, 16), torch.uint8, DEVICE)
