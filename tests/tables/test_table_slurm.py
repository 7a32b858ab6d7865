"""Array jobs: what is handed to sbatch, with one that stands in for it."""

import os
import subprocess

import pytest
from small_tables import few_videos, table_file

from mv2mae.cli import main

SBATCH = """#!/bin/bash
echo "$@" >> "$SBATCH_CALLS"
if [[ -n "${SBATCH_REFUSES:-}" ]]; then echo "invalid partition" >&2; exit 1; fi
wc -l < "$SBATCH_CALLS"
"""
SRUN = """#!/bin/bash
shift  # its own option
echo "${SRUN_CPUS_PER_TASK:-}" > "$(dirname "$SBATCH_CALLS")/cpus"
exec "$@"
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The file that lists what sbatch was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SBATCH_CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def names_in(script):
    """The parts that a batch script does."""
    return script.read_text().partition("parts=(\n")[2].partition("\n)")[0].split()


def words_of(tmp_path):
    return ["table", str(table_file(tmp_path)), "--data", str(few_videos(tmp_path)), "--out", str(tmp_path / "out"),
            "--split", "synthetic/xsub", "--columns", "single", "--rows", "0.5,0.9"]  # fmt: skip


def test_stages_become_arrays_that_wait_for_each_other(tmp_path, calls, capsys):
    words = words_of(tmp_path)
    assert main([*words, "--submit", "slurm", "--sbatch=--partition=gpu --gpus-per-node=1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("pretrain: 2 parts, job 1\nfinetune: 2 parts, job 2\ntest: 2 parts, job 3\ncollect: job 4")
    folder = tmp_path / "out" / "slurm"
    submitted = calls.read_text().splitlines()
    assert all(line.startswith("--parsable --partition=gpu --gpus-per-node=1") for line in submitted)
    waits = [line.partition("--dependency ")[2].partition(" ")[0] for line in submitted]
    # whatever became of the stage before: a part that failed keeps only those waiting that need it
    assert waits == ["", "afterany:1", "afterany:2", "afterany:1:2:3"]
    assert [line.rpartition("/")[2] for line in submitted] == [
        "pretrain.sbatch",
        "finetune.sbatch",
        "test.sbatch",
        "collect.sbatch",
    ]
    script = (folder / "pretrain.sbatch").read_text()
    assert "#SBATCH --array=1-2\n" in script
    assert "#SBATCH --signal=USR1@300\n" in script
    assert "--signal" not in (folder / "test.sbatch").read_text(), "it would end what does not save"
    assert len(names_in(folder / "pretrain.sbatch")) == 2


def test_a_job_does_its_part_and_the_last_one_collects(tmp_path, calls, monkeypatch):
    words = words_of(tmp_path)
    assert main([*words, "--submit", "slurm"]) == 0
    folder, elsewhere = tmp_path / "out" / "slurm", tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "2", "SLURM_CPUS_PER_TASK": "3"}
    job = ["bash", str(folder / "pretrain.sbatch")]
    assert subprocess.run(job, cwd=elsewhere, env=environment, check=False).returncode == 0
    assert (tmp_path / "cpus").read_text() == "3\n", "srun needs to be told"
    names = names_in(folder / "pretrain.sbatch")
    assert [(tmp_path / "out/parts" / name / "part.json").exists() for name in names] == [False, True]
    assert main([*words, "--submit", "slurm"]) == 0  # what is done is not submitted again
    assert names_in(folder / "pretrain.sbatch") == names[:1]


def test_without_sbatch_or_when_it_refuses_a_line_says_so(tmp_path, calls, monkeypatch, capsys):
    words = words_of(tmp_path)
    monkeypatch.setenv("SBATCH_REFUSES", "1")
    assert main([*words, "--submit", "slurm"]) == 1
    assert "sbatch refused pretrain.sbatch: invalid partition" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([*words, "--submit", "slurm"]) == 1
    assert "sbatch cannot be run" in capsys.readouterr().err
