"""Loaders whose batches do not depend on their processes; how these start, end, and what is said when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mv2mae.data.sampling import StepSampler, TrainingItems
from mv2mae.errors import InputError


def make_loader(
    dataset: Dataset[Any] | TrainingItems,
    sampler: Sampler[Any] | None,
    *,
    device_batch_size: int | None,
    num_workers: int,
    collate: Callable[[Sequence[Any]], Any] | None = None,
) -> DataLoader[Any]:
    """A loader whose batches depend on the sampler alone, not on the number of workers.

    Args:
        dataset: pairs, clips or tests.
        sampler: the order; None = as they stand.
        device_batch_size: items a batch; None = single items, not stacked (evaluation).
        num_workers: reading processes; 0 reads in this process, best where videos are in memory.
        collate: `collate_pairs` or `collate_clips`.

    Raises:
        InputError: the sampler's batch does not divide into such parts.
    """
    if isinstance(sampler, StepSampler) and device_batch_size and sampler.rank_batch_size % device_batch_size:
        raise InputError(
            f"device_batch_size={device_batch_size} does not divide the {sampler.rank_batch_size} items that "
            "a device takes a step; choose a divisor"
        )
    return DataLoader(
        cast(Dataset[Any], dataset),
        batch_size=device_batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate or _unchanged,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        prefetch_factor=4 if num_workers > 0 else None,
        multiprocessing_context=worker_context(dataset) if num_workers > 0 else None,
        worker_init_fn=end_with_parent if num_workers > 0 else None,
    )


@contextmanager
def worker_deaths_told() -> Iterator[None]:
    """Says in one line that a process of a loader has died, however torch notices it.

    Raises:
        InputError: instead of torch's RuntimeError, or an error of the connection to that process.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            if "torch/multiprocessing/reductions" not in "".join(traceback.format_exception(error)):
                raise
            time.sleep(1)  # torch's signal handler raises a moment later, wherever the program is; here it does no harm
            raise RuntimeError("DataLoader worker is gone") from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            "a process that reads videos has died, most often because memory ran out (the system's log tells); "
            "start again with fewer of them (compute.num_workers, in tests test.num_workers, for features num_workers)"
        ) from error


def worker_context(dataset: Any) -> Any:
    """How workers start: by fork where they share decoded videos, else from a server without threads.

    A forked copy of a process that has threads (Lightning, TensorBoard, CUDA) may hang on their locks. The
    server imports torch once for all workers.
    """
    methods = multiprocessing.get_all_start_methods()
    in_memory = getattr(getattr(dataset, "videos", None), "in_memory", False)
    if in_memory and "fork" in methods:
        return multiprocessing.get_context("fork")
    if "forkserver" not in methods:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mv2mae.data.worker_server", "mv2mae.data.clips"])
    return context


def end_with_parent(worker: int) -> None:
    """A worker ends with its training, and not before that wants it to.

    Torch's own watch looks at the server that forked it, which outlives a training that was killed. And a signal to all
    processes of a run (Ctrl-C, a scheduler's) must not take workers from a training that ends its step first.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    training, sentinel = parent.pid, parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    def obey() -> None:
        while signal.sigwaitinfo([signal.SIGTERM]).si_pid != training:
            pass
        os._exit(0)

    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        # torch ends a worker that is not ready in time by SIGTERM, so that one from the training counts;
        # blocked before any thread is started, which would take it otherwise
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=obey, daemon=True).start()
    threading.Thread(target=watch, daemon=True).start()


def _unchanged(item: Any) -> Any:
    return item
