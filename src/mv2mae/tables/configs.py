"""From a row and a column to the configurations of their trainings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from mv2mae.config import FinetuneConfig, OptimConfig, PretrainConfig, TableConfig, VideosConfig
from mv2mae.data.protocols import PROTOCOLS
from mv2mae.errors import InputError
from mv2mae.model.flops import step_flops
from mv2mae.recipes import load_recipe, read_recipe
from mv2mae.tables.sets import DataSet, as_much_as, fewest_labelled, num_labelled, num_pairs, rows_for, scaled
from mv2mae.tables.spec import Block, Column, Row, Table, merged, small_base

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)
Videos = TypeVar("Videos", bound=VideosConfig)
_OWN_KEYS = ("recipe", "data_set", "as_much_as", "times", "as_costly_as")
_PER_PRETRAINING = 1000
"""Seeds of fine-tuning that belong to one pre-training."""
_FEWEST_STEPS = 2


class Settings:
    """Makes the configurations of a study.

    Args:
        table: what is run.
        options: how.
        sets: its manifests by the names of the data sets.
    """

    def __init__(self, table: Table, options: TableConfig, sets: Mapping[str, DataSet]) -> None:
        self.table, self.options, self.sets = table, options, sets
        self.size = options.size or table.size
        self.small = small_base() if self.size == "small" else {}
        self._known: dict[str, Any] = {}

    def pretraining(self, row: Row, column: Column, seed: int) -> tuple[PretrainConfig, DataSet] | None:
        """A pre-training and its videos; None for a row from scratch."""
        own = row.block("pretrain", self.size)
        if own is None:
            return None
        block = self._block("pretrain", row, column)
        config = dataclasses.replace(self._loaded(block, PretrainConfig), seed=seed)
        if "as_costly_as" in block:
            config = self._as_costly(config, self.table.row(str(block["as_costly_as"])), column)
        return self._on(config, block, column, f"row {row.name}")

    def finetuning(self, row: Row, column: Column, pretraining: int, seed: int) -> tuple[FinetuneConfig, DataSet]:
        """A fine-tuning (without `init`) and its videos; from scratch it has the model of the row's pre-training."""
        block = self._block("finetune", row, column)
        config = self._loaded(block, FinetuneConfig)
        if row.pretrain is None:
            like = self._loaded(self._block("pretrain", row, column), PretrainConfig).model
            config = dataclasses.replace(config, model=like)
        config = dataclasses.replace(config, seed=_PER_PRETRAINING * pretraining + seed)
        config, data = self._on(config, block, column, f"row {row.name}")
        return _with_few_labels(config, data), data

    def tested(self, column: Column, divided: Videos, data: DataSet) -> tuple[Videos, DataSet]:
        """What a row is tested on: the test part of its own set, or what the column names instead."""
        if column.test_query:
            divided = dataclasses.replace(divided, test_query=column.test_query)
        if column.test_on:
            data = scaled(self.sets[column.test_on], divided, self.options.scale, self.options.out / "data")
            divided = dataclasses.replace(divided, manifest=data.manifest)
        if column.test_query or column.test_on:
            rows_for(data, divided, "test")
        return divided, data

    def has_views(self, column: Column) -> bool:
        """Whether some performance of a column's own test is seen from two views; true for the division's."""
        if not column.test_query:
            return True
        data = self.sets[column.test_on or self.table.data[0]]
        rows = rows_for(data, VideosConfig(manifest=data.manifest, test_query=column.test_query), "test")
        return bool(rows.groupby("group")["view"].nunique().max() > 1)

    def _block(self, stage: str, row: Row, column: Column) -> dict[str, Any]:
        of_column = dict(column.pretrain if stage == "pretrain" else column.finetune)
        if self.size == "small":  # another recipe and another length; which views, and on what, stays
            of_column = {key: value for key, value in of_column.items() if key not in ("recipe", "optim")}
        of_options = self.options.settings.get(stage, {})
        block = merged(self.small.get(stage, {}), of_column, row.block(stage, self.size) or {}, of_options)
        if not block.get("recipe"):
            raise InputError(
                f"table {self.table.name}: column {column.name} names no recipe for {stage} at the size {self.size}; "
                f"add one (recipe: NAME), or give --settings FILE with {stage}: {{recipe: NAME}}"
            )
        return block

    def _loaded(self, block: Block, kind: type[Config]) -> Config:
        key = kind.__name__ + json.dumps(block, sort_keys=True)
        if key not in self._known:  # building a parser takes a while, and seeds share their settings
            self._known[key] = self._load(block, kind)
        return cast(Config, self._known[key])

    def _load(self, block: Block, kind: type[Config]) -> Config:
        first, *overlays = block["recipe"]
        laid_over = map(read_recipe, overlays)
        settings = {key: value for key, value in block.items() if key not in _OWN_KEYS}
        values = merged(*laid_over, settings)
        values["optim"] = _one_length(values.get("optim", {}))
        return load_recipe(first, kind, **values)

    def _on(self, config: Config, block: Block, column: Column, what: str) -> tuple[Config, DataSet]:
        """The configuration on the data set that the block names, divided and shortened as the options say."""
        stage = column.finetune if isinstance(config, FinetuneConfig) else column.pretrain
        own = {"split", "train_query", "test_query"} & set(block.get("data", {}))
        divided = config.data if own else dataclasses.replace(config.data, **self._division(stage))
        folder = self.options.out / "data"
        whole = self.sets[str(block.get("data_set", self.table.data[0]))]
        if "as_much_as" in block:
            real = self.sets[str(block["as_much_as"])]
            of_real = dataclasses.replace(config.data, **self._division(column.finetune))
            amount = round(float(block.get("times", 1)) * len(rows_for(real, of_real, "train")))
            whole = as_much_as(whole, amount, folder, what)
        data = scaled(whole, divided, self.options.scale, folder)
        rows_for(data, divided, "train")
        config = dataclasses.replace(config, data=dataclasses.replace(divided, manifest=data.manifest))
        return _shortened(config, whole, self.options.scale), data

    def _division(self, stage: Block) -> dict[str, Any]:
        """What divides a data set into training and test videos: the options, or else the column's recipe.

        At the small size it is the generated set's split of the same kind: by people, cameras or rooms.
        """
        if self.options.chosen is not None:
            return self.options.chosen
        names = merged(stage).get("recipe") or ()
        of_recipe = read_recipe(names[0]) if names else {}
        found = {key: str(of_recipe.get("data", {}).get(key, "")) for key in ("split", "train_query", "test_query")}
        if self.size == "small" and found["split"]:
            kind = found["split"].rpartition("/")[2]
            found["split"] = f"synthetic/{kind if kind in PROTOCOLS['synthetic'].splits else 'xsub'}"
        return found

    def _as_costly(self, config: PretrainConfig, other: Row, column: Column) -> PretrainConfig:
        """As many steps more as the other row's step has more operations."""
        reference = self.pretraining(other, column, config.seed)
        if reference is None:
            raise InputError(f"table {self.table.name}: as_costly_as names {other.name}, which is not pre-trained")
        like = self._loaded(self._block("pretrain", other, column), PretrainConfig)
        ratio = _cost_of_step(like) / _cost_of_step(config)
        return dataclasses.replace(config, optim=_times(config.optim, ratio))


