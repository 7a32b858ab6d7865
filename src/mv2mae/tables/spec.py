"""What a table is: rows, columns and the paper's values, read from a YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from mv2mae.config.check import require
from mv2mae.errors import InputError

Measure = Literal["top1", "fused", "probe", "retrieval"]
"""Top-1 of single views; of the views fused; of a linear probe on frozen features; recall@1 across views."""
MEASURES: tuple[str, ...] = get_args(Measure)
NEEDS_CLASSIFIER = ("top1", "fused")
NEEDS_VIEWS = ("fused", "retrieval")
Block = Mapping[str, Any]
"""Of a training: sections of its configuration, `recipe`, `data_set`, `as_much_as`, `times`, `as_costly_as`."""
_OWN_KEYS = {"recipe", "data_set", "as_much_as", "times", "as_costly_as"}
_SECTIONS = {"model", "data", "optim", "head", "augment", "test", "compute", "log"}
_VALUES = {"num_frames", "image_size", "num_repeats", "batch_counts", "train_blocks", "lora_rank", "lora_scale"} | {
    "ema_decay",
    "objective",
    "contrastive_temperature",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of each row: what is trained on, and what is measured."""

    name: str
    title: str
    measure: str = "top1"
    pretrain: Block = field(default_factory=dict)
    finetune: Block = field(default_factory=dict)
    test_on: str = ""
    """Data set whose test part is tested; empty = that of the fine-tuning."""
    test_query: str = ""
    """Which of its videos are tested; empty = as the trainings are divided."""

    def __post_init__(self) -> None:
        require(self.measure in MEASURES, f"column {self.name}: measure={self.measure!r}; {_choices(MEASURES)}")
        for stage in ("pretrain", "finetune"):
            check_block(getattr(self, stage), f"column {self.name}, {stage}")
        require(bool(self.pretrain), f"column {self.name}: no pretrain; name a recipe")
        needs = self.measure in NEEDS_CLASSIFIER
        require(not needs or bool(self.finetune), f"column {self.name}: {self.measure} needs finetune with a recipe")
        require(needs or not self.test_on, f"column {self.name}: test_on goes with {' and '.join(NEEDS_CLASSIFIER)}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of training."""

    name: str
    pretrain: Block | None = field(default_factory=dict)
    """Laid over the column's; None = from scratch."""
    finetune: Block = field(default_factory=dict)
    small: Block = field(default_factory=dict)
    """`pretrain` and `finetune` that hold at the small size in place of the row's own."""
    paper: Mapping[str, float] = field(default_factory=dict)
    """The paper's value in percent, by column."""
    measure: str = ""
    """In place of the columns'."""
    x: float | None = None
    """Place on the horizontal axis of a figure."""

    def __post_init__(self) -> None:
        for stage, block in (("pretrain", self.pretrain or {}), ("finetune", self.finetune), *self.small.items()):
            require(stage in ("pretrain", "finetune"), f"row {self.name}: small.{stage}; pretrain or finetune")
            check_block(block, f"row {self.name}, {stage}")
        require(self.measure in ("", *MEASURES), f"row {self.name}: measure={self.measure!r}; {_choices(MEASURES)}")

    def block(self, stage: str, size: str) -> Block | None:
        """What the row lays over a column's `pretrain` or `finetune`; None = no pre-training."""
        if stage == "pretrain" and self.pretrain is None:
            return None
        own = self.pretrain if stage == "pretrain" else self.finetune
        return self.small[stage] if size == "small" and stage in self.small else own


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table or figure: what is run, and what the paper has."""

    name: str
    title: str
    data: tuple[str, ...]
    """Names of the data sets, in the order in which `--data` gives their manifests; `any` takes any."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of rows, first less second."""
    seeds: tuple[int, int] = (1, 1)
    """Pre-trainings of each row, and fine-tunings of each of them."""
    size: str = "paper"
    """In which size it is run unless asked otherwise."""
    cited: tuple[Mapping[str, Any], ...] = ()
    """Rows of the paper that are others' results: `name` and values by column."""
    x_title: str = ""
    """Of a figure's horizontal axis; empty = no figure."""

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        require(len(set(names)) == len(names) > 0, f"table {self.name}: rows need names of their own")
        columns = [column.name for column in self.columns]
        require(len(set(columns)) == len(columns) > 0, f"table {self.name}: columns need names of their own")
        for name in (name for pair in self.compare for name in pair):
            require(name in names, f"table {self.name}: compare names {name!r}; rows: {', '.join(names)}")
        for row in self.rows:
            for column in row.paper:
                require(column in columns, f"row {row.name}: paper names {column!r}; columns: {', '.join(columns)}")
        blocks = [block for column in self.columns for block in (column.pretrain, column.finetune)]
        blocks += [block for row in self.rows for block in (row.pretrain or {}, row.finetune)]
        named_sets = [*(block.get("data_set", "") for block in blocks), *(column.test_on for column in self.columns)]
        for named in filter(None, named_sets):
            require(named in self.data, f"table {self.name}: data_set={named!r}; data: {', '.join(self.data)}")
        require(min(self.seeds) >= 1, f"table {self.name}: seeds={list(self.seeds)} must be at least 1")
        require(self.size in ("paper", "small"), f"table {self.name}: size={self.size!r}; paper or small")

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)


