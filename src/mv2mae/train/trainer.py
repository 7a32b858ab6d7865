"""One way to start, go on with and finish a training, for pre-training and fine-tuning alike."""

from __future__ import annotations

import dataclasses
import logging
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig
from mv2mae.data.datamodule import make_loader, worker_deaths_told
from mv2mae.data.sampling import StepSampler, TrainingItems
from mv2mae.data.slow_items import WatchedItems, paths_of
from mv2mae.errors import InputError, RunStopped
from mv2mae.files import LEFTOVERS, sweep
from mv2mae.model.precision import precision_of
from mv2mae.ranks import launch
from mv2mae.runs import LOG_NAME, NON_FINITE_NAME, SLOW_ITEMS_NAME, SNAPSHOTS_FOLDER, run_lock
from mv2mae.train.checkpoints import Checkpoints, VerifiedIO, last_checkpoint
from mv2mae.train.devices import check_device
from mv2mae.train.distributed import StepMeans, check_launch, strategy_of
from mv2mae.train.guard import FiniteGuard, forget_steps_after
from mv2mae.train.log import RunLog, TensorBoard
from mv2mae.train.memory import too_large
from mv2mae.train.stopping import StopSignals
from mv2mae.train.timing import PartTimes, Trace
from mv2mae.train.trackers import trackers
from mv2mae.train.transfer import Prefetched