def _cost_of_step(config: PretrainConfig) -> float:
    return step_flops(config.model, 1 + config.data.num_sources).total * config.optim.batch_size


def _times(optim: OptimConfig, ratio: float) -> OptimConfig:
    """A longer or shorter training with a warm-up of the same share."""
    lengths: dict[str, Any] = {}
    for name in ("epochs", "warmup_epochs"):
        if (value := getattr(optim, name)) is not None:
            lengths[name] = value * ratio
    for name in ("steps", "warmup_steps"):
        if (value := getattr(optim, name)) is not None:
            lengths[name] = max(1, round(value * ratio))
    return dataclasses.replace(optim, **lengths)


def _one_length(optim: Mapping[str, Any]) -> dict[str, Any]:
    """Steps put epochs of a recipe below out of force, and the other way round."""
    made = dict(optim)
    for a, b in (("steps", "epochs"), ("warmup_steps", "warmup_epochs"), ("lr", "base_lr")):
        for given, other in ((a, b), (b, a)):
            if made.get(given) is not None and other not in optim:
                made[other] = None
    return made


def _shortened(config: Config, data: DataSet, scale: float) -> Config:
    """A share of the steps that the whole set would have had."""
    if scale == 1:
        return config
    if isinstance(config, FinetuneConfig):
        items = num_labelled(data, config.data, config.seed)
        items *= 1 if config.batch_counts == "videos" else config.num_repeats
    else:
        items = num_pairs(data, config.data)
    steps = max(_FEWEST_STEPS, round(config.optim.total_steps(items) * scale))
    warmup = min(steps // 2, round(config.optim.num_warmup_steps(items) * scale))
    optim = dataclasses.replace(config.optim, steps=steps, epochs=None, warmup_steps=warmup, warmup_epochs=None)
    log = dataclasses.replace(config.log, log_every=min(config.log.log_every, max(1, steps // 4)))
    return dataclasses.replace(config, optim=optim, log=log)


def _with_few_labels(config: FinetuneConfig, data: DataSet) -> FinetuneConfig:
    """Of a drawn part with fewer performances than labels are asked for: as many as there are."""
    wanted = config.data.labels_per_class
    if wanted is None or not data.drawn_from:
        return config
    number = min(wanted, max(1, fewest_labelled(data, config.data)))
    return dataclasses.replace(config, data=dataclasses.replace(config.data, labels_per_class=number))
