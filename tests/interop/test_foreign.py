"""Official VideoMAE files in; the hub; and what is refused, one clear line each."""

import argparse
import dataclasses
import os

import huggingface_hub.constants
import pytest
import torch
from tiny_runs import FINETUNING
from tiny_runs import PRETRAINING as PRETRAIN

from mv2mae.cli.main import main
from mv2mae.errors import InputError
from mv2mae.model.layers import interpolate_positions, position_table
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import build_model
from mv2mae.weights import CLASSIFIER, ENCODER, PRETRAINING, load_classifier_model, load_encoder, read_weights

pytest.importorskip("transformers")
from peers import make_peer, normalised, official_names

WIDE = {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 256}
"""A head for every 64 columns, as in the official sizes."""
ARGUMENTS = argparse.Namespace(num_frames=8, input_size=64, lr=1e-3, output_dir="/somewhere")
CLIP = torch.rand(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))


def pretraining_file(path, **more):
    peer = make_peer("VideoMAEForPreTraining", use_mean_pooling=False, layer_norm_eps=1e-6, **WIDE)
    torch.save({"model": official_names(peer), "epoch": 799, "optimizer": {"state": {}}, **more}, path)
    return peer


@torch.no_grad()
def test_an_official_pretraining_checkpoint(tmp_path):
    peer = pretraining_file(tmp_path / "checkpoint-799.pth", args=ARGUMENTS)
    stored = read_weights(tmp_path / "checkpoint-799.pth")
    assert stored.kind == PRETRAINING
    assert (stored.config.num_frames, stored.config.image_size, stored.config.decoder_depth) == (8, 64, 2)
    encoder = load_encoder(tmp_path / "checkpoint-799.pth")
    wanted = peer.videomae(normalised(CLIP)).last_hidden_state
    torch.testing.assert_close(encoder(CLIP), wanted, rtol=1e-5, atol=1e-5)
    assert stored.about["notes"][-1] == "not in the file, and taken for granted: 1 attention heads"


@torch.no_grad()
@pytest.mark.parametrize("wrapping", ["", "module.", "_orig_mod.", "backbone."])
def test_an_official_classifier(wrapping, tmp_path):
    peer = make_peer("VideoMAEForVideoClassification", num_labels=5, layer_norm_eps=1e-6, **WIDE)
    peer.fc_norm.eps = 1e-6
    named = {f"{wrapping}{name}": tensor for name, tensor in official_names(peer).items()}
    torch.save({"module": named, "args": ARGUMENTS}, tmp_path / "mp_rank_00_model_states.pt")
    model, about = load_classifier_model(tmp_path / "mp_rank_00_model_states.pt")
    torch.testing.assert_close(model(CLIP), peer(normalised(CLIP)).logits, rtol=1e-5, atol=1e-5)
    assert about["classes"] == [f"class {number}" for number in range(5)]


def test_without_arguments_the_clip_is_videomaes_and_a_note_says_so(tmp_path):
    pretraining_file(tmp_path / "vit.pth")
    stored = read_weights(tmp_path / "vit.pth")
    assert (stored.config.num_frames, stored.config.image_size) == (16, 224)
    assert stored.about["notes"][-1].endswith("1 attention heads, clips of 16 x 224 x 224")


def test_finetuning_starts_from_it_at_another_clip_size(tmp_path, capsys):
    peer = make_peer("VideoMAEModel", patch_size=8)
    peer.save_pretrained(tmp_path / "peer")
    config = dataclasses.replace(FINETUNING, init=str(tmp_path / "peer"), num_frames=4, image_size=32)
    optim = dataclasses.replace(config.optim, steps=1, warmup_steps=0, lr=1e-9, weight_decay=0.0)
    finetune(dataclasses.replace(config, optim=optim, ema_decay=0.0), tmp_path / "run")
    line = capsys.readouterr().out
    assert "transformers' VideoMAE: 41 tensors make an encoder" in " ".join(line.split())
    stored = read_weights(tmp_path / "run")
    assert stored.kind == CLASSIFIER
    assert stored.position_grid == (4, 8, 8)
    assert stored.config.norm_eps == 1e-12
    wanted = read_weights(tmp_path / "peer").tensors["blocks.1.mlp.0.weight"]
    torch.testing.assert_close(stored.tensors["encoder.blocks.1.mlp.0.weight"], wanted, rtol=0, atol=1e-6)
    table = position_table("sinusoid-1d", (4, 8, 8), 48)
    wanted = interpolate_positions(table, (4, 8, 8), stored.config.grid)
    assert torch.equal(load_encoder(tmp_path / "run").positions, wanted)


def test_multi_view_pretraining_goes_on_from_videomae(tmp_path, caplog):
    """The cross-view decoder, which VideoMAE has not, starts from scratch."""
    peer = make_peer(
        "VideoMAEForPreTraining",
        use_mean_pooling=False,
        layer_norm_eps=1e-6,
        image_size=32,
        patch_size=8,
        num_frames=4,
        decoder_num_hidden_layers=1,
    )
    peer.save_pretrained(tmp_path / "peer")
    build = dataclasses.replace(read_weights(tmp_path / "peer").config, cross_view_weight=1.0, masking="random")
    model = build_model(dataclasses.replace(PRETRAIN, init=str(tmp_path / "peer"), model=build))
    assert "has no cross-view decoder, which starts from scratch" in caplog.text
    assert torch.equal(model.mask_token, peer.mask_token.flatten())
    assert model.cross_decoder.norm.weight.min() == 1


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A hub that was fetched from before, and now is out of reach."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "hub" / "models--someone--videomae-tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    return folder / "snapshots" / ("0" * 40)


