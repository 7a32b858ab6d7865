"""What the processes that read videos will take of this machine's memory."""

from __future__ import annotations

import pandas as pd

from mv2mae.data.free_memory import known_free_memory
from mv2mae.errors import InputError
from mv2mae.text import counted

_READER = 150 << 20
"""Bytes of a process that reads small videos: 131 to 134 MB of its own were measured (torch 2.13, Linux)."""
_FRAMES = 64
"""What reading takes on top, in RGB frames as large as the file's: 380 MB were measured at 1920 x 1080 in H.264."""
_SHARED_READER = 60 << 20
"""Bytes of a process that shares decoded videos with its parent."""
_BATCHES = 5
"""That a reader has made or is making: four wait (`make_loader`)."""
_PLANNED = 0.8
"""Share of the free memory that readers may plan with."""


def readers_line(
    num_workers: int,
    frame: pd.DataFrame | None,
    batch_bytes: int,
    *,
    in_memory: bool,
    world_size: int = 1,
    settings: tuple[str, str] = ("compute.num_workers", "compute.device_batch_size"),
) -> str:
    """What reading processes will take, in a line to print before they start; empty if there are none.

    Args:
        num_workers: of each device.
        frame: the videos, whose `width` and `height` count as far as they are known; None = nothing is decoded.
        batch_bytes: of one batch.
        in_memory: whether videos were decoded before, which readers share.
        world_size: devices of this machine.
        settings: what to change where they do not fit.

    Raises:
        InputError: they do not fit into the memory that is free, where that is known.
    """
    said = readers_need(num_workers, frame, batch_bytes, in_memory=in_memory, world_size=world_size)
    free = known_free_memory()
    if not said or free is None:
        return f"readers {said}" if said else ""
    each, number = _bytes_of_each(frame, batch_bytes, in_memory=in_memory), num_workers * world_size
    if number * each > _PLANNED * free:
        fits = int(_PLANNED * free / (each * world_size))
        raise InputError(
            f"{settings[0]}={num_workers} means {said} ({each / 2**20:,.0f} MB each), "
            f"{_gigabytes(free)} are free; give {settings[0]}={fits}, "
            f"or fewer items at a time ({settings[1]})"
        )
    return f"readers {said}; {_gigabytes(free)} are free"


def readers_need(
    num_workers: int, frame: pd.DataFrame | None, batch_bytes: int, *, in_memory: bool, world_size: int = 1
) -> str:
    """What reading processes will take, on whatever machine; see `readers_line`. Empty if there are none."""
    number = num_workers * world_size
    size = number * _bytes_of_each(frame, batch_bytes, in_memory=in_memory)
    return f"{counted(number, 'process', 'processes')}, about {_gigabytes(size)} in all" if number else ""


def readers_that_fit(most: int, frame: pd.DataFrame | None, batch_bytes: int, *, in_memory: bool) -> int:
    """How many reading processes to take where nobody said it: at most so many, one at least; see `readers_line`."""
    free = known_free_memory()
    if free is None or most <= 1:
        return most
    return min(most, max(1, int(_PLANNED * free / _bytes_of_each(frame, batch_bytes, in_memory=in_memory))))


def readers_for(
    wanted: int | None,
    most: int,
    frame: pd.DataFrame,
    batch_bytes: int,
    *,
    in_memory: bool,
    settings: tuple[str, str],
) -> tuple[int, str]:
    """How many processes read, and what they will take, as a line: as many as are wanted, or `most` as far as they fit.

    Raises:
        InputError: more were asked for than fit.
    """
    workers = readers_that_fit(most, frame, batch_bytes, in_memory=in_memory) if wanted is None else wanted
    return workers, readers_line(workers, frame, batch_bytes, in_memory=in_memory, settings=settings)


# ---------------------------------------------------------------------------------------------------------


def _bytes_of_each(frame: pd.DataFrame | None, batch_bytes: int, *, in_memory: bool) -> int:
    pixels = 0.0 if frame is None or in_memory else _largest(frame)
    return (_SHARED_READER if in_memory else _READER) + _BATCHES * batch_bytes + round(_FRAMES * pixels * 3)


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GB"


def _largest(frame: pd.DataFrame) -> float:
    sizes = pd.to_numeric(frame["width"], errors="coerce") * pd.to_numeric(frame["height"], errors="coerce")
    return float(sizes.max()) if sizes.notna().any() else 0.0
