import matplotlib.text
import numpy as np
import pytest
import torch
from matplotlib.patches import ConnectionPatch
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.attention_maps import CrossAttentionMaps
from mv2mae.model.motion import motion_energy
from mv2mae.model.pretraining import MV2MAE
from mv2mae.visualize.correspondences import Correspondences, best_matches, moving_tokens

GRID = (2, 4, 4)


@pytest.fixture
def masks(tiny: ModelConfig):
    torch.manual_seed(0)
    return MV2MAE(tiny).draw_masks(1, 2, torch.device("cpu"), torch.tensor([3]))


def looking_at(masks, wanted: dict[int, int], strength: float = 0.5) -> CrossAttentionMaps:
    """Maps of two heads in which token q of the target looks at token `wanted[q]` of the source, else uniformly."""
    columns = masks.visible_idx[0, 1].tolist()
    weights = torch.full((1, 2, 32, len(columns)), 1 / len(columns))
    for query, best in wanted.items():
        weights[0, :, query] *= 1 - strength
        weights[0, :, query, columns.index(best)] += strength
    return CrossAttentionMaps(weights, masks.visible_idx[:, 1], masks)


def test_the_best_source_token_and_its_weight_in_multiples_of_uniform(masks):
    first, last = masks.visible_idx[0, 1, 0].item(), masks.visible_idx[0, 1, -1].item()
    maps = looking_at(masks, {1: first, 20: last})
    found = best_matches(maps, [1, 20], GRID)
    assert found.queries.tolist() == [1, 20]
    assert found.best.tolist() == [first, last]
    np.testing.assert_allclose(found.confidence, 0.5 + 0.5 * maps.weights.shape[-1], rtol=1e-5)


def test_the_same_moment_leaves_other_moments_out(masks):
    first = masks.visible_idx[0, 1, 0].item()
    assert first < 16
    maps = looking_at(masks, {20: first})
    assert best_matches(maps, [20], GRID, same_moment=False).best.tolist() == [first]
    there = best_matches(maps, [20], GRID)
    assert there.best[0] >= 16
    assert there.confidence[0] == pytest.approx(0.5)
    assert best_matches(maps, [20], GRID, head=1).best[0] >= 16


def test_moving_tokens_are_masked_ones_of_that_moment_that_move(masks):
    clip = torch.zeros(3, 4, 32, 32)
    clip[:, 3, :, :8] = 1.0  # the first column of tokens changes at the second moment
    masked = masks.masked_idx[0, 0]
    tokens = moving_tokens(clip, masked, (2, 8, 8), time=1)
    moving = [t for t in masked.tolist() if t >= 16 and t % 4 == 0]
    assert set(tokens) == set(moving)
    assert len(moving_tokens(clip, masked, (2, 8, 8), time=1, count=1)) == 1
    assert motion_energy(clip[None], (2, 8, 8))[0, tokens].min() > 0


def test_a_line_for_each_token_weak_ones_dashed(masks, pair: tuple[Tensor, Tensor]):
    source, target = (clip[0] for clip in pair)
    same = masks.visible_idx[0, 1][masks.visible_idx[0, 1] >= 16]
    queries = masks.masked_idx[0, 0][masks.masked_idx[0, 0] >= 16][:2].tolist()
    maps = looking_at(masks, {queries[0]: same[0].item()})
    drawing = Correspondences(target, source, maps, (2, 8, 8), "layer 1", queries=queries, names=("cam1", "cam2"))
    figure = drawing.still()
    lines = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert [line.get_linestyle() == "-" for line in lines] == [True, False]
    text = " ".join(" ".join(t.get_text().split()) for t in figure.findobj(matplotlib.text.Text))
    assert "a masked tubelet of the target" in text
    assert "layer 1, mean of heads" in text
    assert "target, cam1" in text
    assert f"{0.5 + 0.5 * maps.weights.shape[-1]:.1f}" in text
    frames = list(drawing.moving())
    assert len(frames) == 4
    assert len({frame.shape for frame in frames}) == 1
