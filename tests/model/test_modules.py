"""Layers, encoder, decoders and the pre-training model: sizes, equalities, what depends on what."""

import math

import numpy as np
import pytest
import reference
import torch
from clips import moving_blobs
from torch import nn

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.attention import attention_maps
from mv2mae.model.classifier import Classifier
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import CrossAttention, DropPath, SelfAttention, interpolate_positions, position_table
from mv2mae.model.masking import Masks
from mv2mae.model.pretraining import MV2MAE, other_views
from mv2mae.model.tubelets import take_tokens, tubelets, untubelets


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


def replace(config, **changes):
    return ModelConfig(**{**config.__dict__, **changes})


def make(config, seed=0):
    torch.manual_seed(seed)
    return MV2MAE(config)


def test_parameter_counts_follow_from_the_papers_widths_and_depths():
    """The paper prints none of these; they are what Tables 12 to 14 make."""
    model, linear = MV2MAE(ModelConfig()), lambda inputs, outputs: (inputs + 1) * outputs
    attention, norm = lambda d: 4 * d * d + 3 * d, lambda d: 2 * d  # no bias on keys
    block = lambda d: attention(d) + linear(d, 4 * d) + linear(4 * d, d) + 2 * norm(d)  # noqa: E731
    head = norm(192) + linear(192, 1536)
    counts = [
        (model.encoder, linear(1536, 384) + 12 * block(384) + norm(384), 21.88),
        (model.self_decoder, 4 * block(192) + head, 2.08),
        (model.cross_decoder, 4 * (block(192) + attention(192) + 2 * norm(192)) + head, 2.67),
    ]
    for part, wanted, rounded in counts:
        assert sum(p.numel() for p in part.parameters()) == wanted
        assert wanted / 1e6 == pytest.approx(rounded, abs=0.005)


@pytest.mark.parametrize(("size", "printed"), [("small", 22.1), ("base", 86.6), ("large", 304.4)])
def test_table_18_counts_image_models(size, printed):
    """The paper's counts are those of image ViTs with a head of 1,000 classes; ours differ by what videos change."""
    config = ModelConfig.of_size(size)
    width, depth = config.encoder_width, config.encoder_depth
    with torch.device("meta"):
        ours = sum(p.numel() for p in Encoder(config).parameters())
    second_frame, key_biases = 3 * 16 * 16 * width, depth * width
    positions_and_class_token, head = (14 * 14 + 1) * width + width, 1000 * (width + 1)
    assert (ours - second_frame + key_biases + positions_and_class_token + head) / 1e6 == pytest.approx(
        printed, abs=0.1
    )


@pytest.mark.parametrize(("size", "wanted"), [("tiny", 5.63), ("small", 21.88), ("base", 86.23), ("large", 303.86)])
def test_encoder_sizes(size, wanted):
    with torch.device("meta"):
        assert millions(Encoder(ModelConfig.of_size(size))) == pytest.approx(wanted, abs=0.005)


def test_an_unknown_size_is_refused():
    with pytest.raises(InputError, match="size='huge' is unknown; choose one of tiny, small, base, large"):
        ModelConfig.of_size("huge")


def test_paper_sizes():
    config = ModelConfig()
    assert (config.num_tokens, config.num_masked) == (512, 358)


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_equals_plain_softmax(heads):
    torch.manual_seed(0)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    for layer, inputs in ((SelfAttention(16, heads), (x,)), (CrossAttention(16, heads), (x, memory))):
        nn.init.normal_(layer.v_bias)
        q, k, v = (part.detach() for part in layer.project(*inputs))
        maps = attention_maps(q, k)
        if isinstance(layer, CrossAttention):
            torch.testing.assert_close(layer.maps(*inputs), maps)
        out = np.empty((2, 5, 16), dtype=np.float32)
        for i in range(2):
            rows = [reference.attention(q[i, h].numpy(), k[i, h].numpy(), v[i, h].numpy()) for h in range(heads)]
            np.testing.assert_allclose(maps[i].numpy(), np.stack([weights for weights, _ in rows]), atol=1e-6)
            out[i] = np.concatenate([values for _, values in rows], axis=1)
        torch.testing.assert_close(layer(*inputs), layer.proj(torch.from_numpy(out)), atol=1e-5, rtol=1e-5)


