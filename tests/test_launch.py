"""Processes that torchrun or srun start: who does what, and what the SLURM script makes of its words."""

import os
import subprocess
from pathlib import Path

import pytest

from mv2mae.cli.main import VERBS, main, parse
from mv2mae.ranks import Launch, alone, is_first, launch

SCRIPT = Path(__file__).parents[1] / "scripts" / "slurm" / "train.sbatch"
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}
SRUN = {"SLURM_NTASKS": "16", "SLURM_JOB_NAME": "mv2mae"}
FAKE_SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
printf '%s\\n' "$@" > "$SEEN"
echo "cpus $SRUN_CPUS_PER_TASK, threads $OMP_NUM_THREADS"
"""


@pytest.fixture
def started(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in ("RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)

    def start(env, **more):
        for name, value in {**env, **more}.items():
            monkeypatch.setenv(name, value)

    return start


def test_who_started_this_process(started):
    assert launch() is None
    assert is_first()
    started(SRUN, SLURM_PROCID="3")
    assert launch() == Launch("srun", 3, 16)
    assert not is_first()
    started(TORCHRUN, RANK="1")  # torchrun within an allocation of SLURM
    assert launch() == Launch("torchrun", 1, 2)
    with alone():
        assert launch() is None
    assert os.environ["RANK"] == "1"


def test_a_shell_in_an_allocation_is_no_launch(started):
    started(SRUN, SLURM_PROCID="0", SLURM_JOB_NAME="interactive")
    assert launch() is None


@pytest.mark.parametrize("env", [{**TORCHRUN, "RANK": "{}"}, {**SRUN, "SLURM_PROCID": "{}"}])
def test_what_one_process_does_only_the_first_does(started, capsys, env):
    started({name: value.format(1) for name, value in env.items()})
    assert main(["recipes"]) == 0
    assert capsys.readouterr().out == ""
    started({name: value.format(0) for name, value in env.items()})
    assert main(["recipes"]) == 0
    assert "sample-pretrain" in capsys.readouterr().out


def test_trainings_want_all_processes_but_for_a_rehearsal():
    for verb in ("pretrain", "finetune"):
        wanted = VERBS[verb].in_all_processes
        assert wanted(parse(verb, ["--run", "x"]))
        assert not wanted(parse(verb, ["--run", "x", "--dry_run", "true"]))
    assert not VERBS["evaluate"].in_all_processes(None)


@pytest.mark.parametrize(("by", "env"), [("torchrun", TORCHRUN), ("srun", {**SRUN, "SLURM_NTASKS_PER_NODE": "8"})])
def test_a_training_with_other_processes_than_were_started_is_refused(started, tmp_path, capsys, by, env):
    started(env, RANK="0", SLURM_PROCID="0")
    words = ["--run", str(tmp_path / "run"), "--compute.accelerator", "cpu", "--compute.devices", "1"]
    assert main(["pretrain", *words]) == 1
    assert f"{by} started {launch().num} processes, but compute.devices=1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_tasks_that_lightning_cannot_place_are_refused(started, tmp_path, capsys):
    started(SRUN, SLURM_PROCID="0")
    assert main(["pretrain", "--run", str(tmp_path / "run"), "--compute.accelerator", "cpu"]) == 1
    assert "Use `--ntasks-per-node=16` instead" in capsys.readouterr().err


def test_the_slurm_script_starts_the_right_command(tmp_path):
    srun, seen = tmp_path / "srun", tmp_path / "seen"
    srun.write_text(FAKE_SRUN)
    srun.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SEEN": str(seen),
        "SLURM_NNODES": "2",
        "SLURM_NTASKS_PER_NODE": "8",
        "SLURM_CPUS_PER_TASK": "16",
    }
    words = ["pretrain", "--recipe", "paper-ntu120-xsub", "--data", "two words.parquet", "--run", "runs/x"]
    done = subprocess.run(["bash", str(SCRIPT), *words], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "cpus 16, threads 1\n"
    command, verb, *options = seen.read_text().splitlines()
    assert (command, verb) == ("mv2mae", "pretrain")
    made = parse(verb, options)
    assert (made.compute.num_nodes, made.compute.devices, made.compute.num_workers) == (2, 8, 15)
    assert (made.data.manifest, made.data.split, made.run) == ("two words.parquet", "ntu120/xsub", "runs/x")


def test_the_slurm_script_asks_for_what_it_passes_on():
    head = dict(
        line.removeprefix("#SBATCH --").split()[0].split("=", 1)
        for line in SCRIPT.read_text().splitlines()
        if line.startswith("#SBATCH --") and "=" in line
    )
    assert head["ntasks-per-node"] == head["gpus-per-node"]  # one process a GPU
    assert head["signal"].startswith("SIGUSR1@")
