"""Weights & Biases and MLflow: what they are handed, one entry a run, and failures that cost nothing."""

import dataclasses
import importlib.util
import json
import os

import pytest
import pytorch_lightning.loggers
from pytorch_lightning.loggers.logger import Logger
from tiny_runs import PRETRAINING

from mv2mae.cli import main
from mv2mae.errors import InputError
from mv2mae.runs import read_log
from mv2mae.train.pretrain import pretrain
from mv2mae.train.trackers import trackers


class Recorder(Logger):
    """Stands for Lightning's loggers."""

    made: list = []  # noqa: RUF012 - emptied by `recorded`

    def __init__(self, **options):
        super().__init__()
        self.options, self.rows, self.config, self.run_id = options, [], None, options.get("run_id") or "f00"
        Recorder.made.append(self)

    name = "recorder"
    version = ""

    def log_hyperparams(self, params):
        self.config = params

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    for name in ("WandbLogger", "MLFlowLogger"):
        monkeypatch.setattr(pytorch_lightning.loggers, name, Recorder)
    return Recorder.made


def with_trackers(*names, steps=3, **log):
    log = dataclasses.replace(PRETRAINING.log, trackers=names, project="kitchen", **log)
    return dataclasses.replace(PRETRAINING, log=log, optim=dataclasses.replace(PRETRAINING.optim, steps=steps))


def test_both_get_all_rows_and_the_configuration(recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "")  # put back afterwards
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    run = pretrain(with_trackers("wandb", "mlflow"), tmp_path / "run")
    wandb, mlflow = recorded
    assert (wandb.options["project"], wandb.options["name"], wandb.options["resume"]) == ("kitchen", "run", "allow")
    assert (mlflow.options["experiment_name"], mlflow.options["save_dir"]) == ("kitchen", str(tmp_path / "mlruns"))
    losses = [metrics["train/loss"] for _, metrics in wandb.rows if "train/loss" in metrics]
    assert losses == pytest.approx(read_log(run)["train/loss"].dropna().tolist(), rel=1e-4)
    assert wandb.rows == mlflow.rows
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"  # MLflow 3 writes no files unless told so
    assert wandb.config["optim"]["steps"] == 3


def test_a_run_has_one_entry_however_often_it_starts(recorded, tmp_path):
    run = pretrain(with_trackers(), tmp_path / "run")
    log = with_trackers("wandb", "mlflow").log
    trackers(run, log)
    trackers(run, log)
    first_wandb, first_mlflow, wandb, mlflow = recorded
    assert wandb.options["id"] == first_wandb.options["id"]
    assert first_mlflow.options["run_id"] is None
    assert mlflow.options["run_id"] == "f00"
    (run / "trackers.json").write_text("{")
    trackers(run, log)
    assert json.loads((run / "trackers.json").read_text())["wandb"] != wandb.options["id"]


def test_a_server_that_goes_away_does_not_end_the_run(recorded, tmp_path, monkeypatch, caplog):
    def gone(self, metrics, step):
        raise ConnectionError("no route to host\nlong story")

    monkeypatch.setattr(Recorder, "log_metrics", gone)
    run = pretrain(with_trackers("mlflow"), tmp_path / "run")
    assert read_log(run)["train/loss"].notna().sum() == 3
    told = [record.message for record in caplog.records if "mlflow" in record.message]
    assert told == ["mlflow: no route to host; the run goes on, log.csv has all rows"]


def test_what_does_not_start_is_said_before_the_first_step(recorded, tmp_path, monkeypatch):
    def refuse(self, params):
        raise RuntimeError("api_key not configured (no-tty)\ncall wandb.login")

    monkeypatch.setattr(Recorder, "log_hyperparams", refuse)
    with pytest.raises(InputError, match=r"^log.trackers=wandb does not start: api_key not configured \(no-tty\)$"):
        pretrain(with_trackers("wandb"), tmp_path / "run")


def test_one_that_is_not_installed_is_named(tmp_path, monkeypatch):
    def absent(**options):
        raise ModuleNotFoundError("No module named 'wandb'")

    monkeypatch.setattr(pytorch_lightning.loggers, "WandbLogger", absent)
    with pytest.raises(InputError, match=r"needs a package; pip install 'mv2mae\[wandb\]'"):
        pretrain(with_trackers("wandb"), tmp_path / "run")


def test_a_dry_run_leaves_no_entry(recorded, capsys):
    assert main(["pretrain", "--recipe", "sample-pretrain", "--log.trackers", "wandb,mlflow", "--dry_run"]) == 0
    assert "dry run done" in capsys.readouterr().out
    assert recorded == []


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_the_real_ones_take_a_run(name, tmp_path, monkeypatch):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"NOT TESTED: {name} is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = pretrain(with_trackers(name), tmp_path / "run")
    assert name in json.loads((run / "trackers.json").read_text())
    if name == "wandb":
        assert list((run / "wandb").glob("offline-run-*/run-*.wandb"))
    else:
        assert list((tmp_path / "mlruns").rglob("metrics/train/loss"))
