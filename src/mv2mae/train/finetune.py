"""Fine-tuning for action recognition: `mv2mae finetune` (Section 3.4, Table 16)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mv2mae.config import FinetuneConfig, ModelConfig
from mv2mae.data.clips import collate_clips
from mv2mae.data.datamodule import FinetuneData, finetune_data
from mv2mae.data.labels import class_names
from mv2mae.data.video import VideoError
from mv2mae.errors import InputError
from mv2mae.model.calling import eager
from mv2mae.model.classifier import Classifier
from mv2mae.ranks import say
from mv2mae.runs import PROBLEMS_NAME, SUMMARY_NAME, TRAINING_VIDEOS_NAME, check_run, start_run, write_once
from mv2mae.text import counted, listed
from mv2mae.train.camera_motion import hold_by_hand
from mv2mae.train.describe import describe_augmentations, describe_data, describe_precision, describe_warmup
from mv2mae.train.devices import speed_up
from mv2mae.train.draws import draw_drop_paths
from mv2mae.train.ema import averaged_copy, update_average
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.lora import add_adapters, merged
from mv2mae.train.mixing import erase, mix
from mv2mae.train.randaugment import draw_script, rand_augment
from mv2mae.train.step import StepModule
from mv2mae.train.trainer import fit, num_devices
from mv2mae.train.validation import Validation
from mv2mae.weights import CLASSIFIER, WEIGHTS_NAME, StoredWeights, encoder_tensors, fill, read_weights, save_weights

_RATES_LOOKED_UP = 15
"""Videos that are opened to learn their usual rate, where the manifest says nothing."""
_SLOW = 0.2
"""Share of the rate below which a first layer that starts from scratch is pointed out."""


class FinetuneModule(StepModule):
    """Cross-entropy with smoothed labels on augmented clips.

    Raises:
        InputError: the batch cannot be mixed, or more blocks shall learn than there are.
    """

    def __init__(self, config: FinetuneConfig, model: Classifier, data: FinetuneData, world_size: int) -> None:
        super().__init__(
            seed=config.seed,
            items=data.train,
            collate=collate_clips,
            optim=config.optim,
            num_counted=len(data.train) * (1 if config.batch_counts == "videos" else config.num_repeats),
            num_repeats=config.num_repeats,
            compute=config.compute,
            world_size=world_size,
            items_per_step=config.videos_per_step,
        )
        self.config, self.model = config, model
        self.places: Tensor
        self.register_buffer("places", places_of(data.train.labels), persistent=False)
        self.frozen = freeze(model, config.train_blocks)
        self.average = averaged_copy(model) if config.ema_decay else None
        self.class_weights: Tensor | None
        balanced = config.head.class_weights == "balanced"
        weights = balanced_weights(self.places[data.train.labels]) if balanced else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.train()  # the engine leaves modes as they are
        speed_up(self.model, config.compute)
        if config.mixes and self.micro_batch % 2:
            raise InputError(
                f"augment.mixup and cutmix mix neighbouring videos, but a device holds {self.micro_batch} at a time; "
                "choose optim.batch_size or compute.device_batch_size so that it holds an even number "
                f"(of {config.num_repeats} clips each)"
            )

    @property
    def result(self) -> Classifier:
        """What is kept and tested: the running mean of the weights, or else the weights."""
        return self.model if self.average is None else self.average

    def train(self, mode: bool = True) -> FinetuneModule:
        """Training mode, but for what learns nothing."""
        super().train(mode)
        for part in (*self.frozen, self.average):
            if part is not None:
                part.eval()
        return self

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Augment on the device; `label` becomes the output that stands for it, and `target` that or shares of all."""
        config, clips, seeds = self.config.augment, batch["clips"], batch["seeds"]
        label = target = self.places[batch["label"]]
        if config.background_motion:
            clips = hold_by_hand(clips, seeds, config.background_motion)
        if config.rand_augment_ops:
            clips = rand_augment(clips, draw_script(seeds, config))
        if config.erase_prob:
            clips = erase(clips, seeds, config.erase_prob)
        if self.config.mixes:
            classes, repeats = self.model.num_classes, self.num_repeats
            clips, target = mix(clips, target, seeds, config, num_classes=classes, num_repeats=repeats)
        return {**batch, "clips": clips, "label": label, "target": target}

    def losses(self, batch: dict[str, Any], *, training: bool = True) -> dict[str, Tensor]:
        """Cross-entropy of a batch of clips, and the share told right."""
        draw_drop_paths(self.model, batch["seeds"], batch["clips"].device)
        logits = (self.model if training else eager(self.model))(batch["clips"])
        top1 = (logits.argmax(dim=1) == batch["label"]).float().mean()
        return {"loss": self.loss(logits, batch["target"]), "top1": top1}

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the clips, each with its class's weight.

        The weights are not divided by their sum in the batch, as torch would: a clip then counts the same whatever
        it shares a batch, a part of it or a device with.
        """
        smoothing = self.config.head.label_smoothing
        if self.class_weights is None:
            return F.cross_entropy(logits, target, label_smoothing=smoothing)
        weights = target @ self.class_weights if target.is_floating_point() else self.class_weights[target]
        return (F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none") * weights).mean()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, and one of the running mean, before anything is saved."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None and not self.step_skipped:
            update_average(self.average, self.model, self.config.ema_decay, self.trainer.global_step + 1, self.skip)


def freeze(model: Classifier, train_blocks: int | None) -> list[nn.Module]:
    """Let the head and the last blocks of the encoder learn, and nothing else; returns what does not learn.

    Nothing is sent backward through frozen parts: they come first, and what goes into them needs no gradient.

    Raises:
        InputError: if the encoder has fewer blocks.
    """
    if train_blocks is None:
        return []
    blocks = list(model.encoder.blocks)
    if train_blocks > len(blocks):
        raise InputError(f"train_blocks={train_blocks}, but the encoder has {len(blocks)} blocks; null trains all")
    frozen = [model.encoder.embed, *blocks[: len(blocks) - train_blocks]]
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def places_of(labels: Sequence[int]) -> Tensor:
    """The output that stands for each label [largest + 1], -1 where a number is not among `labels`.

    Labels may have gaps; outputs have none, so that nothing is ever taken for a class that was not trained.
    """
    classes = sorted(set(labels))
    places = torch.full((classes[-1] + 1,), -1)
    places[classes] = torch.arange(len(classes))
    return places


def balanced_weights(classes: Tensor) -> Tensor:
    """Weights of classes [k]: inverse to their frequency among the clips' classes, so that a clip has 1 on average."""
    counts = torch.bincount(classes).double()
    return (counts.sum() / (counts * len(counts))).float()


