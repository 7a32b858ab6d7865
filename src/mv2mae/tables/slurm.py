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
_LATER = {
    "pretrain": (),
    "finetune": ("pretrain",),
    "probe": ("pretrain",),
    "retrieval": ("pretrain",),
    "test": ("finetune",),
}
"""Which stages a stage waits for."""
_TRAININGS = ("pretrain", "finetune")
"""Stages that save when they are told that time is nearly over, and queue again; the signal would end the others."""


def submit(plan: Plan, command: Sequence[str], *, extra: str = "") -> list[str]:
    """Write a script for each stage that has something to do, and submit it; returns the lines to print.

    A training that runs into its time limit is told five minutes before, saves and queues again. A stage begins when
    the one before has ended, well or not: what failed keeps only those parts waiting that need it, and they say so.

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
        after = [jobs[other] for other in _LATER[stage] if other in jobs]
        write_text(folder / f"{stage}.sbatch", _script(stage, [*command, "--part"], folder, names))
        jobs[stage] = _sbatch(folder / f"{stage}.sbatch", after, extra)
        lines.append(f"{stage}: {len(names)} parts, job {jobs[stage]}")
    write_text(folder / "collect.sbatch", _script("collect", [*command, "--collect"], folder))
    job = _sbatch(folder / "collect.sbatch", list(jobs.values()), extra)
    return [*lines, f"collect: job {job} writes the table when all have ended"]


def _script(stage: str, command: Sequence[str], folder: Path, parts: Sequence[str] = ()) -> str:
    """A batch script; with parts that of an array of them. SLURM copies it when it is submitted, and so the names stand
    in it: a later submission with fewer parts does not change what jobs that still wait will do.
    """
    log = shlex.quote(str((folder / "%x-%A_%a.out" if parts else folder / "%x-%j.out").absolute()))
    words = shlex.join(command)
    options = [f"job-name=mv2mae-{stage}", f"output={log}", "open-mode=append", "requeue"]
    if stage in _TRAININGS:
        options.append("signal=USR1@300")
    if parts:
        options.append(f"array=1-{len(parts)}")
    lines = ["#!/bin/bash", *(f"#SBATCH --{option}" for option in options)]
    lines += ["set -euo pipefail", "export OMP_NUM_THREADS=1"]
    if not parts:
        return "\n".join([*lines, f"exec {words}"]) + "\n"
    lines += [
        "# srun does not take this over from sbatch since SLURM 22.05: a step would have one core",
        'if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"; fi',
        "parts=(",
        *(f"  {shlex.quote(part)}" for part in parts),
        ")",
        f'exec srun --kill-on-bad-exit=1 {words} "${{parts[SLURM_ARRAY_TASK_ID - 1]}}"',
    ]
    return "\n".join(lines) + "\n"


def _sbatch(script: Path, after: Sequence[str], extra: str) -> str:
    command = ["sbatch", "--parsable", *shlex.split(extra)]
    if after:
        command += ["--dependency", f"afterany:{':'.join(after)}"]
    try:
        done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"sbatch cannot be run ({error}); submit {script.parent}/*.sbatch by hand where SLURM is"
        ) from error
    if done.returncode:
        raise InputError(f"sbatch refused {script.name}: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout.strip().partition(";")[0]
