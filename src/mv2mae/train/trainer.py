"""One way to start, go on with and finish a training, for pre-training and fine-tuning alike."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig
from mv2mae.data.datamodule import make_loader, worker_deaths_told
from mv2mae.data.sampling import StepSampler, TrainingItems
from mv2mae.errors import InputError
from mv2mae.runs import LOG_NAME, last_checkpoint
from mv2mae.train.log import RunLog


class StepModule(pl.LightningModule):
    """A training that counts in steps, and whose data goes on from the step at hand.

    Args:
        seed: of the draws that are made here (drop path).
        items: what `StepSampler` orders; a run goes on only with those with which it began.
        collate: items -> batch.
        optim, total_steps: of the whole run; batch sizes count pairs or clips.
        num_repeats: pairs or clips that an item brings.
        compute: devices, parts of a batch, workers.
        world_size: processes of the run.
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
    ) -> None:
        super().__init__()
        self.seed, self.items, self.collate = seed, items, collate
        self.optim, self.total_steps, self.num_repeats, self.compute = optim, total_steps, num_repeats, compute
        self.held, self.accumulate = accumulation(optim, compute, world_size, num_repeats)
        self.latest: dict[str, float] = {}
        """What callbacks measured last, for the progress bar."""

    def train_dataloader(self) -> Any:
        """All that is left of the run; a restarted run begins in the middle."""
        trainer = self.trainer
        sampler = StepSampler(
            len(self.items),
            self.optim.batch_size // self.num_repeats,
            self.total_steps,
            self.seed,
            shuffle=self.items.shuffled,
            strata=self.items.strata,
            start_step=trainer.global_step,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        workers = self.compute.num_workers
        return make_loader(self.items, sampler, device_batch_size=self.held, num_workers=workers, collate=self.collate)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make this batch's draws (drop path) depend on seed, position and rank, not on what ran before."""
        seed = (self.seed, batch_idx, self.trainer.global_rank)
        torch.manual_seed(hash(seed) % 2**63)  # the hash of integers is the same in every process

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember which videos the run counts on."""
        checkpoint["fingerprint"] = self.items.fingerprint

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
        parts = checkpoint["global_step"] * self.accumulate
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            open_part = counts["ready"] - counts["completed"]  # a checkpoint is written before its part is closed
            counts.update(ready=parts, started=parts, processed=parts, completed=parts - open_part)


class SaveWeights(pl.Callback):
    """Writes the weights file every so many steps and at the end, on the first process only."""

    def __init__(self, save: Callable[[StepModule, int], None], every: int) -> None:
        self.save, self.every = save, every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Once a step, not once a part of it."""
        if trainer.global_step % self.every == 0 and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save."""
        assert isinstance(pl_module, StepModule)
        if trainer.is_global_zero:
            self.save(pl_module, trainer.global_step)


def accumulation(optim: OptimConfig, compute: ComputeConfig, world_size: int, num_repeats: int = 1) -> tuple[int, int]:
    """Items a device holds at a time, and how many such parts make a step.

    An item brings `num_repeats` of what the batch sizes count; they stay together.

    Raises:
        InputError: if the batch does not divide.
    """
    each = f" of {num_repeats} repeats" if num_repeats > 1 else ""
    items = optim.batch_size // num_repeats
    if items % world_size:
        of_items = f", {items} items{each}," if each else ""
        raise InputError(
            f"optim.batch_size={optim.batch_size}{of_items} does not divide by the {world_size} devices of this run"
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
    try:
        probe = pl.Trainer(
            **_hardware(compute),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"compute.accelerator={compute.accelerator}, devices={compute.devices}: {reason}") from error
    return probe.world_size


def _hardware(compute: ComputeConfig) -> dict[str, Any]:
    names = ("accelerator", "devices", "num_nodes", "strategy", "precision")
    return {name: getattr(compute, name) for name in names}


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
        InputError: if the checkpoint does not belong to this training, or a process of the loader dies.
        KeyboardInterrupt: if it was stopped by hand.
    """
    compute, total = module.compute, module.total_steps
    if compute.num_threads is not None:
        torch.set_num_threads(compute.num_threads)
    run_log = RunLog(run / LOG_NAME)
    resume = last_checkpoint(run)
    if resume is not None:
        checkpoint = torch.load(resume, map_location="cpu", weights_only=True)
        step = int(checkpoint["global_step"])
        run_log.forget_after(step)
        if step >= total:
            say("  this run is finished already")
            module.load_state_dict(checkpoint["state_dict"])
            save(module, step)  # it may have been killed between the last checkpoint and the weights file
            return
        say(f"  going on from step {step} of {total}")
    trainer = pl.Trainer(
        **_hardware(compute),
        max_steps=total,
        max_epochs=-1,
        accumulate_grad_batches=module.accumulate,
        gradient_clip_val=module.optim.clip_grad_norm,
        log_every_n_steps=log.log_every,
        logger=[run_log, TensorBoardLogger(run, name="", version="tensorboard")],
        callbacks=[_checkpoints(run, log), *callbacks, SaveWeights(save, log.save_every)],
        use_distributed_sampler=False,
        enable_model_summary=False,
    )
    try:
        with worker_deaths_told():
            trainer.fit(module, ckpt_path=resume, weights_only=True)
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit; whoever called decides what it means
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    trainer.save_checkpoint(run / "checkpoints" / "last.ckpt")


def _checkpoints(run: Path, log: LogConfig) -> pl.callbacks.ModelCheckpoint:
    return pl.callbacks.ModelCheckpoint(
        dirpath=run / "checkpoints",
        filename="{step:08d}",
        every_n_train_steps=log.save_every,
        save_last=True,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