def test_positions_of_1d_are_videomaes_table():
    table = position_table("sinusoid-1d", (2, 3, 4), 8)
    for p in (0, 5, 23):
        for j in range(8):
            angle = p / 10000 ** (2 * (j // 2) / 8)
            assert float(table[p, j]) == pytest.approx(math.cos(angle) if j % 2 else math.sin(angle), abs=1e-6)


def test_positions_of_3d_separate_the_axes():
    table = position_table("sincos-3d", (2, 3, 4), 64).view(2, 3, 4, 64)
    assert table.flatten(0, 2).unique(dim=0).shape[0] == 24
    assert torch.equal(table[0, :, :, :16], table[0, :1, :1, :16].expand(3, 4, 16))  # time does not see place
    assert not torch.equal(table[0, 0, 0], table[1, 0, 0])


def test_interpolated_positions_keep_constants_and_size():
    table = position_table("sincos-3d", (2, 4, 4), 32)
    assert torch.allclose(interpolate_positions(table, (2, 4, 4), (2, 4, 4)), table, atol=1e-6)
    assert interpolate_positions(table, (2, 4, 4), (4, 6, 6)).shape == (144, 32)
    assert torch.allclose(interpolate_positions(torch.ones(32, 5), (2, 4, 4), (3, 5, 5)), torch.ones(75, 5))


def test_visible_tokens_are_what_a_convolution_would_embed(tiny):
    encoder = Encoder(tiny)
    conv = nn.Conv3d(3, 32, tiny.tubelet_size, stride=tiny.tubelet_size)
    weight = encoder.embed.weight.view(32, *tiny.tubelet_size, 3).permute(0, 4, 1, 2, 3)
    conv.weight.data, conv.bias.data = weight.contiguous(), encoder.embed.bias.data
    clip = moving_blobs(2, seed=0)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1, 1)
    wanted = conv((clip - mean) / std).flatten(2).transpose(1, 2) + encoder.positions
    seen = {}
    encoder.blocks[0].register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    idx = torch.tensor([[0, 3, 31], [2, 5, 6]])
    encoder(clip, idx)
    torch.testing.assert_close(seen["x"], take_tokens(wanted, idx), atol=1e-5, rtol=1e-5)


def test_encoder_takes_bytes_and_other_clip_sizes(tiny):
    encoder = Encoder(tiny).eval()
    clip = (moving_blobs(2, seed=0) * 255).round()
    torch.testing.assert_close(encoder(clip.byte()), encoder(clip / 255), atol=1e-5, rtol=1e-5)
    assert encoder(moving_blobs(1, seed=0, frames=6, size=40)).shape == (1, 75, 32)


def test_masked_pixels_never_reach_the_encoder(tiny, pair):
    model = make(tiny)
    seen = []
    model.encoder.register_forward_hook(lambda _, args, out: seen.append(out.detach()))
    source, target = pair
    masks = model.draw_masks(4, 2, target.device, torch.arange(4))
    model(source, target, masks=masks)
    noisy = []
    for view, clip in ((1, source), (0, target)):
        parts = tubelets(clip, tiny.tubelet_size).clone()
        for i in range(4):
            parts[i, masks.masked_idx[i, view]] = torch.rand(tiny.num_masked, 128, 3)
        noisy.append(untubelets(parts, tiny.grid, tiny.tubelet_size))
    model(*noisy, masks=masks)
    assert torch.equal(seen[0], seen[1])


@torch.no_grad()
def predictions(model, source, target, masks):
    made = model(source, target, masks=masks, with_reconstructions=True).reconstructions
    return made.self_view, made.cross_view


def test_cross_view_output_depends_on_the_source_and_self_view_does_not(tiny, pair):
    model = make(tiny).eval()
    source, target = pair
    masks = model.draw_masks(4, 2, target.device, torch.arange(4))
    self_a, cross_a = predictions(model, source, target, masks)
    self_b, cross_b = predictions(model, source.flip(0), target, masks)
    assert torch.equal(self_a[:, 0], self_b[:, 0])
    assert float((cross_a[:, 0] - cross_b[:, 0]).abs().amax(dim=(1, 2)).min()) > 1e-4


def test_both_directions_share_the_decoders(tiny, pair):
    model = make(tiny).eval()
    source, target = pair
    masks = model.draw_masks(4, 2, target.device, torch.arange(4))
    swapped = Masks(masks.visible_idx.flip(1), masks.masked_idx.flip(1))
    a, b = model(source, target, masks=masks), model(target, source, masks=swapped)
    torch.testing.assert_close(a.cross_target, b.cross_source)
    torch.testing.assert_close(a.self_source, b.self_target)
    torch.testing.assert_close(a.loss, b.loss)


def test_several_sources(tiny, pair):
    model = make(tiny).eval()
    source, target = pair
    sources = torch.stack([source, source.flip(0), source.flip(3)], dim=1)
    seeds = torch.arange(4)
    out = model(sources, target, seeds=seeds, with_reconstructions=True)
    assert out.reconstructions.cross_view.shape == (4, 4, tiny.num_masked, tiny.tubelet_dim)
    # the order of the sources carries no meaning: attention over their tokens is a sum
    masks = out.reconstructions.masks
    order = [0, 3, 1, 2]
    turned = model(sources[:, [2, 0, 1]], target, masks=Masks(masks.visible_idx[:, order], masks.masked_idx[:, order]))
    torch.testing.assert_close(out.cross_target, turned.cross_target)


def test_other_views_are_all_but_ones_own():
    memory = torch.arange(3.0).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    assert other_views(memory)[0, :, :, 0, 0].tolist() == [[1, 2], [0, 2], [0, 1]]


def test_loss_is_equation_3(tiny, pair):
    config = replace(tiny, cross_view_weight=0.5, motion_temperature=3.0)
    model = make(config).eval()
    source, target = pair
    out = model(source, target, seeds=torch.arange(4), with_reconstructions=True)
    made, wanted = out.reconstructions, {}
    for view, clips, name in ((0, target, "target"), (1, source, "source")):
        for kind, prediction in (("self", made.self_view), ("cross", made.cross_view)):
            losses = []
            for i in range(4):
                clip = clips[i].double().numpy()
                idx = made.masks.masked_idx[i, view]
                goal = reference.target(clip, tiny.tubelet_size)[idx]
                weights = reference.motion_weights(clip, tiny.tubelet_size, 3.0)[idx] * tiny.num_tokens
                losses.append(reference.loss(prediction[i, view].detach().numpy(), goal, weights))
            wanted[f"{kind}_{name}"] = np.mean(losses)
    for name, value in out.parts().items():
        assert value.item() == pytest.approx(wanted[name], rel=1e-4)
    total = wanted["self_source"] + wanted["self_target"] + 0.5 * (wanted["cross_target"] + wanted["cross_source"])
    assert out.loss.item() == pytest.approx(total, rel=1e-4)


def test_literal_loss_scale_is_one_nth(tiny, pair):
    model, literal = make(tiny), make(replace(tiny, literal_loss_scale=True))
    seeds = torch.arange(4)
    torch.testing.assert_close(literal(*pair, seeds=seeds).loss * tiny.num_tokens, model(*pair, seeds=seeds).loss)


def test_gradients_reach_every_parameter(tiny, pair):
    model = make(tiny)
    model(*pair).loss.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_lambda_zero_has_no_cross_view_decoder(tiny, pair):
    model = make(replace(tiny, cross_view_weight=0.0))
    assert model.cross_decoder is None
    out = model(*pair, seeds=torch.arange(4))
    torch.testing.assert_close(out.loss, out.self_source + out.self_target)
    out.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def train(model, clips, steps, lr=3e-3):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95))
    losses = []
    for step in range(steps):
        loss = model(*clips, seeds=torch.arange(4) + (step % 2) * 10).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
