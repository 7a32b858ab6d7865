"""One way to start, go on with and finish a training, for pre-training and fine-tuning alike."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mv2mae.config import ComputeConfig, LogConfig
from mv2mae.data.loader import worker_deaths_told
from mv2mae.devices import device_type
from mv2mae.errors import InputError, RunStopped
from mv2mae.files import LEFTOVERS, sweep
from mv2mae.model.precision import precision_of
from mv2mae.ranks import is_first, launch, say
from mv2mae.runs import LOG_NAME, NON_FINITE_NAME, SNAPSHOTS_FOLDER, run_lock
from mv2mae.train.checkpoints import Checkpoints, VerifiedIO, last_checkpoint
from mv2mae.train.devices import check_device
from mv2mae.train.distributed import check_launch, strategy_of
from mv2mae.train.guard import FiniteGuard, forget_steps_after
from mv2mae.train.lightning import quiet_lightning
from mv2mae.train.log import RunLog, TensorBoard
from mv2mae.train.memory import too_large
from mv2mae.train.step import StepModule
from mv2mae.train.stopping import StopSignals
from mv2mae.train.timing import PartTimes, Trace
from mv2mae.train.trackers import trackers


def num_devices(compute: ComputeConfig) -> int:
    """Processes that the run will have over all machines.

    Raises:
        InputError: if there are no such devices.
    """
    quiet_lightning()
    check_device(compute)
    try:
        trainer = pl.Trainer(
            **_hardware(compute),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (pl.utilities.exceptions.MisconfigurationException, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"compute.accelerator={compute.accelerator}, devices={compute.devices}: {reason}") from error
    check_launch(compute, trainer.world_size)
    return trainer.world_size


def _hardware(compute: ComputeConfig) -> dict[str, Any]:
    # by name: Lightning's own auto takes Apple's GPUs too, on which nothing else here counts
    accelerator = {"cuda": "gpu", "cpu": "cpu"}[device_type(compute)]
    chosen = {"accelerator": accelerator, "strategy": strategy_of(compute), "precision": precision_of(compute)}
    return {**chosen, "devices": compute.devices, "num_nodes": compute.num_nodes}


def fit(
    module: StepModule,
    run: Path,
    *,
    log: LogConfig,
    save: Callable[[int], None],
    callbacks: list[pl.Callback],
) -> None:
    """Train to the end, from the run's last checkpoint if there is one.

    Args:
        module: what to train.
        run: its folder.
        log: how often to log and save.
        save: writes the weights file of a step; called on every process, since each may hold a share of them.
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
        if is_first():
            for folder in (run, run / "checkpoints", run / SNAPSHOTS_FOLDER):  # nobody else writes here now
                sweep(folder, LEFTOVERS, ".*.partial")  # the latter of earlier versions
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
        checkpoints.save_weights(step)
        checkpoints.prune_finished(checkpoint, step)
    elif step >= 0:
        say(f"  going on from step {step} of {total}")
    return step >= total
