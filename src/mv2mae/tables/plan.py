"""A table laid out as trainings and tests: each is done once, whatever needs it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mv2mae.config import EvalConfig, FinetuneConfig, PretrainConfig, TableConfig, VideosConfig
from mv2mae.errors import InputError
from mv2mae.runs import plain
from mv2mae.tables.configs import Settings
from mv2mae.tables.sets import ANY, DataSet, check_is, digest_of, open_sets
from mv2mae.tables.spec import NEEDS_CLASSIFIER, NEEDS_VIEWS, Column, Row, Table
from mv2mae.text import listed

Stage = Literal["pretrain", "finetune", "test", "probe", "retrieval"]
STAGES: tuple[Stage, ...] = ("pretrain", "finetune", "probe", "retrieval", "test")
_FREE = ("compute", "log")
"""Sections that decide speed and logging, not results."""
_TESTED = ("split", "train_query", "test_query", "test_manifest", "frame_stride", "fps", "cache", "cache_size")


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A training or a test.

    name: from all that decides its result, so that whatever has the same name is the same. config: without `init`.
    needs: what has to be there before. data: its videos. test: of a test.
    """

    stage: Stage
    name: str
    config: PretrainConfig | FinetuneConfig | VideosConfig
    data: DataSet
    needs: Part | None = None
    test: EvalConfig | None = None

    def folder(self, parts: Path) -> Path:
        """Where it keeps what it makes."""
        return parts / self.name


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a row, as the statistics count it: its name, and the parts that measure it."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """What fills a cell: trainings of one kind. Empty where there is nothing to measure (a probe from scratch)."""

    row: Row
    column: Column
    measure: str
    kind: str
    trainings: tuple[Training, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of a study, and the parts that they need, each after what it needs."""

    table: Table
    options: TableConfig
    size: str
    seeds: tuple[int, int]
    cells: tuple[TableCell, ...]
    parts: tuple[Part, ...]
    sets: Mapping[str, DataSet]

    def users(self) -> dict[str, list[str]]:
        """For each part the cells that rest on it, `row, column`."""
        found: dict[str, list[str]] = {part.name: [] for part in self.parts}
        for cell in self.cells:
            for part in {part.name: part for last in _lasts(cell) for part in _chain(last)}.values():
                found[part.name].append(f"{cell.row.name}, {cell.column.name}")
        return found


def plan_table(table: Table, options: TableConfig) -> Plan:
    """Lay out a table.

    Raises:
        InputError: rows or columns that the table does not have, manifests that are not its data sets', splits, recipes
            or settings that do not fit.
    """
    sets = open_sets(table.data, options.data)
    settings = Settings(table, options, sets)
    if settings.size == "paper" and options.chosen is None:
        for name, data in sets.items():
            if name != ANY:
                check_is(name, data)
    rows = _chosen("row", options.rows, [row.name for row in table.rows])
    chosen = _chosen("column", options.columns, [column.name for column in table.columns])
    tested = {column.name: _with_tests(column, options.tests) for column in table.columns}
    columns = [column for name in chosen for column in tested[name]]
    table = _with_columns(table, tuple(column for each in tested.values() for column in each))
    seeds = options.seeds or table.seeds
    maker = _Parts(settings, seeds)
    cells = tuple(maker.cell(row, column) for row in table.rows if row.name in rows for column in columns)
    # the first training of every row before the second of any: a study that is stopped has whole tables
    ordered = sorted(maker.made.values(), key=lambda part: (maker.turn[part.name], STAGES.index(part.stage)))
    return Plan(
        table=table, options=options, size=settings.size, seeds=seeds, cells=cells, parts=tuple(ordered), sets=sets
    )


def _with_tests(column: Column, tests: Mapping[str, str]) -> list[Column]:
    """The column once for each of several tests of its trainings."""
    if len(tests) == 1:
        return [column]
    return [
        replace(column, name=f"{column.name} ({name})", title=f"{column.title}: {name}", test_query=query)
        for name, query in tests.items()
    ]


def _with_columns(table: Table, columns: tuple[Column, ...]) -> Table:
    """The paper has no values for other columns than its own."""
    if columns == table.columns:
        return table
    return replace(table, columns=columns, rows=tuple(replace(row, paper={}) for row in table.rows))


