"""Pre-training: `mv2mae pretrain` (Section 3.4)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from mv2mae.config import PretrainConfig
from mv2mae.data.datamodule import PretrainData, held_out_batch, make_loader, pretrain_data
from mv2mae.data.sampling import StepSampler
from mv2mae.data.views import collate_pairs
from mv2mae.model.pretraining import MV2MAE, PretrainOutput
from mv2mae.runs import PROBLEMS_NAME, SUMMARY_NAME, start_run, write_json
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.optim import build_optimizer
from mv2mae.train.trainer import StepModule, accumulation, fit, num_devices
from mv2mae.weights import PRETRAINING, WEIGHTS_NAME, fill, read_weights, save_weights

Batch = dict[str, Any]


class PretrainModule(StepModule):
    """One step of Equation 3."""

    def __init__(self, config: PretrainConfig, num_items: int) -> None:
        super().__init__()
        self.config, self.num_items, self.seed = config, num_items, config.seed
        torch.manual_seed(config.seed)
        self.model = MV2MAE(config.model)
        if config.init is not None:
            stored = read_weights(config.init)
            fill(self.model, stored.tensors, stored.path)
        if config.compute.compile:
            self.model.compile()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch of pairs; logs the four losses against their baselines."""
        out: PretrainOutput = self.model(batch["sources"], batch["target"], seeds=batch["seed"])
        self.log_dict({f"train/{name}": value for name, value in loss_summary(out).items()})
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        return out.loss

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine by step."""
        config = self.config
        optimizer, schedule = build_optimizer(
            self.model, config.optim, depth=config.model.encoder_depth, num_items=self.num_items
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def loss_summary(out: PretrainOutput) -> dict[str, Tensor]:
    """The scalars that tell whether pre-training works, by name."""
    names = [field.name for field in dataclasses.fields(out) if field.name != "reconstructions"]
    return {name: getattr(out, name).detach() for name in names}


class HeldOut(pl.Callback):
    """Looks at performances that are never trained on: losses, baseline, and the source gain.

    The source gain is the rise of the cross-view loss when each target is given the source of *another*
    performance. A model that does not use its source has none.
    """

    def __init__(self, batch: Batch, every: int) -> None:
        self.batch, self.every = batch, every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before the first step too."""
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look every so many steps, once a step."""
        done = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if done and (trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps):
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PretrainModule)
        metrics = {name: float(value) for name, value in self._measure(module).items()}
        module.latest.update(metrics)
        # to the loggers themselves: Lightning would repeat the value at every later line of the log
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    @torch.no_grad()
    def _measure(self, module: PretrainModule) -> dict[str, Tensor]:
        model = module.model
        model.eval()
        batch = {key: value.to(module.device) for key, value in self.batch.items() if isinstance(value, Tensor)}
        metrics = held_out_metrics(model, batch, chunk=module.config.compute.device_batch_size or 32)
        model.train()
        return {f"held_out/{name}": value for name, value in metrics.items()}


def held_out_metrics(model: MV2MAE, batch: Batch, chunk: int = 32) -> dict[str, Tensor]:
    """Losses on a batch of pairs, and the source gain if the model has a cross-view decoder.

    Args:
        batch: sources [b, s, 3, t, h, w], target [b, 3, t, h, w], seed [b], swap [b] (for each item another one,
            of another performance).
        chunk: items that are computed at a time.
    """
    right, wrong = [], []
    for part in torch.arange(len(batch["target"])).split(chunk):
        target, seeds = batch["target"][part], batch["seed"][part]
        right.append(loss_summary(model(batch["sources"][part], target, seeds=seeds)))
        if model.cross_decoder is not None and (batch["swap"][part] != part.to(batch["swap"].device)).all():
            swapped = batch["sources"][batch["swap"][part]]
            wrong.append(model(swapped, target, seeds=seeds).cross_target)
    metrics = {name: torch.stack([values[name] for values in right]).mean() for name in right[0]}
    if wrong:
        metrics["cross_target_wrong_source"] = torch.stack(wrong).mean()
        metrics["source_gain"] = metrics["cross_target_wrong_source"] - metrics["cross_target"]
    return metrics


class SaveWeights(pl.Callback):
    """Writes model.safetensors beside each checkpoint."""

    def __init__(self, path: Path, config: PretrainConfig, every: int, about: dict[str, Any]) -> None:
        self.path, self.config, self.every, self.about = path, config, every, about

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PretrainModule)
        if trainer.is_global_zero:
            about = {**self.about, "steps": trainer.global_step}
            save_weights(self.path, pl_module.model, PRETRAINING, self.config.model, **about)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Every so many steps."""
        if trainer.global_step % self.every == 0 and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """And at the end."""
        self._save(trainer, pl_module)


