"""The self-view decoder whose mask tokens look at the visible tokens alone (`self_view_attention: cross`)."""

from dataclasses import replace

import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.model.flops import step_flops
from mv2mae.model.layers import rotation_table
from mv2mae.model.pretraining import MV2MAE
from mv2mae.weights import PRETRAINING, load_pretrained, save_weights

SEEDS = torch.arange(4)


@pytest.fixture(params=["added", "rope"])
def model(request, tiny):
    torch.manual_seed(0)
    return MV2MAE(replace(tiny, self_view_attention="cross", decoder_positions=request.param)).eval()


def turned(x, angles):
    """A vector with each pair (i, i + d / 2) turned, as complex numbers."""
    half = len(x) // 2
    pairs = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half), angles)
    return torch.cat([pairs.real, pairs.imag])


def slow_reference(model, visible, visible_idx, masked_idx):
    """One clip, token by token and head by head: queries of a mask token, keys and values of the visible ones."""
    config, decoder, positions = model.config, model.self_decoder, model.decoder_positions
    heads, width = config.decoder_heads, config.decoder_width // config.decoder_heads
    table = rotation_table(config.grid, width)
    angles = torch.atan2(table[..., 1], table[..., 0])
    if config.decoder_positions == "added":
        angles = torch.zeros_like(angles)
    memory = visible + positions[visible_idx]
    made = []
    for place in masked_idx:
        x = model.mask_token + positions[place]
        for block in decoder.blocks:
            cross, told = block.cross_attention, block.norm_memory(memory)
            query = cross.q(block.norm_query(x)).view(heads, width)
            keys, values = cross.kv(told).view(len(told), 2, heads, width).unbind(1)
            values = values + cross.v_bias.view(heads, width)
            seen = []
            for head in range(heads):
                asked = turned(query[head], angles[place])
                offered = torch.stack([turned(k, angles[i]) for k, i in zip(keys[:, head], visible_idx, strict=True)])
                weights = (offered @ asked / width**0.5).softmax(dim=0)
                seen.append(weights @ values[:, head])
            x = x + cross.proj(torch.cat(seen))
            x = x + block.mlp(block.norm(x))
        made.append(decoder.head(decoder.norm(x)))
    return torch.stack(made)


@torch.no_grad()
def test_it_equals_a_slow_reference(model, pair):
    for parameter in model.self_decoder.parameters():  # biases and norms begin at 0 and 1
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    masks = model.draw_masks(4, 2, torch.device("cpu"), SEEDS)
    visible_idx, masked_idx = masks.visible_idx[:2, 0], masks.masked_idx[:2, 0]
    visible = model.encode(pair[1][:2], visible_idx)
    made = model.decode_self(visible, visible_idx, masked_idx)
    wanted = [slow_reference(model, *each) for each in zip(visible, visible_idx, masked_idx, strict=True)]
    torch.testing.assert_close(made, torch.stack(wanted), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_prediction_is_the_same_whichever_others_are_decoded(model, tiny, pair):
    masks = model.draw_masks(4, 2, torch.device("cpu"), SEEDS)
    few = masks._replace(masked_idx=masks.masked_idx[..., ::3])
    whole, some = (model(*pair, masks=m, with_reconstructions=True).reconstructions for m in (masks, few))
    torch.testing.assert_close(some.self_view, whole.self_view[:, :, ::3])
    joint = MV2MAE(tiny).eval()  # there mask tokens tell one another
    whole, some = (joint(*pair, masks=m, with_reconstructions=True).reconstructions for m in (masks, few))
    assert not torch.allclose(some.self_view, whole.self_view[:, :, ::3], atol=1e-3)


def test_the_cross_view_decoder_is_the_same(model, tiny, pair):
    joint = MV2MAE(replace(tiny, decoder_positions=model.config.decoder_positions)).eval()
    assert joint.cross_decoder.state_dict().keys() == model.cross_decoder.state_dict().keys()
    own = {name: value for name, value in joint.state_dict().items() if not name.startswith("self_decoder")}
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert all(name.startswith("self_decoder") for name in missing)
    assert not unexpected
    one, other = model(*pair, seeds=SEEDS), joint(*pair, seeds=SEEDS)
    assert torch.equal(one.cross_target, other.cross_target)
    assert not torch.equal(one.self_target, other.self_target)


def test_gradients_reach_every_parameter(model, pair):
    model.train()(*pair, seeds=SEEDS).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_weights_know_it(tmp_path, model, pair):
    save_weights(tmp_path / "model.safetensors", model, PRETRAINING, model.config)
    again = load_pretrained(tmp_path)
    assert again.config.self_view_attention == "cross"
    assert torch.equal(again(*pair, seeds=SEEDS).loss, model(*pair, seeds=SEEDS).loss)


def test_its_work_is_counted():
    """Against the count by hand for the paper's size: 358 mask tokens ask 154 visible ones in four blocks."""
    paper = ModelConfig()
    cross, width = step_flops(replace(paper, self_view_attention="cross")), 192
    block = 2 * 358 * 154 * width + (2 * 358 + 2 * 154 + 8 * 358) * width**2
    assert cross.self_decoder == 2 * 3 * 2 * (4 * block + 358 * width * 1536)
    assert cross.cross_decoder == step_flops(paper).cross_decoder
    assert 0.5 < cross.self_decoder / step_flops(paper).self_decoder < 0.6
