import math

import pytest
import torch
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.attention_maps import cross_attention_maps, encoder_attention_maps
from mv2mae.model.motion import most_moving_token, motion_weights
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import colour_scale, tubelets

Pair = tuple[Tensor, Tensor]
SEEDS = torch.tensor([5, 6, 7, 8])


def make_model(config: ModelConfig) -> MV2MAE:
    torch.manual_seed(0)
    return MV2MAE(config).eval()


@torch.no_grad()
def slow_maps(model: MV2MAE, source: Tensor, target: Tensor, seed: int, layer: int) -> tuple[list[int], Tensor]:
    """One pair, the decoder walked through by hand up to `layer`, its softmax written with loops.

    Returns the target's tokens in the decoder's order, and the weights [heads, n, k] in that order.
    """
    masks = model.draw_masks(1, 2, torch.device("cpu"), torch.tensor([seed]))
    visible, shown = model._encode(torch.stack([target, source])[None], masks)
    positions = model.decoder_positions
    mask_tokens = (model.mask_token + positions[masks.masked_idx[0, 0]])[None]
    x = torch.cat([visible[:, 0] + positions[masks.visible_idx[0, 0]], mask_tokens], dim=1)
    source_tokens = shown[:, 1] + positions[masks.visible_idx[0, 1]]
    for block in model.cross_decoder.blocks[:layer]:
        x = block(x, source_tokens)
    block = model.cross_decoder.blocks[layer]
    attention, heads = block.cross_attention, block.cross_attention.heads
    q = attention.q(block.norm_query(x))[0]
    k = attention.kv(block.norm_memory(source_tokens))[0, :, : q.shape[1]]
    width = q.shape[1] // heads
    maps = torch.empty(heads, len(q), len(k))
    for h in range(heads):
        for i in range(len(q)):
            part = slice(h * width, (h + 1) * width)
            scores = [math.exp(float(q[i, part] @ k[j, part]) / math.sqrt(width)) for j in range(len(k))]
            maps[h, i] = torch.tensor(scores) / sum(scores)
    return [*masks.visible_idx[0, 0].tolist(), *masks.masked_idx[0, 0].tolist()], maps


@pytest.mark.parametrize("layer", [1, 2, -1])
def test_maps_equal_a_plain_softmax_in_clip_order(tiny: ModelConfig, pair: Pair, layer: int):
    model = make_model(tiny)
    source, target = pair
    maps = cross_attention_maps(model, source, target, seeds=SEEDS, layer=layer)
    for item in (0, 3):
        order, slow = slow_maps(model, source[item], target[item], int(SEEDS[item]), range(2)[layer - (layer > 0)])
        for position, token in enumerate(order):
            torch.testing.assert_close(maps.weights[item, :, token], slow[:, position], rtol=1e-4, atol=1e-6)


def test_rows_sum_to_one_and_masked_source_tokens_are_nan(tiny: ModelConfig, pair: Pair):
    maps = cross_attention_maps(make_model(tiny), *pair, seeds=SEEDS)
    assert maps.weights.shape == (4, 2, 32, 32 - tiny.num_masked)
    torch.testing.assert_close(maps.weights.sum(dim=-1), torch.ones(4, 2, 32))
    full = maps.over_source()
    assert full.shape == (4, 2, 32, 32)
    for item in range(4):
        assert full[item][..., maps.masks.masked_idx[item, 1]].isnan().all()
        assert torch.equal(full[item][..., maps.masks.visible_idx[item, 1]], maps.weights[item])


def test_several_sources_share_one_softmax(tiny: ModelConfig, pair: Pair):
    source, target = pair
    sources = torch.stack([source, source.flip(-1), source.flip(-2)], dim=1)
    maps = cross_attention_maps(make_model(tiny), sources, target, seeds=SEEDS)
    torch.testing.assert_close(maps.weights.sum(dim=-1), torch.ones(4, 2, 32))
    full = maps.over_source().unflatten(-1, (3, 32))
    for i in range(3):
        assert full[0, 0, 0, i][maps.masks.masked_idx[0, 1 + i]].isnan().all()
        assert not full[0, 0, 0, i][maps.masks.visible_idx[0, 1 + i]].isnan().any()


