"""Erasing, mixup and cutmix: what they leave of a clip, and of its label."""

import numpy as np
import pytest
import torch

from mv2mae.config import AugmentConfig
from mv2mae.train.draws import symmetric_beta
from mv2mae.train.mixing import ERASED_COLOUR, erase, mix


def seeds(num, start=0):
    return np.random.default_rng(start).integers(2**63, size=num)


def flat_clips(values, size=32):
    """One clip a value, every pixel of it of that value."""
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None, None].expand(-1, 3, 4, size, size).contiguous()


def mixed(labels, num_repeats=1, start=0, size=32, **alphas):
    """Clips that show their own label as grey level, mixed: (clips, targets)."""
    clips = flat_clips([20 * label for label in labels], size)
    config = AugmentConfig(**alphas)
    chosen = seeds(len(labels), start)
    return mix(clips, torch.tensor(labels), chosen, config, num_classes=10, num_repeats=num_repeats)


@pytest.mark.parametrize("alphas", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_are_shared_as_the_pixels_are(alphas):
    labels = [0, 0, 9, 9, 3, 3, 6, 6]
    clips, targets = mixed(labels, num_repeats=2, **alphas)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(8))
    shown = targets @ (20 * torch.arange(10.0))
    torch.testing.assert_close(clips.mean(dim=(1, 2, 3, 4)) * 255, shown, atol=0.01, rtol=1e-4)
    for target, label in zip(targets, labels, strict=True):
        other = {0: 9, 9: 0, 3: 6, 6: 3}[label]
        assert target[label] + target[other] == pytest.approx(1)
    assert len({round(float(t.max()), 5) for t in targets}) == 8  # each clip has a share of its own


def test_mixup_blends_everywhere_and_cutmix_pastes_one_box_through_time():
    clips, _ = mixed([0, 9], mixup=1.0)
    assert all(len(clip.unique()) == 1 for clip in clips)
    labels = [0, 9] * 20
    clips, targets = mixed(labels, cutmix=1.0)
    for clip, target, label in zip(clips, targets, labels, strict=True):
        assert torch.equal(clip, clip[:1, :1].expand_as(clip))
        pasted = (clip[0, 0] * 255).round() == 180 - 20 * label
        assert torch.equal(pasted, pasted.any(dim=1)[:, None] & pasted.any(dim=0))  # a box
        assert target[9 - label] == pytest.approx(float(pasted.float().mean()))


def test_both_means_half_each():
    labels = [0, 9] * 200
    clips, _ = mixed(labels, size=8, mixup=1.0, cutmix=1.0)
    blended = [len(clip.unique()) == 1 and 0.01 < clip.mean() * 255 / 180 < 0.99 for clip in clips]
    assert np.mean(blended) == pytest.approx(0.5, abs=0.08)


def test_who_is_mixed_with_whom_does_not_depend_on_the_batch():
    labels, config = torch.arange(8), AugmentConfig(mixup=0.8, cutmix=1.0)
    clips, chosen = flat_clips([20 * i for i in range(8)]), seeds(8)

    def part(rows):
        return mix(clips[rows], labels[rows], chosen[rows], config, num_classes=10, num_repeats=1)

    whole, parts = part(slice(0, 8)), [part(slice(0, 2)), part(slice(2, 8))]
    for i in range(2):
        assert torch.equal(whole[i], torch.cat([p[i] for p in parts]))


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.8, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha):
    even = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn = symmetric_beta(even, alpha).sort().values
    torch.manual_seed(0)
    wanted = torch.distributions.Beta(alpha, alpha).sample((200_000,)).sort().values[5::10].double()
    assert (drawn - wanted).abs().max() < 0.02
    assert drawn.mean() == pytest.approx(0.5, abs=1e-3)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.01)


def test_erased_boxes_stand_still_and_are_as_large_as_asked_for():
    clips = flat_clips([7] * 400, size=64)
    made = erase(clips, seeds(400), 0.25)
    erased = (made[:, 0] == ERASED_COLOUR[0]).float()
    assert torch.equal(erased, erased[:, :1].expand_as(erased))
    share = erased[:, 0].mean(dim=(1, 2))
    assert (share > 0).float().mean() == pytest.approx(0.25, abs=0.06)
    hit = share[share > 0]
    assert hit.min() > 0.01
    assert hit.max() < 0.36
    assert hit.max() > 0.25
    colour = torch.tensor(ERASED_COLOUR, dtype=torch.uint8)
    pixels = made.permute(0, 2, 3, 4, 1)[erased.bool()]
    assert torch.equal(pixels, colour.expand_as(pixels))
    assert torch.equal(made[share == 0], clips[share == 0])
    assert torch.equal(erase(clips[10:20], seeds(400)[10:20], 0.25), made[10:20])