def model_of(config: FinetuneConfig, stored: StoredWeights | None) -> ModelConfig:
    """The model to fine-tune: the stored one, perhaps at another clip size, or from scratch the configured one."""
    if stored is None:
        return config.model
    frames, size = config.num_frames or stored.config.num_frames, config.image_size or stored.config.image_size
    return dataclasses.replace(stored.config, num_frames=frames, image_size=size)


def unused_sizes(config: FinetuneConfig, made: ModelConfig) -> list[str]:
    """A line where a clip size of `model` was chosen, as far as that can be told from its default, and is not used."""
    chosen = {name: getattr(config.model, name) for name in ("num_frames", "image_size")}
    unused = {
        name: value
        for name, value in chosen.items()
        if value not in (getattr(ModelConfig(), name), getattr(made, name))
    }
    return [
        f"        model.{name}={value} is not used: with --from, --{name} sets it, else the stored model"
        for name, value in unused.items()
    ]


def build_classifier(
    config: FinetuneConfig, model_config: ModelConfig, stored: StoredWeights | None, num_classes: int
) -> tuple[Classifier, str]:
    """The classifier to start from, and a line that says where its weights come from.

    Raises:
        InputError: if the stored weights do not cover the encoder wholly.
    """
    torch.manual_seed(config.seed)
    pooling = config.head.pooling
    model = Classifier(
        model_config,
        num_classes,
        position_grid=None if stored is None else stored.position_grid or stored.config.grid,
        drop_path=config.head.drop_path,
        pooling=pooling,
    )
    model.head.weight.data.mul_(config.head.init_scale)
    if stored is None:
        return model, "from scratch"
    found = encoder_tensors(stored)
    used = {name: tensor for name, tensor in found.items() if pooling == "attention" or not name.startswith("norm.")}
    # a classifier by the mean has no last norm of its encoder: that starts from scratch
    fresh = {f"norm.{name}": tensor for name, tensor in model.encoder.norm.state_dict().items()}
    fill(model.encoder, {**fresh, **used}, stored.path)
    notes = "".join(f"; {note}" for note in stored.about.get("notes", ()))
    return model, f"encoder from {stored.path} ({_transferred(stored, used)}{notes})"


