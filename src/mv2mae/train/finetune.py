"""Fine-tuning for action recognition: `mv2mae finetune` (Section 3.4, Table 16)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from mv2mae.config import FinetuneConfig, ModelConfig
from mv2mae.data.clips import collate_clips
from mv2mae.data.datamodule import FinetuneData, finetune_data, make_loader
from mv2mae.data.indexing import class_names
from mv2mae.data.sampling import StepSampler
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.runs import PROBLEMS_NAME, SUMMARY_NAME, start_run, write_json
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.optim import build_optimizer
from mv2mae.train.trainer import StepModule, accumulation, fit, num_devices
from mv2mae.weights import CLASSIFIER, WEIGHTS_NAME, encoder_tensors, fill, read_weights, save_weights


class FinetuneModule(StepModule):
    """Cross-entropy with smoothed labels on augmented clips."""

    def __init__(self, config: FinetuneConfig, model: Classifier, num_items: int) -> None:
        super().__init__()
        self.config, self.model, self.num_items, self.seed = config, model, num_items, config.seed
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
            self.model, self.config.optim, depth=self.model.config.encoder_depth, num_items=self.num_items
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build_classifier(config: FinetuneConfig, num_classes: int) -> tuple[Classifier, str]:
    """The classifier to start from, and a line that says where its weights come from.

    Raises:
        InputError: if `init` does not cover the encoder wholly.
    """
    torch.manual_seed(config.seed)
    if config.init is None:
        model = Classifier(config.model, num_classes, drop_path=config.head.drop_path)
        return model, "from scratch"
    stored = read_weights(config.init)
    model_config = _with_clip_of(stored.config, config.model)
    model = Classifier(model_config, num_classes, drop_path=config.head.drop_path)
    tensors = encoder_tensors(stored)
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith("norm.")}
    fill(model.encoder, used, stored.path)
    left = len(stored.tensors) - len(used)
    what = f"encoder from {stored.path} ({len(used)} tensors used, {left} not: decoders and last norm)"
    return model, what


def _with_clip_of(stored: ModelConfig, asked: ModelConfig) -> ModelConfig:
    """The stored model at the asked clip size; positions are fixed tables, made anew for the new grid."""
    if stored.tubelet_size != asked.tubelet_size:
        raise InputError(
            f"the encoder was trained with tubelets of {list(stored.tubelet_size)}, but model.tubelet_size is "
            f"{list(asked.tubelet_size)}; set it to the former"
        )
    return dataclasses.replace(stored, num_frames=asked.num_frames, image_size=asked.image_size)


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


class SaveClassifier(pl.Callback):
    """Writes model.safetensors at the end."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Weights and class names in one file."""
        assert isinstance(pl_module, FinetuneModule)
        if trainer.is_global_zero:
            save_weights(self.path, pl_module.model, CLASSIFIER, pl_module.model.config, **self.about)


def finetune(config: FinetuneConfig, run: Path) -> Path:
    """Fine-tune as configured, or go on with a run that was stopped; returns the run's folder.

    Raises:
        InputError: for settings, data or weights that cannot work.
    """
    data = finetune_data(
        config.data,
        num_frames=config.model.num_frames,
        size=config.model.image_size,
        seed=config.seed,
        num_repeats=config.num_repeats,
        problems_file=run / PROBLEMS_NAME,
    )
    num_classes = num_classes_of(config, data)
    classes = class_names(config.data.manifest, num_classes)
    model, origin = build_classifier(config, num_classes)
    optim, world_size = config.optim, num_devices(config.compute)
    # batch_size counts augmented clips; the loader counts videos, each of which brings num_repeats of them
    if optim.batch_size % config.num_repeats:
        raise InputError(
            f"optim.batch_size={optim.batch_size} counts augmented clips and must be a multiple of "
            f"num_repeats={config.num_repeats}"
        )
    by_video = dataclasses.replace(
        optim, batch_size=optim.batch_size // config.num_repeats, lr=optim.peak_lr(), base_lr=None
    )
    held, accumulate = accumulation(by_video, _by_video(config), world_size)
    total = by_video.total_steps(len(data.train))
    module = FinetuneModule(dataclasses.replace(config, optim=by_video), model, len(data.train))
    for line in (
        "Fine-tuning",
        f"  data    {', '.join(f'{v:,} {k}' for k, v in data.summary.items())}; {num_classes} classes",
        f"  model   {origin}; {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters",
        f"  steps   {total:,} of {optim.batch_size} clips ({by_video.batch_size} videos x {config.num_repeats} "
        f"augmentations), {by_video.num_warmup_steps(len(data.train)):,} of them warm-up",
        f"  rate    {optim.describe()}, layer decay {optim.layer_decay}, {config.compute.precision}",
    ):
        print(line, flush=True)
    start_run(run, config)

    def loader_from(step: int, rank: int, world: int) -> Any:
        part = {"start_step": step, "rank": rank, "world_size": world}
        sampler = StepSampler(len(data.train), by_video.batch_size, total, config.seed, **part)
        return make_loader(
            data.train, sampler, device_batch_size=held, num_workers=config.compute.num_workers, collate=collate_clips
        )

    module.loader_from = loader_from
    about = {
        "classes": classes,
        "frame_stride": config.data.frame_stride,
        "init": config.init,
        "data": data.summary,
        "steps": total,
        "seed": config.seed,
    }
    shown = {"train/loss": "loss", "train/top1": "top-1", "speed/clips_per_s": "clips/s"}
    fit(
        module,
        run,
        total_steps=total,
        accumulate=accumulate,
        compute=config.compute,
        clip_grad_norm=optim.clip_grad_norm,
        log=config.log,
        callbacks=[
            Speed(clips_per_item=1),
            SaveClassifier(run / WEIGHTS_NAME, about),
            ProgressBar("fine-tuning", {**shown, "speed/data_wait_share": "data wait"}),
        ],
    )
    write_json(run / SUMMARY_NAME, {**about, "set_aside": data.videos.problems.items()})
    print(f"  wrote {run / WEIGHTS_NAME}", flush=True)
    return run


def _by_video(config: FinetuneConfig) -> Any:
    """device_batch_size counts augmented clips like batch_size."""
    size = config.compute.device_batch_size
    per_video = None if size is None else max(1, size // config.num_repeats)
    return dataclasses.replace(config.compute, device_batch_size=per_video)
