"""What the parts of a study left, as the figures of its cells and the comparisons of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.config import FinetuneConfig
from mv2mae.evaluate.metrics import fuse_views, top1_hits
from mv2mae.evaluate.scores import SCORES_NAME, read_scores
from mv2mae.evaluate.seeds import LEVEL, Estimate, Trainings, compare_trainings, holm, mean_estimate, trainings_of
from mv2mae.records import read_record
from mv2mae.tables.cost import DONE_NAME, Cost, costs_of, seconds_of
from mv2mae.tables.plan import Part, Plan, TableCell, Training
from mv2mae.tables.retrieval import RANKS_NAME
from mv2mae.text import counted

PREDICTIONS_NAME = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A cell: its figure with what it rests on. estimate: None where nothing is done yet.

    each: of every training. planned: trainings that there shall be. num: answers of a training. crops: clips and crops
    of each video. seconds, flops: of all that the cell rests on, shared parts too. devices: on which.
    """

    cell: TableCell
    trainings: Trainings | None
    estimate: Estimate | None
    planned: int
    num: int
    crops: str
    seconds: float
    flops: float
    devices: tuple[str, ...]

    @property
    def paper(self) -> float | None:
        """The paper's value as a share."""
        value = self.cell.row.paper.get(self.cell.column.name)
        return None if value is None else value / 100

    @property
    def each(self) -> list[float]:
        """The figure of each training."""
        return [] if self.trainings is None else self.trainings.each


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two rows in a column. corrected: p by Holm's method over all comparisons of the table."""

    first: str
    second: str
    column: str
    estimate: Estimate
    corrected: float
    paper: float | None

    @property
    def told_apart(self) -> bool:
        """Whether the difference is hardly chance."""
        return self.corrected < 1 - LEVEL

    @property
    def verdict(self) -> str:
        """In words, with the sign of the paper's difference where it has one."""
        if not self.told_apart:
            return "not told apart"
        ahead = self.first if self.estimate.value > 0 else self.second
        against = ""
        if self.paper:
            against = (
                ", as in the paper" if (self.paper > 0) == (self.estimate.value > 0) else ", other than in the paper"
            )
        return f"{ahead} ahead{against}"


@dataclass(frozen=True, kw_only=True)
class Results:
    """A study as far as it is done. missing: names of parts that are not."""

    plan: Plan
    cells: tuple[Measured, ...]
    comparisons: tuple[Compared, ...]
    missing: tuple[str, ...]
    seconds: float
    flops: float

    def of(self, row: str, column: str) -> Measured:
        """The cell of a row and a column."""
        return next(m for m in self.cells if (m.cell.row.name, m.cell.column.name) == (row, column))

    @property
    def scope(self) -> str:
        """What the intervals and tests speak of."""
        done = [m for m in self.cells if m.estimate is not None]
        if done and all(m.estimate is not None and m.estimate.counts_trainings for m in done):
            return "Intervals and p are for other performances and other trainings (seeds) alike."
        return (
            "Intervals and p of rows with one training are for other performances alone: they say nothing of another "
            "training with another seed."
        )


def results_of(plan: Plan) -> Results:
    """Read what is done of a plan.

    Raises:
        InputError: scores that cannot be read, or of other videos.
    """
    costs = {cost.part.name: cost for cost in costs_of(plan)}
    trainings = [_trainings(cell, plan.options.parts) for cell in plan.cells]
    cells = tuple(
        _measured(cell, found, _alike(cell, plan.cells, trainings), costs, plan.options.parts)
        for cell, found in zip(plan.cells, trainings, strict=True)
    )
    done = [cost for cost in costs.values() if cost.done]
    return Results(
        plan=plan,
        cells=cells,
        comparisons=_comparisons(plan, cells),
        missing=tuple(cost.part.name for cost in costs.values() if not cost.done),
        seconds=sum(seconds_of(cost.part, plan.options.parts) or 0.0 for cost in done),
        flops=sum(cost.flops for cost in done),
    )


def answers_of(part: Part, parts: Path, measure: str) -> pd.DataFrame:
    """`group` and `hit` of each answer of a test, probe or retrieval."""
    folder = part.folder(parts)
    if measure == "retrieval":
        ranks = pd.read_parquet(folder / RANKS_NAME)
        ranks = ranks[ranks["gallery"] == "all"]
        return pd.DataFrame({"group": ranks["group"], "hit": ranks["rank"] == 1}).reset_index(drop=True)
    file = folder / (PREDICTIONS_NAME if measure == "probe" else SCORES_NAME)
    scores = read_scores(file)
    if measure == "fused":
        scores = fuse_views(scores)
    return pd.DataFrame({"group": scores["group"], "hit": top1_hits(scores)})


def _is_done(training: Training, parts: Path) -> bool:
    return all((part.folder(parts) / DONE_NAME).is_file() for part in training.parts)