def _transferred(stored: StoredWeights, used: Collection[str]) -> str:
    """How many of the stored tensors were taken, and the parts of the model to which the others belong."""
    left = [name for name in (full.removeprefix("encoder.") for full in stored.tensors) if name not in used]
    parts = sorted({name.partition(".")[0] for name in left})
    return f"{len(used)} tensors used; {len(left)} not: {', '.join(parts)}" if left else f"all {len(used)} tensors used"


def median_rate(data: FinetuneData) -> float | None:
    """The usual rate of the training videos, frames a second; None where it is not known.

    The manifest tells it; one without rates leaves a few videos to be opened, spread evenly.
    """
    written, paths = data.train.frame["fps"], data.train.paths
    rates = written[written > 0].tolist()
    if not rates:
        for place in np.linspace(0, len(paths) - 1, min(_RATES_LOOKED_UP, len(paths))):
            with suppress(VideoError):  # the training will meet and list it
                rates.append(data.videos.info(paths[round(place)]).fps)
    return median_low(rates) if rates else None


def finetune(config: FinetuneConfig, run: str | Path) -> Path:
    """Fine-tune as configured, or go on with a run that was stopped; returns the run's folder.

    Raises:
        InputError: for settings, data or weights that cannot work.
    """
    run = Path(run)
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
    labels = sorted(set(data.train.labels))
    if len(labels) < 2:
        raise InputError(
            f"all {len(data.train)} training videos have the label {labels[0]}; a classifier needs two classes at least"
        )
    classes = class_names(config.data.manifest, labels)
    _check_classes(run, dict(zip(labels, classes, strict=True)))
    model, origin = build_classifier(config, model_config, stored, len(labels))
    if config.lora_rank:
        origin += f"; {add_adapters(model, config.lora_rank, config.lora_scale)}"
    module = FinetuneModule(config, model, data, world_size)
    say("Fine-tuning", *(f"  {line}" for line in describe(config, data, module, origin)))
    start_run(run, config)
    write_once(run / TRAINING_VIDEOS_NAME, {"paths": data.train.paths})
    about = {
        "classes": classes,
        "labels": labels,
        "frame_stride": config.data.frame_stride,
        "fps": config.data.fps,
        "init": config.init,
        "data": data.summary,
        "seed": config.seed,
    }
    rate = median_rate(data)
    if rate is not None:
        about["video_fps"] = rate  # at which the stride counts in predictions, where `fps` is null

    def save(step: int) -> None:
        save_weights(run / WEIGHTS_NAME, merged(module.result), CLASSIFIER, model_config, **about, steps=step)

    shown = {"train/loss": "loss", "train/top1": "top-1", "held_out/top1": "validation top-1"}
    speed = {"speed/clips_per_s": "clips/s", "speed/data_wait_share": "data wait"}
    progress = ProgressBar("fine-tuning", {**shown, **speed})
    callbacks: list[pl.Callback] = [Speed(clips_per_item=1), progress]
    if data.validation is not None:
        every, chunk = (config.log.check_every, config.log.save_every), config.compute.device_batch_size or 32
        workers = config.compute.num_workers
        callbacks.insert(0, Validation(data.validation, every=every, chunk=chunk, num_workers=workers))
    fit(module, run, log=config.log, save=save, callbacks=callbacks)
    summary = {**about, "steps": module.total_steps, "set_aside": data.videos.problems.items()}
    write_once(run / SUMMARY_NAME, summary)
    return run


