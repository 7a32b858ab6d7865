"""Weights that are finite, and whose answers are not: no picture, no figure is made of those."""

import pytest
import torch

from mv2mae.errors import InputError
from mv2mae.model.attention_maps import cross_attention_layers, encoder_attention_maps
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.pair_prediction import encode, predict_pair
from mv2mae.visualize.reconstruct import reconstruct
from mv2mae.visualize.tokens import encoder_tokens


@pytest.fixture
def model(tiny):
    made = MV2MAE(tiny).eval()
    for parameter in made.parameters():
        parameter.data.fill_(1e30)
    return made


@pytest.fixture
def clips():
    return torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)


def attention(model, clips):
    cross_attention_layers(model, clips[:1], clips[1:], seeds=torch.tensor([1]))


def own_attention(model, clips):
    encoder_attention_maps(model.encoder, clips[:1], torch.tensor([[0]]))


def reconstruction(model, clips):
    reconstruct(model, clips[0], clips[1], seed=1)


def tokens(model, clips):
    encoder_tokens(model.encoder, clips)


def view(model, clips):
    source, target = (encode(model, clip, tuple(range(8))) for clip in clips)
    predict_pair(model, target, source, None)


@pytest.mark.parametrize("use", [attention, own_attention, reconstruction, tokens, view])
def test_answers_that_are_no_numbers_are_refused(model, clips, use):
    with pytest.raises(InputError, match="of the model are not finite numbers: its weights are too large or damaged"):
        use(model, clips)
