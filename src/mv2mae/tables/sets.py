"""The videos of a study: the manifests that were given, and parts of them for rehearsals and for Figure 3."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mv2mae.config import ClipConfig, PairConfig, VideosConfig
from mv2mae.data.labels import class_key, few_labels, read_class_names
from mv2mae.data.manifest import beside, find_class_names, read_manifest, sample_manifest, write_manifest
from mv2mae.data.pairing import pair_views
from mv2mae.data.protocols import PROTOCOLS, select
from mv2mae.errors import InputError
from mv2mae.text import counted, listed

ANY = "any"
"""Name of a data set that may be anyone's."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A manifest. digest: of what is in it, or of what it is drawn from and how. drawn_from: the whole of a part."""

    manifest: str
    digest: str
    frame: pd.DataFrame
    drawn_from: str = ""


def digest_of(*parts: object) -> str:
    """What tells one content from another, in 12 letters."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def open_sets(names: tuple[str, ...], given: tuple[str, ...]) -> dict[str, DataSet]:
    """The data sets of a table by name.

    Args:
        names: of the table's data sets.
        given: manifests in their order, or `NAME=MANIFEST`.

    Raises:
        InputError: too many or too few, unknown names, no such manifest.
    """
    by_name = dict(pair.split("=", 1) for pair in given if pair.partition("=")[0] in names and "=" in pair)
    others = [path for path in given if not ("=" in path and path.partition("=")[0] in names)]
    missing = [name for name in names if name not in by_name]
    if len(others) != len(missing):
        wanted = ",".join(f"{name}=MANIFEST" for name in names) if len(names) > 1 else "MANIFEST"
        raise InputError(
            f"the table needs {counted(len(names), 'manifest')} ({', '.join(names)}), and {len(given)} came; "
            f"give --data {wanted}"
        )
    by_name |= dict(zip(missing, others, strict=True))
    opened = {name: _opened(by_name[name]) for name in names}
    return {name: _told_apart(data, opened.values()) for name, data in opened.items()}


def _told_apart(data: DataSet, every: Iterable[DataSet]) -> DataSet:
    """Manifests with the same rows in different places name different videos, for instance of two stores."""
    if all(other.manifest == data.manifest or other.digest != data.digest for other in every):
        return data
    return replace(data, digest=digest_of(data.digest, data.manifest))


def _opened(manifest: str) -> DataSet:
    frame = read_manifest(manifest)
    file = sample_manifest() if manifest == "sample" else Path(manifest)
    content = file.read_bytes() if file.is_file() else frame.to_csv().encode()
    names = sorted(read_class_names(manifest).items())
    digest = digest_of(hashlib.sha256(content).hexdigest(), names, *_generated_with(manifest))
    absolute = manifest if manifest == "sample" or "://" in manifest else str(file.absolute())
    return DataSet(manifest=absolute, digest=digest, frame=frame)


def _generated_with(manifest: str) -> tuple[str, ...]:
    """The settings of generated videos, which their manifest does not tell: moving cameras have the same names."""
    file = None if manifest == "sample" else beside(manifest, "synth.json")
    if file is None:
        return ()
    text = file.read_text(encoding="utf-8")
    try:
        return (json.dumps(json.loads(text)["config"], sort_keys=True),)
    except (ValueError, KeyError, TypeError):
        return (text,)


def check_is(name: str, data: DataSet) -> None:
    """Raises InputError where a manifest is seen to be of another data set than the table's."""
    known = PROTOCOLS[name].class_names if name in PROTOCOLS else ()
    if not known:
        return
    own = read_class_names(data.manifest)
    there = sorted(int(label) for label in data.frame["label"].dropna().unique())
    named = bool(own) and any(
        label >= len(known) or class_key(own[label]) != class_key(known[label]) for label in there if label in own
    )
    if named or (there and (there[-1] >= len(known) or len(there) < len(known) / 2)):
        said = listed([own.get(label, str(label)) for label in there], most=3)
        raise InputError(
            f"{data.manifest} is not {name}: it has {counted(len(there), 'class', 'classes')} ({said}), {name} has "
            f"{len(known)}; give the manifest of `mv2mae index {name}`, or run the table on other videos with "
            "--size small --split PROTOCOL/SPLIT (or --train_query and --test_query)"
        )