def _check_classes(run: Path, classes: dict[int, str]) -> None:
    """Raises InputError where a run would go on with other classes: its manifest has changed since."""
    if not (run / WEIGHTS_NAME).is_file():
        return
    about = read_weights(run).about
    before = dict(zip(about.get("labels", ()), about.get("classes", ()), strict=False))
    if list(before.items()) != list(classes.items()):
        known, now = (listed([f"{k} = {v}" for k, v in some.items()]) for some in (before, classes))
        raise InputError(
            f"{run} was begun with the classes {known}, and the manifest now has {now}; give another folder as --run"
        )


def describe(config: FinetuneConfig, data: FinetuneData, module: FinetuneModule, origin: str) -> list[str]:
    """What a run will do, in lines: data, start, steps, rate."""
    optim, clip = config.optim, module.model.config
    videos, warmup = config.videos_per_step, optim.num_warmup_steps(module.num_counted)
    epochs = module.total_steps * videos / len(data.train)
    millions = sum(p.numel() for p in module.model.parameters()) / 1e6
    return [
        f"data    {describe_data(config.data, data.summary)}",
        f"model   {origin}; {millions:.2f} M parameters, clips of {clip.num_frames} x {clip.image_size} x "
        f"{clip.image_size}",
        *unused_sizes(config, clip),
        f"steps   {module.total_steps:,} of {videos * config.num_repeats:,} clips ({counted(videos, 'video')} x "
        f"{counted(config.num_repeats, 'augmentation')}) = {epochs:.1f} epochs, "
        f"{describe_warmup(module.total_steps, warmup)}; "
        f"{module.shares.format('clips')}",
        f"rate    {optim.describe(config.batch_counts)}, {describe_precision(optim, config.compute)}",
        f"decay   of weights {optim.weight_decay:g}, of the rate from layer to layer {optim.layer_decay:g}; "
        f"drop path {config.head.drop_path:g}, label smoothing {config.head.label_smoothing:g}",
        f"clips   {describe_augmentations(config)}",
        *module.describe_readers(config.num_repeats, clip),
        *_limits(config, clip.encoder_depth),
    ]


def _limits(config: FinetuneConfig, depth: int) -> list[str]:
    """What differs from training everything on everything, a line each."""
    few, share, blocks = config.data.labels_per_class, config.data.label_fraction, config.train_blocks
    slowest = config.optim.layer_decay ** (depth + 1)
    lines = {
        f"layers  the first learns at {slowest:.2g} of the rate, as if it had learnt before; "
        "--optim.layer_decay 1 lets all learn alike": config.init is None and slowest < _SLOW,
        f"labels  {counted(few or 0, 'group')} of each class, drawn by seed {config.seed}": few is not None,
        f"labels  a share of {share} of each class's groups, drawn by seed {config.seed}": share is not None,
        "loss    balanced over the classes": config.head.class_weights == "balanced",
        f"looks   at {counted(config.data.validation_groups, 'group')} that it is not trained on, every "
        f"{config.log.check_every} steps; best.safetensors has the lowest loss": config.data.validation_groups > 0,
        "learns  the head alone": blocks == 0,
        f"learns  the last {blocks} of {depth} blocks and the head": bool(blocks),
        f"result  a running mean of the weights ({config.ema_decay:g}) is kept": config.ema_decay > 0,
    }
    return [line for line, applies in lines.items() if applies]
