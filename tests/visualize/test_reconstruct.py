import pytest
import torch
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.pictures import MASKED_GREY, filled, greyed
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import normalised_target, to_unit, tubelets
from mv2mae.visualize.reconstruct import Reconstruction, reconstruct

SEED = 3


@pytest.fixture
def clips(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Source and target, uint8 [3, 4, 32, 32]."""
    source, target = ((clip[0] * 255).round().to(torch.uint8) for clip in pair)
    return source, target


def make_model(config: ModelConfig) -> MV2MAE:
    torch.manual_seed(0)
    return MV2MAE(config).eval()


def make(config: ModelConfig, clips: tuple[Tensor, Tensor], **settings) -> tuple[Reconstruction, Tensor, Tensor]:
    """A reconstruction, and the visible and masked tokens of the target."""
    model = make_model(config)
    masks = model.draw_masks(1, 2, torch.device("cpu"), torch.tensor([SEED]))
    return reconstruct(model, *clips, seed=SEED, **settings), masks.visible_idx[0, 0], masks.masked_idx[0, 0]


def cut(clip: Tensor, config: ModelConfig) -> Tensor:
    return tubelets(clip[None], config.tubelet_size)[0]


@pytest.mark.parametrize("statistics", ["true", "visible"])
def test_visible_pixels_are_kept_exactly_and_masked_ones_replaced(tiny: ModelConfig, clips, statistics: str):
    made, visible, masked = make(tiny, clips, statistics=statistics)
    truth = cut(clips[1], tiny)
    for prediction in made.predictions.values():
        parts = cut(prediction.clip, tiny)
        assert torch.equal(parts[visible], truth[visible])
        assert not torch.equal(parts[masked], truth[masked])
    assert torch.equal(cut(made.masked_target, tiny)[visible], truth[visible])
    assert (cut(made.masked_target, tiny)[masked] == MASKED_GREY).all()


def test_the_true_normalised_target_gives_the_true_clip(tiny: ModelConfig, clips):
    target = clips[1]
    masked = torch.tensor([0, 3, 7, 18, 31])
    truth = normalised_target(to_unit(cut(target, tiny)[None]))[0, masked]
    assert torch.equal(filled(target, masked, truth, tiny.tubelet_size), target)


def test_without_true_statistics_nothing_of_a_masked_tubelet_is_used(tiny: ModelConfig, clips):
    target, masked = clips[1], torch.tensor([0, 3, 7, 18, 31])
    prediction = torch.randn(5, tiny.tubelet_dim, generator=torch.Generator().manual_seed(0))
    visible = torch.tensor([i for i in range(32) if i not in masked])
    hidden = greyed(target, visible, tiny.tubelet_size)
    size = tiny.tubelet_size
    assert torch.equal(
        filled(target, masked, prediction, size, "visible"), filled(hidden, masked, prediction, size, "visible")
    )
    assert not torch.equal(filled(target, masked, prediction, size), filled(hidden, masked, prediction, size))


def test_errors_and_baseline_are_those_of_the_masked_tokens(tiny: ModelConfig, clips):
    made, _, masked = make(tiny, clips)
    truth = normalised_target(to_unit(cut(clips[1], tiny)[None]))[0, masked]
    with torch.no_grad():
        out = make_model(tiny)(clips[0][None], clips[1][None], seeds=torch.tensor([SEED]), with_reconstructions=True)
    error = float((out.reconstructions.self_view[0, 0] - truth).square().mean())
    assert made.predictions["self-view"].error == pytest.approx(error, rel=1e-5)
    assert made.baseline == pytest.approx(float(truth.square().mean()), rel=1e-5)


def test_a_wrong_source_changes_the_cross_view_alone(tiny: ModelConfig, clips):
    wrong = clips[0].flip(-1)
    made, _, _ = make(tiny, clips, wrong_source=wrong)
    plain, _, _ = make(tiny, clips)
    swapped, _, _ = make(tiny, (wrong, clips[1]))
    assert list(made.predictions) == ["self-view", "cross-view", "wrong source"]
    assert torch.equal(made.predictions["self-view"].clip, plain.predictions["self-view"].clip)
    assert torch.equal(made.predictions["cross-view"].clip, plain.predictions["cross-view"].clip)
    assert torch.equal(made.predictions["wrong source"].clip, swapped.predictions["cross-view"].clip)
    assert made.predictions["wrong source"].error != made.predictions["cross-view"].error


def test_a_single_view_model_has_a_self_view_alone(tiny: ModelConfig, clips):
    config = ModelConfig(**{**vars(tiny), "cross_view_weight": 0.0})
    made, _, _ = make(config, clips, wrong_source=clips[0].flip(-1))
    assert list(made.predictions) == ["self-view"]
