"""`mv2mae sync`: finds by how much the views of each group are shifted in time, and writes a manifest that says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from mv2mae.data.check.motion import Motion
from mv2mae.data.check.worker import scan_all
from mv2mae.data.manifest import (
    check_ending,
    copy_class_names,
    parts_of,
    read_manifest,
    refuse_overwriting,
    write_beside,
    write_manifest,
)
from mv2mae.data.sync.lines import Place
from mv2mae.data.sync.place import Pair, add_motion, place_by_sound
from mv2mae.data.sync.report import GroupSync, SyncReport
from mv2mae.data.sync.sound import Sound, read_sound
from mv2mae.data.video import VideoError, VideoInfo, read_info
from mv2mae.data.windows import shared_clock, video_span
from mv2mae.errors import InputError
from mv2mae.files import make_writable
from mv2mae.text import counted

UNTOLD = ("mark", "keep", "drop")
"""What becomes of views whose place in time cannot be told."""
EVIDENCE = ("both", "sound", "motion")
_DRAWN_GROUPS = 12
_RECENT_SOUNDS = 12
"""Of files that stay in memory: several groups may be parts of one file."""


def sync_manifest(
    manifest: str | Path,
    *,
    evidence: str = "both",
    tolerance: float = 0.05,
    max_offset: float = 10.0,
    num_workers: int | None = None,
    time_limit: float = 600.0,
    progress: bool = True,
) -> SyncReport:
    """Finds the offset and the drift of every view of every group.

    Sound is read first; only where it does not settle a group are its videos decoded for what moves in them.

    Args:
        manifest: a .csv or .parquet file, or `sample`. Offsets are added to what its `start` and `rate` say; groups
            that it calls not synchronised are looked at too.
        evidence: `sound`, `motion` or `both`.
        tolerance: seconds within which motion cannot tell views apart; sound tells milliseconds.
        max_offset: the largest offset looked for, in seconds.
        num_workers: processes that decode videos; None = one a core, 0 = in this one.
        time_limit: seconds that decoding one file may take (and one more for each of its megabytes).
        progress: show progress bars.

    Raises:
        InputError: no such manifest, bad options, or no group of two views.
    """
    _check_options(evidence, tolerance, max_offset)
    frame = read_manifest(manifest)
    groups = [np.asarray(rows).tolist() for rows in frame.groupby("group", sort=False).indices.values()]
    several = [_Group(frame, rows) for rows in groups if len(rows) > 1]
    if not several:
        raise InputError(f"no group of {manifest} has two views; there is nothing to lay together")
    if evidence != "motion":
        sound_of = lru_cache(_RECENT_SOUNDS)(lambda path: read_sound(path) if os.path.isfile(path) else None)
        for group in track(several, "listening", disable=not progress):
            group.listen(sound_of, max_offset)
    silent = [] if evidence == "sound" else [group for group in several if not group.is_settled]
    paths = list(dict.fromkeys(path for group in silent for path in group.paths))
    scans = scan_all(paths, quick=False, num_workers=num_workers, time_limit=time_limit)
    motions = {scan.path: scan.motion for scan in track(scans, "looking", len(paths), disable=not progress)}
    found: list[GroupSync] = []
    for group in track(several, "comparing", disable=not progress):
        one = group.placed(motions, tolerance, max_offset)
        drawn = sum(bool(other.pairs) for other in found)
        found.append(replace(one, pairs=()) if one.verdict == "as it was" or drawn >= _DRAWN_GROUPS else one)
    return SyncReport(str(manifest), tuple(found), len(groups) - len(several))


def write_synced(manifest: str | Path, report: SyncReport, out: str | Path, *, untold: str = "mark") -> Path:
    """Writes a manifest with the `start` of all views of the groups that were moved, and a `rate` where a clock drifts.

    Args:
        manifest: the one that was looked at; never overwritten.
        report: what was found.
        out: .csv or .parquet; the names of the classes go beside it.
        untold: views whose place cannot be told are `mark`ed as not synchronised (`data.train_query=synchronised`
            leaves them out of pre-training), `keep` their row as it is, or `drop` out.

    Raises:
        InputError: `out` is the manifest itself, nothing could be told, or the manifest has changed since.
    """
    _check_out(manifest, out, untold)
    frame = read_manifest(manifest)
    if any(row >= len(frame) for group in report.groups for row in group.rows):
        raise InputError(f"{manifest} has {len(frame)} rows now, fewer than were looked at; look at it again")
    if all(group.verdict == "cannot be told" for group in report.groups):
        raise InputError(
            f"in none of the {counted(len(report.groups), 'group')} of {manifest} can it be told when the views begin: "
            "no sound in common, too little motion, or motion that repeats itself; nothing was written; give `start`"
        )
    for group in report.groups:
        for row, place, start, rate in zip(group.rows, group.places, group.starts, group.rates, strict=True):
            if start is not None:
                frame.loc[row, "start"] = start
            if rate is not None:
                frame.loc[row, "rate"] = rate
            if place.evidence:
                frame.loc[row, "synchronised"] = True
            elif untold == "mark":
                frame.loc[row, "synchronised"] = False
    if untold == "drop":
        frame = frame.drop(index=sorted(report.untold))
    file = write_manifest(frame, out)
    copy_class_names(manifest, file)
    return file


def sync_command(manifest: str, out: str, *, untold: str = "mark", num_rows: int = 20, **options: Any) -> SyncReport:
    """Lay views together in time, print what was found, write the manifest and `STEM.sync.json` beside it.

    Args:
        manifest: whose groups are to be laid together in time.
        out: manifest to write.
        untold: views whose place cannot be told: `mark` as not synchronised, `keep` or `drop`.
        num_rows: groups to print.
        options: those of `sync_manifest`.

    Raises:
        InputError: as `sync_manifest` and `write_synced`; what can be told before the work starts is told then.
    """
    _check_out(manifest, out, untold)
    make_writable(Path(out).absolute().parent)
    report = sync_manifest(manifest, **options)
    report.print(num_rows=num_rows)
    written = write_synced(manifest, report, out, untold=untold)
    print(f"wrote {write_beside(Path(out), 'sync.json', report.to_json())}")
    done = {"mark": "marked as not synchronised", "keep": "left as they were", "drop": "left out"}[untold]
    rest = f" ({counted(len(report.untold), 'view')} {done})" if report.untold else ""
    print(f"wrote {written}{rest}")
    return report


class _Group:
    """The rows of one group, the clock that the manifest gives them, and what was heard."""

    def __init__(self, frame: pd.DataFrame, rows: list[int]) -> None:
        part = frame.iloc[rows]
        self.name, self.rows, self.views = str(part["group"].iloc[0]), tuple(rows), tuple(map(str, part["view"]))
        self.paths: list[str] = part["path"].tolist()
        self._parts = parts_of(part)
        infos = enumerate(map(_info, self.paths))
        self._infos = {index: info for index, info in infos if info is not None}
        spans = [video_span(info, *self._parts[index]) for index, info in self._infos.items()]
        starts = [self._parts[index][0] for index in self._infos]
        self._spans = dict(zip(self._infos, shared_clock(spans, starts), strict=True)) if spans else {}
        self._has_starts = any(start is not None for start in starts)
        self._places: list[Place] = [Place()] * len(rows)
        self._pairs: list[Pair] = []

    @property
    def is_settled(self) -> bool:
        """Whether all views are placed."""
        return all(place.evidence for place in self._places)

    def listen(self, sound_of: Callable[[str], Sound | None], max_offset: float) -> None:
        """Places the views by their sound."""
        heard: list[Sound | None] = [None] * len(self.rows)
        for index, span in self._spans.items():
            sound = None if self._infos[index].num_jumps else sound_of(self.paths[index])
            if sound is not None:
                heard[index] = sound.between(span.first, span.last + 1 / span.fps).on_clock(span.zero, span.speed)
        self._places, self._pairs = place_by_sound(heard, max_offset=max_offset)

    def placed(self, motions: dict[str, Motion | None], tolerance: float, max_offset: float) -> GroupSync:
        """The places of all views, and what the manifest should say."""
        seen = [self._motion(index, motions) for index in range(len(self.rows))]
        places, pairs = add_motion(self._places, seen, tolerance=tolerance, max_offset=max_offset)
        starts, rates = self._columns(places)
        for index, (_, end, _) in enumerate(self._parts):  # what begins behind its end is no part of a file
            if (start := starts[index]) is not None and end is not None and end <= start:
                places[index], starts[index], rates[index] = Place(), None, None
        pairs = [*self._pairs, *pairs]
        return GroupSync(self.name, self.rows, self.views, tuple(places), tuple(starts), tuple(rates), tuple(pairs))

    def _motion(self, index: int, motions: dict[str, Motion | None]) -> Motion | None:
        motion, span = motions.get(self.paths[index]), self._spans.get(index)
        return None if motion is None or span is None else motion.within(span)

    def _columns(self, places: Sequence[Place]) -> tuple[list[float | None], list[float | None]]:
        """`start` and `rate` of each view; None where they stay."""
        told = {index: places[index] for index in self._spans if places[index].evidence}
        starts: list[float | None] = [None] * len(self.rows)
        rates = list(starts)
        half_frame = 0.5 / max((span.fps for span in self._spans.values()), default=1.0)
        if all(abs(place.offset) <= half_frame and not place.drift for place in told.values()):
            return starts, rates
        begins = [
            (self._spans[index].shared(self._infos[index].start) - place.offset) / (1 + place.drift)
            for index, place in told.items()
        ]
        begin = max([*begins, *([0.0] if self._has_starts else [])])  # the first moment that all have
        for index, place in told.items():
            span, info = self._spans[index], self._infos[index]
            own = place.offset + (1 + place.drift) * begin
            starts[index] = round(float(span.own(np.array([own]))[0]), 4)
            if place.drift:
                rates[index] = round(info.fps * span.speed * (1 + place.drift), 6)
        return starts, rates


def _info(path: str) -> VideoInfo | None:
    try:
        return read_info(path)
    except VideoError:
        return None


def _check_options(evidence: str, tolerance: float, max_offset: float) -> None:
    if evidence not in EVIDENCE:
        raise InputError(f"evidence={evidence!r} is unknown; choose from {', '.join(EVIDENCE)}")
    if not 0 < tolerance < max_offset:
        raise InputError(f"tolerance={tolerance:g} must lie between 0 and max_offset={max_offset:g} seconds")


def _check_out(manifest: str | Path, out: str | Path, untold: str) -> None:
    if untold not in UNTOLD:
        raise InputError(f"untold={untold!r} is unknown; choose from {', '.join(UNTOLD)}")
    check_ending(Path(out))
    refuse_overwriting(manifest, out, "read")