def rows_for(data: DataSet, config: VideosConfig, part: str) -> pd.DataFrame:
    """The rows for training or for the test.

    Raises:
        InputError: a split or query that the manifest does not allow.
    """
    return select(
        data.frame, split=config.split, part=part, query=config.train_query if part == "train" else config.test_query
    )


def num_pairs(data: DataSet, config: PairConfig) -> int:
    """Items of an epoch of pre-training, before some groups are held out."""
    return len(pair_views(rows_for(data, config, "train"), config).targets)


def num_labelled(data: DataSet, config: ClipConfig, seed: int) -> int:
    """Videos of an epoch of fine-tuning."""
    return len(few_labels(rows_for(data, config, "train"), config, seed))


def scaled(data: DataSet, config: VideosConfig, scale: float, folder: Path) -> DataSet:
    """A share of the performances of each class, of training and test alike; one of each at least.

    Nothing is written: `write_set` does so.
    """
    if scale == 1:
        return data
    frame = data.frame
    kinds: list[list[str]] = []
    if config.split or config.train_query:
        kinds = [sorted(set(rows_for(data, config, part)["group"])) for part in ("train", "test")]
    table = frame.groupby("group", sort=True)["label"].first().to_frame()
    table["kind"] = [str([group in members for members in map(set, kinds)]) for group in table.index]
    kept: set[str] = set()
    for _, part in table.groupby(["label", "kind"], dropna=False):
        order = sorted(map(str, part.index), key=lambda group: digest_of("scaled", group))
        kept |= set(order[: max(1, round(scale * len(order)))])
    digest = digest_of(data.digest, "scaled", scale, config.split, config.train_query, config.test_query)
    return _part_of(data, frame["group"].isin(kept).to_numpy(), digest, folder)


def as_much_as(data: DataSet, num_videos: int, folder: Path, what: str) -> DataSet:
    """Performances of a set, drawn until they have that many videos.

    Raises:
        InputError: there are not so many.
    """
    if num_videos > len(data.frame):
        raise InputError(
            f"{what} needs {num_videos:,} videos, and {data.manifest} has {len(data.frame):,}; leave the row out "
            "(--rows), or give more"
        )
    groups, counts = np.unique(data.frame["group"].astype(str).to_numpy(), return_counts=True)
    order = sorted(range(len(groups)), key=lambda k: digest_of("amount", groups[k]))
    needed = int(np.searchsorted(np.cumsum(counts[order]), num_videos)) + 1
    kept = {groups[k] for k in order[:needed]}
    digest = digest_of(data.digest, "amount", num_videos)
    return _part_of(data, data.frame["group"].astype(str).isin(kept).to_numpy(), digest, folder)


def _part_of(data: DataSet, kept: np.ndarray, digest: str, folder: Path) -> DataSet:
    manifest = str(folder.absolute() / digest / "manifest.parquet")
    whole = data.drawn_from or data.manifest
    return DataSet(manifest=manifest, digest=digest, frame=data.frame[kept].reset_index(drop=True), drawn_from=whole)


def write_set(data: DataSet) -> None:
    """Write the manifest of a drawn part, with what lies beside its whole; nothing where it is there."""
    file = Path(data.manifest)
    if not data.drawn_from or file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    finders: dict[str, Callable[[], Path | None]] = {
        f"{file.stem}.classes.json": lambda: find_class_names(data.drawn_from),
        "cameras.json": lambda: beside(data.drawn_from, "cameras.json"),
    }
    for name, find in finders.items():
        found = find()
        if found is not None:
            shutil.copyfile(found, file.with_name(name))
    write_manifest(data.frame, file)


def fewest_labelled(data: DataSet, config: VideosConfig) -> int:
    """Performances of the class that has the fewest for training; 0 where there are no labels."""
    counts = rows_for(data, config, "train").groupby("label")["group"].nunique()
    return 0 if counts.empty else int(counts.min())
