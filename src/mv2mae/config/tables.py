"""How a table is run here: on which videos, how often, how much of it, where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mv2mae.config.check import require

_NAMED = re.compile(r"(?:(?P<name>[\w ]+?)\s*:\s*)?(?P<query>[^\s:].*)")
_SEVERAL = "several tests have names of their own: 'people: subject > 20; cameras: view == 4'"


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """What `mv2mae table` is told besides the table."""

    data: tuple[str, ...]
    """Manifests, in the order of the table's data sets or as `NAME=MANIFEST`."""
    out: Path
    """Folder of the study."""
    store: Path | None = None
    """Folder of the runs, which several tables may share; None = `parts` in `out`."""
    seeds: tuple[int, int] | None = None
    """Pre-trainings of each row and fine-tunings of each of them; None = the table's own."""
    rows: tuple[str, ...] = ()
    """Names of rows to run; none = all."""
    columns: tuple[str, ...] = ()
    """Names of columns to run; none = all."""
    scale: float = 1.0
    """Share of the steps and of the performances: a small one rehearses the whole table."""
    size: str = ""
    """`paper`: the paper's recipes; `small`: recipes for hours on a few cores; empty = the table's own."""
    split: str = ""
    """In place of the table's split, on other data than the paper's."""
    train_query: str = ""
    """The same by queries."""
    test_query: str = ""
    """The same by queries; several tests of the same trainings as `NAME: QUERY; NAME: QUERY`."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`pretrain` and `finetune` settings over those of all rows."""

    def __post_init__(self) -> None:
        require(0 < self.scale <= 1, f"scale={self.scale} must lie in (0, 1], a share of the steps and videos")
        require(self.size in ("", "paper", "small"), f"size={self.size!r}; choose paper or small")
        require(self.seeds is None or min(self.seeds) >= 1, "seeds must be at least 1")
        queries = bool(self.train_query), bool(self.test_query)
        require(queries[0] == queries[1], "train_query and test_query go together; give both")
        require(not (self.split and any(queries)), "split and queries exclude each other; give one")
        require(len(self.tests) == 1 or all(self.tests), f"test_query={self.test_query!r}; {_SEVERAL}")

    @property
    def parts(self) -> Path:
        """Folder of the runs."""
        return self.store or self.out / "parts"

    @property
    def tests(self) -> dict[str, str]:
        """Queries of the test videos by name; a single one may have no name.

        Raises:
            InputError: two tests of one name, or a name without a query.
        """
        if not self.test_query:
            return {"": ""}
        pairs = [_NAMED.fullmatch(text.strip()) for text in self.test_query.split(";")]
        found = {(pair["name"] or ""): pair["query"] for pair in pairs if pair}
        require(len(found) == len(pairs), f"test_query={self.test_query!r}; {_SEVERAL}")
        return found

    @property
    def chosen(self) -> dict[str, Any] | None:
        """What says which videos are for training and which for the test, if it is not the table."""
        if self.split:
            return {"split": self.split, "train_query": "", "test_query": ""}
        if self.train_query:
            return {"split": "", "train_query": self.train_query, "test_query": next(iter(self.tests.values()))}
        return None
