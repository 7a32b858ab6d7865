"""Parameter groups, schedule, and the arithmetic of batches."""

import copy
import math

import pytest
import torch

from mv2mae.config import ComputeConfig, OptimConfig
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.train.optim import build_optimizer, layer_of, parameter_groups, warmup_cosine
from mv2mae.train.step import accumulation


def test_norms_and_biases_are_not_decayed(tiny):
    model = Classifier(tiny, 5)
    groups = parameter_groups(model, OptimConfig(weight_decay=0.1), depth=2)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if "norm" in name or "bias" in name else 0.1), name


def test_layer_decay_falls_towards_the_input(tiny):
    model = Classifier(tiny, 5)
    groups = parameter_groups(model, OptimConfig(layer_decay=0.5), depth=2)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    wanted = {"encoder.embed": 0.125, "encoder.blocks.0": 0.25, "encoder.blocks.1": 0.5, "norm": 1.0, "head": 1.0}
    for name, parameter in model.named_parameters():
        assert scale[id(parameter)] == next(value for start, value in wanted.items() if name.startswith(start)), name
    assert layer_of("cross_decoder.blocks.0.norm", 2) == 3


def test_schedule_is_a_ramp_and_half_a_cosine():
    shares = [warmup_cosine(step, warmup=10, total=110, min_share=0.1) for step in range(111)]
    assert shares[:10] == [(i + 1) / 10 for i in range(10)]
    assert shares[60] == pytest.approx(0.55)
    assert shares[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(shares[10:], shares[11:], strict=False))


def test_base_rate_scales_with_the_batch_and_steps_with_the_epochs():
    config = OptimConfig(base_lr=1e-3, batch_size=1024, epochs=2, warmup_epochs=0.5)
    assert config.peak_lr() == pytest.approx(4e-3)
    assert config.total_steps(40_320) == round(2 * 40_320 / 1024)
    assert config.num_warmup_steps(40_320) == round(0.5 * 40_320 / 1024)


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize(("held", "repeats"), [(None, 1), (24, 1), (None, 3), (24, 3)])
def test_the_batch_that_sets_the_rate_is_the_one_over_all_nodes_devices_and_parts(nodes, devices, held, repeats):
    optim = OptimConfig(base_lr=1e-3, batch_size=768, epochs=1)
    items, parts = accumulation(768 // repeats, ComputeConfig(device_batch_size=held), nodes * devices, repeats)
    assert items * repeats * parts * devices * nodes == 768
    assert optim.peak_lr() == pytest.approx(1e-3 * 768 / 256)
    assert optim.describe("clips") == "0.003 at its peak (0.001 x 768 clips / 256)"


def test_what_shards_cannot_do_is_refused():
    with pytest.raises(InputError, match="strategy=fsdp does not go with precision=16-mixed; take bf16-mixed"):
        ComputeConfig(strategy="fsdp", precision="16-mixed")
    with pytest.raises(InputError, match="strategy=fsdp does not go with compile=true"):
        ComputeConfig(strategy="fsdp", compile=True)


def test_optimizer_reaches_the_rate_of_each_layer(tiny):
    model = Classifier(tiny, 5)
    config = OptimConfig(lr=0.01, batch_size=4, steps=20, warmup_steps=4, layer_decay=0.5)
    optimizer, schedule = build_optimizer(model, config, depth=2, num_items=100)
    peaks = [0.0] * len(optimizer.param_groups)
    for _ in range(20):
        peaks = [max(peak, group["lr"]) for peak, group in zip(peaks, optimizer.param_groups, strict=True)]
        optimizer.step()
        schedule.step()
    for peak, group in zip(peaks, optimizer.param_groups, strict=True):
        assert peak == pytest.approx(0.01 * group["lr_scale"])
    assert math.isclose(min(peaks), 0.00125)


def test_batches_divide_over_devices_and_parts():
    assert accumulation(64, ComputeConfig(device_batch_size=8), 2) == (8, 4)
    assert accumulation(6, ComputeConfig(device_batch_size=8), 1) == (6, 1)
    with pytest.raises(InputError, match=r"a step of 7 items \(optim.batch_size\) does not divide by the 2 devices"):
        accumulation(7, ComputeConfig(), 2)
    with pytest.raises(InputError, match="device_batch_size=5 does not divide the 12 items .* try 4"):
        accumulation(12, ComputeConfig(device_batch_size=5), 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 1e-3, "base_lr": 1e-3}, "optim.lr and optim.base_lr exclude each other"),
        ({"epochs": 1, "steps": 1}, "optim.epochs and optim.steps exclude each other"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
    ],
)
def test_contradictions_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        OptimConfig(**values)


