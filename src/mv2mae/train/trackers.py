"""Experiment trackers beside the run's own log: Weights & Biases and MLflow (`log.trackers`).

A run has one entry there however often it was stopped: what it is called stands in the run's `trackers.json`. A tracker
that fails while a run goes on costs nothing but its own rows.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from mv2mae.config import LogConfig
from mv2mae.errors import InputError
from mv2mae.files import write_json
from mv2mae.ranks import first_only, is_first
from mv2mae.runs import read_config
from mv2mae.text import first_line
from mv2mae.train.log import Rows

IDS_NAME = "trackers.json"
_log = logging.getLogger(__name__)


class Tracker(Rows):
    """Hands rows on to another logger; its first failure is told, and the run goes on."""

    def __init__(self, name: str, inner: Logger) -> None:
        super().__init__()
        self._name, self.inner, self.failed = name, inner, False

    @property
    def name(self) -> str:
        """Which tracker it is."""
        return self._name

    @first_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand on."""
        self._try("log_metrics", dict(metrics), step)

    @first_only
    def save(self) -> None:
        """Hand on."""
        self._try("save")

    @first_only
    def finalize(self, status: str) -> None:
        """Hand on."""
        self._try("finalize", status)

    def _try(self, what: str, *values: Any) -> None:
        try:
            getattr(self.inner, what)(*values)
        except Exception as error:  # of the network, of a server: nothing for which a run should end
            if not self.failed:
                _log.warning("%s: %s; the run goes on, log.csv has all rows", self._name, first_line(error))
            self.failed = True


def trackers(run: Path, log: LogConfig) -> list[Logger]:
    """The trackers that are asked for, ready to take rows; in the first process of a run.

    Raises:
        InputError: one is not installed or does not start (no login, no server).
    """
    if not is_first():
        return []
    return [Tracker(name, _started(name, run, log)) for name in log.trackers]


def _started(name: str, run: Path, log: LogConfig) -> Logger:
    ids = _ids(run)
    try:
        inner = _wandb(run, log, ids) if name == "wandb" else _mlflow(run, log, ids)
        inner.log_hyperparams(read_config(run))  # the first use, for which it has to be reached
        if name == "mlflow":
            ids["mlflow"] = str(inner.run_id)
    except ImportError as error:
        raise InputError(f"log.trackers={name} needs a package; pip install 'mv2mae[{name}]'") from error
    except Exception as error:  # each tracker has a dozen kinds
        raise InputError(f"log.trackers={name} does not start: {first_line(error)}") from error
    write_json(run / IDS_NAME, ids)
    return inner


def _wandb(run: Path, log: LogConfig, ids: dict[str, str]) -> Any:
    from pytorch_lightning.loggers import WandbLogger

    identity = ids.setdefault("wandb", secrets.token_hex(8))
    return WandbLogger(project=log.project, name=run.name, id=identity, resume="allow", save_dir=str(run))


def _mlflow(run: Path, log: LogConfig, ids: dict[str, str]) -> Any:
    from pytorch_lightning.loggers import MLFlowLogger

    where = os.environ.get("MLFLOW_TRACKING_URI")
    if where is None:  # files it is: MLflow 3 wants to be told that this is meant
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return MLFlowLogger(
        experiment_name=log.project,
        run_name=run.name,
        tracking_uri=where,
        save_dir=str(run.parent / "mlruns"),
        run_id=ids.get("mlflow"),
    )


def _ids(run: Path) -> dict[str, str]:
    """How trackers call this run; a damaged file is as good as none."""
    try:
        return dict(json.loads((run / IDS_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
