"""A training in steps: what Lightning calls in each of them, in the order in which it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mv2mae.config import ComputeConfig, ModelConfig, OptimConfig
from mv2mae.data.loader import make_loader
from mv2mae.data.room import readers_line
from mv2mae.data.sampling import StepSampler, TrainingItems
from mv2mae.data.slow_items import WatchedItems, paths_of
from mv2mae.errors import InputError
from mv2mae.model.precision import REDUCED, precision_of
from mv2mae.ranks import say
from mv2mae.runs import SLOW_ITEMS_NAME
from mv2mae.train.distributed import StepMeans
from mv2mae.train.lightning import count_parts_anew, is_logged
from mv2mae.train.optim import build_optimizer
from mv2mae.train.transfer import Prefetched


class StepModule(pl.LightningModule):
    """A training that counts in steps, and whose data goes on from the step at hand.

    A step, in the order in which Lightning carries it out:

    1. `train_dataloader` gives the items that `StepSampler` orders; a batch comes in `accumulate` parts.
    2. `transfer_batch_to_device`, `on_after_batch_transfer`: what the device draws, cuts and augments itself.
    3. `training_step`: the subclass's `losses`, logged by `report`.
    4. Backward pass, after which `guard.FiniteGuard` decides whether the step is skipped. After the last part:
    5. `optimizer_step`: gradients clipped, one step of the optimiser and of its schedule (`optim.build_optimizer`).
    6. `callbacks.StepCallback.after_step`: skipped steps are counted, the held-out batch is measured, a signal stops
       the run, a checkpoint is saved.

    Args:
        seed: of the order of the items.
        items: what `StepSampler` orders; a run goes on only with those with which it began.
        collate: items -> batch.
        optim: of the whole run; batch sizes count pairs or clips.
        num_counted: what an epoch has of that which the batch size counts.
        num_repeats: pairs or clips that an item brings.
        compute: devices, parts of a batch, workers.
        world_size: processes of the run.
        items_per_step: over all processes, where the batch size does not count what items bring.
    """

    def __init__(
        self,
        *,
        seed: int,
        items: TrainingItems,
        collate: Callable[[Sequence[Any]], Any],
        optim: OptimConfig,
        num_counted: int,
        num_repeats: int,
        compute: ComputeConfig,
        world_size: int,
        items_per_step: int | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.items, self.collate = seed, items, collate
        self.optim, self.num_counted, self.num_repeats, self.compute = optim, num_counted, num_repeats, compute
        self.total_steps = optim.total_steps(num_counted)
        self.model: Any
        self.items_per_step = items_per_step or optim.batch_size // num_repeats
        self.micro_batch, self.accumulate = accumulation(self.items_per_step, compute, world_size, num_repeats)
        if compute.graphs and (self.accumulate > 1 or world_size > 1):
            raise InputError(
                "compute.graphs are for one device that holds the whole batch; set graphs to false, "
                "or compute.device_batch_size to null and devices to 1"
            )
        self.shares = f"{world_size} device(s) x {self.micro_batch * num_repeats} {{}} x {self.accumulate} part(s)"
        """How a step is shared out, as text but for what it counts."""
        self.latest: dict[str, float] = {}
        """What callbacks measured last, for the progress bar."""
        self.step_skipped = False
        """Whether the step at hand is, because something in it is not finite."""
        self.skip: Tensor | None = None
        """Where the host does not wait to know: 1 [] on the device if it is."""
        self.run_folder: Path | None = None
        self._layout = {**dataclasses.asdict(compute), "devices": world_size, "precision": precision_of(compute)}
        self._means = StepMeans()

    def train_dataloader(self) -> Any:
        """All that is left of the run; a restarted run begins in the middle."""
        trainer = self.trainer
        sampler = StepSampler(
            len(self.items),
            self.items_per_step,
            self.total_steps,
            self.seed,
            shuffle=self.items.shuffled,
            strata=self.items.strata,
            start_step=trainer.global_step,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        workers, paths = self.compute.num_workers, paths_of(self.items)
        items: Any = self.items
        if paths is not None and self.run_folder is not None:
            items = WatchedItems(items, paths, self.run_folder / SLOW_ITEMS_NAME)
        loader = make_loader(
            items, sampler, device_batch_size=self.micro_batch, num_workers=workers, collate=self.collate
        )
        device = trainer.strategy.root_device
        return Prefetched(loader, device) if device.type == "cuda" else loader

    def describe_readers(self, clips_per_item: int, clip: ModelConfig) -> list[str]:
        """What the processes that read will take, a line if there are some.

        Raises:
            InputError: they do not fit into memory.
        """
        item = clips_per_item * 3 * clip.num_frames * clip.image_size**2
        line = readers_line(
            self.compute.num_workers,
            getattr(self.items, "frame", None),
            self.micro_batch * item,
            in_memory=getattr(getattr(self.items, "videos", None), "in_memory", False),
            world_size=int(self._layout["devices"]) // self.compute.num_nodes,
        )
        return [line] if line else []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Tell recorded graphs that nobody needs what they gave in the step before."""
        if self.compute.graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a part of a batch; logs it with what else `losses` tells."""
        losses = self.losses(batch)
        self.report({f"train/{name}": value for name, value in losses.items()}, batch_idx)
        return losses["loss"]

    def losses(self, batch: Any, *, training: bool = True) -> dict[str, Tensor]:
        """`loss` of a batch on the device, and other scalars to log; without `training` not by compiled code."""
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        """The optimiser with warm-up and cosine by step, and in fine-tuning layer-wise decay of the rate."""
        depth = self.model.encoder.config.encoder_depth
        optimizer, schedule = build_optimizer(self.model, self.optim, depth=depth, num_items=self.num_counted)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def read(self, index: int) -> list[Any]:
        """What the loader has of one item of the first epoch."""
        many = getattr(self.items, "__getitems__", None)
        return [self.items[0, index]] if many is None else many([(0, index)])

    def in_its_precision(self, device: torch.device) -> torch.autocast:
        """The context of the run's products."""
        reduced = REDUCED.get(str(self._layout["precision"]))
        return torch.autocast(device.type, reduced, enabled=reduced is not None)

    def items_of(self, steps_before: int, part: int, index: Tensor, seeds: Any) -> list[dict[str, Any]]:
        """Name what this process had in a part of a step, for a person to look at: epoch, index, path and seed."""
        paths = paths_of(self.items)
        share = self.micro_batch * self.accumulate
        first = (
            steps_before * share * self.trainer.world_size + self.trainer.global_rank * share + part * self.micro_batch
        )
        each = max(1, len(index) // self.micro_batch)
        return [
            {
                "epoch": (first + place // each) // len(self.items),
                "index": item,
                **({} if paths is None else {"path": paths[item]}),
                "seed": int(seed),
            }
            for place, (item, seed) in enumerate(zip(index.tolist(), seeds.tolist(), strict=True))
        ]

    def report(self, values: dict[str, Tensor], batch_idx: int) -> None:
        """Log the means over the parts of a step and over all processes; call it with every part, in all processes.

        With them the learning rate, the largest where there are several: only in steps with a line of the log, because
        a number of the host that becomes a tensor of a GPU has to wait for the GPU.
        """
        if is_logged(self.trainer, self.trainer.global_step + 1):
            self._means.add(values)
            if (batch_idx + 1) % self.accumulate == 0:
                self.log_dict(self._means.take(self.trainer.strategy.reduce))
                self.log("train/lr", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember which videos the run counts on, and on what it ran."""
        checkpoint["fingerprint"] = self.items.fingerprint
        checkpoint["layout"] = self._layout

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse other videos; and count parts of batches as they are now, if a step has other parts.

        Raises:
            InputError: if the training videos are not those with which the run began.
        """
        if checkpoint["fingerprint"] != self.items.fingerprint:
            raise InputError(
                "the training videos are not those with which this run began (files added, removed or renamed?); "
                "bring them back, or begin another run"
            )
        say(*changes(checkpoint.get("layout", self._layout), self._layout))
        count_parts_anew(checkpoint, self.accumulate)


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What a run goes on with otherwise than it ran before, and what comes of it, in a line if there is anything."""
    names = [name for name in now if name in before and before[name] != now[name] and name != "profile_steps"]
    if not names:
        return []
    said = ", ".join(f"{name} {before[name]} -> {now[name]}" for name in names)
    if names == ["num_workers"]:
        return [f"  changed: {said}; the results stay the same"]
    if "precision" in names:
        return [f"  changed: {said}; the items and their order stay the same, what is computed of them does not quite"]
    return [f"  changed: {said}; the items and their order stay the same, sums are rounded otherwise"]


def accumulation(items: int, compute: ComputeConfig, world_size: int, num_repeats: int = 1) -> tuple[int, int]:
    """How many of a step's items a device holds at a time, and how many such parts make the step.

    An item brings `num_repeats` of what `device_batch_size` counts; they stay together.

    Raises:
        InputError: if the batch does not divide.
    """
    each = f" of {num_repeats} repeats" if num_repeats > 1 else ""
    if items % world_size:
        raise InputError(
            f"a step of {items} items{each} (optim.batch_size) does not divide by the {world_size} devices of this run"
        )
    share, size = items // world_size, compute.device_batch_size
    micro_batch = share if size is None else min(share, size // num_repeats)
    if micro_batch == 0 or share % micro_batch:
        fits = next(n for n in range(max(1, micro_batch), 0, -1) if share % n == 0) * num_repeats
        raise InputError(
            f"compute.device_batch_size={size} does not divide the {share} items{each} a device has in a step; "
            f"try {fits}"
        )
    return micro_batch, share // micro_batch