def _chosen(what: str, wanted: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    for name in wanted:
        if name not in known:
            raise InputError(f"{name!r} is no {what} of the table; {what}s: {', '.join(known)}")
    return wanted or known


def _lasts(cell: TableCell) -> Iterator[Part]:
    for training in cell.trainings:
        yield from training.parts


def _chain(part: Part | None) -> Iterator[Part]:
    while part is not None:
        yield part
        part = part.needs


class _Parts:
    """Makes parts; one that was made before is the same one."""

    def __init__(self, settings: Settings, seeds: tuple[int, int]) -> None:
        self.settings, self.seeds, self.now = settings, seeds, 0
        self.made: dict[str, Part] = {}
        self.turn: dict[str, int] = {}
        """Of each part the number of the training for which it was made first."""

    def cell(self, row: Row, column: Column) -> TableCell:
        measure = row.measure or column.measure
        scratch = row.pretrain is None
        trainings: list[Training] = []
        if measure in NEEDS_VIEWS and not self.settings.has_views(column):
            pass
        elif measure in NEEDS_CLASSIFIER:
            for k in range(self.seeds[0]):
                self.now = k
                start = self.pretrained(row, column, k)
                tests = [self.tested(row, column, start, (k, j)) for j in range(self.seeds[1])]
                if start is None:  # each fine-tuning is a training of its own
                    trainings += [Training(name=_training_of(test), parts=(test,)) for test in tests]
                else:
                    names = digest_of(start.name, *(_training_of(test) for test in tests))
                    trainings.append(Training(name=names, parts=tuple(tests)))
        elif not scratch:
            for k in range(self.seeds[0]):
                self.now = k
                start = self.pretrained(row, column, k)
                assert start is not None
                trainings.append(Training(name=start.name, parts=(self.frozen(row, column, start, measure),)))
        kind = f"{'from scratch' if scratch else 'pre-trained'} {measure}"
        return TableCell(row=row, column=column, measure=measure, kind=kind, trainings=tuple(trainings))

    def pretrained(self, row: Row, column: Column, seed: int) -> Part | None:
        found = self.settings.pretraining(row, column, seed)
        return None if found is None else self._part("pretrain", found[0], found[1])

    def tested(self, row: Row, column: Column, start: Part | None, seeds: tuple[int, int]) -> Part:
        config, data = self.settings.finetuning(row, column, *seeds)
        tuned = self._part("finetune", config, data, needs=start)
        tested, on = self.settings.tested(column, config.data, data)
        return self._part("test", _tested_on(tested), on, needs=tuned, test=config.test)

    def frozen(self, row: Row, column: Column, start: Part, measure: str) -> Part:
        # on the videos of the fine-tuning where the column has one, else on those of the pre-training
        if column.finetune:
            config, data = self.settings.finetuning(row, column, 0, 0)
            divided: VideosConfig = config.data
        else:
            divided, data = start.config.data, start.data  # type: ignore[union-attr]
        tested, data = self.settings.tested(column, divided, data)
        stage: Stage = "probe" if measure == "probe" else "retrieval"
        return self._part(stage, _tested_on(tested), data, needs=start)

    def _part(
        self,
        stage: Stage,
        config: PretrainConfig | FinetuneConfig | VideosConfig,
        data: DataSet,
        *,
        needs: Part | None = None,
        test: EvalConfig | None = None,
    ) -> Part:
        name = part_name(stage, config, data, needs=needs, test=test)
        former = part_name(stage, config, data, needs=needs, test=test, former=True)
        parts = self.settings.options.parts
        if (parts / former).is_dir() and not (parts / name).is_dir():
            name = former
        if name not in self.made:
            self.turn[name] = self.now
            self.made[name] = Part(stage=stage, name=name, config=config, data=data, needs=needs, test=test)
        return self.made[name]


def part_name(
    stage: Stage,
    config: PretrainConfig | FinetuneConfig | VideosConfig,
    data: DataSet,
    *,
    needs: Part | None = None,
    test: EvalConfig | None = None,
    former: bool = False,
) -> str:
    """The name of a part, from all that decides its result (see `Part`).

    Args:
        former: the name that version 0.2.0 gave it, from all settings, those at their default too.
    """
    values = plain(config if former else _changed(config))
    if former and "model" in values:
        values["model"]["position_grid"] = None  # a setting then
    for name in _FREE:
        values.pop(name, None)
    values.get("data", values).pop("manifest", None)  # its content counts, not its place
    if test is not None:
        values["test"] = [test.num_clips, test.num_crops]
    said = json.dumps(values, sort_keys=True)
    return f"{stage}-{digest_of(stage, said, data.digest, needs.name if needs else '')}"


def _changed(config: Any) -> dict[str, Any]:
    """Settings that differ from their defaults: options that come later do not rename what was done before them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if value != default:
            found[field.name] = _changed(value) if dataclasses.is_dataclass(value) else value
    return found


def _training_of(test: Part) -> str:
    assert test.needs is not None
    return test.needs.name


def _tested_on(data: VideosConfig) -> VideosConfig:
    """What `mv2mae evaluate RUN` takes over of a training's data settings."""
    return VideosConfig(manifest=data.manifest, **{name: getattr(data, name) for name in _TESTED})


def part_named(plan: Plan, name: str) -> Part:
    """The part of a plan with this name.

    Raises:
        InputError: there is none; the settings of the command are not those of the plan that named it.
    """
    for part in plan.parts:
        if part.name == name:
            return part
    raise InputError(
        f"{name} is no part of this table with these settings; parts: {listed([p.name for p in plan.parts])}"
    )


def config_of(part: Part, parts: Path) -> PretrainConfig | FinetuneConfig:
    """A training's configuration with its start."""
    assert not isinstance(part.config, VideosConfig)
    if isinstance(part.config, FinetuneConfig) and part.needs is not None:
        return dataclasses.replace(part.config, init=str(part.needs.folder(parts)))
    return part.config
