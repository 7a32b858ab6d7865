"""How fast pre-training can read its pairs, where the time goes, and whether memory stays flat: `mv2mae bench data`."""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mv2mae.config import PretrainConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.loader import make_loader, worker_deaths_told
from mv2mae.data.sampling import StepSampler
from mv2mae.data.stopwatch import Stopwatch
from mv2mae.data.stream import PairStream
from mv2mae.data.video import available_cores
from mv2mae.data.videos import FIRST_LOOK
from mv2mae.data.views import PairDataset, collate_pairs
from mv2mae.errors import InputError
from mv2mae.files import write_json

_BATCH = 8
"""Pairs in a batch: small, so that there are many; the batch's size does not change a loader's speed."""
_IN_PROCESS = 100
"""Pairs at most that are read without workers, to see where the time goes."""
_WAITING = 0.25
"""Share of a clip's time without computation from which the verdict speaks of it."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that are resident in this process and in all workers together: medians over a third of the clips."""

    process: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class LoaderFigures:
    """What was measured.

    num_clips, seconds: read by the workers once all of them were at work. start_seconds: until then.
    memory: in the first, second and last third; empty where the system does not tell.
    clip_ms, clip_cpu_ms: of one clip without workers, by the clock and of computation. stages: parts of clip_ms.
    prepare_seconds: to open the manifest, and to decode into memory what a cache keeps there.
    """

    manifest: str
    num_frames: int
    size: int
    num_repeats: int
    num_workers: int
    num_cores: int
    prepare_seconds: float
    start_seconds: float
    num_clips: int
    clips_per_pair: int
    seconds: float
    memory: list[Memory]
    clip_ms: float
    clip_cpu_ms: float
    stages: dict[str, float]
    set_aside: list[tuple[str, str]]

    @property
    def clips_per_s(self) -> float:
        """Clips a second from the loader."""
        return self.num_clips / self.seconds

    @property
    def computing_ms(self) -> float:
        """Of a clip on one core, once every video has been looked at."""
        return self.clip_cpu_ms * (1 - self.stages.get(FIRST_LOOK, 0.0) / self.clip_ms)

    @property
    def pairs_per_s(self) -> float:
        """Pairs a second from the loader."""
        return self.clips_per_s / self.clips_per_pair

    def cores_for(self, clips_per_s: float) -> int:
        """Cores that reading so many clips a second keeps busy."""
        return math.ceil(clips_per_s * self.computing_ms / 1e3)


def bench_data(
    config: PretrainConfig, *, num_clips: int = 500, num_workers: int | None = None, progress: bool = True
) -> LoaderFigures:
    """Reads pairs as a pre-training would, and throws them away.

    Args:
        config: of the training; data, clip size, seed and workers count.
        num_clips: to read through the loader, rounded up to whole batches; a part of it again without workers.
        num_workers: reading processes; None = `compute.num_workers`.
        progress: show a bar.

    Raises:
        InputError: a size that cannot be, data that cannot be read, or a worker that died.
    """
    workers = config.compute.num_workers if num_workers is None else num_workers
    if num_clips < 1 or workers < 0:
        raise InputError(f"num_clips={num_clips} and num_workers={workers}: give at least 1 and at least 0")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        data = pretrain_data(
            config.data,
            num_frames=config.model.num_frames,
            size=config.model.image_size,
            seed=config.seed,
            problems_file=Path(folder) / "problems.jsonl",
            progress=progress,
        )
        prepared = time.perf_counter() - begin
        through_loader = _through_loader(data.train, config, num_clips, workers, progress)
        in_process = _in_process(data.train, config, num_clips)
        return LoaderFigures(
            manifest=config.data.manifest,
            num_frames=config.model.num_frames,
            size=config.model.image_size,
            num_repeats=config.data.num_repeats,
            num_workers=workers,
            num_cores=available_cores(),
            prepare_seconds=prepared,
            clips_per_pair=1 + config.data.num_sources,
            **through_loader,
            **in_process,
            set_aside=data.problems.items(),
        )


