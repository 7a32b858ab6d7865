"""Which of several processes this is, as whoever started them tells it: torchrun, SLURM's srun, or Lightning.

The one means for that outside of a training; within one, Lightning's trainer knows its own rank.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")

_TORCHRUN = "TORCHELASTIC_RUN_ID"
_MARKS = (_TORCHRUN, "SLURM_NTASKS", "RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")
"""Variables by which Lightning and torch tell that there are several processes."""
_INTERACTIVE = ("bash", "interactive")
"""Names of SLURM jobs in which Lightning takes the allocation for a shell, not for several processes."""


@dataclass(frozen=True)
class Launch:
    """Who started this process, how many there are, and the place of this one."""

    by: str
    rank: int
    num: int


def launch() -> Launch | None:
    """How this process was started; None where it was started alone."""
    env = os.environ
    if _TORCHRUN in env:
        return Launch("torchrun", int(env["RANK"]), int(env["WORLD_SIZE"]))
    if "SLURM_NTASKS" in env and "SLURM_PROCID" in env and env.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        return Launch("srun", int(env["SLURM_PROCID"]), int(env["SLURM_NTASKS"]))
    return None


def place_on_node() -> int:
    """The number of this process among those of its machine, as torchrun, srun or Lightning tells it."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)


def is_first() -> bool:
    """Whether this process does what one of them has to do alone."""
    started = launch()
    if started is not None:
        return started.rank == 0
    return all(int(os.environ.get(name) or 0) == 0 for name in ("RANK", "NODE_RANK", "LOCAL_RANK"))


def first_only(function: Callable[P, object]) -> Callable[P, None]:
    """The function, which does nothing in all processes but the first."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_first():
            function(*args, **kwargs)

    return guarded


@first_only
def say(*lines: str) -> None:
    """Print, in the first process only."""
    for line in lines:
        print(line, flush=True)


@contextmanager
def alone() -> Iterator[None]:
    """What runs inside takes itself for the only process."""
    hidden = {name: os.environ.pop(name) for name in _MARKS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
