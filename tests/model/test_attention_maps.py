from dataclasses import replace

import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.attention_maps import cross_attention_layers, cross_attention_maps
from mv2mae.model.pretraining import MV2MAE

SEEDS = torch.tensor([3, 1, 4, 1])


def test_all_blocks_from_one_pass_equal_each_asked_alone(tiny: ModelConfig, pair):
    model = MV2MAE(tiny).eval()
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    layers = cross_attention_layers(model, *pair, seeds=SEEDS)
    assert len(layers) == tiny.decoder_depth
    assert len(calls) == 1
    for layer, maps in enumerate(layers, start=1):
        alone = cross_attention_maps(model, *pair, seeds=SEEDS, layer=layer)
        assert torch.equal(maps.weights, alone.weights)
        assert torch.equal(maps.source_idx, alone.source_idx)
    assert not torch.allclose(layers[0].weights, layers[1].weights, atol=1e-3)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_single_view_model_has_none(tiny: ModelConfig, pair):
    with pytest.raises(InputError, match="no cross-view decoder"):
        cross_attention_layers(MV2MAE(replace(tiny, cross_view_weight=0.0)).eval(), *pair, seeds=SEEDS)
