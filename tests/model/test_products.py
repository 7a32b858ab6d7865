"""The fast ways of a step equal the plain ones: products by hand, shortened blocks, checkpoints, gathered tubelets."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mv2mae.model import products
from mv2mae.model.layers import Block, Blocks, CrossBlock, SelfAttention, checkpoint_activations
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.products import gelu_product, normed_product, product
from mv2mae.model.tubelets import take_tokens, take_tubelets, tubelets

WAYS = ["plain", "norm", "gelu"]


@pytest.fixture
def layer():
    """Tokens, a norm, and a weight that is wide enough for oneDNN."""
    torch.manual_seed(0)
    norm = nn.LayerNorm(300)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return torch.randn(2, 5, 300), norm, nn.Parameter(torch.randn(256, 300)), nn.Parameter(torch.randn(256))


def by_hand(way, x, norm, weight, bias):
    if way == "norm":
        return normed_product(x, norm, weight, bias)
    return (gelu_product if way == "gelu" else product)(x, weight, bias)


def plainly(way, x, norm, weight, bias):
    return F.linear({"plain": lambda: x, "norm": lambda: norm(x), "gelu": lambda: F.gelu(x)}[way](), weight, bias)


def gradients(f, way, x, norm, weight, bias):
    x = x.clone().requires_grad_()
    out = f(way, x, norm, weight, bias)
    leaves = [x, weight, *([bias] if bias is not None else []), *(norm.parameters() if way == "norm" else [])]
    return out, torch.autograd.grad(out.square().sum(), [leaf for leaf in leaves if leaf.requires_grad])


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradients_are_those_of_torchs_own_functions(layer, way, onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(products, "_WIDE", 10**9)
    x, norm, weight, bias = layer
    for given in ((x, norm, weight, bias), (x, norm, weight, None)):
        out, slopes = gradients(by_hand, way, *given)
        wanted, wanted_slopes = gradients(plainly, way, *given)
        torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(slopes, wanted_slopes, rtol=1e-4, atol=0.1)  # of sums as large as 1e4


@pytest.mark.parametrize("way", WAYS)
def test_frozen_weights_have_no_gradient(layer, way):
    x, norm, weight, bias = layer
    weight.requires_grad_(False)
    _, slopes = gradients(by_hand, way, x, norm, weight, bias)
    _, wanted = gradients(plainly, way, x, norm, weight, bias)
    torch.testing.assert_close(slopes, wanted, rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_is_rounded_where_autocast_rounds(layer, way, dtype):
    x, norm, weight, bias = layer
    for given in ((x.to(dtype), norm, weight, bias), (x.to(dtype), norm, weight, None)):
        with torch.autocast("cpu", torch.bfloat16):
            out, slopes = gradients(by_hand, way, *given)
            wanted, wanted_slopes = gradients(plainly, way, *given)
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, wanted)
        for slope, wanted_slope in zip(slopes, wanted_slopes, strict=True):
            assert slope.dtype == wanted_slope.dtype
            assert (slope - wanted_slope).abs().max() <= 0.01 * wanted_slope.abs().max()


def test_half_precision_is_left_to_torch(layer):
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(by_hand("norm", *layer), plainly("norm", *layer))


def kept_bytes(forward):
    """What a forward pass keeps for the way back, parameters and views of one tensor counted once."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = forward()
    return sum(kept.values()), out


def test_a_block_keeps_no_output_of_norms_and_gelu():
    """Per token d of the block's input, 3 d, d, d of the residual, 4 d; plainly 6 d more."""
    block, x = Block(32, 2), torch.randn(8, 100, 32, requires_grad=True)
    weights = sum(p.nbytes for p in block.parameters())
    kept, _ = kept_bytes(lambda: block(x))
    assert kept <= 10.5 * x.nbytes + 2 * weights


def test_in_bfloat16_a_block_keeps_less_than_autocast_would(monkeypatch):
    block, x = Block(32, 2), torch.randn(8, 100, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        kept, out = kept_bytes(lambda: block(x))
        monkeypatch.setattr(products, "computed_in", lambda x: None)
        plainly_kept, wanted = kept_bytes(lambda: block(x))
    assert kept < 0.8 * plainly_kept
    assert torch.equal(out, wanted)


def test_the_last_tokens_alone_are_those_of_all():
    torch.manual_seed(0)
    x, memory = torch.randn(2, 9, 32), torch.randn(2, 4, 32)
    for block, inputs in ((Block(32, 2), (x,)), (CrossBlock(32, 2), (x, memory))):
        torch.testing.assert_close(block(*inputs, num_last=3), block(*inputs)[:, -3:])
        whole, last = (torch.autograd.grad(out.square().sum(), list(block.parameters())) for out in
                       (block(*inputs)[:, -3:], block(*inputs, num_last=3)))  # fmt: skip
        torch.testing.assert_close(whole, last, rtol=1e-4, atol=1e-4)
    attention = SelfAttention(32, 2)
    torch.testing.assert_close(attention(x, num_asking=3), attention(x)[:, -3:])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_checkpointed_training_is_the_same_with_less_memory(tiny, pair, precision):
    torch.manual_seed(0)
    model, seeds = MV2MAE(tiny), torch.arange(4)

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return model(*pair, seeds=seeds)

    def step():
        model.zero_grad()
        kept, out = kept_bytes(forward)
        out.loss.backward()  # outside of autocast, as in a training
        return kept, out.loss.detach(), [p.grad.clone() for p in model.parameters()]

    kept, loss, slopes = step()
    checkpoint_activations(model)
    assert any(isinstance(module, Blocks) and module.checkpointed for module in model.modules())
    less, same_loss, same_slopes = step()
    torch.testing.assert_close(same_loss, loss, rtol=0, atol=0)
    torch.testing.assert_close(same_slopes, slopes, rtol=0, atol=0)
    assert less < 0.8 * kept


def test_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(tiny, pair):
    torch.manual_seed(0)
    model, slopes = MV2MAE(tiny), []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model(*pair, seeds=torch.arange(4)).loss
        loss.backward()
        slopes.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert torch.nn.functional.cosine_similarity(*slopes, dim=0) > 0.999


def test_drop_path_draws_the_same_when_a_block_is_made_again():
    torch.manual_seed(0)
    stack, x = Blocks([Block(32, 2, drop_path=0.5)]), torch.randn(16, 4, 32, requires_grad=True)
    slopes = []
    for stack.checkpointed in (False, True):
        torch.manual_seed(1)
        slopes.append(torch.autograd.grad(stack(x).square().sum(), x)[0])
    assert torch.equal(*slopes)


def test_gathered_tubelets_are_those_of_the_whole_clip():
    clip = torch.randint(256, (2, 3, 4, 16, 24), dtype=torch.uint8)
    idx = torch.tensor([[0, 5, 11], [3, 2, 7]])
    assert torch.equal(take_tubelets(clip, idx, (2, 8, 8)), take_tokens(tubelets(clip, (2, 8, 8)), idx))
