"""Fine-tuning for action recognition: `mv2mae finetune` (Section 3.4, Table 16)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mv2mae.config import FinetuneConfig, ModelConfig
from mv2mae.data.clips import collate_clips
from mv2mae.data.datamodule import FinetuneData, finetune_data
from mv2mae.data.indexing import class_names
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.runs import PROBLEMS_NAME, SUMMARY_NAME, check_run, start_run, write_json
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.optim import build_optimizer
from mv2mae.train.trainer import StepModule, fit, num_devices, say
from mv2mae.weights import (
    CLASSIFIER,
    WEIGHTS_NAME,
    StoredWeights,
    encoder_tensors,
    fill,
    read_weights,
    save_weights,
)


class FinetuneModule(StepModule):
    """Cross-entropy with smoothed labels on augmented clips."""

    def __init__(self, config: FinetuneConfig, model: Classifier, data: FinetuneData, world_size: int) -> None:
        repeats = config.num_repeats
        # batch sizes count augmented clips; the loader counts videos, each of which brings `num_repeats` of them
        optim = dataclasses.replace(
            config.optim, batch_size=config.optim.batch_size // repeats, lr=config.optim.peak_lr(), base_lr=None
        )
        size = config.compute.device_batch_size
        videos = None if size is None else max(1, size // repeats)
        super().__init__(
            seed=config.seed,
            items=data.train,
            collate=collate_clips,
            optim=optim,
            total_steps=optim.total_steps(len(data.train)),
            compute=dataclasses.replace(config.compute, device_batch_size=videos),
            world_size=world_size,
        )
        self.config, self.model = config, model
        if config.compute.compile:
            self.model.compile()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch of clips."""
        logits = self.model(batch["clips"])
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.config.head.label_smoothing)
        self.log("train/loss", loss.detach())
        self.log("train/top1", (logits.argmax(dim=1) == batch["label"]).float().mean())
        self.log("train/lr", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with layer-wise decay of the rate, warm-up and cosine by step."""
        optimizer, schedule = build_optimizer(
            self.model, self.optim, depth=self.model.config.encoder_depth, num_items=self.num_items
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def model_of(config: FinetuneConfig, stored: StoredWeights | None) -> ModelConfig:
    """The model to fine-tune: the stored one, perhaps at another clip size, or from scratch the configured one."""
    if stored is None:
        return config.model
    grid = stored.config.position_grid or stored.config.grid
    frames, size = config.num_frames or stored.config.num_frames, config.image_size or stored.config.image_size
    made = dataclasses.replace(stored.config, num_frames=frames, image_size=size)
    return dataclasses.replace(made, position_grid=None if made.grid == grid else grid)


def build_classifier(
    config: FinetuneConfig, model_config: ModelConfig, stored: StoredWeights | None, num_classes: int
) -> tuple[Classifier, str]:
    """The classifier to start from, and a line that says where its weights come from.

    Raises:
        InputError: if the stored weights do not cover the encoder wholly.
    """
    torch.manual_seed(config.seed)
    model = Classifier(model_config, num_classes, drop_path=config.head.drop_path)
    if stored is None:
        return model, "from scratch"
    used = {name: tensor for name, tensor in encoder_tensors(stored).items() if not name.startswith("norm.")}
    fill(model.encoder, used, stored.path)
    left = len(stored.tensors) - len(used)
    return model, f"encoder from {stored.path} ({len(used)} tensors used; {left} not: decoders, last norm, head)"


def num_classes_of(config: FinetuneConfig, data: FinetuneData) -> int:
    """Classes of the head: as configured, or what the labels need.

    Raises:
        InputError: if a label lies beyond the configured number.
    """
    needed = data.train.num_classes
    asked = config.head.num_classes
    if asked is not None and asked < needed:
        raise InputError(f"head.num_classes={asked}, but the manifest has labels up to {needed - 1}; set {needed}")
    return asked or needed


def finetune(config: FinetuneConfig, run: Path) -> Path:
    """Fine-tune as configured, or go on with a run that was stopped; returns the run's folder.

    Raises:
        InputError: for settings, data or weights that cannot work.
    """
    check_run(run, config)
    stored = None if config.init is None else read_weights(config.init)
    model_config, world_size = model_of(config, stored), num_devices(config.compute)
    data = finetune_data(
        config.data,
        num_frames=model_config.num_frames,
        size=model_config.image_size,
        seed=config.seed,
        num_repeats=config.num_repeats,
        problems_file=run / PROBLEMS_NAME,
    )
    num_classes = num_classes_of(config, data)
    model, origin = build_classifier(config, model_config, stored, num_classes)
    module = FinetuneModule(config, model, data, world_size)
    say("Fine-tuning", *(f"  {line}" for line in describe(config, data, module, origin)))
    start_run(run, config)
    about = {
        "classes": class_names(config.data.manifest, num_classes),
        "frame_stride": config.data.frame_stride,
        "fps": config.data.fps,
        "init": config.init,
        "data": data.summary,
        "seed": config.seed,
    }

    def save(trained: StepModule, step: int) -> None:
        assert isinstance(trained, FinetuneModule)
        save_weights(run / WEIGHTS_NAME, trained.model, CLASSIFIER, model_config, **about, steps=step)

    shown = {"train/loss": "loss", "train/top1": "top-1", "speed/clips_per_s": "clips/s"}
    callbacks = [Speed(clips_per_item=1), ProgressBar("fine-tuning", {**shown, "speed/data_wait_share": "data wait"})]
    fit(module, run, log=config.log, save=save, callbacks=callbacks)
    summary = {**about, "steps": module.total_steps, "set_aside": data.videos.problems.items()}
    write_json(run / SUMMARY_NAME, summary)
    say(f"  wrote {run / WEIGHTS_NAME}")
    return run


def describe(config: FinetuneConfig, data: FinetuneData, module: FinetuneModule, origin: str) -> list[str]:
    """What a run will do, in lines: data, start, steps, rate."""
    optim, clip = config.optim, module.model.config
    counts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in data.summary.items())
    millions = sum(p.numel() for p in module.model.parameters()) / 1e6
    return [
        f"data    {counts}; a head of {module.model.num_classes} classes",
        f"model   {origin}; {millions:.2f} M parameters, clips of {clip.num_frames} x {clip.image_size} x "
        f"{clip.image_size}",
        f"steps   {module.total_steps:,} of {optim.batch_size} clips ({module.optim.batch_size} videos x "
        f"{config.num_repeats} augmentations), {module.optim.num_warmup_steps(len(data.train)):,} of them warm-up",
        f"rate    {optim.describe()}, layer decay {optim.layer_decay}, {config.compute.precision}",
    ]