def print_figures(figures: LoaderFigures, want: float = 0.0, console: Console | None = None) -> None:
    """Prints what was measured as tables.

    Args:
        figures: to print.
        want: clips a second that a model takes; the cores that feed it are told. 0 = not asked.
        console: where to.
    """
    console = console or Console()
    shape = f"{figures.num_frames} x {figures.size} x {figures.size}"
    repeats = f", {figures.num_repeats} pairs from each decoding" if figures.num_repeats > 1 else ""
    table = Table(title=f"{figures.manifest}: clips of {shape}{repeats}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("read by", f"{figures.num_workers} workers, {figures.num_cores} cores")
    table.add_row("measured", f"{figures.num_clips:,} clips in {figures.seconds:.1f} s")
    table.add_row("clips/s", f"{figures.clips_per_s:,.1f}")
    table.add_row("pairs/s", f"{figures.pairs_per_s:,.1f}")
    table.add_row("manifest, cache", f"{figures.prepare_seconds:.1f} s")
    table.add_row("workers started", f"{figures.start_seconds:.1f} s")
    for third, memory in zip(("first", "second", "last"), figures.memory, strict=False):
        sizes = f"{memory.process / 2**20:,.0f} + {memory.workers / 2**20:,.0f} MB"
        table.add_row(f"memory in the {third} third, this process + workers", sizes)
    table.add_row("videos set aside", f"{len(figures.set_aside):,}")
    console.print(table, _stages(figures))
    console.print(verdict(figures, want), soft_wrap=True)


def verdict(figures: LoaderFigures, want: float = 0.0) -> str:
    """What the figures mean for a model that takes `want` clips a second (0 = for any)."""
    said = [f"One core reads {1e3 / figures.computing_ms:,.0f} clips/s."]
    if want:
        cores = figures.cores_for(want)
        said.append(
            f"A model that takes {want:,.0f} clips/s needs {cores:,} for reading; this machine has {figures.num_cores}."
        )
        if cores > figures.num_cores:
            said.append("Cheaper clips: `mv2mae prepare`, data.num_repeats, data.cache.")
    if figures.clip_cpu_ms < (1 - _WAITING) * figures.clip_ms:
        share = 1 - figures.clip_cpu_ms / figures.clip_ms
        said.append(
            f"{share:.0%} of a clip's time went by waiting, for storage or for a core that others used; if it is "
            "storage, take more workers than cores."
        )
    return " ".join(said)


def write_figures(figures: LoaderFigures, path: Path) -> None:
    """Writes what was measured as JSON."""
    derived = {"clips_per_s": figures.clips_per_s, "pairs_per_s": figures.pairs_per_s}
    write_json(path, {**asdict(figures), **derived})


# ---------------------------------------------------------------------------------------------------------


def _items_of_batch(config: PretrainConfig) -> int:
    return max(1, _BATCH // config.data.num_repeats)


def _sampler(dataset: PairDataset | PairStream, config: PretrainConfig, steps: int, start: int = 0) -> StepSampler:
    return StepSampler(
        len(dataset),
        _items_of_batch(config),
        steps,
        config.seed,
        shuffle=dataset.shuffled,
        strata=dataset.strata,
        start_step=start,
    )


def _through_loader(
    dataset: PairDataset | PairStream, config: PretrainConfig, num_clips: int, num_workers: int, progress: bool
) -> dict[str, Any]:
    """`LoaderFigures` that the training's loader gives; the first round of the workers does not count."""
    clips = _items_of_batch(config) * config.data.num_repeats * (1 + config.data.num_sources)
    number, warm_up = math.ceil(num_clips / clips), max(1, num_workers)
    loader = make_loader(
        dataset,
        _sampler(dataset, config, warm_up + number),
        device_batch_size=_items_of_batch(config),
        num_workers=num_workers,
        collate=collate_pairs,
    )
    with worker_deaths_told():
        begin = time.perf_counter()
        batches = iter(loader)
        for _ in range(warm_up):
            next(batches)
        memory, start = [], time.perf_counter()
        for _ in track(range(number), "reading", disable=not progress):
            next(batches)
            memory.append(_memory())
        end = time.perf_counter()
    return {
        "start_seconds": start - begin,
        "seconds": end - start,
        "num_clips": number * clips,
        "memory": _thirds([each for each in memory if each is not None]),
    }


def _in_process(dataset: PairDataset | PairStream, config: PretrainConfig, num_clips: int) -> dict[str, Any]:
    """`LoaderFigures` of clips that follow in the order of training, read here, in one thread as a worker does."""
    size, of_pair = _items_of_batch(config), 1 + config.data.num_sources
    pairs_of_batch = size * config.data.num_repeats
    number = max(1, min(_IN_PROCESS, num_clips // of_pair // 4) // pairs_of_batch)
    first = math.ceil(num_clips / of_pair / pairs_of_batch)
    keys = list(_sampler(dataset, config, first + number, start=first))
    watch = Stopwatch()
    with _one_thread(), watch.running():
        begin, computed = time.perf_counter(), time.process_time()
        for place in range(0, len(keys), size):
            collate_pairs(dataset.__getitems__(keys[place : place + size]))
        seconds, computed = time.perf_counter() - begin, time.process_time() - computed
    per_clip = 1e3 / (number * pairs_of_batch * of_pair)
    stages = {stage: spent * per_clip for stage, spent in watch.seconds.items()}
    stages["other"] = seconds * per_clip - sum(stages.values())
    return {"clip_ms": seconds * per_clip, "clip_cpu_ms": computed * per_clip, "stages": stages}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _thirds(samples: list[Memory]) -> list[Memory]:
    parts = [part for part in np.array_split(np.array([astuple(each) for each in samples]), 3) if len(part)]
    return [Memory(process=int(own), workers=int(others)) for own, others in (np.median(p, axis=0) for p in parts)]


def _memory() -> Memory | None:
    """Of this process and those that it started; None where the system has no /proc."""
    own = resident_bytes(os.getpid())
    if own is None:
        return None
    children = [resident_bytes(child.pid or 0) or 0 for child in multiprocessing.active_children()]
    return Memory(process=own, workers=sum(children))


def resident_bytes(pid: int) -> int | None:
    """Memory of a process that is resident; None where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _stages(figures: LoaderFigures) -> Table:
    table = Table(title="where the time of one clip goes (without workers)")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for stage, spent in sorted(figures.stages.items(), key=lambda item: -item[1]):
        table.add_row(stage, f"{spent:.2f}", f"{spent / figures.clip_ms:.0%}")
    table.add_row("all", f"{figures.clip_ms:.2f}", f"{figures.clip_cpu_ms:.2f} ms of it computing")
    return table