def test_the_model_stays_as_it_was(tiny: ModelConfig, pair: Pair):
    model = make_model(tiny)
    before = model(*pair, seeds=SEEDS).loss
    cross_attention_maps(model, *pair, seeds=SEEDS)
    assert torch.equal(model(*pair, seeds=SEEDS).loss, before)
    assert not model.cross_decoder.blocks[-1].cross_attention._forward_pre_hooks


def test_query_is_the_masked_token_with_the_largest_motion_weight(tiny: ModelConfig, pair: Pair):
    clip, masked = pair[1][0], torch.tensor([1, 4, 9, 20, 31])
    weights = motion_weights(clip[None], tiny.tubelet_size, 60.0)[0]
    token = most_moving_token(clip, masked, tiny.tubelet_size)
    assert token in masked.tolist()
    assert weights[token] == weights[masked].max()


def test_bad_input_is_one_clear_line(tiny: ModelConfig, pair: Pair):
    for layer in (0, 3, -3):
        with pytest.raises(InputError, match=f"layer={layer}: the cross-view decoder has 2 blocks; choose 1 to 2"):
            cross_attention_maps(make_model(tiny), *pair, seeds=SEEDS, layer=layer)
    single = MV2MAE(ModelConfig(**{**vars(tiny), "cross_view_weight": 0.0}))
    with pytest.raises(InputError, match="no cross-view decoder"):
        cross_attention_maps(single, *pair, seeds=SEEDS)


@torch.no_grad()
def slow_encoder_maps(model: MV2MAE, clip: Tensor, query: int, layer: int) -> Tensor:
    """One clip, the encoder walked through by hand up to `layer`, its softmax written with loops: [heads, n]."""
    encoder = model.encoder
    scale, shift = colour_scale(encoder.config.tubelet_dim)
    parts = tubelets(clip[None], encoder.config.tubelet_size).flatten(2) * scale + shift
    x = encoder.embed(parts) + encoder.positions
    for block in encoder.blocks[:layer]:
        x = block(x)
    block = encoder.blocks[layer]
    x, heads = block.norm1(x)[0], block.attention.heads
    q, k, _ = block.attention.qkv(x).chunk(3, dim=1)
    q = q + block.attention.q_bias
    width = q.shape[1] // heads
    maps = torch.empty(heads, len(k))
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        scores = [math.exp(float(q[query, part] @ k[j, part]) / math.sqrt(width)) for j in range(len(k))]
        maps[h] = torch.tensor(scores) / sum(scores)
    return maps


def test_encoder_maps_equal_a_plain_softmax(tiny: ModelConfig, pair: Pair):
    model = make_model(tiny)
    queries = torch.tensor([[0, 31], [7, 7], [4, 5], [16, 2]])
    maps = encoder_attention_maps(model.encoder, pair[1], queries, layers=[-1, 1, 2])
    assert maps.shape == (3, 4, 2, 2, 32)
    for row, layer in enumerate((1, 0, 1)):
        for item in (0, 3):
            for column in (0, 1):
                slow = slow_encoder_maps(model, pair[1][item], int(queries[item, column]), layer)
                torch.testing.assert_close(maps[row, item, :, column], slow, rtol=1e-4, atol=1e-6)
    assert not any(block.attention._forward_pre_hooks for block in model.encoder.blocks)


def test_encoder_maps_of_a_layer_that_does_not_exist(tiny: ModelConfig, pair: Pair):
    with pytest.raises(InputError, match="layer=3: the encoder has 2 blocks; choose 1 to 2"):
        encoder_attention_maps(make_model(tiny).encoder, pair[1], torch.zeros(4, 1, dtype=torch.long), layers=[3])
