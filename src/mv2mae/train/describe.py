"""What a training says of itself before its first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mv2mae.config import ComputeConfig, DataConfig, OptimConfig
from mv2mae.model.precision import device_type, precision_of
from mv2mae.train.muon import iterated_in
from mv2mae.wording import counted

_SINGULAR = {
    "groups": "group",
    "videos": "video",
    "views": "view",
    "classes": "class",
    "skipped_groups": "skipped group",
    "held_out_groups": "held out group",
    "rooms_at_a_time": "room at a time",
}


def describe_data(config: DataConfig, summary: Mapping[str, int]) -> str:
    """Counts, the manifest, and by what its training videos were chosen."""
    plurals = {name: name.replace("_", " ") for name in summary}
    counts = [counted(value, _SINGULAR.get(name, plurals[name]), plurals[name]) for name, value in summary.items()]
    chosen = f", training part of {config.split}" if config.split else ""
    chosen += f", where {config.train_query}" if config.train_query else ""
    return f"{', '.join(counts)}; from {config.manifest}{chosen}"


def describe_warmup(steps: int, warmup: int) -> str:
    """How many of the steps are warm-up; a run that is shorter than its warm-up never reaches the peak."""
    if steps > warmup:
        return f"{warmup:,} of them warm-up"
    return f"all of them within the warm-up of {warmup:,}, so that the rate stays below its peak"


def describe_precision(optim: OptimConfig, compute: ComputeConfig) -> str:
    """What a step is computed in, and Muon's iterations with it."""
    precision = precision_of(compute)
    if optim.optimizer != "muon":
        return precision
    return f"{precision}, Muon in {str(iterated_in(torch.device(device_type(compute)))).removeprefix('torch.')}"
