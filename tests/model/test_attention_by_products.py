"""Attention by plain products in bfloat16 is as near the truth as torch's own, and is used in nothing else."""

import pytest
import torch
import torch.nn.functional as F

from mv2mae.model import attention
from mv2mae.model.attention import attend, attention_maps


def heads(num_queries, num_keys, dtype=torch.bfloat16, width=16):
    """Queries, keys, values and a gradient, laid out as a block's projections lay them."""
    torch.manual_seed(0)
    return [
        torch.randn(3, num, 2, width, dtype=dtype).transpose(1, 2)
        for num in (num_queries, *2 * [num_keys], num_queries)
    ]


def with_gradients(f, q, k, v, grad):
    q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    out = f(q, k, v)
    return [out, *torch.autograd.grad(out, [q, k, v], grad)]


def written_out(q, k, v):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v


@pytest.mark.parametrize(("num_queries", "num_keys"), [(20, 20), (30, 7), (1, 5)])
def test_even_attention_by_products_is_as_near_the_truth_as_torchs_own(num_queries, num_keys):
    given = heads(num_queries, num_keys)
    truth = with_gradients(written_out, *(x.double() for x in given))
    ours = with_gradients(attend, *given)
    torchs = with_gradients(F.scaled_dot_product_attention, *given)
    for found, theirs, true in zip(ours, torchs, truth, strict=True):
        assert found.dtype == torch.bfloat16
        assert off(found, true) < max(2 * off(theirs, true), 0.01)


def test_sharp_attention_by_products_is_off_by_the_rounding_of_its_scores():
    q, *others = heads(200, 200, width=64)
    given = [10 * q, *others]
    out, *slopes = with_gradients(attend, *given)
    true_out, *true_slopes = with_gradients(written_out, *(x.double() for x in given))
    assert off(out, true_out) < 0.02
    assert max(off(slope, true) for slope, true in zip(slopes, true_slopes, strict=True)) < 0.04


def off(found, true):
    """Relative error."""
    return (found.double() - true).norm() / true.norm()


@pytest.mark.parametrize("case", ["float32", "long", "compiled", "traced", "frozen", "not trained"])
def test_elsewhere_it_is_torchs(case, monkeypatch):
    monkeypatch.setattr(attention, "_by_products", lambda *_: pytest.fail("by products"))
    q, k, v, _ = heads(8, 8, torch.float32 if case == "float32" else torch.bfloat16)
    q.requires_grad_(case != "frozen")
    if case == "long":
        monkeypatch.setattr(attention, "_MOST", 63)
    if case == "compiled":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    if case == "traced":
        monkeypatch.setattr(torch.jit, "is_tracing", lambda: True)
    with torch.set_grad_enabled(case != "not trained"):
        assert torch.equal(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_maps_are_the_weights_that_attention_uses():
    q, k, v, _ = heads(9, 5, torch.float64)
    torch.testing.assert_close(attention_maps(q, k) @ v, F.scaled_dot_product_attention(q, k, v))
