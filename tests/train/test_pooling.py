"""Fine-tuning with attentive pooling: what learns, what is kept, and where such a model can go."""

import dataclasses

import pytest
import torch
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.config import HeadConfig
from mv2mae.errors import InputError
from mv2mae.interop.exported import load_exportable
from mv2mae.interop.transformers import write_transformers
from mv2mae.model.classifier import Classifier
from mv2mae.model.pretraining import MV2MAE
from mv2mae.train.finetune import build_classifier, finetune, model_of
from mv2mae.weights import PRETRAINING as KIND
from mv2mae.weights import load_classifier_model, load_encoder, read_weights, save_weights

CONFIG = dataclasses.replace(FINETUNING, head=HeadConfig(pooling="attention"), ema_decay=0.0)
CLIP = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def start(tmp_path):
    model = MV2MAE(PRETRAINING.model)
    torch.nn.init.normal_(model.encoder.norm.weight)
    save_weights(tmp_path / "start" / "model.safetensors", model, KIND, PRETRAINING.model)
    return tmp_path / "start"


def test_a_run_trains_and_keeps_its_pooling(start, tmp_path):
    config = dataclasses.replace(CONFIG, init=str(start), train_blocks=0)
    run = finetune(config, tmp_path / "run")
    before, _ = build_classifier(config, model_of(config, read_weights(start)), read_weights(start), 2)
    after, _ = load_classifier_model(run)
    assert torch.equal(after.encoder.blocks[1].mlp[0].weight, before.encoder.blocks[1].mlp[0].weight)
    for name in ("pool.query", "pool.attention.kv.weight", "encoder.norm.weight", "head.weight"):
        assert not torch.equal(after.get_parameter(name), before.get_parameter(name)), name
    assert torch.equal(before.encoder.norm.weight, read_weights(start).tensors["encoder.norm.weight"])
    assert torch.equal(load_exportable(read_weights(run), "classifier")(CLIP), after(CLIP))
    with pytest.raises(InputError, match="pools by attention, .* export as onnx or torch"):
        write_transformers(dataclasses.replace(read_weights(run), config=_plain(after.config)), tmp_path / "out")


def _plain(config):
    return dataclasses.replace(config, positions="sinusoid-1d")


def test_it_starts_from_a_classifier_by_the_mean_and_the_other_way_round(tmp_path):
    """The encoder's last norm, which a classifier by the mean has not, starts from scratch."""
    mean = finetune(dataclasses.replace(CONFIG, head=HeadConfig()), tmp_path / "mean")
    config = dataclasses.replace(CONFIG, init=str(mean))
    model, _ = build_classifier(config, model_of(config, read_weights(mean)), read_weights(mean), 2)
    assert torch.equal(model.encoder.norm.weight, torch.ones(32))
    assert torch.equal(model.encoder.embed.weight, load_encoder(mean).embed.weight)
    attentive = finetune(config, tmp_path / "attentive")
    again = dataclasses.replace(CONFIG, init=str(attentive), head=HeadConfig())
    model, line = build_classifier(again, model_of(again, read_weights(attentive)), read_weights(attentive), 2)
    assert model.pool is None
    assert "head, norm, pool" in line


@torch.no_grad()
def test_the_query_looks_at_tokens_of_the_clip_alone():
    model = Classifier(CONFIG.model, 3, pooling="attention").eval()
    both = model(CLIP)
    torch.testing.assert_close(both[:1], model(CLIP[:1]))
    tokens = model.encoder(CLIP)
    maps = model.pool.attention.maps(model.pool.query.expand(2, 1, -1), tokens)
    assert maps.shape == (2, 8, 1, tokens.shape[1])
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 8, 1))