def _trainings(cell: TableCell, parts: Path) -> Trainings | None:
    done = [training for training in cell.trainings if _is_done(training, parts)]
    if not done:
        return None
    tables = [[answers_of(part, parts, cell.measure) for part in training.parts] for training in done]
    return trainings_of(tables, [training.name for training in done], cell.kind)


def _alike(cell: TableCell, cells: Sequence[TableCell], trainings: Sequence[Trainings | None]) -> list[Trainings]:
    """All of a column, from which is told how much trainings of a kind vary."""
    pairs = zip(cells, trainings, strict=True)
    return [found for other, found in pairs if other.column is cell.column and found is not None]


def _measured(
    cell: TableCell, found: Trainings | None, alike: Sequence[Trainings], costs: dict[str, Cost], parts: Path
) -> Measured:
    used: dict[str, Part] = {}
    for training in cell.trainings:
        for last in training.parts:
            part: Part | None = last
            while part is not None:
                used[part.name] = part
                part = part.needs
    done = {name: part for name, part in used.items() if costs[name].done}
    notes = [read_record(part.folder(parts) / DONE_NAME) for part in done.values()]
    tests = {f"{p.test.num_clips} x {p.test.num_crops}" for p in used.values() if p.test is not None}
    return Measured(
        cell=cell,
        trainings=found,
        estimate=None if found is None else mean_estimate(found, alike),
        planned=len(cell.trainings),
        num=0 if found is None else len(found.hits[0]),
        crops=", ".join(sorted(tests)) or "1 x 1",
        seconds=sum(float(note["seconds"]) for note in notes),
        flops=sum(costs[name].flops for name in done),
        devices=tuple(sorted({str(note["device"]) for note in notes})),
    )


def _comparisons(plan: Plan, cells: Sequence[Measured]) -> tuple[Compared, ...]:
    found: list[tuple[tuple[str, str, str], Estimate]] = []
    by_place = {(m.cell.row.name, m.cell.column.name): m for m in cells}
    for column in plan.table.columns:
        everyone = [m.trainings for m in cells if m.cell.column is column and m.trainings is not None]
        for first, second in plan.table.compare:
            pair = [by_place.get((name, column.name)) for name in (first, second)]
            a, b = (None if m is None else m.trainings for m in pair)
            if a is not None and b is not None:
                found.append(((first, second, column.name), compare_trainings(a, b, everyone)))
    corrected = holm({str(place): estimate.p for place, estimate in found})
    return tuple(
        Compared(
            first=place[0],
            second=place[1],
            column=place[2],
            estimate=estimate,
            corrected=corrected[str(place)],
            paper=_paper_difference(by_place[place[0], place[2]], by_place[place[1], place[2]]),
        )
        for place, estimate in found
    )


def _paper_difference(first: Measured, second: Measured) -> float | None:
    return None if first.paper is None or second.paper is None else first.paper - second.paper


def seeds_in_words(plan: Plan) -> str:
    """`2 pre-trainings, each fine-tuned 5 times`."""
    pretrain, finetune = plan.seeds
    has_labels = any(isinstance(part.config, FinetuneConfig) for part in plan.parts)
    often = "once" if finetune == 1 else f"{finetune} times"
    times = f", each fine-tuned {often}" if has_labels else ""
    return counted(pretrain, "pre-training") + " of each row" + times


def as_values(results: Results) -> dict[str, Any]:
    """All figures as plain values, for JSON."""
    plan = results.plan
    return {
        "table": plan.table.name,
        "title": plan.table.title,
        "size": plan.size,
        "scale": plan.options.scale,
        "seeds": list(plan.seeds),
        "data": {name: data.manifest for name, data in plan.sets.items()},
        "missing": list(results.missing),
        "seconds": results.seconds,
        "operations": results.flops,
        "cells": [_cell_values(measured) for measured in results.cells],
        "comparisons": [
            {"first": c.first, "second": c.second, "column": c.column, "difference": c.estimate.value,
             "interval": list(c.estimate.interval), "p": c.estimate.p, "p_holm": c.corrected,
             "counts_trainings": c.estimate.counts_trainings, "paper": c.paper, "verdict": c.verdict}
            for c in results.comparisons
        ],
    }  # fmt: skip


def _cell_values(m: Measured) -> dict[str, Any]:
    return {
        "row": m.cell.row.name, "column": m.cell.column.name, "measure": m.cell.measure, "x": m.cell.row.x,
        "value": None if m.estimate is None else m.estimate.value,
        "interval": None if m.estimate is None else list(m.estimate.interval),
        "each": m.each, "trainings": len(m.each), "planned": m.planned, "answers": m.num, "clips_x_crops": m.crops,
        "paper": m.paper, "seconds": m.seconds, "operations": m.flops, "devices": list(m.devices),
        "parts": [[part.name for part in training.parts] for training in m.cell.trainings],
    }  # fmt: skip
