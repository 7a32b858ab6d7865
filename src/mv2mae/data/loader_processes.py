"""The processes of a loader: how they start, and that they end with their training and not before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection
from typing import Any


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