def test_names_on_the_hub(hub_cache, tmp_path, capsys):
    peer = make_peer("VideoMAEModel")
    peer.save_pretrained(hub_cache)
    assert read_weights("hf:someone/videomae-tiny").config.encoder_heads == 4
    pretraining_file(hub_cache / "old.pth")
    assert read_weights("hf:someone/videomae-tiny/old.pth").kind == PRETRAINING
    assert main(["export", "hf:someone/videomae-tiny", "--format", "transformers", "--out", str(tmp_path / "o")]) == 0
    assert load_encoder(tmp_path / "o").config == load_encoder("hf:someone/videomae-tiny").config
    for name, problem in {
        "hf:someone/else": "the hub cannot be reached",
        "hf:videomae": "expected hf:OWNER/NAME",
        "hf:someone/videomae-tiny/none.pth": "hf:someone/videomae-tiny/none.pth: ",
    }.items():
        with pytest.raises(InputError, match=problem) as error:
            read_weights(name)
        assert "\n" not in str(error.value)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_code_in_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol, problem in {2: r"more than tensors is in it \((posix|os|nt).mkdir\)", 4: "not a file"}.items():
        torch.save({"model": {"a": torch.zeros(1)}, "args": Bomb()}, "bad.pth", pickle_protocol=protocol)
        with pytest.raises(InputError, match=f"bad.pth: {problem}"):
            read_weights("bad.pth")
        assert not os.path.exists("exploded")


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path, change):
    held = torch.load(path, weights_only=True)
    change(held["model"])
    torch.save(held, path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.pop("encoder.blocks.1.attn.qkv.weight"), "no tensor blocks.1.attention.qkv.weight, which this"),
        (lambda m: m.update({"encoder.blocks.1.norm1.weight": torch.zeros(3)}), r"has shape \[3\], but this model"),
        (lambda m: m.update({"encoder.blocks.0.gamma_1": torch.zeros(64)}), "gamma_1 .* has no place in this model"),
        (lambda m: m.update({"encoder.patch_embed.proj.weight": torch.zeros(64, 3, 16, 16)}), "expected .* of a video"),
        (lambda m: m.update({"encoder.blocks.0.mlp.fc1.weight": torch.zeros(100, 64)}), "are 100 wide; this model has"),
        (lambda m: m.pop("encoder.patch_embed.proj.weight"), "weights of neither mv2mae nor VideoMAE"),
        (lambda m: m.clear(), "no tensors by name in it"),
    ],
)
def test_missing_left_over_and_misshapen_tensors(change, problem, tmp_path):
    file = tmp_path / "vit.pth"
    pretraining_file(file)
    spoil(file, change)
    with pytest.raises(InputError, match=problem) as error:
        load_encoder(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_damaged_files(tmp_path):
    pretraining_file(tmp_path / "vit.pth")
    truncated(tmp_path / "vit.pth")
    (tmp_path / "text.pth").write_text("no pickle at all")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, problem in {
        "vit": "damaged one",
        "text": "damaged one",
        "empty": "damaged one",
        "list": "no tensors",
    }.items():
        with pytest.raises(InputError, match=problem) as error:
            read_weights(tmp_path / f"{name}.pth")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"model_type": "videomae"', '"model_type": "vivit"', "model_type is vivit"),
        ('"hidden_act": "gelu"', '"hidden_act": "relu"', "hidden_act is relu"),
        ('"image_size": 64', '"image_size": [64, 96]', "takes square clips"),
        ('"num_frames": 8', '"num_frames": 7', "num_frames=7 is not a multiple"),
        ('"num_frames": 8', '"num_frames": null', "damaged"),
        ('"num_frames": 8', '"num_frames": 8 8', "cannot be read"),
        ('"num_frames": 8', '"num_frames": ' + 99_999 * "[", "cannot be read"),
        ('"num_attention_heads": 4', '"num_attention_heads": 5', "does not divide by encoder_heads=5"),
    ],
)
def test_configurations_that_do_not_fit(old, new, problem, tmp_path):
    make_peer("VideoMAEModel").save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert old in text
    (tmp_path / "config.json").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=problem) as error:
        load_encoder(tmp_path)
    assert "\n" not in str(error.value)


def test_a_part_of_the_weights_is_missing(tmp_path):
    make_peer("VideoMAEModel").save_pretrained(tmp_path, max_shard_size="100KB")
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(InputError, match=r"model-00002-.* is missing, a part of the weights"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret"}}')
    with pytest.raises(InputError, match="does not name the files beside it"):
        read_weights(tmp_path)


def test_a_classifier_without_mean_pooling_gives_its_encoder(tmp_path):
    peer = make_peer("VideoMAEForVideoClassification", use_mean_pooling=False)
    peer.save_pretrained(tmp_path)
    stored = read_weights(tmp_path)
    assert stored.kind == ENCODER
    assert stored.about["notes"][1] == "not taken: head.bias, head.weight"
