"""Kills trainings, as a power cut would: `python killer.py FOLDER`. A program of its own, so that it has no threads.

Every training is a child of this process, which has imported everything already. Its whole one stands in `whole`;
the other, in `killed`, is killed again and again, at random moments and in the middle of writing, and then let through.
Each saves after every step, so that the kills come all along the run. Prints how each child ended, a line each; what
they say themselves stands in `whole.out` and `killed.out`.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_runs import FINETUNING, PRETRAINING

from mv2mae import files
from mv2mae.train import checkpoints
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.train.step import StepModule

Patch = Callable[[], None]
_ALONE: Patch = lambda: None  # noqa: E731


def kill_in_call(owner: Any, name: str, call: int, when: Callable[..., bool] = lambda *args: True) -> Patch:
    """Lets a child kill itself before call number `call` of a function, of those whose arguments satisfy `when`."""

    def patch() -> None:
        original, calls = getattr(owner, name), iter(range(10**6))

        def killing(*args: Any) -> Any:
            if when(*args) and next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        setattr(owner, name, killing)

    return patch


def start(train: Callable[[Any, Path], Any], config: Any, run: Path, patch: Patch) -> tuple[int, int]:
    """A child that trains; its process, and a pipe that gets a byte when a step begins."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.dup2(os.open(run.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        step = StepModule.report

        def told(*args: Any, **kwargs: Any) -> Any:
            os.write(writing, b".")
            return step(*args, **kwargs)

        StepModule.report = told  # type: ignore[method-assign]
        patch()
        train(config, run)
        status = 0
    finally:
        os._exit(status)


def run_until(
    train: Callable[[Any, Path], Any], config: Any, run: Path, patch: Patch, after: tuple[int, float] | None
) -> float:
    """Train, until it ends or some seconds after a step of its own has begun; returns how long it took from the first.

    Args:
        after: number of that step, from 1, and the seconds.
    """
    child, pipe = start(train, config, run, patch)
    os.read(pipe, 1)
    begin = time.monotonic()
    if after is not None:
        step, seconds = after
        for _ in range(step - 1):
            os.read(pipe, 1)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(pipe)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the training in {run} failed")
    print(run, "ended" if os.WIFEXITED(status) else "killed", flush=True)
    return time.monotonic() - begin


def trial(train: Callable[[Any, Path], Any], config: Any, folder: Path, aims: list[Patch], num_random: int) -> None:
    """One whole training, and one that is killed."""
    folder.mkdir()
    lasts = run_until(train, config, folder / "whole", _ALONE, None)
    rng = random.Random(str(folder.name))
    kills: list[tuple[Patch, tuple[int, float] | None]] = [(patch, None) for patch in aims]
    a_step = lasts / config.optim.steps
    kills += [(_ALONE, (rng.randint(1, 2), rng.uniform(0, a_step))) for _ in range(num_random)]
    rng.shuffle(kills)
    for patch, after in kills:
        run_until(train, config, folder / "killed", patch, after)
    run_until(train, config, folder / "killed", _ALONE, None)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    in_the_file = kill_in_call(checkpoints._Patient, "write", 5)
    not_yet_renamed = kill_in_call(os, "replace", 0, lambda source, target: Path(target).suffix == ".ckpt")
    renamed_not_synced = kill_in_call(files, "_sync_folder", 1, lambda folder: folder.name == "checkpoints")
    aims = [in_the_file, not_yet_renamed, renamed_not_synced]
    pretraining, finetuning = (
        dataclasses.replace(config, log=dataclasses.replace(config.log, save_every=1))
        for config in (PRETRAINING, FINETUNING)
    )
    trial(pretrain, pretraining, folder / "pretrain", aims, num_random=1)
    trial(finetune, finetuning, folder / "finetune", [in_the_file], num_random=5)
