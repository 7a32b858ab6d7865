"""The files in a run's folder that tell what was run, and the weights beside them."""

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from mv2mae import runs
from mv2mae.config import PairConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.model.encoder import Encoder
from mv2mae.runs import check_run, environment, git_state, read_config, run_lock, settled, start_run
from mv2mae.settings import stored_settings
from mv2mae.weights import ENCODER, read_weights, save_weights


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "while parsing"),
        ("", "it holds no settings"),
        ("model", "it holds no settings"),
        ("data:\n  mani", "data holds no settings"),
        (b"\xff\xfe\xff", "codec can't decode"),
    ],
)
def test_a_damaged_configuration_is_one_line_wherever_it_is_read(text, why, tiny, tmp_path):
    save_weights(tmp_path / "model.safetensors", Encoder(tiny), ENCODER, tiny)
    (tmp_path / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for reads in (read_config, stored_settings, lambda run: check_run(run, PretrainConfig())):
        with pytest.raises(InputError, match=f"config.yaml cannot be read: .*{why}") as found:
            reads(tmp_path)
        assert "\n" not in str(found.value)


def test_a_configuration_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="config.yaml cannot be read: .*No such file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "not JSON",
        "[]",
        "3",
        "{}",
        json.dumps({"kind": ENCODER, "config": 3, "about": {}}),
        json.dumps({"kind": ENCODER, "config": {}, "about": None}),
        json.dumps({"kind": ENCODER, "config": {"tubelet_size": 2}, "about": {}}),
        json.dumps({"kind": ENCODER, "config": {"encoder_width": "wide"}, "about": {}}),
    ],
)
def test_a_damaged_description_of_weights_is_one_line(header, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"mv2mae": header})
    with pytest.raises(InputError, match=r"model.safetensors: the description in its header is damaged"):
        read_weights(tmp_path)


def test_the_recorded_command_can_be_run_again(monkeypatch):
    words = ["mv2mae", "pretrain", "--run", "my runs/a", "--data.train_query", "subject in [1, 2] and view != '3'"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/mv2mae", *words[1:]])
    assert shlex.split(environment()["command"]) == words


def test_the_commit_is_that_of_the_source_and_of_no_repository_around_it(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    source = tmp_path / ".venv" / "mv2mae" / "runs.py"
    source.parent.mkdir(parents=True)
    shutil.copy(runs.__file__, source)
    monkeypatch.setattr(runs, "__file__", str(source))
    assert git_state() is None
    git("init")
    git("commit", "--allow-empty", "-m", "somebody's own work")
    assert git_state() is None
    git("add", ".")
    git("commit", "-m", "the source")
    commit = git_state()
    assert commit
    assert "+changes" not in commit
    index = tmp_path / ".git" / "index"
    before = index.stat().st_mtime_ns
    os.utime(source)
    assert git_state() == commit
    source.write_text("")
    assert git_state() == f"{commit}+changes"
    assert index.stat().st_mtime_ns == before  # a kill in the middle of writing it would leave its lock


def test_a_run_that_an_earlier_version_left_with_relative_files_is_found_from_elsewhere(tmp_path, monkeypatch):
    run = tmp_path / "project" / "runs" / "old"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        "model: {num_frames: 16}\ndata: {manifest: sets/m.csv, split: ''}\ninit: runs/first\n"
    )
    monkeypatch.chdir(tmp_path)
    assert stored_settings("project/runs/old")["data.manifest"] == "sets/m.csv"  # there is none
    manifest = tmp_path / "project" / "sets" / "m.csv"
    manifest.parent.mkdir()
    manifest.write_text("path,group,view\n")
    assert stored_settings("project/runs/old")["data.manifest"] == str(manifest)
    assert read_config(run)["init"] == "runs/first"
    monkeypatch.chdir(tmp_path / "project")
    assert stored_settings("runs/old")["data.manifest"] == "sets/m.csv"
    config = PretrainConfig(data=PairConfig(manifest=str(manifest)))
    start_run(run, config)
    values = (run / "config.yaml").read_text().replace(str(manifest), "sets/m.csv")
    (run / "config.yaml").write_text(values)
    monkeypatch.chdir(tmp_path)
    check_run(run, config)  # it may go on from elsewhere


def test_a_run_is_held_by_one_training_at_a_time(tmp_path):
    with run_lock(tmp_path), pytest.raises(InputError, match=f"another training writes into {tmp_path}; stop it first"):
        run_lock(tmp_path, patience=0).__enter__()
    with run_lock(tmp_path, patience=0):
        pass


def test_where_there_are_no_locks_a_run_goes_on_without(tmp_path, monkeypatch):
    def no_locks(*args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(runs.FileLock, "acquire", no_locks)
    with run_lock(tmp_path), run_lock(tmp_path, patience=0):
        pass


def test_a_lock_goes_with_the_process_that_had_it(tmp_path):
    code = "import sys, time; from pathlib import Path; from mv2mae.runs import run_lock\n"
    code += f"with run_lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another training"):
            run_lock(tmp_path, patience=0).__enter__()
        process.kill()
    with run_lock(tmp_path, patience=5):
        pass


def test_a_run_remembers_its_files_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "m.csv").write_text("path,group,view\n")
    monkeypatch.chdir(tmp_path)
    config = PretrainConfig(data=PairConfig(manifest="m.csv"))
    start_run(tmp_path / "run", config)
    assert read_config(tmp_path / "run")["data"]["manifest"] == str(tmp_path / "m.csv")
    check_run(tmp_path / "run", config)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert stored_settings(tmp_path / "run")["data.manifest"] == str(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"holds a run with other settings \(data.manifest\)"):
        check_run(tmp_path / "run", config)  # m.csv is another file here, and not there
    assert settled(PretrainConfig())["data"]["manifest"] == "sample"
