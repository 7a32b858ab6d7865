"""Probes on made-up features: what is there is found, what is not there is not."""

import numpy as np
import pytest
import torch

from mv2mae.config import ProbeConfig
from mv2mae.errors import InputError
from mv2mae.model.knn import knn_scores
from mv2mae.studies.probes.heads import Labelled, attentive_logits, fit_attentive, fit_linear, held_out_groups

CLASSES, WIDTH, TOKENS = 4, 16, 6
CONFIG = ProbeConfig(lr=3e-3, batch_size=32, epochs=1, min_steps=150)


def made_up(num, *, seed, signal):
    """Tokens [num, n, d] with the class in one token of each video, at any place, beside noise; and labels."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(9).normal(size=(WIDTH, WIDTH)))[0][:CLASSES]
    labels = rng.integers(CLASSES, size=num)
    tokens = rng.normal(5, 1, size=(num, TOKENS, WIDTH))
    tokens[np.arange(num), rng.integers(TOKENS, size=num)] += signal * directions[labels]
    groups = [f"g{i // 2}" for i in range(num)]
    return Labelled(torch.tensor(tokens, dtype=torch.float32), torch.tensor(labels), groups, CLASSES)


def clip_level(made):
    return Labelled(made.values.mean(dim=1), made.labels, made.groups, made.num_classes)


def top1(kind, train, test):
    if kind == "attentive":
        logits = attentive_logits(fit_attentive(train, CONFIG)[0], test.values)
    elif kind == "linear":
        logits = fit_linear(clip_level(train), CONFIG).logits(test.values.mean(dim=1))
    else:
        logits = knn_scores(test.values.mean(dim=1), train.values.mean(dim=1), train.labels, CLASSES)
    return float((logits.argmax(dim=1) == test.labels).float().mean())


@pytest.mark.parametrize("kind", ["linear", "knn", "attentive"])
def test_classes_that_stand_apart_are_told(kind):
    assert top1(kind, made_up(200, seed=1, signal=60), made_up(100, seed=2, signal=60)) == 1.0


@pytest.mark.parametrize("kind", ["linear", "knn", "attentive"])
def test_noise_stays_at_chance(kind):
    assert 0.15 < top1(kind, made_up(200, seed=1, signal=0), made_up(400, seed=2, signal=0)) < 0.35


def test_attention_finds_what_the_mean_loses():
    train, test = made_up(400, seed=1, signal=5), made_up(200, seed=2, signal=5)
    assert top1("attentive", train, test) > top1("linear", train, test) + 0.05


def test_the_linear_probe_is_at_the_minimum_of_its_loss():
    train = clip_level(made_up(100, seed=3, signal=5))
    model = fit_linear(train, ProbeConfig(weight_decays=(0.1,)))
    weight = model.weight.clone().requires_grad_()
    x = (train.values - model.mean) * model.scale
    loss = torch.nn.functional.cross_entropy(x @ weight.T + model.bias, train.labels) + 0.05 * weight.square().sum()
    (slope,) = torch.autograd.grad(loss, weight)
    assert slope.abs().max() < 1e-3


def test_the_decay_is_chosen_where_it_matters():
    noisy, clear = clip_level(made_up(80, seed=4, signal=0)), clip_level(made_up(400, seed=4, signal=40))
    assert fit_linear(noisy, CONFIG).weight_decay > fit_linear(clear, CONFIG).weight_decay


def test_a_constant_dimension_says_nothing():
    train = clip_level(made_up(100, seed=5, signal=40))
    train.values[:, 0] = 7.0
    logits = fit_linear(train, CONFIG).logits(train.values)
    assert torch.isfinite(logits).all()


def test_held_out_are_whole_groups():
    groups = [f"g{i // 3}" for i in range(60)]
    held = held_out_groups(groups, seed=0)
    assert held.sum() == 15
    assert len({g for g, h in zip(groups, held, strict=True) if h}) == 5
    assert not held_out_groups(["a", "a"], seed=0).any()


@pytest.mark.slow
def test_a_probe_is_the_same_each_time():
    train, test = made_up(60, seed=6, signal=8), made_up(20, seed=7, signal=8)
    first, second = (attentive_logits(fit_attentive(train, CONFIG)[0], test.values) for _ in range(2))
    assert torch.equal(first, second)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="weight_decays"):
        ProbeConfig(weight_decays=(0.0,))
    with pytest.raises(InputError, match="probes is empty"):
        ProbeConfig(probes=())
