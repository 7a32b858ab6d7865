"""Tubelets, masks, motion weights, targets and losses against slow references."""

import dataclasses

import numpy as np
import pytest
import reference
import torch
from clips import moving_blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.losses import mean_baseline, reconstruction_loss
from mv2mae.model.masking import frame_masking, random_masking, token_noise, tube_masking
from mv2mae.model.motion import (
    configured_weights,
    effective_number,
    motion_energy,
    motion_weights,
    solve_temperature,
)
from mv2mae.model.tubelets import denormalised, normalised_target, take_tokens, tubelets, untubelets

SIZE = (2, 8, 8)


@pytest.fixture
def clip():
    return moving_blobs(3, seed=5, frames=6).double()


def test_tubelets_equal_the_reference_and_invert(clip):
    parts = tubelets(clip, SIZE)
    wanted = np.stack([p.reshape(-1, 3) for p in reference.tubelets(clip[1].numpy(), SIZE)])
    assert torch.equal(parts[1], torch.from_numpy(wanted))
    assert torch.equal(untubelets(parts, (3, 4, 4), SIZE), clip)


def test_tubelets_of_bytes_are_the_same_bytes():
    clip = torch.randint(0, 256, (1, 3, 2, 8, 16), dtype=torch.uint8)
    assert torch.equal(tubelets(clip, SIZE).double(), tubelets(clip.double(), SIZE))


def test_a_clip_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="5 frames .* does not divide into tubelets of 2"):
        tubelets(torch.zeros(1, 3, 5, 16, 16), SIZE)


@pytest.mark.parametrize("temperature", [1.0, 8.0, 60.0])
def test_motion_weights_equal_algorithm_1(clip, temperature):
    weights = motion_weights(clip, SIZE, temperature)
    for i in range(len(clip)):
        wanted = reference.motion_weights(clip[i].numpy(), SIZE, temperature)
        np.testing.assert_allclose(weights[i].numpy(), wanted, rtol=1e-6)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, dtype=weights.dtype))


@pytest.mark.parametrize("temperature", [1.0, 60.0])
def test_motion_weights_on_the_scale_of_bytes(clip, temperature):
    """60 in 0-255 leaves a few tokens, on normalised frames nearly all."""
    differences = np.diff(clip[0].numpy(), axis=1, prepend=2 * clip[0, :, :1] - clip[0, :, 1:2]) * 255
    norms = [np.sqrt((part**2).sum()) for part in reference.tubelets(differences, SIZE)]
    energy = motion_energy(clip[:1], SIZE, "0-255")
    np.testing.assert_allclose(energy[0].numpy(), norms, rtol=1e-9)
    weights = motion_weights(clip[:1], SIZE, temperature, scale="0-255")
    torch.testing.assert_close(weights, torch.softmax(energy / temperature, dim=1))
    assert effective_number(weights) < 0.5 * effective_number(motion_weights(clip[:1], SIZE, temperature))


def test_a_configuration_names_its_weights(clip, tiny):
    shares = dataclasses.replace(tiny, effective_tokens=0.5)
    torch.testing.assert_close(
        effective_number(configured_weights(clip[:, :, :4], shares)).mean().item(), 16.0, rtol=1e-3, atol=0
    )
    literal = dataclasses.replace(tiny, motion_temperature=30.0, motion_scale="0-255")
    wanted = motion_weights(clip[:, :, :4], SIZE, 30.0, scale="0-255")
    assert torch.equal(configured_weights(clip[:, :, :4], literal), wanted)


@pytest.mark.parametrize("changes", [{"motion_temperature": 30.0}, {"motion_scale": "0-255"}])
def test_a_temperature_without_effect_is_refused(changes):
    with pytest.raises(
        InputError, match="has no effect while effective_tokens=0.5 decides; set effective_tokens to null"
    ):
        ModelConfig(**changes)
    ModelConfig(**changes, effective_tokens=None)


def test_motion_weights_of_bytes_equal_those_of_unit_floats():
    clip = (moving_blobs(2, seed=3) * 255).round()
    torch.testing.assert_close(motion_weights(clip.byte(), SIZE), motion_weights(clip / 255, SIZE))


def test_moving_tubelets_weigh_more_than_still_ones():
    clip = torch.full((1, 3, 4, 16, 16), 0.5)
    clip[:, :, 1::2, :8, :8] = 1.0  # the first tubelet of each time flickers
    weights = motion_weights(clip, SIZE, 5.0)[0].view(2, 4)
    assert (weights[:, 0] > 2 * weights[:, 1:].max()).all()


def test_higher_temperature_is_more_uniform_and_none_is_uniform(clip):
    numbers = [effective_number(motion_weights(clip, SIZE, t)) for t in (0.5, 5.0, 50.0)]
    assert (numbers[0] < numbers[1]).all()
    assert (numbers[1] < numbers[2]).all()
    uniform = motion_weights(clip, SIZE, None)
    torch.testing.assert_close(effective_number(uniform), torch.full((3,), 48.0, dtype=uniform.dtype))


