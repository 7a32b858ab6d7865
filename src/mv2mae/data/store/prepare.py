"""`mv2mae prepare`: from a manifest of videos to a store of small ones, and the manifest that names its items.

OUT/manifest.parquet      the same rows; `path` names an item: store/shard-000000.tar#KEY
OUT/cameras.json          the cameras of the videos, if those of the originals are known
OUT/problems.csv          what was set aside, with the reason; only where there is something
OUT/store/store.json      the settings
OUT/store/shard-*.tar     the items, `shard_size` to a tar
OUT/store/index.parquet   where each item lies and what it was made from
OUT/store/parts/*         a table for each whole shard: what a killed run, or another machine, has done
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.progress import track

from mv2mae.config import StoreConfig
from mv2mae.data.calibration import CAMERAS_NAME, cameras_of, prepared_cameras
from mv2mae.data.cameras import Cameras
from mv2mae.data.images import version_of
from mv2mae.data.manifest import copy_class_names, read_manifest, seconds_or_none, write_manifest
from mv2mae.data.store.crop import load_detector, read_boxes
from mv2mae.data.store.index import (
    INDEX,
    PARTS,
    ShardRecord,
    Source,
    check_header,
    read_record,
    write_index,
    write_record,
)
from mv2mae.data.store.make import Item, make_items
from mv2mae.data.store.shards import SHARD, add_item, open_shard
from mv2mae.data.video import VideoError, available_cores, is_item, is_there, read_info
from mv2mae.errors import InputError
from mv2mae.files import LEFTOVERS, atomic_write, write_csv, write_json

MANIFEST = "manifest.parquet"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What a run of `prepare` did: counts of videos.

    `manifest` is that of the store, None after a part; `num_bytes` are those of the shards.
    """

    manifest: Path | None
    out: Path
    made: int
    kept: int
    set_aside: int
    num_bytes: int

    def summary(self) -> str:
        """Some lines for the terminal."""
        size = f"{self.num_bytes / 1e6:,.1f} MB of shards in {self.out / 'store'}"
        done = f"made {self.made:,} videos, {self.kept:,} were there" if self.made else "nothing to do"
        lines = [f"{done}; {self.made + self.kept:,} videos, {size}"]
        if self.set_aside:
            listed = f", listed in {self.out / 'problems.csv'}" if self.manifest else ""
            lines.append(f"  {self.set_aside:,} videos set aside{listed}")
        lines.append(f"  wrote {self.manifest}" if self.manifest else "  this is a part; run --merge after all parts")
        return "\n".join(lines)


def prepare(
    manifest: str | Path,
    out: str | Path,
    config: StoreConfig | None = None,
    *,
    processes: int | None = 1,
    part: str = "",
    merge: bool = False,
    progress: bool = True,
    cameras: str = "",
) -> PrepareReport:
    """Writes the store of a manifest, or what is missing of it.

    Whole shards are kept: the same call after a stop goes on, and after the end does nothing. Shards whose
    videos, or whose rows' part or box, have changed since are made again; other settings are refused. The bytes
    do not depend on `processes` or on parts.

    Args:
        manifest: of the originals, or `sample`.
        out: folder to write.
        config: settings; None = the defaults.
        processes: that decode and encode; None = one a core.
        part: `3/16`: only the third of sixteen parts of the shards, for as many machines; then `merge`.
        merge: make nothing, but the index and the manifest of what the parts made.
        progress: show a bar.
        cameras: known cameras of the originals (`read_calibration`), if they are not cameras.json beside the manifest.

    Raises:
        InputError: bad input, settings other than those of an earlier run, a merge before all parts are done,
            no video that can be read, or a shard to be replaced whose originals are gone.
    """
    config, folder = config or StoreConfig(), Path(out) / "store"
    if merge and part:
        raise InputError(f"part={part} and merge exclude each other; make the parts first, then merge")
    processes = available_cores() if processes is None else processes
    if processes < 1:
        raise InputError(f"processes={processes} must be at least 1")
    frame = read_manifest(manifest)
    known = _known_cameras(str(manifest), cameras, frame, Path(out), config)
    shards = _plan(frame, config)
    mine = _part_of(len(shards), part)
    if Path(manifest).resolve() == Path(out, MANIFEST).resolve():
        raise InputError(f"{manifest} lies where the store's own manifest will be; give another folder than {out}")
    check_header(folder / "store.json", config)
    missing = [number for number in mine if not _is_made(folder, number, shards[number])]
    if merge and missing:
        raise InputError(
            f"{len(missing)} of {len(shards)} shards are not made or not up to date (first: shard {missing[0]}); "
            "run the parts that are missing, then merge"
        )
    _check_nothing_is_lost(folder, [*missing, *_beyond(folder, len(shards))])
    _make(folder, config, {number: shards[number] for number in missing}, processes, progress)
    records = {number: _record(folder, number) for number in mine}
    made = sum(len(records[number].rows) for number in missing)
    return PrepareReport(
        manifest=None if part else _finish(manifest, frame, Path(out), list(records.values()), known),
        out=Path(out),
        made=made,
        kept=sum(len(record.rows) for record in records.values()) - made,
        set_aside=sum(len(record.problems) for record in records.values()),
        num_bytes=sum(_shard_file(folder, number).stat().st_size for number in mine),
    )


