"""Model, masks and motion weights on a device are those of float32 on the CPU, to the tolerance of each precision.

Renderer, RandAugment and the drawn stream have tests of the kind beside their own (`pytest -m gpu tests`).
"""

import math
from dataclasses import replace

import pytest
import torch
from clips import moving_blobs

from mv2mae.config import ModelConfig
from mv2mae.model.masking import draw_masks
from mv2mae.model.motion import _solve_by_grid, effective_number, motion_energy, motion_weights, solve_temperature
from mv2mae.model.pretraining import MV2MAE

HEADS_OF_64 = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=128, encoder_depth=2, encoder_heads=2,
    decoder_width=64, decoder_depth=2, decoder_heads=1,
)  # fmt: skip
TOLERANCE = {  # largest relative error of a loss, smallest cosine of all gradients
    torch.float32: (1e-4, 0.99999),
    torch.float16: (3e-3, 0.9995),
    torch.bfloat16: (2e-2, 0.998),
}
PARTS = {
    "the paper's": {},
    "all options": {
        **{"decoder_positions": "rope", "cameras": "rays", "camera_drop": 0.0},
        **{"source_mask_ratio": 0.0, "directions": "one"},
    },
}


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Source and target [4, 3, 4, 32, 32], uint8."""
    source, target = ((moving_blobs(4, seed=seed) * 255).to(torch.uint8) for seed in (1, 2))
    return source, target


def cameras() -> torch.Tensor:
    """Of target and source, of which two are not known."""
    unit = torch.tensor([1.2, 1.2, 0.5, 0.5, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 3.0]).repeat(4, 2, 1)
    unit[:, 1, 13] = 0.5
    unit[3] = float("nan")
    return unit


def losses_and_gradients(
    config: ModelConfig, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = MV2MAE(config).to(device)
    source, target = (clip.to(device) for clip in clips())
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        out = model(source, target, seeds=torch.arange(4, device=device), cameras=cameras().to(device))
    (out.loss * 1024).backward()  # as the fp16 scaler would, so that small gradients are not lost
    losses = torch.stack([out.loss, *out.parts().values(), out.effective_tokens]).detach().float().cpu()
    return losses, torch.cat([p.grad.float().cpu().flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("parts", PARTS)
def test_losses_and_gradients_are_those_of_float32_on_the_cpu(device, dtype, parts):
    config = replace(HEADS_OF_64, **PARTS[parts])
    losses, slopes = losses_and_gradients(config, device, dtype)
    wanted, wanted_slopes = losses_and_gradients(config, torch.device("cpu"), torch.float32)
    relative, cosine = TOLERANCE[dtype]
    torch.testing.assert_close(losses, wanted, rtol=relative, atol=0)
    assert torch.nn.functional.cosine_similarity(slopes, wanted_slopes, dim=0) > cosine


@pytest.mark.parametrize("masking", ["random", "tube"])
def test_masks_are_the_same_everywhere(device, masking):
    seeds = torch.arange(50) * 7919 + 2**61
    for there, here in zip(
        draw_masks(seeds.to(device), (8, 8, 8), 0.7, masking), draw_masks(seeds, (8, 8, 8), 0.7, masking), strict=True
    ):
        assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("way", [{"effective_tokens": 0.5}, {"temperature": 60.0}, {"temperature": None}])
def test_motion_weights_are_the_same_but_for_rounding(device, way):
    clip = clips()[0]
    there = motion_weights(clip.to(device), (2, 8, 8), **way).cpu()
    torch.testing.assert_close(there, motion_weights(clip, (2, 8, 8), **way), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_temperatures_found_on_a_grid_are_those_of_halving(share):
    """Which is what a GPU does instead."""
    energy = motion_energy(clips()[0], (2, 8, 8))
    energy = torch.cat([energy, torch.rand(3, energy.shape[1]).cumsum(1), torch.zeros(1, energy.shape[1])])
    low = torch.full((len(energy), 1), math.log(1e-4))
    found = _solve_by_grid(energy, low, torch.full_like(low, math.log(1e6)), share * energy.shape[1])
    halved = solve_temperature(energy, share)
    torch.testing.assert_close(found[:-1], halved[:-1], rtol=1e-4, atol=0)
    weights = torch.softmax(energy / found, dim=1)
    wanted = torch.full((len(energy) - 1,), share * 32)
    torch.testing.assert_close(effective_number(weights)[:-1], wanted, rtol=1e-4, atol=0)
    assert (weights[-1] == 1 / 32).all()  # nothing moves
