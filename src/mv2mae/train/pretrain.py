"""Pre-training: `mv2mae pretrain` (Section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mv2mae.config import ComputeConfig, PretrainConfig
from mv2mae.data.bank import FrameBank, PlannedBatch, PlannedPairs
from mv2mae.data.datamodule import PretrainData, pretrain_data
from mv2mae.data.held_out import describe_held_out
from mv2mae.data.sampling import TrainingItems
from mv2mae.data.stream import PairStream, ScriptedPairs
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairBatch, PairDataset, collate_pairs
from mv2mae.devices import device_type
from mv2mae.model.flops import step_flops
from mv2mae.ranks import say
from mv2mae.runs import PROBLEMS_NAME, SUMMARY_NAME, check_positions, check_run, start_run, write_once
from mv2mae.text import counted
from mv2mae.train.describe import describe_data, describe_motion, describe_precision, describe_warmup
from mv2mae.train.devices import speed_up
from mv2mae.train.held_out import HeldOut, held_out_batches
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.objective import objective_of
from mv2mae.train.online_knn import OnlineKNN
from mv2mae.train.step import StepModule
from mv2mae.train.trainer import fit, num_devices
from mv2mae.weights import WEIGHTS_NAME, save_weights

Batch = dict[str, Any]


class PretrainModule(StepModule):
    """Pre-training by the configured objective (`train/objective.py`)."""

    def __init__(self, config: PretrainConfig, data: PretrainData, world_size: int) -> None:
        items, collate, self._make = made_on_device(config, data.train)
        super().__init__(
            seed=config.seed,
            items=items,
            collate=collate,
            optim=config.optim,
            # an epoch is as many pairs as there are items, whether or not some of them share a decoding
            num_counted=len(data.train),
            num_repeats=config.data.num_repeats,
            compute=config.compute,
            world_size=world_size,
        )
        self.config, self.objective = config, objective_of(config)
        self.model = build_model(config)
        groups = (
            range(0) if isinstance(data.train, PairStream) else np.unique(data.train.groups, return_inverse=True)[1]
        )
        self.groups: Tensor
        self.register_buffer("groups", torch.tensor(groups), persistent=False)

    def on_fit_start(self) -> None:
        """Move frames to the device (`data.cache: device`), before the loader's processes get copies of them."""
        if isinstance(self._make, CutOnDevice):
            self._make.begin(self.trainer.strategy.root_device)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Batch:
        """Draw what comes as a script, cut what comes as a plan."""
        if self._make is not None:
            batch = self._make(batch, device)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def losses(self, batch: Batch, *, training: bool = True) -> dict[str, Tensor]:
        """Those of the objective, on a batch of pairs."""
        # of a stream every item is a performance of its own
        groups = self.groups[batch["index"]] if len(self.groups) else batch["index"]
        return self.objective.losses(self.model, {**batch, "group": groups}, training=training)


def made_on_device(
    config: PretrainConfig, train: PairDataset | PairStream
) -> tuple[TrainingItems, Callable[[Sequence[Any]], Any], Callable[[Any, torch.device], PairBatch] | None]:
    """What the loader gives, how it is put together, and what the device makes of it; None = it is whole already."""
    if isinstance(train, PairStream):
        if not draws_on_device(config.compute):
            return train, collate_pairs, None
        return ScriptedPairs(train), list, lambda scripts, device: collate_pairs(train.draw(scripts, device))
    if config.data.cache != "device":
        return train, collate_pairs, None
    planned = PlannedPairs(train)
    return planned, planned.collate, CutOnDevice(train.videos, config.model.image_size)


class CutOnDevice:
    """Cuts the pairs of batches out of frames that `begin` has moved to the device."""

    def __init__(self, videos: Videos, size: int) -> None:
        self.videos, self.size = videos, size

    def begin(self, device: torch.device) -> None:
        """Move the frames."""
        self._bank = FrameBank(self.videos, device, self.size)

    def __call__(self, batch: PlannedBatch, device: torch.device) -> PairBatch:
        """The pairs of a batch."""
        return self._bank.pairs(batch)


def draws_on_device(compute: ComputeConfig) -> bool:
    """Whether a synthetic stream is drawn on the training device: as asked, or if that is a GPU."""
    return device_type(compute) == "cuda" if compute.draw_on == "auto" else compute.draw_on == "device"