def _plan(frame: pd.DataFrame, config: StoreConfig) -> list[list[Source]]:
    """What goes into each shard: the rows of the manifest in their order."""
    if config.crop == "person":
        load_detector(config.detector)  # what is wrong with it is no video's fault
    boxes = read_boxes(config.boxes, frame) if config.crop == "boxes" else [None] * len(frame)
    sources = []
    rows = zip(frame["path"], frame["group"], frame["view"], frame["start"], frame["end"], boxes, strict=True)
    for number, (path, group, view, start, end, box) in enumerate(rows):
        if is_item(path):
            raise InputError(f"{path} is an item of a store already; give the manifest of the originals")
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{group}-{view}")[:80]
        part = seconds_or_none(start), seconds_or_none(end)
        try:
            sources.append(Source(f"{number:08d}-{name}", path, *part, box, *version_of(path)))
        except OSError:
            sources.append(Source(f"{number:08d}-{name}", path, *part, box))
    return [sources[first : first + config.shard_size] for first in range(0, len(sources), config.shard_size)]


def _known_cameras(manifest: str, file: str, frame: pd.DataFrame, out: Path, config: StoreConfig) -> Cameras:
    """The cameras of the originals. Those that were not asked for and do not fit are left out, with a word."""
    try:
        known = cameras_of(manifest, file)
        known.vectors(frame)
    except InputError as error:
        if file:
            raise
        _log.warning("cameras are left out: %s", error)
        return Cameras()
    if config.crop != "none" and known.name and Path(known.name).resolve() == (out / CAMERAS_NAME).resolve():
        raise InputError(
            f"{known.name} lies where the cameras of the cut videos will be; give another folder than {out}"
        )
    return known


def _part_of(num_shards: int, part: str) -> list[int]:
    """Numbers of the shards of a part; of all of them without one."""
    if not part:
        return list(range(num_shards))
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", part)
    number, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= parts:
        raise InputError(f"part={part!r} is none; give the part's number from 1 on and their count, such as 3/16")
    return list(range(num_shards))[number - 1 :: parts]


def _shard_file(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:06d}.tar"


def _record_file(folder: Path, number: int) -> Path:
    return folder / PARTS / f"shard-{number:06d}.parquet"


def _record(folder: Path, number: int) -> ShardRecord:
    record = read_record(_record_file(folder, number))
    if record is None:
        raise InputError(
            f"the table of shard {number} has vanished from {folder / PARTS}; run one `prepare` of a part at a time"
        )
    return record


def _is_made(folder: Path, number: int, sources: Sequence[Source]) -> bool:
    record, file = read_record(_record_file(folder, number)), _shard_file(folder, number)
    if record is None or len(record.sources) != len(sources):
        return False
    if not file.is_file() or file.stat().st_size < record.num_bytes:  # cut off by a full disk or in a copy
        return False
    return all(mine.is_made(theirs) for mine, theirs in zip(sources, record.sources, strict=True))


def _beyond(folder: Path, num_shards: int) -> list[int]:
    """Numbers of the shards that a longer manifest has left behind."""
    names = (SHARD.fullmatch(file.name) for file in folder.glob("shard-*.tar"))
    return sorted(int(name[1]) for name in names if name and int(name[1]) >= num_shards)


