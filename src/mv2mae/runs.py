"""A run: the folder in which a training keeps its configuration, log, checkpoints and results.

config.yaml        the full configuration        environment.json  versions, machine, git state, command
log.csv            step, name, value             tensorboard/      the same for TensorBoard
checkpoints/       what a killed run goes on from  model.safetensors  the newest weights
summary.json       what the run saw and reached    problems.jsonl    videos that were set aside, and why
snapshots/         held-out clips as rebuilt then  report.html       all of it to look at
non_finite.jsonl   steps that were skipped, and their items  slow_items.jsonl  items that took long to read
best.safetensors   the weights with the lowest held-out loss  trace-*.json  where the time of steps went
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout

from mv2mae import files
from mv2mae.config.tasks import of_own_task, task_of
from mv2mae.errors import InputError
from mv2mae.ranks import first_only, is_first
from mv2mae.records import write_record
from mv2mae.seals import SEAL, DamagedError, check_seal, sealed

CONFIG_NAME, LOG_NAME, SUMMARY_NAME = "config.yaml", "log.csv", "summary.json"
PROBLEMS_NAME, NON_FINITE_NAME, SLOW_ITEMS_NAME = "problems.jsonl", "non_finite.jsonl", "slow_items.jsonl"
SNAPSHOTS_FOLDER, SNAPSHOTS_NAME = "snapshots", "snapshots.json"
REPORT_NAME, ENVIRONMENT_NAME, LOCK_NAME = "report.html", "environment.json", ".lock"
TRAINING_VIDEOS_NAME = "training_videos.json"
"""Paths of the labelled videos that a classifier was trained on, so that a test can tell if it tests on them."""
LOG_HEAD = "step,name,value\n"
LOG_ROW = re.compile(r"(?P<step>[0-9]+),[^,\0\ufffd]+,(?:[-+.e0-9]+|nan|[-+]?inf)\r?\n")
"""A whole one. A kill may leave half of the last one or of the head, a power cut NULs or nothing at all."""
_FILES = ("data.manifest", "data.test_manifest", "data.cameras", "init", "log.probe_manifest")
"""Settings that name files."""
_SECTIONS = ("model", "data", "optim", "compute", "log", "test")
"""Of a configuration; those that a run has hold settings of their own."""
_CHANGED_BY_DEFAULT = ("data.held_out_share",)
"""Settings at whose default a run does not go on as it began before they existed."""
_told: set[Path] = set()
_migrated: set[Path] = set()
_log = logging.getLogger(__name__)


@contextmanager
def spared(path: Path) -> Iterator[None]:
    """What is written inside is not worth a run: if it fails (no room, no right), there is a warning."""
    try:
        yield
    except OSError as error:
        _log.warning("%s could not be written (%s); the run goes on", path, error.strerror or error)


@contextmanager
def run_lock(run: Path, patience: float = 20.0) -> Iterator[None]:
    """Hold a run's folder while a training writes into it, so that a second start does not mix with the first.

    Without effect on all but the first process of a run, and where the file system has no locks.

    Args:
        patience: seconds to wait for another to end.

    Raises:
        InputError: another training holds it.
    """
    lock = FileLock(run / LOCK_NAME, poll_interval=0.2)
    try:
        if is_first():
            lock.acquire(timeout=patience)
    except Timeout as error:
        problem = f"another training writes into {run}; stop it first, or give another folder as --run"
        raise InputError(problem) from error
    except (OSError, NotImplementedError):  # a file system without locks
        _log.debug("no lock on %s", run, exc_info=True)
    try:
        yield
    finally:
        lock.release()


@first_only
def write_once(path: Path, values: Mapping[str, Any]) -> None:
    """A record of a run, which its first process alone writes."""
    write_record(path, values)


def settled(config: Any) -> dict[str, Any]:
    """`plain`, with the files that it names as absolute paths: a run can be gone on with and tested from any folder."""
    values = plain(config)
    for holder, key, given in _named_files(values):
        if Path(given).exists():
            holder[key] = os.path.abspath(given)
    return values


def _named_files(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Where a configuration names files or folders of this machine, and which."""
    for name in _FILES:
        section, _, key = name.rpartition(".")
        holder = values.get(section, {}) if section else values
        given = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(given, str) and given not in ("", "sample") and "://" not in given:
            yield holder, key, given


def _look_around(run: Path, values: dict[str, Any]) -> None:
    """Runs of earlier versions name files as they were typed: what is not found from here may be from above the run."""
    for holder, key, given in _named_files(values):
        if not Path(given).exists():
            above = (folder / given for folder in run.absolute().parents)
            holder[key] = next((str(file) for file in above if file.exists()), given)


def plain(config: Any) -> dict[str, Any]:
    """A configuration as nested dictionaries of plain values, as YAML and JSON have them."""
    values = config if isinstance(config, dict) else dataclasses.asdict(config)
    return json.loads(json.dumps(values))


def read_config(folder: str | Path) -> dict[str, Any]:
    """The full configuration of the run in a folder, as nested dictionaries.

    Raises:
        InputError: there is none, or it is damaged.
    """
    folder = Path(folder)
    file = folder / CONFIG_NAME
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _PlainLoader)
        _tell_if_changed(file)
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{file} cannot be read: it holds no settings")
    # what is cut off within a section can be YAML still
    if cut := [name for name in _SECTIONS if not isinstance(values.get(name, {}), dict)]:
        raise InputError(f"{file} cannot be read: {cut[0]} holds no settings")
    values, foreign = of_own_task(values, task_of(values))
    if foreign and file not in _migrated:
        _migrated.add(file)
        _log.warning("%s: %s", file, "; ".join(foreign))
    _look_around(folder, values)
    return values


