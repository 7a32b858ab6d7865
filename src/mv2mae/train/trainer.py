"""One way to start, go on with and finish a training, for pre-training and fine-tuning alike."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from mv2mae.config import ComputeConfig, LogConfig, OptimConfig
from mv2mae.errors import InputError
from mv2mae.runs import LOG_NAME, last_checkpoint
from mv2mae.train.log import RunLog


class StepModule(pl.LightningModule):
    """A training that counts in steps, and whose data goes on from the step at hand.

    Subclasses set `loader_from`: (start step, rank, world size) -> loader of the rest of the run.
    """

    loader_from: Callable[[int, int, int], Any]
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, float] = {}
        """What callbacks measured last, for the progress bar."""

    def train_dataloader(self) -> Any:
        """All that is left of the run; a restarted run begins in the middle."""
        return self.loader_from(self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make this batch's draws (drop path) depend on seed, position and rank, not on what ran before."""
        seed = (self.seed, batch_idx, self.trainer.global_rank)
        torch.manual_seed(hash(seed) % 2**63)  # the hash of integers is the same in every process


def accumulation(optim: OptimConfig, compute: ComputeConfig, world_size: int) -> tuple[int, int]:
    """Items a device holds at a time, and how many such parts make a step.

    Raises:
        InputError: if the batch does not divide.
    """
    if optim.batch_size % world_size:
        raise InputError(f"optim.batch_size={optim.batch_size} does not divide by the {world_size} devices of this run")
    share = optim.batch_size // world_size
    held = min(share, compute.device_batch_size or share)
    if share % held:
        raise InputError(
            f"compute.device_batch_size={held} does not divide the {share} items a device has in a step; "
            f"try {next(n for n in range(held, 0, -1) if share % n == 0)}"
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
    ):
        warnings.filterwarnings("ignore", message=message)


def num_devices(compute: ComputeConfig) -> int:
    """Processes that the run will have over all machines."""
    quiet_lightning()
    try:
        probe = pl.Trainer(
            accelerator=compute.accelerator,
            devices=compute.devices,
            num_nodes=compute.num_nodes,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError) as error:
        raise InputError(f"compute.accelerator={compute.accelerator}, devices={compute.devices}: {error}") from error
    return probe.world_size


def fit(
    module: StepModule,
    run: Path,
    *,
    total_steps: int,
    accumulate: int,
    compute: ComputeConfig,
    clip_grad_norm: float | None,
    log: LogConfig,
    callbacks: list[pl.Callback],
) -> None:
    """Train to the end, from the run's last checkpoint if there is one."""
    checkpoints = pl.callbacks.ModelCheckpoint(
        dirpath=run / "checkpoints",
        filename="{step:08d}",
        every_n_train_steps=log.save_every,
        save_last=True,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    if compute.num_threads is not None:
        torch.set_num_threads(compute.num_threads)
    run_log = RunLog(run / LOG_NAME)
    trainer = pl.Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.num_nodes,
        strategy=compute.strategy,
        precision=compute.precision,  # type: ignore[arg-type]
        max_steps=total_steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip_grad_norm,
        log_every_n_steps=log.log_every,
        logger=[run_log, TensorBoardLogger(run, name="", version="tensorboard")],
        callbacks=[checkpoints, *callbacks],
        use_distributed_sampler=False,
        enable_model_summary=False,
    )
    resume = last_checkpoint(run)
    if resume is not None:
        step = int(torch.load(resume, map_location="cpu", weights_only=True)["global_step"])
        print(f"  going on from step {step} of {total_steps}", flush=True)
        run_log.forget_after(step)
        if step >= total_steps:
            print("  this run is finished already", flush=True)
            module.trainer = trainer
            return
    trainer.fit(module, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(run / "checkpoints" / "last.ckpt")