def _check_nothing_is_lost(folder: Path, doomed: Sequence[int]) -> None:
    """Refuses to replace or delete shards whose originals are gone."""
    for number in doomed:
        record = read_record(_record_file(folder, number)) if _shard_file(folder, number).is_file() else None
        originals = [] if record is None else [row["source"] for row in record.rows]
        if (lost := next((path for path in originals if not is_there(path)), None)) is not None:
            raise InputError(
                f"rows or videos of shard {number} have changed, so it would be replaced, but {lost}, which it holds, "
                "is gone and cannot be made again; put it back, or prepare into another folder"
            )


def _make(folder: Path, config: StoreConfig, shards: dict[int, list[Source]], processes: int, progress: bool) -> None:
    """Makes shards one after the other; all processes work on the videos of one or two of them."""
    if not shards:
        return
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    first_rows = {number: number * config.shard_size for number in shards}
    total = sum(map(len, shards.values()))
    everything = [source for sources in shards.values() for source in sources]
    with closing(make_items(everything, config, min(processes, total))) as made:
        results = iter(track(made, "preparing videos", total, disable=not progress))
        for number, sources in shards.items():
            _write_shard(folder, number, first_rows[number], sources, itertools.islice(results, len(sources)))


def _write_shard(
    folder: Path, number: int, first_row: int, sources: Sequence[Source], items: Iterator[Item | str]
) -> None:
    """Writes a tar under a temporary name, gives it its own, then writes its table."""
    file, record_file = _shard_file(folder, number), _record_file(folder, number)
    record_file.unlink(missing_ok=True)
    rows: list[dict[str, object]] = []
    problems: list[tuple[int, str]] = []
    with atomic_write(file) as temporary, temporary.open("wb") as target, open_shard(target) as tar:
        for row, (source, item) in enumerate(zip(sources, items, strict=True), start=first_row):
            if isinstance(item, str):
                problems.append((row, item))
            else:
                place = add_item(tar, source.key, item.header, item.payload)
                rows.append({"key": source.key, "shard": number, **vars(place), "row": row, **item.columns(source)})
    write_record(record_file, ShardRecord(rows, list(sources), problems))


def _finish(
    manifest: str | Path, frame: pd.DataFrame, out: Path, records: Sequence[ShardRecord], known: Cameras
) -> Path:
    """Index, manifest, names of the classes and list of problems of the whole store."""
    folder = out / "store"
    problems = [problem for record in records for problem in record.problems]
    items = [row for record in records for row in record.rows]
    if not items:
        row, reason = problems[0]
        raise InputError(f"none of the {len(frame)} videos can be read; first: {frame['path'][row]}: {reason}")
    for number in _beyond(folder, len(records)):
        _record_file(folder, number).unlink(missing_ok=True)
        _shard_file(folder, number).unlink()
    for left in (*folder.rglob(LEFTOVERS), *out.glob(f".{MANIFEST}.*.tmp")):  # by runs that were killed
        left.unlink(missing_ok=True)
    index = write_index(folder / INDEX, records)
    kept = frame.iloc[index["row"].to_numpy()].reset_index(drop=True)
    paths = [
        str(_shard_file(folder.absolute(), shard)) + f"#{key}"
        for shard, key in zip(index["shard"], index["key"], strict=True)
    ]
    if "original" not in kept:
        kept["original"] = kept["path"]
    kept["path"] = paths
    kept["rate"] = [
        rate if pd.isna(rate) else rate * fps / _own_rate(source, fps)
        for rate, fps, source in zip(kept["rate"], index["fps"], frame["path"].iloc[index["row"]], strict=True)
    ]
    for column in ("fps", "frames", "width", "height"):
        kept[column] = index[column].astype(kept[column].dtype)
    if known.name:
        write_json(out / CAMERAS_NAME, prepared_cameras(known, frame, index))
    _write_problems(out / "problems.csv", frame, problems)
    copy_class_names(manifest, out / MANIFEST)
    return write_manifest(kept, out / MANIFEST)


def _own_rate(source: str, otherwise: float) -> float:
    """Frames a second of an original, before it was thinned out; `otherwise` where it is gone."""
    try:
        return read_info(source).fps
    except VideoError:
        return otherwise


def _write_problems(file: Path, frame: pd.DataFrame, problems: Sequence[tuple[int, str]]) -> None:
    if not problems:
        file.unlink(missing_ok=True)
        return
    listed = frame.iloc[[row for row, _ in problems]][["path", "group", "view", "start", "end"]]
    write_csv(file, listed.assign(reason=[reason for _, reason in problems]))