def build_model(config: PretrainConfig) -> nn.Module:
    """The model to start from.

    Raises:
        InputError: if `init` holds a model of another build.
    """
    torch.manual_seed(config.seed)
    objective = objective_of(config)
    model = objective.build() if config.init is None else objective.take_over(config.init)
    speed_up(model, config.compute)
    return model


def describe(config: PretrainConfig, data: PretrainData, module: PretrainModule) -> list[str]:
    """What a run will do, in lines: data, steps, rate, size."""
    optim, num_items = config.optim, len(data.train)
    steps, warmup = module.total_steps, optim.num_warmup_steps(num_items)
    millions = sum(p.numel() for p in module.model.parameters()) / 1e6
    encoder = sum(p.numel() for p in module.model.encoder.parameters()) / 1e6
    grid = " x ".join(map(str, config.model.grid))
    repeats = config.data.num_repeats
    decoded = f", {repeats} from each decoding" if repeats > 1 else ""
    start = "from scratch" if config.init is None else f"from {config.init}"
    objective = module.objective
    return [
        f"data    {describe_data(config.data, data.summary)}; {counted(num_items, 'pair')} an epoch{decoded}",
        f"looked at  {'; '.join(describe_held_out(data.summary, data.apart))}",
        f"model   {start}, {objective.kind}, {millions:.2f} M parameters ({encoder:.2f} M encoder), "
        f"{config.model.num_tokens} tokens ({grid}), {config.model.num_masked} of them masked{objective.roles}; "
        f"{step_flops(config.model, 1 + config.data.num_sources).total / 1e9:.3g} GFLOP a pair",
        f"steps   {steps:,} of {optim.batch_size} pairs = {steps * optim.batch_size / num_items:.1f} epochs, "
        f"{describe_warmup(steps, warmup)}; "
        f"{module.shares.format('pairs')}",
        f"rate    {optim.describe('pairs')}, weight decay {optim.weight_decay:g}, "
        f"{describe_precision(optim, config.compute)}",
        *module.describe_readers(1 + config.data.num_sources, config.model),
    ]


def pretrain(config: PretrainConfig, run: str | Path) -> Path:
    """Pre-train as configured, or go on with a run that was stopped; returns the run's folder.

    Raises:
        InputError: for settings or data that cannot work.
    """
    run = Path(run)
    check_run(run, config)
    world_size = num_devices(config.compute)
    data = pretrain_data(
        config.data,
        num_frames=config.model.num_frames,
        size=config.model.image_size,
        seed=config.seed,
        problems_file=run / PROBLEMS_NAME,
        with_cameras=config.model.cameras != "none",
    )
    probes = [OnlineKNN(config)] if config.log.probe_every else []
    module = PretrainModule(config, data, world_size)
    check_positions(run, config.model.grid, module.model.encoder.position_grid)
    lines = [*describe(config, data, module), *(probe.describe() for probe in probes)]
    say("Pre-training", *(f"  {line}" for line in lines))
    start_run(run, config)
    about = {
        "data": {**data.summary},
        "apart": {name: list(columns) for name, columns in data.apart.items()},
        "frame_stride": config.data.frame_stride,
        "fps": config.data.fps,
        "seed": config.seed,
    }

    def save(step: int) -> None:
        saved, kind = module.objective.saved(module.model)
        save_weights(run / WEIGHTS_NAME, saved, kind, config.model, **about, steps=step)

    looked_at = held_out_batches(config, data)
    check = list(looked_at)[-1]
    if module.objective.reconstructs:
        say(*(f"  {line}" for line in describe_motion(config.model, looked_at[check])))
    watchers = [*module.objective.watchers(run, looked_at[check]), *probes]
    callbacks = [HeldOut(looked_at, config.log.check_every), *watchers, *_display(module, check)]
    fit(module, run, log=config.log, save=save, callbacks=callbacks)
    summary = {**about, "steps": module.total_steps, "set_aside": data.problems.items()}
    write_once(run / SUMMARY_NAME, summary)
    return run


def _display(module: PretrainModule, check: str) -> list[pl.Callback]:
    shown = {"train/loss": "loss", "speed/clips_per_s": "clips/s", "speed/data_wait_share": "data wait"}
    shown |= module.objective.shown(check)
    if module.config.log.probe_every:
        shown["probe/knn_top1"] = "kNN"
    return [Speed(clips_per_item=1 + module.config.data.num_sources), ProgressBar("pre-training", shown)]
