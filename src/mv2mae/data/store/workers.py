"""Making items in several processes, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from mv2mae.config import StoreConfig
from mv2mae.data.store.index import Source
from mv2mae.data.store.make import Item, make_item
from mv2mae.errors import InputError


class Workers:
    """Runs `make_item` in this process or in several; results come in order, and few wait in memory."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.pool: Executor | None = None

    def __enter__(self) -> Workers:
        if self.processes > 1:  # spawned: a fork of a process that has used torch's threads may hang
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.processes, context, _begin)
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def run(self, tasks: Sequence[tuple[Source, StoreConfig]]) -> Iterator[Item | str]:
        """The item of each task, or why there is none."""
        if self.pool is None:
            yield from (make_item(*task) for task in tasks)
            return
        waiting: deque[tuple[Source, Future[Item | str]]] = deque()
        remaining = iter(tasks)
        while True:
            while len(waiting) < 4 * self.processes and (task := next(remaining, None)) is not None:
                waiting.append((task[0], self.pool.submit(make_item, *task)))
            if not waiting:
                return
            source, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise InputError(
                    f"a process was killed, perhaps for want of memory, at or after {source.path}; "
                    "the same command goes on from the last whole shard, fewer --processes take less memory"
                ) from error


def _begin() -> None:
    """Readies a process: one thread; Ctrl-C is its parent's to answer; it ends when its parent is killed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # the executor's queue has its other end here too, so waiting on it would never end
