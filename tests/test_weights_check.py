"""Weights files: damage is noticed, numbers have to be finite, and the header is not believed."""

import json
import time

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.model.encoder import Encoder
from mv2mae.model.pretraining import MV2MAE
from mv2mae.weights import (
    CLASSIFIER,
    ENCODER,
    HEADER,
    PRETRAINING,
    find_weights,
    load_classifier_model,
    load_encoder,
    load_pretrained,
    read_weights,
    save_weights,
)


@pytest.fixture
def weights(tiny, tmp_path):
    file = tmp_path / "w.safetensors"
    save_weights(file, MV2MAE(tiny), PRETRAINING, tiny, frame_stride=2, fps=None)
    return file


def rewritten(file, change=lambda header, tensors: None, *, sealed=False):
    """The file with another header and other tensors, as someone else might write it: without a seal."""
    with safetensors.safe_open(file, "pt") as stored:
        header = json.loads(stored.metadata()[HEADER])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    if not sealed:
        del header["seal"]
    change(header, tensors)
    save_file(tensors, file, {HEADER: json.dumps(header)})
    return file


def test_files_without_a_seal_still_open(weights, tiny):
    before = read_weights(weights).tensors
    after = read_weights(rewritten(weights)).tensors
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert load_pretrained(weights).config == tiny


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.99])
def test_changed_bytes_are_noticed(weights, share):
    content = bytearray(weights.read_bytes())
    place = int(share * len(content))
    content[place] ^= 4
    weights.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        load_encoder(weights)


def test_packaged_weights_are_sealed(tmp_path):
    content = bytearray(find_weights("synthetic-small").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    (tmp_path / "hole.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        load_encoder(tmp_path / "hole.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(weights, value):
    rewritten(weights, lambda header, tensors: next(iter(tensors.values())).view(-1)[:1].fill_(value))
    with pytest.raises(InputError, match="holds values that are not finite numbers"):
        load_encoder(weights)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("encoder_depth", 10**6),
        ("encoder_depth", 4.0),
        ("encoder_depth", True),
        ("encoder_depth", -1),
        ("encoder_width", 10**6),
        ("encoder_heads", None),
        ("decoder_width", 30_000),
        ("decoder_depth", 10**5),
        ("image_size", 10**7),
        ("image_size", 8 * 10**5),
        ("num_frames", 2**20),
        ("position_grid", [2, 10**6, 10**6]),
        ("position_grid", [2, 4]),
        ("tubelet_size", [2, 8, "8"]),
        ("tubelet_size", [0, 8, 8]),
        ("mask_ratio", "0.7"),
        ("positions", "none"),
        ("motion_temperature", float("nan")),
        ("wings", 2),
    ],
)
def test_a_header_that_cannot_be_is_refused_before_a_model_is_built(weights, setting, value):
    rewritten(weights, lambda header, tensors: header["config"].update({setting: value}))
    begin = time.perf_counter()
    with pytest.raises(InputError, match=r"w\.safetensors: (the description in its header is damaged|made by another)"):
        load_encoder(weights)
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", [1, 2]),
        ("classes", "ab"),
        ("classes", []),
        ("classes", ["a"] * 10**5),
        ("labels", [0, 0]),
        ("labels", [0, -1]),
        ("labels", [0]),
        ("frame_stride", "2"),
        ("fps", 0),
    ],
)
def test_what_a_header_tells_of_classes_and_clips_is_checked(tiny, tmp_path, name, value):
    file = tmp_path / "w.safetensors"
    about = {"classes": ["a", "b"], "labels": [0, 3], "frame_stride": 2, "fps": None}
    save_weights(file, Classifier(tiny, 2), CLASSIFIER, tiny, **about)
    assert load_classifier_model(file)[1]["labels"] == [0, 3]
    rewritten(file, lambda header, tensors: header["about"].update({name: value}))
    with pytest.raises(InputError, match="the description in its header is damaged|head.weight has shape"):
        load_classifier_model(file)


def test_another_kind_is_refused(tiny, tmp_path):
    file = tmp_path / "w.safetensors"
    save_weights(file, Encoder(tiny), ENCODER, tiny)
    with pytest.raises(InputError, match="which is no kind of model"):
        read_weights(rewritten(file, lambda header, tensors: header.update(kind="wings")))