class StepModule(pl.LightningModule):
    """A training that counts in steps, and whose data goes on from the step at hand.

    Args:
        seed: of the order of the items.
        items: what `StepSampler` orders; a run goes on only with those with which it began.
        collate: items -> batch.
        optim, total_steps: of the whole run; batch sizes count pairs or clips.
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
        total_steps: int,
        num_repeats: int,
        compute: ComputeConfig,
        world_size: int,
        items_per_step: int | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.items, self.collate = seed, items, collate
        self.optim, self.total_steps, self.num_repeats, self.compute = optim, total_steps, num_repeats, compute
        self.items_per_step = items_per_step or optim.batch_size // num_repeats
        self.micro_batch, self.accumulate = accumulation(self.items_per_step, compute, world_size, num_repeats)
        if compute.graphs and (self.accumulate > 1 or world_size > 1):
            raise InputError(
                "compute.graphs are for one device that holds the whole batch; set graphs to false, "
                "or compute.device_batch_size to null and devices to 1"
            )
        self.shares = f"{world_size} device(s) x {self.micro_batch * num_repeats} {{}} x {self.accumulate} part(s)"
        """How a step is shared out, in words but for what it counts."""
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

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Tell recorded graphs that nobody needs what they gave in the step before."""
        if self.compute.graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def loss_of(self, batch: Any) -> Tensor:
        """Loss of a batch on the device, with no line in the log."""
        raise NotImplementedError

    def read(self, index: int) -> list[Any]:
        """What the loader has of one item of the first epoch."""
        many = getattr(self.items, "__getitems__", None)
        return [self.items[0, index]] if many is None else many([(0, index)])

    def in_its_precision(self, device: torch.device) -> torch.autocast:
        """The context of the run's products."""
        reduced = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(str(self._layout["precision"]))
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
        if (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._means.add(values)
            if (batch_idx + 1) % self.accumulate == 0:
                self.log_dict(self._means.take(self.trainer.strategy.reduce))
                self.log("train/lr", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember which videos the run counts on, and on what it ran."""
        checkpoint["fingerprint"] = self.items.fingerprint
        checkpoint["layout"] = self._layout

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse other videos; and count parts of batches as they are now, if they are held in other parts.

        Raises:
            InputError: if the training videos are not those with which the run began.
        """
        if checkpoint["fingerprint"] != self.items.fingerprint:
            raise InputError(
                "the training videos are not those with which this run began (files added, removed or renamed?); "
                "bring them back, or begin another run"
            )
        say(*changes(checkpoint.get("layout", self._layout), self._layout))
        parts = checkpoint["global_step"] * self.accumulate
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            open_part = counts["ready"] - counts["completed"]  # a checkpoint is written before its part is closed
            counts.update(ready=parts, started=parts, processed=parts, completed=parts - open_part)


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
    held = share if size is None else min(share, size // num_repeats)
    if held == 0 or share % held:
        fits = next(n for n in range(max(1, held), 0, -1) if share % n == 0) * num_repeats
        raise InputError(
            f"compute.device_batch_size={size} does not divide the {share} items{each} a device has in a step; "
            f"try {fits}"
        )
    return held, share // held


def quiet_lightning() -> None:
    """Lightning advertises and explains itself at every start; what a run does is said by the run."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*resuming from a checkpoint that ended before.*",
        ".*mid-epoch.*",
        ".*exists and is not empty.*",
        ".*LeafSpec.*",
        ".*can be used.*accelerator.*",
        ".*`srun` command is available.*",
        ".*GPU available but not used.*",
        ".*in eval mode at the start.*",
        ".*number of training batches.*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def num_devices(compute: ComputeConfig) -> int:
    """Processes that the run will have over all machines.

    Raises:
        InputError: if there are no such devices.
    """
    quiet_lightning()
    check_device(compute)
    try:
        probe = pl.Trainer(
            **_hardware(compute),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"compute.accelerator={compute.accelerator}, devices={compute.devices}: {reason}") from error
    check_launch(compute, probe.world_size)
    return probe.world_size


def _hardware(compute: ComputeConfig) -> dict[str, Any]:
    names = ("accelerator", "devices", "num_nodes")
    chosen = {"strategy": strategy_of(compute), "precision": precision_of(compute)}
    return {**chosen, **{name: getattr(compute, name) for name in names}}


@rank_zero_only
def say(*lines: str) -> None:
    """Print, on the first process only."""
    print("\n".join(lines), flush=True)


def fit(
    module: StepModule,
    run: Path,
    *,
    log: LogConfig,
    save: Callable[[StepModule, int], None],
    callbacks: list[pl.Callback],
) -> None:
    """Train to the end, from the run's last checkpoint if there is one.

    Args:
        module: what to train.
        run: its folder.
        log: how often to log and save.
        save: writes the weights file of a module at a step.
        callbacks: what else looks on.

    Raises:
        InputError: if the checkpoint does not belong to this training, a process of the loader dies, checkpoints
            cannot be written, too many steps in a row are not finite, another training writes into the folder, or the
            device has not the memory for a step.
        RunStopped: if a signal asked for it; the run is saved up to the step at hand.
        KeyboardInterrupt: if it was stopped by hand without waiting for that.
    """
    if module.compute.num_threads is not None:
        torch.set_num_threads(module.compute.num_threads)
    with run_lock(run):
        if getattr(rank_zero_only, "rank", 0) == 0:
            for folder in (run, run / "checkpoints", run / SNAPSHOTS_FOLDER):  # nobody else writes here now
                sweep(folder, LEFTOVERS, ".*.partial")
        run_log = RunLog(run / LOG_NAME)
        resume = last_checkpoint(run)
        checkpoints = Checkpoints(run, log, VerifiedIO(), save)
        if _is_finished(module, run, resume, run_log, checkpoints):
            return
        module.run_folder = run
        signals = StopSignals(checkpoints)
        guard = FiniteGuard(run, log.max_skipped, checkpoints, signals)
        trainer = _trainer(module, run, log, run_log, [guard, *callbacks, signals, checkpoints])
        try:
            with worker_deaths_told():
                trainer.fit(module, ckpt_path=resume, weights_only=True)
        except torch.OutOfMemoryError as error:
            raise too_large(module, error, trainer.strategy.root_device) from None
        except SystemExit as error:
            # Lightning turns Ctrl-C into an exit; whoever called decides what it means
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        except SIGTERMException:  # Lightning's, from before `signals` had taken over
            raise RunStopped("stopped by SIGTERM while it began", status=128 + signal.SIGTERM) from None
        except InputError:
            signals.raise_if_stopped(trainer)  # a worker was stopped with the run
            raise
        signals.raise_if_stopped(trainer)


def _trainer(
    module: StepModule, run: Path, log: LogConfig, run_log: RunLog, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's engine, set up for a run; `callbacks` end with the run's `Checkpoints`."""
    *_, checkpoints = callbacks
    assert isinstance(checkpoints, Checkpoints)
    steps = module.compute.profile_steps
    # SLURM's signals are ours: Lightning's handlers save in the middle of a step
    started = launch()
    slurm = [SLURMEnvironment(auto_requeue=False)] if started is not None and started.by == "srun" else []
    return pl.Trainer(
        **_hardware(module.compute),
        max_steps=module.total_steps,
        max_epochs=-1,
        accumulate_grad_batches=module.accumulate,
        gradient_clip_val=module.optim.clip_grad_norm,
        log_every_n_steps=log.log_every,
        logger=[run_log, TensorBoard(run, name="", version="tensorboard"), *trackers(run, log)],
        callbacks=[*([Trace(run, steps)] if steps else []), *callbacks],
        profiler=PartTimes(),
        plugins=[checkpoints.io, *slurm],
        use_distributed_sampler=False,
        enable_model_summary=False,
    )


def _is_finished(module: StepModule, run: Path, resume: Path | None, run_log: RunLog, checkpoints: Checkpoints) -> bool:
    """Whether nothing is left to do; otherwise forget what was logged after the checkpoint, if there is one."""
    checkpoint = torch.load(resume, map_location="cpu", weights_only=True, mmap=True) if resume is not None else {}
    step, total = int(checkpoint.get("global_step", -1)), module.total_steps
    run_log.forget_after(step)
    forget_steps_after(run / NON_FINITE_NAME, step)
    if step >= total:
        say("  this run is finished already")
        module.load_state_dict(checkpoint["state_dict"])
        # it may have been killed between the last checkpoint and the weights file, or before the others were removed
        checkpoints.save_weights(module, step)
        checkpoints.prune_finished(checkpoint, step)
    elif step >= 0:
        say(f"  going on from step {step} of {total}")
    return step >= total
