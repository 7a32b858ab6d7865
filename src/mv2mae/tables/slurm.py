"""A study as SLURM array jobs: one array a stage, each after the one that it needs, and one job that collects."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mv2mae.errors import InputError
from mv2mae.files import write_text
from mv2mae.tables.plan import STAGES, Plan
from mv2mae.tables.record import keep_record
from mv2mae.tables.work import check_parts, is_done

FOLDER_NAME = "slurm"
_LATER = {"pretrain": (), "finetune": ("pretrain",), "probe": ("pretrain",), "retrieval": ("pretrain",),
          "test": ("finetune",)}  # fmt: skip
"""Which stages a stage waits for."""


def submit(plan: Plan, command: Sequence[str], *, extra: str = "") -> list[str]:
    """Write a script for each stage that has something to do, and submit it; returns the lines to print.

    A job that runs into its time limit is told five minutes before, saves and queues again.

    Args:
        command: the words of `mv2mae table ...` that a job repeats, to which `--part NAME` or `--collect` is added.
        extra: further options of sbatch, `--partition=gpu --gpus-per-node=1 --time=24:00:00`.

    Raises:
        InputError: there is no sbatch, or it refuses; other settings than those of the study's folder.
    """
    keep_record(plan)
    check_parts(plan)
    folder = plan.options.out / FOLDER_NAME
    jobs: dict[str, str] = {}
    lines = []
    for stage in STAGES:
        names = [p.name for p in plan.parts if p.stage == stage and not is_done(p, plan.options.parts)]
        if not names:
            continue
        write_text(folder / f"{stage}.txt", "\n".join(names) + "\n")
        after = [jobs[other] for other in _LATER[stage] if other in jobs]
        script = _script(stage, [*command, "--part"], folder, array=len(names))
        write_text(folder / f"{stage}.sbatch", script)
        jobs[stage] = _sbatch(folder / f"{stage}.sbatch", after, extra, "afterok")
        lines.append(f"{stage}: {len(names)} parts, job {jobs[stage]}")
    write_text(folder / "collect.sbatch", _script("collect", [*command, "--collect"], folder, array=0))
    job = _sbatch(folder / "collect.sbatch", list(jobs.values()), extra, "afterany")
    return [*lines, f"collect: job {job} writes the table when all have ended"]


def _script(stage: str, command: Sequence[str], folder: Path, *, array: int) -> str:
    log = shlex.quote(str((folder / "%x-%A_%a.out" if array else folder / "%x-%j.out").absolute()))
    words = shlex.join(command)
    options = (f"job-name=mv2mae-{stage}", f"output={log}", "open-mode=append", "requeue", "signal=SIGUSR1@300")
    lines = ["#!/bin/bash", *(f"#SBATCH --{option}" for option in options)]
    if array:
        lines.append(f"#SBATCH --array=1-{array}")
    lines += ["set -euo pipefail", "export OMP_NUM_THREADS=1"]
    if array:
        names = shlex.quote(str((folder / f"{stage}.txt").absolute()))
        lines += [
            f'part=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {names})',
            f'exec srun --kill-on-bad-exit=1 {words} "$part"',
        ]
    else:
        lines.append(f"exec {words}")
    return "\n".join(lines) + "\n"


def _sbatch(script: Path, after: Sequence[str], extra: str, how: str) -> str:
    command = ["sbatch", "--parsable", *shlex.split(extra)]
    if after:
        command += ["--dependency", f"{how}:{':'.join(after)}", "--kill-on-invalid-dep=yes"]
    try:
        done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"sbatch cannot be run ({error}); submit {script.parent}/*.sbatch by hand where SLURM is"
        ) from error
    if done.returncode:
        raise InputError(f"sbatch refused {script.name}: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout.strip().partition(";")[0]
