"""Raw scores on disk: all figures of a test can be made again from them, without the model.

`scores.parquet`, a row a video:

- path, group, view, label, subject, setup: what the manifest says of it
- error: empty, or why the video could not be read
- p0, p1, ...: probabilities, the mean of the softmax over its clips and crops; empty where it could not be read. A
  column for each class that was trained, named after its label: with gaps where labels have none

`crops.parquet`, a row a crop of a clip: path, group, view, label, subject, setup as above, and

- clip: place of the clip in the video, 0 the earliest
- crop: place of the crop, in the order of `mv2mae.data.augment.cut_eval_crops`
- l0, l1, ...: the model's class scores before the softmax

`fused.parquet`, only where the views were fused by attention: the columns of scores.parquet with a row a group, and
num_views and num_fused, the views that there are and those that could be read.

Tables read by `read_scores` carry in `attrs` what they were made with: run, split, classes, num_clips, num_crops, and
names and numbers of the classes that were not trained (untrained, untrained_labels).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from mv2mae.data.labels import count_untrained
from mv2mae.data.manifest import read_table
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, naming
from mv2mae.seals import SEAL, seal

SCORES_NAME, CROPS_NAME, FUSED_NAME = "scores.parquet", "crops.parquet", "fused.parquet"
ABOUT = ("path", "group", "view", "label", "subject", "setup")
"""Columns that come from the manifest."""
_ROWS_AT_ONCE = 4096
_ROUNDING = 0.01
"""By which probabilities of other programs may be off: written with few digits, or in half precision."""
_log = logging.getLogger(__name__)


def numbered(scores: pd.DataFrame, letter: str) -> list[str]:
    """The columns `p0, p1, ...` or `l0, l1, ...` of a table, in the order of the classes."""
    found = (name for name in scores.columns if name[:1] == letter and name[1:].isdigit())
    return sorted(found, key=lambda name: int(name[1:]))


def class_names_in(scores: pd.DataFrame) -> dict[int, str]:
    """Names of the classes of a table by number, as far as it carries them; the untrained ones of its test included."""
    about, labels = scores.attrs, [int(name[1:]) for name in numbered(scores, "p")]
    if "names" in about:
        return dict(about["names"])
    if len(about.get("classes", ())) != len(labels):
        return {}
    known = dict(zip(labels, map(str, about["classes"]), strict=True))
    others = zip(about.get("untrained_labels", ()), about.get("untrained", ()), strict=False)
    return {int(label): str(label) for label in scores["label"]} | {int(k): str(v) for k, v in others} | known


def renumbered(scores: pd.DataFrame, new: Mapping[int, int], names: Mapping[int, str]) -> pd.DataFrame:
    """A table whose classes have other numbers.

    Args:
        new: number of each class by its present one.
        names: of the classes by their present number.
    """
    made = scores.rename(columns={f"p{label}": f"p{number}" for label, number in new.items()})
    made = made.assign(label=[new[int(label)] for label in scores["label"]])
    made.attrs = {**scores.attrs, "names": {new[label]: name for label, name in names.items()}}
    return made


def read_scores(source: str | Path) -> pd.DataFrame:
    """Scores of a test, a row a video.

    Args:
        source: `scores.parquet` (or a table like it, as .csv or .parquet), the folder in which `mv2mae evaluate`
            wrote it, or the run's folder.

    Raises:
        InputError: there are none, it is no table of scores, or its labels or probabilities are none.
    """
    file = find_scores(source)
    scores = read_table(file)
    classes = numbered(scores, "p")
    missing = [name for name in ("path", "group", "view", "label") if name not in scores]
    if missing or not classes:
        what = ", ".join(missing or ["p0, p1, ..."])
        raise InputError(f"{file} is no table of scores (it lacks {what}); give a scores.parquet of `mv2mae evaluate`")
    try:
        scores[["label", *classes]] = scores[["label", *classes]].apply(pd.to_numeric)
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: labels and probabilities must be numbers ({error})") from error
    try:
        _check_labels(scores["label"])
        count_untrained(scores, [int(name[1:]) for name in classes])
        error_column = scores["error"].fillna("") if "error" in scores else ""
        scores = scores.assign(label=scores["label"].astype(int), error=error_column)
        _check_probabilities(scores, classes)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return scores


def _check_labels(labels: pd.Series) -> None:
    """Raises InputError for labels that are no whole numbers; what is empty is told of elsewhere."""
    known = labels.dropna().to_numpy(dtype=np.float64)
    if len(bad := known[~(np.isfinite(known) & (known == np.floor(known)))]):
        raise InputError(f"label {bad[0]:g} is no whole number; labels are the numbers in the names of p0, p1, ...")


def _check_probabilities(scores: pd.DataFrame, classes: Sequence[str]) -> None:
    """Probabilities lie in [0, 1] and sum to 1; a video that could not be read has none, and a reason.

    Raises:
        InputError: a video has others.
    """
    values = scores[list(classes)].to_numpy(dtype=np.float64)
    missing = np.isnan(values)
    is_broken = missing.all(axis=1)
    inside = (values >= -_ROUNDING) & (values <= 1 + _ROUNDING)
    good = is_broken | (inside.all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _ROUNDING))
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        shown = ", ".join(f"{name}={value:g}" for name, value in zip(classes[:5], values[row], strict=False))
        raise InputError(
            f"{int((~good).sum())} of {len(scores)} videos have no probabilities, which lie in [0, 1] and sum to 1 "
            f"(first: {scores['path'].iloc[row]}: {shown}); give softmax scores, or leave all columns of a video empty"
        )
    if silent := int((is_broken & (scores["error"] == "").to_numpy()).sum()):
        _log.warning(
            "%d of %d videos have no probabilities and no reason why; they count as errors", silent, len(scores)
        )


def find_scores(source: str | Path) -> Path:
    """The file of scores that a path means: itself, or that of a run or of its folder of results.

    Raises:
        InputError: there is none.
    """
    source = Path(source)
    places = [source] if source.is_file() else [source / SCORES_NAME, source / "evaluation" / SCORES_NAME]
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        f"no scores at {source}; test the run first with `mv2mae evaluate {source}`, or give its score file"
    )


def read_crops(source: str | Path) -> pd.DataFrame:
    """Class scores of a test, a row a crop of a clip; `source` as for `read_scores`, or the file itself.

    Raises:
        InputError: there are none.
    """
    path = Path(source)
    file = path if path.is_file() else find_scores(path).with_name(CROPS_NAME)
    if not file.is_file():
        raise InputError(f"no class scores of crops at {file}; test the run again with `mv2mae evaluate`")
    crops = read_table(file)
    missing = [name for name in (*ABOUT, "clip", "crop") if name not in crops]
    if missing or not numbered(crops, "l"):
        missing = missing or ["l0, l1, ..."]
        raise InputError(f"{file} is no table of crops (it lacks {', '.join(missing)}); give a {CROPS_NAME}")
    return crops


def average_crops(crops: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The table `scores` with its probabilities made again from the crops that are given.

    `average_crops(crops.query("clip == 2 and crop == 4"), scores)` is the test with the middle clip's centre crop alone
    where 5 x 10 were scored.

    Raises:
        InputError: a video that could be read has no crop left.
    """
    logits = crops[numbered(crops, "l")].to_numpy(dtype=np.float32)
    columns = numbered(scores, "p")
    probabilities = pd.DataFrame(softmax(logits), columns=columns)
    keys = [crops["group"].astype(str).to_numpy(), crops["view"].astype(str).to_numpy()]
    means = probabilities.groupby(keys, sort=False).mean()
    wanted = pd.MultiIndex.from_arrays([scores["group"].astype(str), scores["view"].astype(str)])
    found = means.reindex(wanted)
    lost = found[columns[0]].isna().to_numpy() & (scores["error"] == "").to_numpy()
    if lost.any():
        raise InputError(f"{scores['path'][lost].iloc[0]} has none of these crops ({lost.sum()} such videos)")
    made = scores.copy()
    made[columns] = found.to_numpy()
    return made


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Probabilities of class scores."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet atomically, its `attrs` and a checksum with it."""
    made = pa.Table.from_pandas(table, preserve_index=False)
    about = {**(made.schema.metadata or {}), b"PANDAS_ATTRS": json.dumps(table.attrs).encode()}
    made = made.replace_schema_metadata(about)
    with atomic_write(path) as temporary:
        with pq.ParquetWriter(temporary, made.schema) as writer:
            writer.write_table(made)
            writer.add_key_value_metadata({"seal": SEAL})
        seal(temporary)