def check_block(block: Any, where: str) -> None:
    """Raises InputError unless it holds settings of a training."""
    require(isinstance(block, Mapping), f"{where}: {block!r} holds no settings; give a mapping such as model: ...")
    for key, value in block.items():
        if key in _OWN_KEYS | _VALUES:
            continue
        known = sorted(_OWN_KEYS | _SECTIONS | _VALUES)
        close = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        require(key in _SECTIONS, f"{where}: {key} is unknown; {hint}known: {', '.join(known)}")
        require(isinstance(value, Mapping), f"{where}: {key}={value!r}; give a mapping of its settings")


def merged(*blocks: Block) -> dict[str, Any]:
    """Blocks laid over each other: recipes follow one another, sections are joined, of other values the last holds."""
    made: dict[str, Any] = {}
    for block in blocks:
        for key, value in block.items():
            if key == "recipe":
                made[key] = [*made.get(key, []), *([value] if isinstance(value, str) else value)]
            elif isinstance(value, Mapping):
                made[key] = {**made.get(key, {}), **value}
            else:
                made[key] = value
    return made


def _files() -> dict[str, Path]:
    folder = Path(str(resources.files(__package__))) / "definitions"
    return {path.stem: path for path in folder.glob("*.yaml") if not path.stem.startswith("_")}


def list_tables() -> dict[str, str]:
    """Titles of the packaged tables by name, in the paper's order, then figures, then studies."""
    found = {name: str(yaml.safe_load(path.read_text(encoding="utf-8"))["title"]) for name, path in _files().items()}
    return dict(sorted(found.items(), key=lambda pair: (not pair[0].isdigit(), pair[0].zfill(4))))


def small_base() -> dict[str, Block]:
    """`pretrain` and `finetune` that take the place of the columns' recipes at the small size."""
    path = Path(str(resources.files(__package__))) / "definitions" / "_small.yaml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def load_table(name: str | Path) -> Table:
    """A packaged table (`7`, `fig4`, `second-camera`), or that of a YAML file.

    Raises:
        InputError: no such table, or a file that is none.
    """
    files = _files()
    path = files.get(str(name).lower().removeprefix("table").strip() if str(name) not in files else str(name))
    if path is None and Path(name).suffix in (".yaml", ".yml"):
        path = Path(name)
    if path is None or not path.is_file():
        close = difflib.get_close_matches(str(name), files, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"{name} is no table and no YAML file; {hint}tables: {', '.join(list_tables())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    require(isinstance(values, dict), f"{path} holds no table; give title, data, columns and rows")
    try:
        return _table(path.stem, values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _table(name: str, values: dict[str, Any]) -> Table:
    columns = values.pop("columns", None)
    rows = values.pop("rows", None)
    require(isinstance(columns, dict) and bool(columns), "columns is missing; give a mapping of name to settings")
    require(isinstance(rows, list) and bool(rows), "rows is missing; give a list, each with a name")
    values["data"] = _texts(values.get("data", "any"))
    values["notes"] = _texts(values.get("notes", ()))
    values["compare"] = tuple(tuple(map(str, pair)) for pair in values.get("compare", ()))
    require(all(len(pair) == 2 for pair in values["compare"]), "compare holds pairs of rows, [first, second]")
    values["seeds"] = tuple(values.get("seeds", (1, 1)))
    values["cited"] = tuple(values.get("cited", ()))
    values["name"] = name
    named = {str(key): {**block, "name": str(key)} for key, block in columns.items()}
    values["columns"] = tuple(_made(Column, f"column {key}", block) for key, block in named.items())
    values["rows"] = tuple(_made(Row, "row", _row(row, list(columns))) for row in rows)
    return _made(Table, "table", values)


def _row(values: Any, columns: Sequence[str]) -> dict[str, Any]:
    require(isinstance(values, dict) and "name" in values, f"row {values!r}: give a mapping with a name")
    paper = values.get("paper", {})
    paper = paper if isinstance(paper, dict) else {columns[0]: paper}
    return {**values, "name": str(values["name"]), "paper": paper}


def _made(kind: type[Any], what: str, values: dict[str, Any]) -> Any:
    known = list(kind.__dataclass_fields__)
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"{what}: {key} is unknown; {hint}known: {', '.join(known)}")
    missing = [key for key in ("title", "name") if key in known and key not in values]
    require(not missing, f"{what}: {', '.join(missing)} is missing")
    return kind(**values)


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _choices(names: Sequence[str]) -> str:
    return f"choose {', '.join(names)}"
