"""The same weights give what transformers' VideoMAE gives."""

import pytest
import torch

from mv2mae.config import ModelConfig
from mv2mae.model.encoder import Encoder
from mv2mae.model.pretraining import MV2MAE, Masks

transformers = pytest.importorskip("transformers")

CONFIG = ModelConfig(
    num_frames=8,
    image_size=64,
    encoder_width=48,
    encoder_depth=3,
    encoder_heads=4,
    decoder_width=24,
    decoder_depth=2,
    decoder_heads=3,
    cross_view_weight=0.0,
    motion_temperature=None,
)


@pytest.fixture
def peer():
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(
        image_size=64,
        patch_size=16,
        num_frames=8,
        tubelet_size=2,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        decoder_hidden_size=24,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=3,
        decoder_intermediate_size=96,
        layer_norm_eps=1e-6,
        use_mean_pooling=False,
        norm_pix_loss=True,
    )
    model = transformers.VideoMAEForPreTraining(config).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where a mistake would not show
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else 0.1)
    model.decoder.norm.eps = 1e-6  # transformers leaves it at torch's 1e-5, VideoMAE itself has 1e-6
    return model


def copy_block(block, peer):
    attention = peer.attention.attention
    block.attention.qkv.weight.data = torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
    block.attention.q_bias.data = peer_bias(attention, "q")
    block.attention.v_bias.data = peer_bias(attention, "v")
    block.attention.proj.load_state_dict(peer.attention.output.dense.state_dict())
    block.norm1.load_state_dict(peer.layernorm_before.state_dict())
    block.norm2.load_state_dict(peer.layernorm_after.state_dict())
    block.mlp[0].load_state_dict(peer.intermediate.dense.state_dict())
    block.mlp[2].load_state_dict(peer.output.dense.state_dict())


def peer_bias(attention, which):
    """transformers 5 keeps the bias in the Linear, earlier ones beside it."""
    bias = getattr(attention, f"{which}_bias", None)
    return bias.data if bias is not None else getattr(attention, {"q": "query", "v": "value"}[which]).bias.data


def copy_encoder(encoder, peer):
    conv = peer.embeddings.patch_embeddings.projection
    encoder.embed.weight.data = conv.weight.permute(0, 2, 3, 4, 1).reshape(48, -1)
    encoder.embed.bias.data = conv.bias.data
    for block, layer in zip(encoder.blocks, peer.encoder.layer, strict=True):
        copy_block(block, layer)
    encoder.norm.load_state_dict(peer.layernorm.state_dict())


def normalised(clip):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1, 1)
    return ((clip - mean) / std).transpose(1, 2)


@torch.no_grad()
def test_encoder_equals_videomae(peer):
    encoder = Encoder(CONFIG).eval()
    copy_encoder(encoder, peer.videomae)
    clip = torch.rand(2, 3, 8, 64, 64)
    wanted = peer.videomae(normalised(clip)).last_hidden_state
    assert float((encoder(clip) - wanted).abs().max()) < 1e-5


@torch.no_grad()
def test_single_view_model_equals_videomae_for_pretraining(peer):
    model = MV2MAE(CONFIG).eval()
    copy_encoder(model.encoder, peer.videomae)
    model.projector.load_state_dict(peer.encoder_to_decoder.state_dict())
    model.mask_token.data = peer.mask_token.data.flatten()
    for block, layer in zip(model.self_decoder.blocks, peer.decoder.decoder_layers, strict=True):
        copy_block(block, layer)
    model.self_decoder.norm.load_state_dict(peer.decoder.norm.state_dict())
    model.self_decoder.head.load_state_dict(peer.decoder.head.state_dict())

    clips = torch.rand(2, 3, 8, 64, 64)
    masks = model.draw_masks(1, 2, clips.device, torch.tensor([3]))
    out = model(clips[1:], clips[:1], masks=Masks(*masks), with_reconstructions=True)
    for view, loss in ((0, out.self_target), (1, out.self_source)):
        is_masked = torch.zeros(1, CONFIG.num_tokens, dtype=torch.bool)
        is_masked[0, masks.masked_idx[0, view]] = True
        wanted = peer(normalised(clips[view : view + 1]), bool_masked_pos=is_masked)
        assert float((out.reconstructions.self_view[:, view] - wanted.logits).abs().max()) < 1e-5
        assert float(loss) == pytest.approx(float(wanted.loss), rel=1e-5)