def test_a_rate_and_a_length_must_be_given():
    with pytest.raises(InputError, match="neither optim.lr nor optim.base_lr"):
        OptimConfig().peak_lr()
    with pytest.raises(InputError, match="neither optim.steps nor optim.epochs"):
        OptimConfig().total_steps(10)


def test_training_on_a_parameter_without_gradient_keeps_it_out(tiny):
    model = Classifier(tiny, 5)
    model.encoder.requires_grad_(False)
    groups = parameter_groups(model, OptimConfig(), depth=2)
    assert sum(len(group["params"]) for group in groups) == 4
    assert isinstance(groups[0]["params"][0], torch.nn.Parameter)


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest(tiny):
    model = Classifier(tiny, 5)
    config = OptimConfig(optimizer="muon", lr=0.01, muon_lr=0.05, steps=20, warmup_steps=4, layer_decay=0.5)
    optimizer, schedule = build_optimizer(model, config, depth=2, num_items=100)
    muon = {id(p) for group in optimizer.muon.param_groups for p in group["params"]}
    adamw = {id(p) for group in optimizer.adamw.param_groups for p in group["params"]}
    assert not muon & adamw
    assert len(muon | adamw) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert (id(parameter) in muon) == ("blocks" in name and parameter.ndim == 2), name
    for _ in range(4):
        optimizer.step()
        schedule.step()
    assert max(group["lr"] for group in optimizer.muon.param_groups) == pytest.approx(0.05 * 0.5)
    assert max(group["lr"] for group in optimizer.adamw.param_groups) == pytest.approx(0.01)


def test_muon_steps_equal_those_of_the_two_optimisers_alone(tiny):
    torch.manual_seed(0)
    model, clip = Classifier(tiny, 5), torch.rand(2, 3, 4, 32, 32)
    twin = Classifier(tiny, 5)
    twin.load_state_dict(model.state_dict())
    config = OptimConfig(optimizer="muon", lr=0.01, muon_lr=0.05, weight_decay=0.1, steps=5, warmup_steps=1)
    optimizer, _ = build_optimizer(model, config, depth=2, num_items=100)
    named = list(twin.named_parameters())
    blocks = [p for name, p in named if "blocks" in name and p.ndim == 2]
    others = [p for name, p in named if p.ndim == 2 and "blocks" not in name]
    plain = [p for name, p in named if p.ndim == 1]
    alone = [
        torch.optim.Muon(blocks, lr=0.05, weight_decay=0.1),
        torch.optim.AdamW(others, lr=0.01, betas=config.betas, weight_decay=0.1),
        torch.optim.AdamW(plain, lr=0.01, betas=config.betas, weight_decay=0.0),
    ]
    for _ in range(2):
        for net in (model, twin):
            net.zero_grad()
            net(clip).square().mean().backward()
        for part in (optimizer, *alone):
            part.step()
        for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)
            b.data.copy_(a.data)  # Muon computes in bfloat16, where a difference in the last bit would grow


def test_muons_state_survives_a_checkpoint(tiny):
    torch.manual_seed(0)
    config = OptimConfig(optimizer="muon", lr=0.01, steps=20, warmup_steps=2)
    clip = torch.rand(2, 3, 4, 32, 32)

    def train(model, optimizer, schedule, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(clip).square().mean().backward()
            optimizer.step()
            schedule.step()

    model = Classifier(tiny, 5)
    optimizer, schedule = build_optimizer(model, config, depth=2, num_items=100)
    train(model, optimizer, schedule, 3)
    saved = [copy.deepcopy(part.state_dict()) for part in (model, optimizer, schedule)]
    train(model, optimizer, schedule, 3)
    again = Classifier(tiny, 5)
    optimizer, schedule = build_optimizer(again, config, depth=2, num_items=100)
    for part, state in zip((again, optimizer, schedule), saved, strict=True):
        part.load_state_dict(state)
    train(again, optimizer, schedule, 3)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