def describe(config: PretrainConfig, data: PretrainData, module: PretrainModule, world_size: int) -> list[str]:
    """What a run will do, in lines: data, steps, rate, size."""
    optim, num_items = config.optim, len(data.train)
    steps, warmup = optim.total_steps(num_items), optim.num_warmup_steps(num_items)
    held, accumulate = accumulation(optim, config.compute, world_size)
    counts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in data.summary.items())
    millions = sum(p.numel() for p in module.model.parameters()) / 1e6
    encoder = sum(p.numel() for p in module.model.encoder.parameters()) / 1e6
    grid = " x ".join(map(str, config.model.grid))
    start = "from scratch" if config.init is None else f"from {config.init}"
    kind = "multi-view" if module.model.cross_decoder is not None else "single-view (no cross-view decoder)"
    return [
        f"data    {counts}; {num_items:,} pairs an epoch",
        f"model   {start}, {kind}, {millions:.2f} M parameters ({encoder:.2f} M encoder), "
        f"{config.model.num_tokens} tokens ({grid}), {config.model.num_masked} of them masked",
        f"steps   {steps:,} of {optim.batch_size} pairs = {steps * optim.batch_size / num_items:.1f} epochs, "
        f"{warmup:,} of them warm-up; {world_size} device(s) x {held} pairs x {accumulate} part(s)",
        f"rate    {optim.describe()}, weight decay {optim.weight_decay}, {config.compute.precision}",
    ]


def swap_sources(groups: list[str], seed: int) -> Tensor:
    """For each item the index of one whose performance (group) is another, as far as there is one."""
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    picks = []
    for i, name in enumerate(names):
        others = np.flatnonzero(names != name)
        picks.append(int(rng.choice(others)) if len(others) else i)
    return torch.tensor(picks)


def pretrain(config: PretrainConfig, run: Path) -> Path:
    """Pre-train as configured, or go on with a run that was stopped; returns the run's folder.

    Raises:
        InputError: for settings or data that cannot work.
    """
    data = pretrain_data(
        config.data,
        num_frames=config.model.num_frames,
        size=config.model.image_size,
        seed=config.seed,
        held_out_groups=config.log.held_out_groups,
        problems_file=run / PROBLEMS_NAME,
    )
    world_size = num_devices(config.compute)
    held, accumulate = accumulation(config.optim, config.compute, world_size)
    total = config.optim.total_steps(len(data.train))
    module = PretrainModule(config, len(data.train))
    print(
        "\n".join(["Pre-training", *(f"  {line}" for line in describe(config, data, module, world_size))]), flush=True
    )
    start_run(run, config)

    def loader_from(step: int, rank: int, world: int) -> Any:
        part = {"start_step": step, "rank": rank, "world_size": world}
        sampler = StepSampler(len(data.train), config.optim.batch_size, total, config.seed, **part)
        return make_loader(
            data.train, sampler, device_batch_size=held, num_workers=config.compute.num_workers, collate=collate_pairs
        )

    module.loader_from = loader_from
    batch: Batch = {**held_out_batch(data.held_out, config.log.held_out_pairs)}
    groups = data.held_out.frame["group"].to_numpy()[batch["index"].numpy()]
    batch["swap"] = swap_sources(list(groups), config.seed)
    about = {"data": {**data.summary}, "recipe": "pretrain", "seed": config.seed}
    shown = {"train/loss": "loss", "speed/clips_per_s": "clips/s", "speed/data_wait_share": "data wait"}
    if module.model.cross_decoder is not None:
        shown["held_out/source_gain"] = "source gain"
    fit(
        module,
        run,
        total_steps=total,
        accumulate=accumulate,
        compute=config.compute,
        clip_grad_norm=config.optim.clip_grad_norm,
        log=config.log,
        callbacks=[
            Speed(clips_per_item=1 + config.data.num_sources),
            HeldOut(batch, config.log.check_every),
            SaveWeights(run / WEIGHTS_NAME, config, config.log.save_every, about),
            ProgressBar("pre-training", shown),
        ],
    )
    write_json(run / SUMMARY_NAME, {**about, "steps": total, "set_aside": data.videos.problems.items()})
    print(f"  wrote {run / WEIGHTS_NAME}", flush=True)
    return run
