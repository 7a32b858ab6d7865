"""Features as a file that other programs read: `mv2mae extract`."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from mv2mae.config import FeatureConfig, VideosConfig
from mv2mae.data.labels import read_class_names
from mv2mae.data.manifest import read_manifest
from mv2mae.data.selection import manifest_of_part, rows_of_part
from mv2mae.errors import InputError
from mv2mae.files import atomic_write, make_writable, sweep, write_json
from mv2mae.seals import SEAL, DamagedError, check_seal, seal
from mv2mae.studies.features import Features, FrozenEncoder, Parts, join

ABOUT = ("path", "group", "view", "label", "class_name", "subject", "setup", "original")
"""What each row says of its video: `class_name` where its manifest has names, without which a label means nothing in
another one; `original`, the file that it was made from, where it was prepared."""
HEADER = "mv2mae_features"
"""Key of the file's metadata under which its description stands, as JSON."""
_log = logging.getLogger(__name__)
ENDINGS = (".parquet", ".safetensors")


@dataclass(frozen=True)
class Extraction:
    """What `extract` did."""

    out: Path
    num_rows: int
    broken: list[tuple[str, str]]
    """(path, reason) of each video that is left out."""
    report: Path | None
    """JSON that lists them."""


def extract(
    frozen: FrozenEncoder,
    rows: pd.DataFrame,
    data: VideosConfig,
    config: FeatureConfig,
    out: str | Path,
    *,
    fused: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Extraction:
    """Write the features of videos into one file, or go on where a killed process stopped.

    One row a clip, a moment of a clip or a token, as the level says: `path, group, view, label, subject, setup`,
    `class_name` where it is known, of prepared videos `original` (the file that `path` was made from),
    `clip`, `time` (seconds on the file's clock of the first frame of the clip, or of the tubelet), on token level
    `row` and `column` of the tubelet, and `feature`. Fused: the mean over a group's views that could be read, at the
    same clip and moment of each; without `path` and `view`, and `time` is that of one of them.

    Args:
        frozen, rows, data, config, device: as for `extract_features`.
        out: .parquet or .safetensors; parts lie in `OUT.parts` until it is finished.

    Raises:
        InputError: another ending, tokens to be fused, a file with other features, or no video that can be read.
    """
    out = Path(out)
    if out.suffix not in ENDINGS:
        raise InputError(f"{out} ends in {out.suffix or 'nothing'}; features go to a file in {' or '.join(ENDINGS)}")
    if fused and config.level == "token":
        raise InputError("tokens of different views do not show the same places; fuse on level clip or frame")
    rows = rows.reset_index(drop=True)
    make_writable(out.parent)
    sweep(out.parent, f".{out.name}.*.tmp")
    parts = Parts(frozen, rows, data, config, out.with_name(f"{out.name}.parts"))
    about = {
        "digest": parts.digest,
        "encoder": frozen.name,
        "fused": fused,
        "frame_stride": data.frame_stride,
        "fps": data.fps,
        **dataclasses.asdict(config),
    }
    if not _is_finished(out, parts.digest, fused):
        parts.complete(device=device, progress=progress)
        write = _write_parquet if out.suffix == ".parquet" else _write_safetensors
        broken = [(str(rows["path"][row]), reason) for row, reason in parts.errors().items()]
        with atomic_write(out) as temporary:
            write(temporary, _tables(parts, frozen, config, fused), {**about, "broken": broken, "seal": SEAL})
            seal(temporary)
    shutil.rmtree(parts.folder, ignore_errors=True)  # also those of a process that was killed just before this
    about = read_about(out)
    broken = [(path, reason) for path, reason in about["broken"]]
    report = out.with_suffix(".report.json") if broken else None
    if report:
        write_json(report, {"broken": broken})
    return Extraction(out, about["num_rows"], broken, report)


def read_features(path: str | Path) -> tuple[pd.DataFrame, Tensor]:
    """What `extract` wrote: the rows without the features, and the features [rows, d].

    Raises:
        InputError: no such file, or one with something else in it.
    """
    file, about = Path(path), read_about(path)
    if not check_seal(file) and "seal" in about:
        raise DamagedError(f"{file} is damaged: its description is not as it was written")
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        flat = table["feature"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = torch.from_numpy(flat.copy()).unflatten(0, (table.num_rows, -1))
        return table.drop_columns(["feature"]).to_pandas(), values
    with safetensors.safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    videos = pd.DataFrame(about["videos"]).iloc[tensors["video"].numpy()].reset_index(drop=True)
    own = {name: tensors[name].numpy() for name in ("clip", "row", "column", "time") if name in tensors}
    return videos.assign(**own), tensors["feature"]


def read_about(path: str | Path) -> dict[str, Any]:
    """How the features of a file were made: settings, digest, number of rows, broken videos.

    Raises:
        InputError: no such file, or one with something else in it.
    """
    file = Path(path)
    try:
        if file.suffix == ".parquet":
            return json.loads((pq.read_metadata(file).metadata or {})[HEADER.encode()])
        with safetensors.safe_open(file, framework="pt") as stored:
            return json.loads((stored.metadata() or {})[HEADER])
    except (OSError, KeyError, pa.ArrowInvalid, safetensors.SafetensorError) as error:
        raise InputError(f"{file} holds no features that `mv2mae extract` wrote ({error})") from error


# ---------------------------------------------------------------------------------------------------------


def _is_finished(out: Path, digest: str, fused: bool) -> bool:
    """Whether the file holds just these features already.

    Raises:
        InputError: it holds others.
    """
    if not out.exists():
        return False
    about = read_about(out)
    if (about["digest"], about["fused"]) != (digest, fused):
        raise InputError(f"{out} holds other features (encoder, videos or settings differ); remove it or give another")
    try:
        check_seal(out)
    except DamagedError as error:
        _log.warning("%s; it is made again", error)
        return False
    return True


def _tables(
    parts: Parts, frozen: FrozenEncoder, config: FeatureConfig, fused: bool
) -> Iterator[tuple[pd.DataFrame, Tensor]]:
    """Rows and features, a part at a time; all at once where views are fused, whose videos lie anywhere."""
    pieces: Any = parts
    if fused:
        pieces = [fuse(parts.rows, join([features for _, features in parts]))]
    for rows, features in pieces:
        kept = np.flatnonzero(features.good)
        if len(kept):
            yield _long(rows.iloc[kept], features.values[kept], features.times[kept], frozen, config)


def fuse(rows: pd.DataFrame, features: Features) -> tuple[pd.DataFrame, Features]:
    """The mean over the views of each group that could be read; a group without any is left out."""
    kept = np.flatnonzero(features.good)
    rows = rows.iloc[kept]
    codes, _ = pd.factorize(rows["group"])
    first = np.unique(codes, return_index=True)[1]
    index, values = torch.from_numpy(codes), features.values[kept]
    sums = values.new_zeros(len(first), *values.shape[1:]).index_add_(0, index, values)
    counts = torch.bincount(index).view(-1, 1, 1, 1)
    about = rows.iloc[first].drop(columns=["path", "view", "original"], errors="ignore")
    return about, Features(sums / counts, features.times[kept][first])


def _long(
    rows: pd.DataFrame, values: Tensor, times: Tensor, frozen: FrozenEncoder, config: FeatureConfig
) -> tuple[pd.DataFrame, Tensor]:
    """One row a clip, moment or token."""
    v, c, length, _ = values.shape
    _, h, w = frozen.encoder.config.grid
    place = np.arange(length)
    moment = {"clip": 0 * place, "frame": place, "token": place // (h * w)}[config.level]
    video = np.repeat(np.arange(v), c * length)
    table = rows[[name for name in ABOUT if name in rows]].iloc[video].reset_index(drop=True)
    table["clip"] = np.tile(np.repeat(np.arange(c), length), v)
    if config.level == "token":
        table["row"], table["column"] = np.tile(place // w % h, v * c), np.tile(place % w, v * c)
    table["time"] = times[:, :, moment].flatten().numpy()
    return table, values.flatten(0, 2)


def _write_parquet(file: Path, tables: Iterator[tuple[pd.DataFrame, Tensor]], about: dict[str, Any]) -> None:
    writer, num_rows = None, 0
    try:
        for rows, values in tables:
            table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
            flat = pa.array(values.flatten().numpy())
            table = table.append_column("feature", pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table.cast(writer.schema))
            num_rows += len(rows)
        assert writer is not None  # `Parts.complete` has seen a video that can be read
        writer.add_key_value_metadata({HEADER: json.dumps({**about, "num_rows": num_rows})})
    finally:
        if writer is not None:
            writer.close()


def _write_safetensors(file: Path, tables: Iterator[tuple[pd.DataFrame, Tensor]], about: dict[str, Any]) -> None:
    rows, values = zip(*tables, strict=True)
    table = pd.concat(rows, ignore_index=True)
    names = [name for name in ABOUT if name in table]
    videos = table[names].drop_duplicates(ignore_index=True)
    numbers = table[names].merge(videos.reset_index(names="video"), how="left")["video"]
    tensors = {"feature": torch.cat(values), "video": torch.tensor(numbers.to_numpy(np.int64))}
    for name in ("clip", "row", "column", "time"):
        if name in table:
            tensors[name] = torch.tensor(table[name].to_numpy())
    listed = json.loads(videos.to_json(orient="records"))
    save_file(tensors, file, metadata={HEADER: json.dumps({**about, "num_rows": len(table), "videos": listed})})


def rows_to_extract(data: VideosConfig, part: str) -> pd.DataFrame:
    """The videos of a manifest: all, or the part `train` or `test`; with the names of their classes, if it has some.

    Raises:
        InputError: nothing says which videos are the part.
    """
    query = {"train": data.train_query, "test": data.test_query}.get(part)
    if query == "" and not (data.split or data.test_manifest):
        raise InputError(
            f"nothing says which videos are the part {part}; give --data.split or --data.{part}_query, or "
            "leave --part out for all videos"
        )
    for name in ("train", "test") if part == "all" else ():
        if asked := getattr(data, f"{name}_query"):
            _log.warning(
                "data.%s_query (%s) has no effect on all videos; --part %s takes those alone", name, asked, name
            )
    rows = read_manifest(data.manifest) if part == "all" else rows_of_part(data, part)
    names = read_class_names(data.manifest if part == "all" else manifest_of_part(data, part))
    return rows.assign(class_name=rows["label"].map(names)) if names else rows