def test_one_batch_can_be_overfitted(tiny, pair):
    model = make(replace(tiny, positions="sincos-3d"))
    losses = train(model, pair, 300)
    assert losses[-1] < 0.15 * losses[0]
    out = model(*pair, seeds=torch.arange(4))
    assert out.cross_target.item() < 0.5 * out.baseline_target.item()


GOLDEN = [
    *(4.3314, 4.1027, 3.9664, 3.8861, 3.7535, 3.6957, 3.5593, 3.5214, 3.3786, 3.3587),
    *(3.2098, 3.2058, 3.0501, 3.0599, 2.8965, 2.9205, 2.7504, 2.7902, 2.6145, 2.6704),
]


def test_golden_losses_of_20_steps(tiny, pair):
    """A change of the mathematics shows here. Tolerance: what other processors' rounding may add in 20 steps."""
    losses = train(make(tiny), pair, 20, lr=1e-3)
    np.testing.assert_allclose(losses, GOLDEN, rtol=2e-3)


def test_drop_path_skips_whole_clips_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = DropPath(0.25)
    out = layer(torch.ones(4000, 2, 3))
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert (out == out[:, :1, :1]).all()
    assert float(out.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(layer.eval()(torch.ones(2, 2, 3)), torch.ones(2, 2, 3))


def test_classifier_shapes_and_drop_path(tiny):
    model = Classifier(tiny, 7, drop_path=0.3)
    assert [round(block.drop_mlp.chance, 3) for block in model.encoder.blocks] == [0.0, 0.3]
    clip = moving_blobs(2, seed=0)
    assert model(clip).shape == (2, 7)
    torch.testing.assert_close(model.eval().features(clip).mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 15}, "num_frames=15 is not a multiple of the tubelet's 2; try 16"),
        ({"image_size": 100}, "image_size=100 is not a multiple of the tubelet's 16; try 96"),
        ({"encoder_heads": 5}, "encoder_width=384 does not divide by encoder_heads=5"),
        ({"mask_ratio": 1.0}, "mask_ratio=1.0 must lie between 0 and 1"),
        ({"motion_temperature": 0.0}, "motion_temperature=0.0 must be positive"),
        ({"cross_view_weight": -1.0}, "must not be negative"),
    ],
)
def test_impossible_models_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**changes)


def test_clips_of_another_size_are_refused(tiny, pair):
    with pytest.raises(
        InputError, match=r"a source clip has .* \[3, 4, 16, 16\], but the model takes \[3, 4, 32, 32\]"
    ):
        make(tiny)(pair[0][..., :16, :16], pair[1])
