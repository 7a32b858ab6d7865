"""VideoMAE of transformers in and out: the same weights give the same outputs."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from mv2mae.config import ModelConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.predict import load_classifier
from mv2mae.interop.transformers import write_transformers
from mv2mae.model.encoder import Encoder
from mv2mae.model.masking import Masks
from mv2mae.model.pretraining import MV2MAE
from mv2mae.weights import (
    CLASSIFIER,
    ENCODER,
    PRETRAINING,
    load_classifier_model,
    load_encoder,
    load_pretrained,
    read_weights,
    save_weights,
)

transformers = pytest.importorskip("transformers")
from peers import make_peer, normalised  # noqa: E402

CLIP = torch.rand(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
NAMES = {0: "wave", 1: "sit", 2: "walk"}


def close(a, b):
    return float((a - b).abs().max()) < 1e-5 * float(b.abs().max().clamp(min=1))


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"use_mean_pooling": False}, {"layer_norm_eps": 1e-3}, {"qv_bias": False}])
def test_an_encoder_comes_in(settings, tmp_path):
    peer = make_peer("VideoMAEModel", **settings)
    peer.save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    assert close(encoder(CLIP), peer(normalised(CLIP)).last_hidden_state)
    assert read_weights(tmp_path).kind == ENCODER


@torch.no_grad()
def test_a_classifier_comes_in(tmp_path):
    peer = make_peer("VideoMAEForVideoClassification", id2label=NAMES, label2id={v: k for k, v in NAMES.items()})
    peer.save_pretrained(tmp_path)
    model, about = load_classifier_model(tmp_path)
    assert close(model(CLIP), peer(normalised(CLIP)).logits)
    assert about["classes"] == ["wave", "sit", "walk"]
    assert load_classifier(tmp_path).classes == ["wave", "sit", "walk"]


@torch.no_grad()
@pytest.mark.parametrize("eps", [1e-12, 1e-4])
def test_a_pretraining_model_comes_in(eps, tmp_path):
    peer = make_peer("VideoMAEForPreTraining", use_mean_pooling=False, layer_norm_eps=eps)
    peer.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path)
    assert model.cross_decoder is None
    masks = model.draw_masks(1, 2, CLIP.device, torch.tensor([3]))
    out = model(CLIP[1:], CLIP[:1], masks=Masks(*masks), with_reconstructions=True)
    for view, loss in ((0, out.self_target), (1, out.self_source)):
        is_masked = torch.zeros(1, model.config.num_tokens, dtype=torch.bool)
        is_masked[0, masks.masked_idx[0, view]] = True
        wanted = peer(normalised(CLIP[view : view + 1]), bool_masked_pos=is_masked)
        assert close(out.reconstructions.self_view[:, view], wanted.logits)
        assert float(loss) == pytest.approx(float(wanted.loss), rel=1e-5)


def test_weights_in_several_files_and_as_torch_writes_them(tmp_path):
    peer = make_peer("VideoMAEModel")
    peer.save_pretrained(tmp_path / "parts", max_shard_size="100KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    peer.save_pretrained(tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(peer.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    wanted = safetensors.torch.load_file(save(peer, tmp_path / "whole") / "model.safetensors")
    for folder in ("parts", "bin"):
        found = read_weights(tmp_path / folder).tensors
        assert torch.equal(found["blocks.2.mlp.2.bias"], wanted["encoder.layer.2.output.dense.bias"])
        assert load_encoder(tmp_path / folder).config.encoder_heads == 4


def save(peer, folder):
    peer.save_pretrained(folder)
    return folder


CONFIG = ModelConfig(
    num_frames=8, image_size=64, encoder_width=48, encoder_depth=2, encoder_heads=4, decoder_width=24,
    decoder_depth=2, decoder_heads=3, head_norm_eps=1e-5,
)  # fmt: skip


def perturbed(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else 0.1)
    return model.eval()


@torch.no_grad()
def test_a_multi_view_model_goes_out_with_its_self_view_decoder(tmp_path):
    model = perturbed(MV2MAE(CONFIG))
    save_weights(tmp_path / "model.safetensors", model, PRETRAINING, CONFIG)
    notes = write_transformers(read_weights(tmp_path), tmp_path / "out")
    assert "cross-view decoder stays behind" in notes[0]
    peer, report = transformers.VideoMAEForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    masks = model.draw_masks(1, 2, CLIP.device, torch.tensor([3]))
    out = model(CLIP[1:], CLIP[:1], masks=masks, with_reconstructions=True)
    is_masked = torch.zeros(1, CONFIG.num_tokens, dtype=torch.bool)
    is_masked[0, masks.masked_idx[0, 0]] = True
    wanted = peer.eval()(normalised(CLIP[:1]), bool_masked_pos=is_masked).logits
    assert close(out.reconstructions.self_view[:, 0], wanted)


@torch.no_grad()
@pytest.mark.parametrize("final_norm", [True, False])
def test_an_encoder_goes_out(final_norm, tmp_path):
    encoder = perturbed(Encoder(CONFIG, final_norm=final_norm))
    save_weights(tmp_path / "model.safetensors", encoder, ENCODER, CONFIG)
    assert write_transformers(read_weights(tmp_path), tmp_path / "out") == []
    peer = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert close(encoder(CLIP), peer(normalised(CLIP)).last_hidden_state)


@torch.no_grad()
def test_a_classifier_goes_there_and_back_unchanged(tmp_path):
    peer = make_peer("VideoMAEForVideoClassification", id2label=NAMES, label2id={v: k for k, v in NAMES.items()})
    peer.save_pretrained(tmp_path / "theirs")
    assert write_transformers(read_weights(tmp_path / "theirs"), tmp_path / "ours") == []
    again = transformers.VideoMAEForVideoClassification.from_pretrained(tmp_path / "ours").eval()
    assert torch.equal(peer(normalised(CLIP)).logits, again(normalised(CLIP)).logits)
    assert again.config.id2label == NAMES
    processor = json.loads((tmp_path / "ours" / "preprocessor_config.json").read_text())
    assert processor["size"] == {"shortest_edge": 73}
    assert processor["crop_size"] == {"height": 64, "width": 64}


def test_what_transformers_cannot_have_is_refused(tmp_path):
    sincos = dataclasses.replace(CONFIG, positions="sincos-3d")
    for name, encoder in {"sincos": Encoder(sincos), "grid": Encoder(CONFIG, position_grid=(2, 2, 2))}.items():
        save_weights(tmp_path / name / "model.safetensors", encoder, ENCODER, encoder.config)
        with pytest.raises(InputError, match="export as onnx or torch"):
            write_transformers(read_weights(tmp_path / name), tmp_path / "out")


@pytest.mark.parametrize("settings", [{"self_view_attention": "cross"}, {"decoder_positions": "rope"}])
def test_decoders_that_transformers_has_not_are_refused(tmp_path, settings):
    config = dataclasses.replace(CONFIG, **settings)
    save_weights(tmp_path / "model.safetensors", MV2MAE(config), PRETRAINING, config)
    with pytest.raises(InputError, match="transformers' decoder has self-attention and added positions alone"):
        write_transformers(read_weights(tmp_path), tmp_path / "out")


def test_classifiers_of_ours_are_told_how_far_scores_differ(tmp_path):
    from tested import make_run

    stored = read_weights(make_run(tmp_path))
    assert stored.kind == CLASSIFIER
    assert "fifth digit" in write_transformers(stored, tmp_path / "out")[0]


def test_a_pipeline_of_transformers_takes_the_export(tmp_path):
    peer = make_peer("VideoMAEForVideoClassification", id2label=NAMES, label2id={v: k for k, v in NAMES.items()})
    write_transformers(read_weights(save(peer, tmp_path / "theirs")), tmp_path / "ours")
    video = str(read_manifest("sample")["path"].iloc[0])
    found = transformers.pipeline("video-classification", model=str(tmp_path / "ours"))(video)
    assert {entry["label"] for entry in found} == set(NAMES.values())
