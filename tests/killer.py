"""Kills trainings, as a power cut would: `python killer.py FOLDER`. A program of its own, so that it has no threads.

Every training is a child of this process, which has imported everything already. Its whole one stands in `whole`;
the other, in `killed`, is killed again and again, at random moments and in the middle of writing, and then let through.
Prints what killed it, a line each.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.train import checkpoints
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.train.trainer import StepModule

Patch = Callable[[], None]
_ALONE: Patch = lambda: None  # noqa: E731


def kill_in_call(owner: Any, name: str, call: int, *, after: bool = False) -> Patch:
    """Lets a child kill itself in call number `call` of a function, before it does its work or after."""

    def patch() -> None:
        original, calls = getattr(owner, name), iter(range(10**6))

        def killing(*args: Any, **kwargs: Any) -> Any:
            last = next(calls) == call
            if last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, killing)

    return patch


def start(train: Callable[[Any, Path], Any], config: Any, run: Path, patch: Patch) -> tuple[int, int]:
    """A child that trains; its process, and a pipe that is written to when its first step begins."""
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


def run_until(train: Callable[[Any, Path], Any], config: Any, run: Path, patch: Patch, seconds: float | None) -> float:
    """Train, until it ends or `seconds` after its first step; returns how long that was after its first step."""
    child, pipe = start(train, config, run, patch)
    os.read(pipe, 1)
    begin = time.monotonic()
    if seconds is not None:
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
    kills: list[tuple[Patch, float | None]] = [(patch, None) for patch in aims]
    kills += [(_ALONE, rng.uniform(0, 0.2) * lasts) for _ in range(num_random)]
    rng.shuffle(kills)
    for patch, seconds in kills:
        run_until(train, config, folder / "killed", patch, seconds)
    run_until(train, config, folder / "killed", _ALONE, None)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    in_the_file = kill_in_call(checkpoints._Patient, "write", 5)
    before_the_name = kill_in_call(checkpoints.os, "replace", 0)
    after_the_name = kill_in_call(checkpoints, "_sync_folder", 1, after=True)
    trial(pretrain, PRETRAINING, folder / "pretrain", [in_the_file, before_the_name, after_the_name], num_random=1)
    trial(finetune, FINETUNING, folder / "finetune", [in_the_file], num_random=5)
