"""What a training says of itself before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mv2mae.config import ComputeConfig, FinetuneConfig, ModelConfig, OptimConfig, VideosConfig
from mv2mae.devices import device_type
from mv2mae.model.motion import configured_weights, effective_number
from mv2mae.model.precision import precision_of
from mv2mae.text import counted
from mv2mae.train.muon import iterated_in

_UNIFORM = 0.95
"""Share of the tokens from which motion weights are as good as uniform."""
_SINGULAR = {
    "groups": "group",
    "videos": "video",
    "views": "view",
    "classes": "class",
    "skipped_groups": "skipped group",
    "held_out_groups": "held out group",
    "unseen_groups": "unseen group",
    "validation_groups": "validation group",
    "rooms_at_a_time": "room at a time",
}


def describe_data(config: VideosConfig, summary: Mapping[str, int]) -> str:
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


def describe_motion(config: ModelConfig, batch: Mapping[str, Any]) -> list[str]:
    """How many tokens the motion weights of a batch of pairs are worth, and a warning where all count alike.

    Args:
        config: of the model.
        batch: target [b, 3, t, h, w] and sources [b, s, 3, t, h, w].
    """
    clips = torch.cat([batch["target"][:, None], batch["sources"]], dim=1).flatten(0, 1)
    effective = (
        torch.cat([effective_number(configured_weights(part, config)) for part in clips.split(16)]).mean().item()
    )
    share = effective / config.num_tokens
    line = (
        f"motion  weights are worth {effective:.1f} of {config.num_tokens} tokens ({share:.2f}), "
        f"measured on {counted(len(clips), 'clip')} of {counted(len(batch['target']), 'pair')}"
    )
    wanted = config.effective_tokens is not None or config.motion_temperature is not None
    if not wanted or share <= _UNIFORM:
        return [line]
    return [
        line,
        "        warning: so near to all of them, moving tokens count no more than others; "
        "set model.effective_tokens 0.5, or motion_temperature null if that is meant",
    ]


def describe_augmentations(config: FinetuneConfig) -> str:
    """What is done to a clip of fine-tuning."""
    augment = config.augment
    magnitude = f"magnitude {augment.magnitude:g} ± {augment.magnitude_std:g}"
    done = {
        f"crop {config.data.crop}": True,
        "flip": config.data.flip,
        f"RandAugment ({augment.rand_augment_ops} x, {magnitude})": augment.rand_augment_ops > 0,
        f"background motion {augment.background_motion:g}": augment.background_motion > 0,
        f"erasing {augment.erase_prob:g}": augment.erase_prob > 0,
        f"mixup {augment.mixup:g}": augment.mixup > 0,
        f"cutmix {augment.cutmix:g}": augment.cutmix > 0,
    }
    return ", ".join(name for name, is_done in done.items() if is_done)