class CropWriter:
    """Writes `crops.parquet` while a test goes on, so that it need not fit into memory; a context manager.

    Args:
        path: the file; it appears when all is written.
        num_crops: crops of a clip.
        labels: the number in the data set of each class.
        names: columns of the manifest that hold names, where they may hold numbers.
    """

    def __init__(self, path: Path, num_crops: int, labels: Sequence[int], names: Collection[str] = ()) -> None:
        self.path, self.num_crops, self.labels, self.names = path, num_crops, labels, names
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._logits: list[np.ndarray] = []

    def add(self, about: Mapping[str, Any], logits: Float[np.ndarray, "k classes"]) -> None:
        """Note the class scores of all crops of a video."""
        for place in range(len(logits)):
            clip, crop = divmod(place, self.num_crops)
            self._rows.append({**about, "clip": clip, "crop": crop})
        self._logits.append(logits)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        logits = np.concatenate(self._logits)
        columns: dict[str, Any] = {
            name: _column(name, [row[name] for row in self._rows], is_text=name in self.names) for name in self._rows[0]
        }
        columns |= {f"l{label}": pa.array(logits[:, i]) for i, label in enumerate(self.labels)}
        table = pa.table(columns)
        with naming(self.path):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._temporary, table.schema)
            self._writer.write_table(table)
        self._rows, self._logits = [], []

    def __enter__(self) -> CropWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            elif self._writer is not None:
                with suppress(OSError):  # what failed first is told
                    self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._flush()
        if self._writer is not None:
            with naming(self.path):
                self._writer.add_key_value_metadata({"seal": SEAL})
                self._writer.close()
                seal(self._temporary)
                os.replace(self._temporary, self.path)


def _column(name: str, values: Sequence[Any], *, is_text: bool) -> pa.Array:
    """One type a column in every part of the file, whatever is empty in this one; views are names or numbers."""
    if is_text:
        return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())
    if name in ("label", "subject", "setup", "clip", "crop"):
        return pa.array([None if pd.isna(value) else int(value) for value in values], pa.int64())
    return pa.array([str(value) for value in values]).dictionary_encode() if name != "view" else pa.array(values)
