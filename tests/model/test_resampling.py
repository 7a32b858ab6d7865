"""Weights for tubelets of another size."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mv2mae.config import ModelConfig
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import interpolate_positions, position_table, rotation_table
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.resampling import resampled_embedding, resampled_tubelets, resampling_matrix
from mv2mae.model.tubelets import tubelets, untubelets

LARGE, SMALL = (4, 16, 16), (2, 8, 8)
GRID = (2, 3, 3)


def config_of(size) -> ModelConfig:
    """Of GRID tokens, whatever their size."""
    width = {"encoder_width": 24, "encoder_depth": 1, "encoder_heads": 2}
    decoder = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    return ModelConfig(num_frames=2 * size[0], image_size=3 * size[1], tubelet_size=size, **width, **decoder)


def made(size, seed=0) -> MV2MAE:
    torch.manual_seed(seed)
    return MV2MAE(config_of(size)).eval()


def taken_over(old: MV2MAE, size) -> MV2MAE:
    new = made(size, seed=1)
    new.load_state_dict(resampled_tubelets(old.state_dict(), old.config.tubelet_size, size))
    return new


def clip_of(size) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(2, 3, 2 * size[0], 3 * size[1], 3 * size[1], generator=generator)


@torch.no_grad()
def test_a_clip_whose_tubelets_were_made_larger_gives_the_same_tokens():
    old = made(SMALL)
    clip = clip_of(SMALL)
    parts = tubelets(clip, SMALL)  # [b, n, p, c], each made larger by itself
    volumes = parts.unflatten(2, SMALL).permute(0, 1, 5, 2, 3, 4).flatten(0, 1)
    grown = F.interpolate(volumes, size=LARGE, mode="trilinear", align_corners=False)
    grown = grown.unflatten(0, parts.shape[:2]).permute(0, 1, 3, 4, 5, 2).flatten(2, 4)
    larger = untubelets(grown, GRID, LARGE)
    new = taken_over(old, LARGE)
    assert not torch.allclose(made(LARGE).encoder(larger), old.encoder(clip), atol=0.1)
    torch.testing.assert_close(new.encoder(larger), old.encoder(clip), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_smaller_tubelets_give_the_tokens_of_their_repeated_pixels():
    old, clip = made(LARGE), clip_of(SMALL)
    new = taken_over(old, SMALL)
    repeated = clip.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    torch.testing.assert_close(new.encoder(clip), old.encoder(repeated), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_predictions_are_the_old_ones_averaged():
    old = made(LARGE)
    for decoder in (old.self_decoder, old.cross_decoder):
        torch.nn.init.normal_(decoder.head.bias)
    new = taken_over(old, SMALL)
    tokens = torch.randn(2, 18, 16, generator=torch.Generator().manual_seed(3))
    for before, after in ((old.self_decoder, new.self_decoder), (old.cross_decoder, new.cross_decoder)):
        more = () if before is old.self_decoder else (tokens[:, :5],)
        wanted = before(tokens, *more, 6).unflatten(2, (*LARGE, 3)).movedim(-1, 2).flatten(0, 1)
        wanted = F.avg_pool3d(wanted, 2).unflatten(0, (2, 6)).movedim(2, -1).flatten(2)
        torch.testing.assert_close(after(tokens, *more, 6), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [((3, 6, 5), (2, 4, 5)), ((2, 4, 4), (3, 5, 4)), ((4, 6, 2), (2, 9, 2))])
def test_filters_are_the_best_for_pixels_that_know_nothing_of_each_other(sizes):
    """Least squares: B^T w' nearest to w, so that <w', B x> is nearest to <w, x> over white x (FlexiViT)."""
    old, new = sizes
    matrix = resampling_matrix(old, new)
    num = matrix.shape[1]
    weight = torch.randn(4, 3 * num, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = resampled_embedding(weight, old, new).unflatten(1, (-1, 3))
    filters = weight.unflatten(1, (num, 3)).permute(1, 0, 2).flatten(1)
    wanted = torch.linalg.lstsq(matrix.T, filters, driver="gelsd").solution
    torch.testing.assert_close(found.permute(1, 0, 2).flatten(1), wanted)


def test_nothing_changes_without_another_size():
    state = made(SMALL).state_dict()
    same = resampled_tubelets(state, SMALL, SMALL)
    assert all(same[name] is state[name] for name in state)


@pytest.mark.parametrize("rope", ["added", "rope"])
def test_positions_of_a_finer_grid_lie_between_those_of_the_grid_they_were_made_for(rope):
    coarse = replace(config_of(LARGE), decoder_positions=rope)
    fine = MV2MAE(replace(coarse, tubelet_size=(4, 8, 8)), position_grid=coarse.grid)
    for table, width in ((fine.encoder.positions, 24), (fine.decoder_positions, 16)):
        wanted = interpolate_positions(position_table("sinusoid-1d", GRID, width), GRID, (2, 6, 6))
        torch.testing.assert_close(table, wanted)
    if rope == "rope":
        turns = torch.view_as_complex(rotation_table((2, 6, 6), 8, made_for=GRID)).view(2, 6, 6, -1)
        plain = torch.view_as_complex(rotation_table(GRID, 8)).view(2, 3, 3, -1)
        torch.testing.assert_close(fine.rotations, torch.view_as_real(turns.flatten(0, 2)))
        two_fine, one_coarse = turns[0, 3, 2] * turns[0, 1, 2].conj(), plain[0, 1, 1] * plain[0, 0, 1].conj()
        torch.testing.assert_close(two_fine, one_coarse)  # the same distance in pixels
        torch.testing.assert_close(turns[1, 0, 0] * turns[0, 0, 0].conj(), plain[1, 0, 0] * plain[0, 0, 0].conj())


def test_an_encoder_with_its_own_grid_is_as_before():
    config = config_of(SMALL)
    assert torch.equal(Encoder(config, position_grid=config.grid).positions, Encoder(config).positions)