class _PlainLoader(yaml.SafeLoader):
    """Without references, which no run writes: a few lines of them stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it holds references (*), which no run writes")
        return super().compose_node(parent, index)


def _tell_if_changed(file: Path) -> None:
    """Warns, once a process, if a file is not as a run wrote it."""
    try:
        check_seal(file)
    except DamagedError:
        if file not in _told:
            _told.add(file)
            _log.warning("%s was edited or damaged after the run wrote it: the run was made with other settings", file)


def with_defaults(values: dict[str, Any], defaults: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The settings of a run, those that did not exist when it began at their default, which changes nothing."""
    made = dict(values)
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(values.get(name), dict):
            made[name] = with_defaults(values[name], default, f"{above}{name}.")
        elif f"{above}{name}" not in _CHANGED_BY_DEFAULT:
            made.setdefault(name, default)
    return made


def check_run(run: Path, config: Any) -> None:
    """Make sure, before anything is done or written, that a run may go on in this folder or begin there.

    Raises:
        InputError: if the folder holds a run with another configuration or a damaged one, or is no folder.
    """
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is a file; give a folder for the run")
    if (run / CONFIG_NAME).exists():
        before = with_defaults(read_config(run), plain(type(config)()))
        # speed and logging may change between the parts of a run; what decides its result may not
        changed = [
            key for key in differences(settled(before), settled(config)) if not key.startswith(("compute.", "log."))
        ]
        if changed:
            raise InputError(
                f"{run} holds a run with other settings ({', '.join(changed[:5])}); "
                "give the same ones to go on with it, or another folder"
            )


def check_positions(run: Path, grid: tuple[int, ...], position_grid: tuple[int, ...] | None) -> None:
    """Make sure that a pre-training which version 0.2.0 began goes on with the positions with which it began.

    Args:
        run: whose settings said then from which token grid positions are interpolated.
        grid: of the clips' tokens.
        position_grid: of the model that is to go on; None = that of the clips.

    Raises:
        InputError: the model has other positions.
    """
    if not (run / CONFIG_NAME).exists():
        return
    model = yaml.load((run / CONFIG_NAME).read_text(encoding="utf-8"), _PlainLoader).get("model", {})
    if "position_grid" in model and tuple(model["position_grid"] or grid) != (position_grid or grid):
        raise InputError(
            f"{run} was begun by version 0.2.0 with positions of {model['position_grid'] or list(grid)} tokens, those "
            f"of its `init` are {list(position_grid or grid)}; go on with that version, or give another folder"
        )


@first_only
def start_run(run: Path, config: Any) -> None:
    """Make the folder; write configuration and environment.

    Raises:
        InputError: if nothing can be written there.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        text = f"# as the run wrote it: {SEAL}\n{yaml.safe_dump(settled(config), sort_keys=False)}"
        files.write_text(run / CONFIG_NAME, sealed(text))
        write_once(run / ENVIRONMENT_NAME, environment())
    except OSError as error:
        raise InputError(f"{run} cannot be written ({error.strerror}); give another folder as --run") from error


def differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Dotted names of the settings in which two nested dictionaries differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = list(a) + [key for key in b if key not in a]
        return [name for key in keys for name in differences(a.get(key), b.get(key), f"{prefix}{key}.")]
    return [] if a == b else [prefix.rstrip(".")]


def environment() -> dict[str, Any]:
    """What a run ran on: versions, machine, command and the state of the source."""
    packages = ("mv2mae", "torch", "pytorch-lightning", "av", "numpy", "pandas")
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "processor": processor(),
        "cpus": os.cpu_count(),
        "git": git_state(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def git_state() -> str | None:
    """Commit of the source, with `+changes` if it differs from it.

    None where the source is under no git, or lies untracked in another project's repository (its `.venv`).
    """
    here = Path(__file__)
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        commit = _git(here.parent, "describe", "--always", "--exclude", "*")
        # `describe --dirty` writes into the repository, where a kill or a full disk leaves its lock
        changes = _git(here.parent, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        return f"{commit}+changes" if changes else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def read_log(run: str | Path) -> pd.DataFrame:
    """The log of a run as a table: one row a step, one column a quantity (empty where it was not logged).

    Raises:
        InputError: if the run has no log, or its beginning or bytes of it were lost. Single rows that are damaged are
            left out, with a warning.
    """
    run = Path(run)
    path = run / LOG_NAME
    if not path.exists():
        raise InputError(f"{run}: no {LOG_NAME}; is it the folder of a run?")
    if b"\0" in path.read_bytes():
        raise InputError(f"{path} is damaged: bytes of zero in it; part of it was lost")
    head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
    if head.strip() != LOG_HEAD.strip():
        raise InputError(
            f"{path} does not begin with {LOG_HEAD.strip()}; it is no log of a run, or part of it was lost"
        )
    if lines and not lines[-1].endswith("\n"):
        lines.pop()  # being written, or cut off by a kill: the number in it may be another
    whole = [line for line in lines if LOG_ROW.fullmatch(line)]
    if len(whole) < len(lines):
        _log.warning("%s: %d damaged rows are left out", path, len(lines) - len(whole))
    rows = pd.read_csv(StringIO("".join([LOG_HEAD, *whole])))
    return rows.pivot_table(index="step", columns="name", values="value", aggfunc="last")
