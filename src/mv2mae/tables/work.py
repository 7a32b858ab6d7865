"""Carries a plan out: what is not done yet, each part once, beside others who work on the same study."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml
from filelock import FileLock, Timeout

from mv2mae.config import FeatureConfig, FinetuneConfig, PretrainConfig, ProbeConfig, VideosConfig
from mv2mae.devices import best_device, device_type
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate
from mv2mae.files import make_writable, write_text
from mv2mae.ranks import alone, is_first, launch, say
from mv2mae.records import read_record
from mv2mae.runs import check_run, environment, plain, processor, write_once
from mv2mae.studies.probes.measure import probe
from mv2mae.tables.cost import DONE_NAME
from mv2mae.tables.plan import Part, Plan, config_of, part_named
from mv2mae.tables.record import keep_record
from mv2mae.tables.retrieval import retrieval
from mv2mae.tables.sets import write_set
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.train.trainer import num_devices

SECONDS_NAME, SETTINGS_NAME = "seconds.json", "settings.yaml"
"""In a part's folder: what it has taken so far; what it is started with in processes of its own."""
_LOCK_NAME = ".part.lock"
_PAUSE = 5.0
"""Seconds between two looks at a part on which another process works."""


def is_done(part: Part, parts: Path) -> bool:
    """Whether a part was carried out to its end."""
    return (part.folder(parts) / DONE_NAME).is_file()


def check_parts(plan: Plan) -> None:
    """Raises InputError where a part's folder holds a run with other settings, before anything is done."""
    for part in plan.parts:
        if not isinstance(part.config, VideosConfig):
            check_run(part.folder(plan.options.parts), config_of(part, plan.options.parts))


def work(plan: Plan, *, device: str = "auto", only: str = "") -> None:
    """Carry out all parts that are not done; several processes may do so in one folder, on a device each.

    A part that fails does not keep the others from being done.

    Args:
        only: name of the one part to do.

    Raises:
        InputError: the study's folder holds another study or runs with other settings; or some parts failed.
    """
    parts = plan.options.parts
    make_writable(plan.options.out)
    keep_record(plan)
    check_parts(plan)
    failed: dict[str, str] = {}
    chosen = [part_named(plan, only)] if only else plan.parts
    if only and (needs := chosen[0].needs) is not None and not is_done(needs, parts):
        raise InputError(f"{only} needs {needs.name}, which is not done; do that first")
    while left := [part for part in chosen if not is_done(part, parts) and part.name not in failed]:
        ready = [part for part in left if part.needs is None or is_done(part.needs, parts)]
        if not ready:  # what they need has failed
            break
        if not _any_of(ready, plan, failed, device):
            time.sleep(_PAUSE)
    if failed:
        name, reason = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(chosen)} parts failed and {len(left)} more wait for them; {name}: {reason}"
            if left
            else f"{len(failed)} of {len(chosen)} parts failed; {name}: {reason}"
        )


def _any_of(ready: list[Part], plan: Plan, failed: dict[str, str], device: str) -> bool:
    """Carry out the first part on which nobody else works; whether there was one."""
    for part in ready:
        folder = part.folder(plan.options.parts)
        folder.mkdir(parents=True, exist_ok=True)
        with _held(folder) as mine:
            if not mine:
                continue
            if is_done(part, plan.options.parts):
                return True
            say(f"{part.name}: {', '.join(plan.users()[part.name][:3])}")
            try:
                carry_out(part, plan, device=device)
            except InputError as error:
                failed[part.name] = str(error)
                say(f"  {part.name} failed: {error}")
            return True
    return False


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a part's folder; False if another does. Always True in all but the first process, and without locks."""
    if not is_first():
        yield True
        return
    lock = FileLock(folder / _LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError):
        pass
    try:
        yield True
    finally:
        lock.release()


def carry_out(part: Part, plan: Plan, *, device: str = "auto") -> None:
    """Do one part, or what is left of it, and note that it is done.

    Raises:
        InputError: whatever the training or the test refuses.
    """
    parts = plan.options.parts
    folder = part.folder(parts)
    write_set(part.data)
    with _timed(folder) as taken:
        _do(part, parts, device)
    where = _device_of(part, device)
    write_once(folder / DONE_NAME, {
        "stage": part.stage, "needs": part.needs.name if part.needs else None, "seconds": taken(), "device": where,
        "data": part.data.drawn_from or part.data.manifest, "data_digest": part.data.digest,
        "settings": plain(part.config), "environment": environment(),
    })  # fmt: skip


def _do(part: Part, parts: Path, device: str) -> None:
    folder = part.folder(parts)
    if not isinstance(part.config, VideosConfig):
        _train(config_of(part, parts), folder)
    elif is_first():
        assert part.needs is not None
        source, where = part.needs.folder(parts), best_device(device)
        with alone():
            if part.test is not None:
                evaluate(source, part.config, part.test, folder, device=where)
            elif part.stage == "probe":
                config = ProbeConfig(probes=("linear",))
                probe(source, part.config, FeatureConfig(), config, folder, floor=False, device=where)
            else:
                retrieval(source, part.config, folder, device=where)


def _train(config: PretrainConfig | FinetuneConfig, folder: Path) -> None:
    """Train here; on several devices in processes of their own, which Lightning starts from a command line."""
    verb = "pretrain" if isinstance(config, PretrainConfig) else "finetune"
    if launch() is None and num_devices(config.compute) > 1:
        settings = folder / SETTINGS_NAME
        write_text(settings, yaml.safe_dump(plain(config), sort_keys=False))
        command = [sys.executable, "-m", "mv2mae.cli", verb, "--recipe", str(settings), "--run", str(folder)]
        status = subprocess.run(command, check=False).returncode
        if status in (130, 143):
            raise KeyboardInterrupt
        if status:
            raise InputError(f"`{shlex.join(command)}` ended with status {status}")
    elif isinstance(config, PretrainConfig):
        pretrain(config, folder)
    else:
        finetune(config, folder)


@contextmanager
def _timed(folder: Path) -> Iterator[Callable[[], float]]:
    """Adds the time inside to what the part has taken before, however it ends; gives the sum so far."""
    file = folder / SECONDS_NAME
    before = float(read_record(file)["seconds"]) if file.is_file() else 0.0
    begun = time.monotonic()

    def taken() -> float:
        return before + time.monotonic() - begun

    try:
        yield taken
    finally:
        write_once(file, {"seconds": taken()})


def _device_of(part: Part, device: str) -> str:
    """What a part ran on: the name of the GPU, or of the processor."""
    if isinstance(part.config, VideosConfig):
        on_gpu = best_device(device) != "cpu"
    else:
        on_gpu = device_type(part.config.compute) == "cuda"
    return torch.cuda.get_device_name() if on_gpu else processor()