def test_effective_number_equals_the_reference(clip):
    weights = motion_weights(clip, SIZE, 3.0)
    wanted = [reference.entropy_number(row.tolist()) for row in weights]
    np.testing.assert_allclose(effective_number(weights).numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_temperature_follows_from_the_effective_share(clip, share):
    weights = motion_weights(clip, SIZE, effective_tokens=share)
    np.testing.assert_allclose(effective_number(weights).numpy(), share * 48, rtol=1e-3)


def test_a_clip_without_motion_has_uniform_weights():
    still = torch.full((1, 3, 4, 16, 16), 0.3)
    assert torch.allclose(motion_weights(still, SIZE, effective_tokens=0.5), torch.tensor(1 / 8))
    assert torch.isfinite(solve_temperature(motion_energy(still, SIZE), 0.5)).all()


def test_target_equals_the_reference(clip):
    target = normalised_target(tubelets(clip, SIZE))
    np.testing.assert_allclose(target[2].numpy(), reference.target(clip[2].numpy(), SIZE), atol=1e-9)


def test_denormalising_the_target_gives_the_clip(clip):
    parts = tubelets(clip, SIZE)
    torch.testing.assert_close(denormalised(normalised_target(parts), parts), parts)


def test_loss_equals_equation_2(clip):
    g = torch.Generator().manual_seed(0)
    prediction, target = (torch.randn(2, 5, 12, generator=g, dtype=torch.float64) for _ in range(2))
    weights = torch.rand(2, 5, generator=g, dtype=torch.float64)
    wanted = np.mean([reference.loss(prediction[i], target[i], weights[i].tolist()) for i in range(2)])
    assert float(reconstruction_loss(prediction, target, weights)) == pytest.approx(wanted, rel=1e-12)
    zero = np.mean([reference.loss(0 * target[i], target[i], weights[i].tolist()) for i in range(2)])
    assert float(mean_baseline(target, weights)) == pytest.approx(zero, rel=1e-12)


@pytest.mark.parametrize(("masking", "num_masked"), [(random_masking, 358), (tube_masking, 352), (frame_masking, 320)])
def test_masks_have_a_fixed_count_and_cover_all_tokens(masking, num_masked):
    visible_idx, masked_idx = masking(torch.arange(5), (8, 8, 8), 0.7)
    assert masked_idx.shape == (5, num_masked)
    assert visible_idx.shape == (5, 512 - num_masked)
    both = torch.cat([visible_idx, masked_idx], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(512).expand(5, -1))


def test_masks_follow_from_the_seed_of_each_clip_alone():
    together = random_masking(torch.tensor([7, 8, 9]), (4, 4, 4), 0.7)
    alone = random_masking(torch.tensor([8]), (4, 4, 4), 0.7)
    assert torch.equal(together[0][1:2], alone[0])
    assert not torch.equal(together[0][0], together[0][1])


def test_tubes_stand_still():
    visible_idx, _ = tube_masking(torch.tensor([3]), (4, 4, 4), 0.7)
    places = visible_idx[0].view(4, -1) % 16
    assert (places == places[0]).all()


def test_frames_are_masked_as_a_whole():
    visible_idx, masked_idx = frame_masking(torch.tensor([3]), (8, 4, 4), 0.7)
    assert len((visible_idx // 16).unique()) == 3
    assert not set((visible_idx // 16).flatten().tolist()) & set((masked_idx // 16).flatten().tolist())
    config = ModelConfig(num_frames=16, image_size=32, tubelet_size=(2, 8, 8), masking="frame", mask_ratio=0.7)
    assert config.num_masked == masked_idx.shape[1]
    with pytest.raises(InputError, match="mask_ratio=0.1 masks none of 8 moments; raise it"):
        dataclasses.replace(config, mask_ratio=0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_noise_is_uniform_for_any_seed(seed):
    noise = token_noise(torch.tensor([seed]), 4096)[0].double() / 2**63
    assert float(noise.min()) >= 0
    assert float(noise.max()) < 1
    assert len(noise.unique()) == 4096
    counts = torch.histc(noise.float(), 16, 0, 1)
    assert float(((counts - 256) ** 2 / 256).sum()) < 60  # chi-square of 15 degrees, far out in its tail


def test_every_token_is_masked_equally_often():
    _, masked_idx = random_masking(torch.arange(4000), (2, 4, 4), 0.5)
    share = torch.bincount(masked_idx.flatten(), minlength=32) / 4000
    assert float((share - 0.5).abs().max()) < 0.04


def test_take_tokens_takes_each_clips_own():
    tokens = torch.arange(12).view(2, 6)
    assert take_tokens(tokens, torch.tensor([[0, 5], [1, 2]])).tolist() == [[0, 5], [7, 8]]
