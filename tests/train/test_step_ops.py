"""What a training step asks of a device, counted on the CPU: operations, and values that the host would wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_runs import PRETRAINING
from torch.profiler import ProfilerActivity, profile

from mv2mae.model.pretraining import MV2MAE
from mv2mae.train.optim import build_optimizer, skip_if

WAITING = {
    *("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::nonzero_numpy"),
    *("aten::masked_select", "aten::_unique2", "aten::unique_dim", "aten::equal", "aten::bincount"),
}
"""A GPU's host waits in each: for a value, or for a shape that depends on values."""
ON_A_CPU_ALONE = {"aten::_fused_adamw_", "aten::linalg_lu_solve"}
"""What asks for values in its way for a CPU: the steps that were made, and whether pivots are in range."""
VIEWS = {
    *("view", "reshape", "_unsafe_view", "transpose", "t", "permute", "expand", "expand_as", "select", "slice"),
    *("unbind", "unflatten", "flatten", "unsqueeze", "squeeze", "chunk", "split", "as_strided", "alias", "detach"),
    *("view_as", "_reshape_alias", "narrow", "lift_fresh", "empty", "empty_like", "empty_strided", "result_type"),
}
"""They start no kernel by themselves (a copy inside `reshape` is counted as what it calls)."""
VARIANTS = {
    "paper": ({}, {}),
    "best": (
        {"cameras": "rays", "decoder_positions": "rope", "source_mask_ratio": 0.0, "directions": "one"},
        {"optimizer": "muon", "muon_lr": 0.02},
    ),
    "less": ({"self_view_attention": "cross", "decoded_share": 0.5}, {"optimizer": "muon", "muon_lr": 0.02}),
}
MOST = {"paper": 575, "best": 1275, "less": 935}
"""Operations of a step of the tiny model (two blocks in the encoder, one in each decoder), a tenth above what they were
with torch 2.13; each is a launch or more on a GPU."""


def step_of(config, batch, cameras=None):
    """A function that makes one whole step: loss, gradients, optimiser, told on the device whether to skip it."""
    torch.manual_seed(0)
    model = MV2MAE(config.model).train()
    optimizer, schedule = build_optimizer(model, config.optim, depth=config.model.encoder_depth, num_items=100)
    size = (batch, 3, config.model.num_frames, config.model.image_size, config.model.image_size)
    source, target = torch.randint(256, (2, *size), dtype=torch.uint8)
    seeds = torch.arange(batch)

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(source, target, seeds=seeds, cameras=cameras).loss
        loss.backward()
        skip_if(optimizer, (~loss.detach().isfinite()).float())
        optimizer.step()
        schedule.step()

    return step


def parents(event):
    """By whom it was called, the nearest first."""
    while event.cpu_parent is not None:
        event = event.cpu_parent
        yield event


def profiled(step):
    """Of a step the operations that Python, the backward pass or a view asks for, and where a host would wait."""
    for _ in range(2):  # states are made in the first
        step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    asked, waits = [], []
    for event in seen.events():
        name, above = event.name.removeprefix("aten::"), [parent.name for parent in parents(event)]
        if name == event.name:
            continue
        if event.name in WAITING and not ON_A_CPU_ALONE & {*above}:
            waits.append(" < ".join([name, *above]))
        caller = above[0] if above else ""
        if name not in VIEWS and (caller.removeprefix("aten::") in {caller} | VIEWS):
            asked.append(name)
    return asked, waits


@pytest.mark.parametrize("name", VARIANTS)
def test_no_step_waits_and_none_takes_more_operations_than_it_did(name):
    model, optim = VARIANTS[name]
    config = replace(PRETRAINING, model=replace(PRETRAINING.model, **model), optim=replace(PRETRAINING.optim, **optim))
    cameras = torch.tensor([1.2, 1.2, 0.5, 0.5, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 3.0]).repeat(4, 2, 1)
    asked, waits = profiled(step_of(config, 4, cameras))
    assert not waits, waits
    assert len(asked) <= MOST[name], f"{len(asked)} operations: {sorted({(asked.count(n), n) for n in asked})}"
