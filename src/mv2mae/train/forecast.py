"""What a configuration will do at its full length, in lines: printed by `--dry_run` before two small steps of it."""

from __future__ import annotations

import dataclasses

import pandas as pd

from mv2mae.config import FinetuneConfig, ModelConfig, PretrainConfig, VideosConfig
from mv2mae.data.datamodule import finetune_data, pretrain_data
from mv2mae.data.protocols import published_size
from mv2mae.data.rehearsal import is_made_up
from mv2mae.data.room import readers_need
from mv2mae.data.stream import STREAM
from mv2mae.model.flops import classifier_flops, step_flops
from mv2mae.text import counted
from mv2mae.train.describe import describe_augmentations, describe_warmup
from mv2mae.train.finetune import model_of
from mv2mae.train.objective import objective_of
from mv2mae.train.step import accumulation
from mv2mae.weights import read_weights

_ASSUMED = 0.35 * 989e12
"""Operations a second of one H100 at a share of its peak in bf16 that is often reached; not measured here."""


def forecast(config: PretrainConfig | FinetuneConfig) -> list[str]:
    """The whole run: items, steps, rate, decay, clips, motion weights, cost.

    Raises:
        InputError: if manifest, split or weights do not allow it.
    """
    return _pretraining(config) if isinstance(config, PretrainConfig) else _finetuning(config)


def _pretraining(config: PretrainConfig) -> list[str]:
    data, model, optim = config.data, config.model, config.optim
    (num, told), frame = _published(data), None
    if not num:
        found = pretrain_data(
            dataclasses.replace(data, cache="none"),
            num_frames=model.num_frames,
            size=model.image_size,
            seed=config.seed,
        )
        num, frame = len(found.train), getattr(found.train, "frame", None)
    steps = optim.total_steps(num)
    flop = step_flops(model, 1 + data.num_sources).total * steps * optim.batch_size
    rebuilds = objective_of(config).reconstructs
    return [
        f"data    {counted(num, 'pair')} an epoch {told}",
        f"steps   {steps:,} of {optim.batch_size:,} pairs = {steps * optim.batch_size / num:.1f} epochs, "
        f"{describe_warmup(steps, optim.num_warmup_steps(num))}",
        f"rate    {optim.describe('pairs')}, weight decay {optim.weight_decay:g}, {config.compute.precision}",
        f"clips   {_shape(model)}, every {data.frame_stride:g} frames, crop {data.crop}",
        f"masks   {model.masking}, {model.num_masked} of {model.num_tokens} tokens",
        *([f"motion  {_weights(model)}"] if rebuilds else []),
        *_readers(config, frame, model, 1 + data.num_sources),
        *([_cost(flop)] if rebuilds else []),
    ]


def _finetuning(config: FinetuneConfig) -> list[str]:
    data, optim = config.data, config.optim
    model = model_of(config, None if config.init is None else read_weights(config.init))
    (num, told), frame = _published(data), None
    if not num:
        found = finetune_data(
            dataclasses.replace(data, cache="none"),
            num_frames=model.num_frames,
            size=model.image_size,
            num_repeats=config.num_repeats,
            seed=config.seed,
        )
        num, frame = len(found.train), found.train.frame
    num_counted = num * (1 if config.batch_counts == "videos" else config.num_repeats)
    steps, warmup = optim.total_steps(num_counted), optim.num_warmup_steps(num_counted)
    videos = config.videos_per_step
    return [
        f"data    {counted(num, 'video')} an epoch {told}",
        f"steps   {steps:,} of {videos:,} videos x {counted(config.num_repeats, 'augmentation')} = "
        f"{steps * videos / num:.1f} epochs, {describe_warmup(steps, warmup)}",
        f"rate    {optim.describe(config.batch_counts)}, {config.compute.precision}",
        f"decay   of weights {optim.weight_decay:g}, of the rate from layer to layer {optim.layer_decay:g}; "
        f"drop path {config.head.drop_path:g}, label smoothing {config.head.label_smoothing:g}",
        f"clips   {_shape(model)}, every {data.frame_stride:g} frames, {describe_augmentations(config)}",
        *_readers(config, frame, model, config.num_repeats),
        _cost(classifier_flops(model) * steps * videos * config.num_repeats),
    ]


def _readers(
    config: PretrainConfig | FinetuneConfig, frame: pd.DataFrame | None, model: ModelConfig, num_clips: int
) -> list[str]:
    """What the processes that read will take, in a line; the real run refuses what does not fit into its machine.

    Args:
        num_clips: of an item.
    """
    compute = config.compute
    if isinstance(config, PretrainConfig):
        repeats = config.data.num_repeats
        items = config.optim.batch_size // repeats
    else:
        repeats, items = config.num_repeats, config.videos_per_step
    devices = compute.devices if isinstance(compute.devices, int) else 1
    micro_batch, _ = accumulation(items, compute, devices * compute.num_nodes, repeats)
    need = readers_need(
        compute.num_workers,
        frame,
        micro_batch * num_clips * 3 * model.num_frames * model.image_size**2,
        in_memory=config.data.cache == "memory",
        world_size=devices,
    )
    return [f"readers {need}"] if need else []


def _published(data: VideosConfig) -> tuple[int, str]:
    """Training videos of a public data set that is not there, and a remark on it; 0 where a manifest tells them."""
    if is_made_up(data):
        return published_size(data.split), f"(training part of {data.split} as published; here it is made up)"
    chosen = f", training part of {data.split}" if data.split and data.manifest != STREAM else ""
    return 0, f"(from {data.manifest}{chosen})"


def _shape(model: ModelConfig) -> str:
    return f"{model.num_frames} x {model.image_size} x {model.image_size}"


def _weights(model: ModelConfig) -> str:
    if model.effective_tokens is not None:
        return f"weights worth {model.effective_tokens:g} of the tokens"
    if model.motion_temperature is None:
        return "none: all tokens count alike"
    return f"temperature {model.motion_temperature:g} on {model.motion_scale} frames"


def _cost(flop: float) -> str:
    return f"cost    {flop:.1e} operations (counted): {flop / _ASSUMED / 3600:.2g} hours of an H100 at 35 % (assumed)"
