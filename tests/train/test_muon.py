"""Muon on stacked matrices: against float64, against torch's, in bfloat16 and float32."""

import copy

import pytest
import torch

from mv2mae.model.precision import multiplies_bf16
from mv2mae.train import muon as module
from mv2mae.train.muon import Muon, iterated_in, orthogonalised

SHAPES = [(8, 8), (24, 8), (32, 8), (8, 32), (8, 8), (32, 8), (16, 8)]
CONSTANTS = (3.4445, -4.7750, 2.0315)


def reference(matrix, iterations=5):
    """Newton-Schulz in float64, on one matrix as it stands, without transposing it."""
    x = matrix.double()
    x = x / x.square().sum().sqrt()
    a, b, c = CONSTANTS
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x


def parameters(seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def set_gradients(params, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)


def test_float32_equals_float64():
    for n, m in ((96, 96), (96, 384), (128, 512)):
        x = torch.randn(5, n, m, generator=torch.Generator().manual_seed(n + m))
        made = orthogonalised(x, CONSTANTS, 5, 1e-7, torch.float32)
        for one, whole in zip(made, x, strict=True):
            torch.testing.assert_close(one.double(), reference(whole), rtol=0, atol=1e-5)
            if n < m:  # a square one may be all but singular
                singular = torch.linalg.svdvals(one)
                assert 0.6 < singular.min() < singular.max() < 1.3


def test_what_comes_out_is_the_nearest_orthogonal_matrix_more_or_less():
    x = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(x[0], full_matrices=False)
    made = orthogonalised(x, CONSTANTS, 5, 1e-7, torch.float32)[0]
    assert torch.nn.functional.cosine_similarity(made.flatten(), (u @ v).flatten(), dim=0) > 0.95


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}])
def test_steps_equal_torchs_within_the_rounding_of_bfloat16(bf16, options, monkeypatch):
    monkeypatch.setattr(module, "multiplies_bf16", lambda device: bf16)
    ours, theirs = parameters(), parameters()
    groups = [[0, 1, 2], [3, 4, 5, 6]]  # of other rates, but the same shapes
    a, b = (
        kind([{"params": [p[i] for i in g], "lr": 0.02 * (k + 1)} for k, g in enumerate(groups)], **options)
        for kind, p in ((Muon, ours), (torch.optim.Muon, theirs))
    )
    for step in range(3):
        for optimizer, params in ((a, ours), (b, theirs)):
            before = [p.detach().clone() for p in params]
            set_gradients(params, seed=step)
            optimizer.step()
            moved = [p.detach() - old for p, old in zip(params, before, strict=True)]
            if optimizer is a:
                mine = moved
        for one, other in zip(mine, moved, strict=True):
            assert (one - other).norm() < 0.03 * other.norm()


def test_a_parameter_without_a_gradient_stays():
    params = parameters()
    optimizer = Muon(params, lr=0.1)
    set_gradients(params, seed=0)
    params[1].grad = None
    before = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state


def test_matrices_beyond_what_is_stacked_at_once_come_out_alike(monkeypatch):
    whole, parts = parameters(), parameters()
    for params, most in ((whole, 2**25), (parts, 600)):
        monkeypatch.setattr(module, "_MOST", most)
        set_gradients(params, seed=0)
        Muon(params, lr=0.1).step()
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2 if multiplies_bf16("cpu") else 1e-5, atol=1e-3)


def test_checkpoints_of_torchs_muon_go_on_here():
    ours, theirs = parameters(), parameters()
    old, new = torch.optim.Muon(theirs, lr=0.02), Muon(ours, lr=0.5)
    set_gradients(theirs, seed=0)
    old.step()
    state = copy.deepcopy(old.state_dict())
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q)
    new.load_state_dict(state)
    assert new.param_groups[0]["lr"] == 0.02
    for params, optimizer in ((ours, new), (theirs, old)):
        set_gradients(params, seed=1)
        optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(new.state[p]["momentum_buffer"], old.state[q]["momentum_buffer"])
        torch.testing.assert_close(p, q, rtol=0, atol=0.02 * 0.1)


def test_float32_is_taken_where_bfloat16_is_emulated(monkeypatch):
    for bf16, wanted in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(module, "multiplies_bf16", lambda device, bf16=bf16: bf16)
        assert iterated_in(torch.device("cpu")) == wanted
