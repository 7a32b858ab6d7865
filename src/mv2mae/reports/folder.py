"""What a run's folder holds, read for a report; of a run still going or killed, what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd

from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import RESULTS_NAME, fused_beside
from mv2mae.evaluate.results import TestResult
from mv2mae.evaluate.scores import SCORES_NAME, read_scores
from mv2mae.records import read_record
from mv2mae.runs import CONFIG_NAME, ENVIRONMENT_NAME, LOG_NAME, SNAPSHOTS_NAME, SUMMARY_NAME, read_config, read_log
from mv2mae.studies.geometry.results import GeometryResult
from mv2mae.studies.geometry.summary import GEOMETRY_NAME
from mv2mae.studies.probes.measure import PROBE_NAME
from mv2mae.studies.probes.results import ProbeResult
from mv2mae.studies.second_view.results import SECOND_VIEW_NAME, SecondViewResult

Kind = Literal["pre-training", "fine-tuning", "test", "probe", "study"]


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A test of a classifier: a folder that `mv2mae evaluate` wrote."""

    name: str
    folder: Path
    result: TestResult
    scores: pd.DataFrame | None
    """A row a video; None where there is no table of scores."""
    attention: pd.DataFrame | None = None
    """A row a group where the views were fused by attention."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Probes of frozen features: a folder that `mv2mae probe` wrote."""

    name: str
    result: ProbeResult


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """All that a report is made of."""

    path: Path
    kind: Kind
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    """None until the training has ended."""
    log: pd.DataFrame
    """A row a step; empty where nothing was logged."""
    snapshots: Mapping[str, Any] | None
    """What snapshots.json says."""
    tests: Sequence[Tested]
    probes: Sequence[Probed]
    geometry: Sequence[GeometryResult]
    second_views: Sequence[SecondViewResult]
    problems: Sequence[str]
    """Files that are there and cannot be read, and why."""

    @property
    def last_step(self) -> int:
        """The last step of which the log tells; 0 where it tells of none."""
        return int(self.log.index.max()) if len(self.log) else 0

    @property
    def held_out_groups(self) -> int | None:
        """Performances that a pre-training did not train on; None where that is not known, as before its end."""
        counts = (self.summary or {}).get("data")
        return counts.get("held_out_groups") if isinstance(counts, Mapping) else None

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole training, as far as the files tell."""
        if self.summary is not None and "steps" in self.summary:
            return int(self.summary["steps"])
        steps = self.config.get("optim", {}).get("steps")
        return None if steps is None else int(steps)


def read_folder(path: str | Path) -> RunFolder:
    """Read a run's folder, or that of a test, of probes or of a study alone.

    Raises:
        InputError: there is nothing of a run in it, or its configuration is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give the folder of a run, or of a test (RUN/evaluation)")
    reader = _Reader()
    config = read_config(path) if (path / CONFIG_NAME).exists() else {}
    places = [path, *sorted(part for part in path.iterdir() if part.is_dir())]
    tests = [test for place in places if (test := reader.test(place)) is not None]
    probes = [probed for place in places if (probed := reader.probes(place)) is not None]
    geometry = [found for place in places if (found := reader.read(place / GEOMETRY_NAME, GeometryResult.read))]
    second = [study for place in places if (study := reader.read(place / SECOND_VIEW_NAME, SecondViewResult.read))]
    kind = _kind(path, config)
    if kind is None:
        raise InputError(_nothing_in(path))
    return RunFolder(
        path=path,
        kind=kind,
        config=config,
        environment=reader.json(path / ENVIRONMENT_NAME) or {},
        summary=reader.json(path / SUMMARY_NAME),
        log=reader.log(path),
        snapshots=reader.json(path / SNAPSHOTS_NAME),
        tests=tests,
        probes=probes,
        geometry=geometry,
        second_views=second,
        problems=reader.problems,
    )


def _kind(path: Path, config: Mapping[str, Any]) -> Kind | None:
    if config:
        return "fine-tuning" if "head" in config else "pre-training"
    if (path / RESULTS_NAME).exists():
        return "test"
    if (path / PROBE_NAME).exists():
        return "probe"
    return "study" if any((path / name).exists() for name in _STUDIES) else None


_STUDIES = (GEOMETRY_NAME, SECOND_VIEW_NAME)


def _nothing_in(path: Path) -> str:
    inside = [
        str(part)
        for part in sorted(path.iterdir())
        if part.is_dir() and any((part / name).exists() for name in (CONFIG_NAME, RESULTS_NAME, PROBE_NAME, *_STUDIES))
    ]
    if inside:
        return f"{path} is no run but holds some; give one or more of them: {' '.join(inside[:5])}"
    return f"{path} holds neither a run ({CONFIG_NAME}) nor a test ({RESULTS_NAME}) nor probes ({PROBE_NAME})"


Found = TypeVar("Found")


class _Reader:
    """Reads files that may be missing; notes those that are there and cannot be read."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, file: Path, how: Callable[[Path], Found]) -> Found | None:
        if not file.exists():
            return None
        try:
            return how(file)
        except (OSError, InputError) as error:
            self.problems.append(str(error))
            return None

    def json(self, file: Path) -> dict[str, Any] | None:
        return self.read(file, read_record)

    def log(self, run: Path) -> pd.DataFrame:
        if not (run / LOG_NAME).exists():
            return pd.DataFrame()
        try:
            log = read_log(run)
            log.index = log.index.astype(int)
        except (OSError, ValueError, KeyError) as error:  # a run that is just beginning, or was cut off
            self.problems.append(f"{LOG_NAME} cannot be read: {error}")
            return pd.DataFrame()
        return log

    def test(self, folder: Path) -> Tested | None:
        result = self.read(folder / RESULTS_NAME, TestResult.read)
        if result is None:
            return None
        scores = attention = None
        if (folder / SCORES_NAME).exists():
            try:
                scores, attention = read_scores(folder / SCORES_NAME), fused_beside(folder / SCORES_NAME)
            except InputError as error:
                self.problems.append(str(error))
        return Tested(name=folder.name, folder=folder, result=result, scores=scores, attention=attention)

    def probes(self, folder: Path) -> Probed | None:
        result = self.read(folder / PROBE_NAME, ProbeResult.read)
        return None if result is None else Probed(name=folder.name, result=result)


def short_names(paths: Sequence[Path]) -> list[str]:
    """For each path as few of its last parts as tell it from the others: `a/x`, `b/x`; or `a`, `b`."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
