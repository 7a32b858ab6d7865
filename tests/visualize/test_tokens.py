import numpy as np
import torch
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.encoder import Encoder
from mv2mae.visualize.tokens import component_colours, encoder_tokens, pca_strips, token_changes, token_components

GRID = (2, 4, 4)


def make_tokens(views: int = 2) -> Tensor:
    return torch.randn(views, 32, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 3, 2, 1, 1, 1])


def test_components_are_uncorrelated_and_explain_the_most():
    tokens = make_tokens()
    components, shares = token_components(tokens)
    flat = components.flatten(0, 1)
    covariance = flat.T @ flat
    torch.testing.assert_close(covariance, covariance.diag().diag(), atol=1e-2, rtol=0)
    total = tokens.flatten(0, 1).var(dim=0, unbiased=False).sum()
    torch.testing.assert_close(shares, flat.var(dim=0, unbiased=False) / total, rtol=1e-4, atol=1e-5)
    assert shares[0] > shares[1] > shares[2]


def test_one_basis_for_all_views():
    tokens = make_tokens(3)
    colours = component_colours(token_components(tokens)[0])
    shuffled = component_colours(token_components(tokens[[2, 0, 1]])[0])
    assert np.abs(colours[[2, 0, 1]].astype(int) - shuffled).max() <= 1
    tokens[1] = tokens[0]
    same = component_colours(token_components(tokens)[0])
    np.testing.assert_array_equal(same[0], same[1])


def test_the_first_component_is_lightness():
    components = torch.zeros(1, 101, 3)
    components[0, :, 0] = torch.linspace(0, 1, 101)
    components[..., 1:] = torch.rand(1, 101, 2, generator=torch.Generator().manual_seed(0)) * 1e-9
    light = component_colours(components)[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert np.corrcoef(light, np.arange(101))[0, 1] > 0.5
    assert light[-1] > light[0] + 60


def test_what_stands_still_and_what_all_moments_share_is_no_change():
    place = torch.randn(2, 1, 4, 4, 6).expand(-1, 2, -1, -1, -1)
    moment = torch.randn(1, 2, 1, 1, 6)
    tokens = (place + moment).flatten(1, 3)
    torch.testing.assert_close(token_changes(tokens, GRID), torch.zeros_like(tokens), atol=1e-5, rtol=0)
    tokens[0, 5] += 1
    assert token_changes(tokens, GRID)[0, 5].abs().sum() > token_changes(tokens, GRID)[1].abs().sum() / 32


def test_strips_have_three_rows_a_view(tiny: ModelConfig, pair: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    clips = torch.stack([pair[0][0], pair[1][0]])
    strips = pca_strips(clips, encoder_tokens(Encoder(tiny), clips), tiny.tubelet_size, names=["left", "right"])
    tokens = ["as they are", "what changes"]
    assert [row.detail for row in strips.rows] == ["left", *tokens, "right", *tokens]
    block = strips.rows[1].frames[:2, :8, :8]
    assert (block == block[0, 0, 0]).all()
