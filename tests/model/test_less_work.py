"""Options that train with less work: a share of the masked tokens decoded, several masks with one encoded source."""

from dataclasses import replace

import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.flops import step_flops
from mv2mae.model.masking import masks_of_views, training_masks
from mv2mae.model.pretraining import MV2MAE

SHOWN = {"source_mask_ratio": 0.0, "directions": "one"}


@pytest.fixture
def config(tiny):
    return replace(tiny, mask_ratio=0.75)


def made(config, **changes):
    torch.manual_seed(0)
    return MV2MAE(replace(config, **changes))


def test_a_share_is_drawn_anew_in_every_step_and_covers_all(config):
    seeds = torch.arange(200)
    masks = training_masks(replace(config, decoded_share=0.25), seeds, 2)
    whole = masks_of_views(config, seeds, 2)
    assert masks.masked_idx.shape == (200, 2, 6)
    assert torch.equal(masks.visible_idx, whole.visible_idx)
    for some, every in zip(masks.masked_idx.flatten(0, 1), whole.masked_idx.flatten(0, 1), strict=True):
        assert torch.isin(some, every).all()
        assert (some.diff() > 0).all()
    counts = torch.bincount(masks.masked_idx.flatten(), minlength=32)
    assert counts.min() > 0.6 * counts.float().mean()
    assert not torch.equal(masks.masked_idx[:, 0], masks.masked_idx[:, 1])


def test_the_share_s_losses_are_those_of_its_tokens_alone(config, pair):
    """As if the other masked tokens were not there: not decoded, not compared."""
    seeds = torch.arange(4)
    model = made(config, decoded_share=0.5)
    masks = training_masks(model.config, seeds, 2)
    out = model.train()(*pair, seeds=seeds, with_reconstructions=True)
    assert out.reconstructions.cross_view.shape[2] == 12
    given = model(*pair, masks=masks)
    torch.testing.assert_close(out.loss, given.loss, rtol=0, atol=0)
    whole = made(config).eval()(*pair, seeds=seeds)
    torch.testing.assert_close(model.eval()(*pair, seeds=seeds).loss, whole.loss, rtol=0, atol=0)


@pytest.mark.parametrize("cameras", ["none", "rays"])
@pytest.mark.parametrize("shown", [0.0, 0.5])
def test_several_masks_are_the_mean_of_each_with_the_same_sources(config, pair, cameras, shown):
    seeds, several = torch.arange(4) + 3, {**SHOWN, "source_mask_ratio": shown, "cameras": cameras, "camera_drop": 0.0}
    model = made(config, num_masks=3, **several).train()
    poses = torch.tensor([1.2, 1.2, 0.5, 0.5, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0.3, 0, 3.0]).repeat(4, 2, 1)
    poses[:, 1, 13] = 0.9
    masks = training_masks(model.config, seeds, 2)
    assert not torch.equal(masks.visible_idx[0], masks.visible_idx[1])
    assert all(torch.equal(masks.source_idx[k], masks.source_idx[k // 3 * 3]) for k in range(12))
    out = model(*pair, seeds=seeds, cameras=poses)
    each = [model(*pair, masks=type(masks)(*(part[k::3] for part in masks)), cameras=poses) for k in range(3)]
    for name in ("loss", "cross_target", "self_target", "baseline_target"):
        torch.testing.assert_close(getattr(out, name), sum(getattr(one, name) for one in each) / 3)
    first = made(config, **several).train()(*pair, seeds=seeds, cameras=poses)
    torch.testing.assert_close(each[0].loss, first.loss)


def test_the_work_is_counted():
    paper = ModelConfig()
    quarter = step_flops(replace(paper, decoded_share=0.25))
    assert quarter.encoder == step_flops(paper).encoder
    assert 0.3 < quarter.self_decoder / step_flops(paper).self_decoder < 0.5
    one, three = (step_flops(replace(paper, num_masks=k, mask_ratio=0.9, **SHOWN)) for k in (1, 3))
    assert three.cross_decoder == 3 * one.cross_decoder
    assert one.encoder < three.encoder < 1.4 * one.encoder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoded_share": 0.0}, r"decoded_share=0.0 must lie in \(0, 1\]"),
        ({"num_masks": 0}, "num_masks=0 must be at least 1"),
        ({"num_masks": 2}, "num_masks=2 shares an encoding of the sources that is theirs alone; set source_mask_ratio"),
        ({"num_masks": 2, "source_mask_ratio": 0.0}, "directions=one"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**changes)
