"""The viewer computes view by view what the model computes for a batch."""

import pytest
import torch
from clips import moving_blobs
from tiny_viewer import make_model
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.attention_maps import cross_attention_maps
from mv2mae.model.motion import effective_number
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.pair_prediction import (
    CROSS,
    SELF,
    WRONG,
    EncodedView,
    PairPrediction,
    encode,
    errors,
    losses,
    predict_pair,
)
from mv2mae.viewer.requests import Weighting

SEEDS = torch.tensor([3])


def clips() -> list[Tensor]:
    return [(moving_blobs(1, seed=seed)[0] * 255).to(torch.uint8) for seed in (1, 2, 3)]


@pytest.fixture
def masks(model: MV2MAE):
    return model.draw_masks(1, 2, torch.device("cpu"), SEEDS)


def studied(model: MV2MAE, masks) -> tuple[PairPrediction, list[Tensor]]:
    target, source, wrong = clips()
    masked, source_masked = (tuple(idx.tolist()) for idx in masks.masked_idx[0])
    views = [encode(model, target, masked), encode(model, source, source_masked), encode(model, wrong, source_masked)]
    return predict_pair(model, *views), [target, source, wrong]


@torch.no_grad()
def test_predictions_and_losses_are_those_of_the_models_own_forward(model: MV2MAE, masks):
    made, (target, source, wrong) = studied(model, masks)
    out = model(source[None], target[None], masks=masks, with_reconstructions=True)
    swapped = model(wrong[None], target[None], masks=masks, with_reconstructions=True)
    torch.testing.assert_close(made.predictions[SELF], out.reconstructions.self_view[0, 0])
    torch.testing.assert_close(made.predictions[CROSS], out.reconstructions.cross_view[0, 0])
    torch.testing.assert_close(made.predictions[WRONG], swapped.reconstructions.cross_view[0, 0])
    found = losses(made, target, model.config, Weighting())
    assert found.weighted[SELF] == pytest.approx(float(out.self_target), rel=1e-5)
    assert found.weighted[CROSS] == pytest.approx(float(out.cross_target), rel=1e-5)
    assert found.weighted[WRONG] == pytest.approx(float(swapped.cross_target), rel=1e-5)
    assert found.weighted["mean"] == pytest.approx(float(out.baseline_target), rel=1e-5)
    assert found.weighted[CROSS] != pytest.approx(found.weighted[WRONG], rel=1e-3)


@torch.no_grad()
def test_a_whole_source_and_known_cameras_are_as_in_the_models_own_forward(small: ModelConfig):
    model = make_model(small, source_mask_ratio=0.0, directions="one", cameras="rays", decoder_positions="rope")
    masks, (target, source, _) = model.draw_masks(1, 2, torch.device("cpu"), SEEDS), clips()
    turned = torch.tensor([1.2, 1.2, 0.5, 0.5, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 3.0])
    cameras = torch.stack([torch.tensor([1.2, 1.2, 0.5, 0.5, *torch.eye(3).flatten(), 0.0, 0.0, 3.0]), turned])
    views = encode(model, target, tuple(masks.masked_idx[0, 0].tolist())), encode(model, source, ())
    told, untold = (predict_pair(model, *views, None, known) for known in (cameras, None))
    unknown = predict_pair(model, *views, None, torch.full_like(cameras, float("nan")))
    out = model(source[None], target[None], masks=masks, cameras=cameras[None], with_reconstructions=True)
    torch.testing.assert_close(told.predictions[CROSS], out.reconstructions.cross_view[0, 0])
    maps = cross_attention_maps(model, source[None], target[None], seeds=SEEDS, cameras=cameras[None])
    torch.testing.assert_close(told.attention[-1], maps.weights[0])
    assert not torch.allclose(told.predictions[CROSS], untold.predictions[CROSS], atol=1e-3)
    torch.testing.assert_close(unknown.predictions[CROSS], untold.predictions[CROSS])


def test_attention_of_every_block_is_the_decoders(model: MV2MAE, masks):
    made, (target, source, _) = studied(model, masks)
    for layer in range(2):
        maps = cross_attention_maps(model, source[None], target[None], seeds=SEEDS, layer=layer + 1)
        torch.testing.assert_close(made.attention[layer], maps.weights[0])
        torch.testing.assert_close(made.looks_at(7, 32)[layer], maps.over_source()[0, :, 7], equal_nan=True)


def test_nothing_of_a_masked_token_is_used_whatever_was_painted(model: MV2MAE):
    target, source, _ = clips()
    masked, source_masked = (0, 5, 6, 31), tuple(range(20))  # painted: not the same number

    def predictions(target: Tensor, source: Tensor) -> dict[str, Tensor]:
        views = [encode(model, target, masked), encode(model, source, source_masked)]
        return predict_pair(model, *views, None).predictions

    before = predictions(target, source)
    assert before[CROSS].shape == (4, 384)
    hidden, behind = target.clone(), source.clone()
    hidden[:, :2, :8, :8], behind[:, :2] = 7, 7  # token 0 of the target, tokens 0 to 15 of the source
    after = predictions(hidden, behind)
    assert all(torch.equal(before[name], after[name]) for name in before)
    behind[:, 2:, 24:] = 7  # visible ones
    assert not torch.equal(before[CROSS], predictions(hidden, behind)[CROSS])
    assert torch.equal(before[SELF], predictions(hidden, behind)[SELF])


def test_weights_follow_the_question_and_predictions_do_not(small: ModelConfig, model: MV2MAE, masks):
    made, (target, *_) = studied(model, masks)
    uniform = losses(made, target, small, Weighting(as_trained=False))
    assert uniform.effective == pytest.approx(32)
    assert uniform.temperature is None
    assert uniform.weighted == pytest.approx(uniform.plain)
    sharp = losses(made, target, small, Weighting(as_trained=False, temperature=0.5))
    assert sharp.plain == uniform.plain
    assert sharp.effective < losses(made, target, small, Weighting()).effective < 32
    by_share = make_model(small, motion_temperature=None, effective_tokens=0.5)
    share = losses(made, target, by_share.config, Weighting())
    assert share.effective == pytest.approx(16, rel=1e-3)
    again = losses(made, target, small, Weighting(as_trained=False, temperature=share.temperature))
    assert float(effective_number(again.weights[None])) == pytest.approx(16, rel=1e-3)


def test_the_error_by_token_is_what_the_plain_loss_averages(model: MV2MAE, masks):
    made, (target, *_) = studied(model, masks)
    plain = losses(made, target, model.config, Weighting()).plain
    assert {name: float(values.mean()) for name, values in errors(made, target, model.config).items()} == pytest.approx(
        {name: value for name, value in plain.items() if name != "mean"}
    )


def test_a_single_view_model_and_a_missing_source_leave_the_self_view(small: ModelConfig, model: MV2MAE):
    target, source, _ = clips()
    for asked in (make_model(small, cross_view_weight=0.0), model):
        views: list[EncodedView | None] = [encode(asked, target, (1, 2, 3)), None]
        if asked is not model:
            views[1] = encode(asked, source, (4, 5))
        made = predict_pair(asked, *views, None)
        assert list(made.predictions) == [SELF]
        assert made.attention is None


def test_no_hook_stays_in_the_model(model: MV2MAE, masks):
    studied(model, masks)
    assert not any(module._forward_pre_hooks for module in model.modules())
