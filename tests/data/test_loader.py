"""Workers that neither leak nor hang, nor stay behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mv2mae.bench.loading import resident_bytes
from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.loader import make_loader, worker_deaths_told
from mv2mae.data.manifest import write_manifest
from mv2mae.data.sampling import StepSampler
from mv2mae.data.views import PairBatch, collate_pairs
from mv2mae.errors import InputError

ENDLESS = 100_000


@pytest.fixture
def batches(takes: pd.DataFrame, tmp_path: Path) -> Callable[..., Iterator[PairBatch]]:
    def make(num_workers: int = 2, cache: str = "none") -> Iterator[PairBatch]:
        config = PairConfig(
            manifest=str(write_manifest(takes, tmp_path / "m.csv")),
            cache=cache,
            held_out_groups=1,  # type: ignore[arg-type]
        )
        data = pretrain_data(config, num_frames=8, size=32, seed=0, progress=False)
        sampler = StepSampler(len(data.train), 4, ENDLESS, seed=0)
        loader = make_loader(data.train, sampler, device_batch_size=4, num_workers=num_workers, collate=collate_pairs)
        return iter(loader)

    return make


def workers() -> list[int]:
    """Ids of the processes that this one has started."""
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_a_killed_worker_ends_the_reading_with_one_clear_line(
    batches: Callable[..., Iterator[PairBatch]], cache: str
) -> None:
    before = set(workers())
    reading = batches(cache=cache)
    next(reading)
    victim = next(pid for pid in workers() if pid not in before)
    begin = time.monotonic()

    def read_on() -> None:
        os.kill(victim, signal.SIGKILL)
        deque(reading, maxlen=0)

    with pytest.raises(InputError, match="a process that reads videos has died") as raised, worker_deaths_told():
        read_on()
    assert time.monotonic() - begin < 60
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_only_the_training_ends_a_worker_by_a_signal(batches: Callable[..., Iterator[PairBatch]], cache: str) -> None:
    """Torch does so at the end, where a worker takes too long."""
    before = set(workers())
    reading = batches(num_workers=1, cache=cache)
    next(reading)
    (worker,) = (child for child in multiprocessing.active_children() if child.pid not in before)
    for name in ("INT", "TERM", "USR1"):
        subprocess.run(["kill", "-s", name, str(worker.pid)], check=True)
    time.sleep(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="out of paper"), worker_deaths_told():
        raise RuntimeError("out of paper")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_of_workers_is_flat(batches: Callable[..., Iterator[PairBatch]]) -> None:
    before = set(workers())
    reading, seen = batches(num_workers=1), []
    for _ in range(240):  # of 8 clips; decoders and caches take their room in the first 80
        next(reading)
        (worker,) = set(workers()) - before
        seen.append(resident_bytes(worker))
    middle, last = np.median(seen[80:160]), np.median(seen[160:])
    assert last - middle < 6 * 2**20  # the clips of this stretch alone took 640 x 24 KB, their frames much more


ORPHANS = """
import multiprocessing, sys, time
from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.loader import make_loader
from mv2mae.data.sampling import StepSampler
from mv2mae.data.views import collate_pairs

if __name__ == "__main__":
    data = pretrain_data(PairConfig(manifest=sys.argv[1], held_out_groups=1), num_frames=8, size=32, seed=0)
    sampler = StepSampler(len(data.train), 4, 100_000, seed=0)
    loader = make_loader(data.train, sampler, device_batch_size=4, num_workers=2, collate=collate_pairs)
    batches = iter(loader)
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked up in /proc")
def test_no_worker_outlives_a_killed_training(takes: pd.DataFrame, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(ORPHANS)
    manifest = write_manifest(takes, tmp_path / "m.csv")
    with subprocess.Popen([sys.executable, script, manifest], stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        left = [int(pid) for pid in training.stdout.readline().split()]
        assert len(left) == 2
        training.kill()
    try:
        until = time.monotonic() + 60
        while left and time.monotonic() < until:
            time.sleep(0.2)
            left = [pid for pid in left if Path(f"/proc/{pid}").exists()]
        assert left == []
    finally:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
