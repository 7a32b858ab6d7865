"""`mv2mae sync`: finds by how much the views of each group are shifted in time, and writes a manifest that says so."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from mv2mae.data.check.motion import Motion
from mv2mae.data.check.worker import scan_all
from mv2mae.data.manifest import (
    check_ending,
    find_class_names,
    parts_of,
    read_manifest,
    sample_manifest,
    seconds_or_none,
    write_manifest,
)
from mv2mae.data.sync.place import Pair, Place, add_motion, place_by_sound
from mv2mae.data.sync.report import GroupSync, SyncReport
from mv2mae.data.sync.sound import Sound, read_sound
from mv2mae.data.video import VideoError, VideoInfo, probe
from mv2mae.data.windows import Span, shared_clock, video_span
from mv2mae.errors import InputError
from mv2mae.files import make_writable
from mv2mae.text import counted

UNTOLD = ("mark", "keep", "drop")
"""What becomes of views whose place in time cannot be told."""
EVIDENCE = ("both", "sound", "motion")
_DRAWN_GROUPS = 12
_SOUNDS_KEPT = 12


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
        sounds = _Sounds()
        for group in track(several, "listening", disable=not progress):
            group.listen(sounds, max_offset)
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
    classes, names = find_class_names(manifest), file.with_name(f"{file.stem}.classes.json")
    if classes is not None and classes.resolve() != names.resolve():
        shutil.copyfile(classes, names)
    return file


def sync_command(manifest: str, out: str, *, untold: str = "mark", num_rows: int = 20, **options: Any) -> SyncReport:
    """What the command does, but for the picture: looks, prints, writes the manifest and `STEM.sync.json` beside it.

    Raises:
        InputError: as `sync_manifest` and `write_synced`; what can be told before the work starts is told then.
    """
    _check_out(manifest, out, untold)
    make_writable(Path(out).absolute().parent)
    report = sync_manifest(manifest, **options)
    report.print(num_rows=num_rows)
    written = write_synced(manifest, report, out, untold=untold)
    print(f"wrote {report.write(Path(out).with_name(f'{Path(out).stem}.sync.json'))}")
    done = {"mark": "marked as not synchronised", "keep": "left as they were", "drop": "left out"}[untold]
    rest = f" ({counted(len(report.untold), 'view')} {done})" if report.untold else ""
    print(f"wrote {written}{rest}")
    return report


# --------------------------------------------------------------------------------------------------------------


class _Sounds:
    """Sounds of files, the last few kept: several groups may be parts of one file."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Sound | None] = OrderedDict()

    def of(self, path: str) -> Sound | None:
        if path not in self._kept:
            self._kept[path] = read_sound(path) if os.path.isfile(path) else None
            if len(self._kept) > _SOUNDS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        return self._kept[path]


class _Group:
    """The rows of one group, the clock that the manifest gives them, and what was heard."""

    def __init__(self, frame: pd.DataFrame, rows: list[int]) -> None:
        part = frame.iloc[rows]
        self.name, self.rows, self.views = str(part["group"].iloc[0]), tuple(rows), tuple(map(str, part["view"]))
        self.paths: list[str] = part["path"].tolist()
        self._parts = parts_of(part)
        self._infos = [_info(path) for path in self.paths]
        known = [index for index, info in enumerate(self._infos) if info is not None]
        spans = [video_span(info, *self._parts[index]) for index, info in enumerate(self._infos) if info is not None]
        starts = [seconds_or_none(self._parts[index][0]) for index in known]
        self._spans: dict[int, Span] = dict(zip(known, shared_clock(spans, starts), strict=True)) if spans else {}
        self._has_starts = any(start is not None for start in starts)
        self._places: list[Place] = [Place()] * len(rows)
        self._pairs: list[Pair] = []

    @property
    def is_settled(self) -> bool:
        """Whether all views are placed."""
        return all(place.evidence for place in self._places)

    def listen(self, sounds: _Sounds, max_offset: float) -> None:
        """Places the views by their sound."""
        heard: list[Sound | None] = [None] * len(self.rows)
        for index, span in self._spans.items():
            info = self._infos[index]
            sound = sounds.of(self.paths[index]) if info is not None and not info.num_jumps else None
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
        if motion is None or span is None:
            return None
        part = motion.between(span.first, span.last)
        return Motion((part.times - span.zero) / span.speed, part.moments)

    def _columns(self, places: Sequence[Place]) -> tuple[list[float | None], list[float | None]]:
        """`start` and `rate` of each view; None where they stay."""
        told = {index: places[index] for index in self._spans if places[index].evidence}
        starts: list[float | None] = [None] * len(self.rows)
        rates = list(starts)
        half_frame = 0.5 / max((span.fps for span in self._spans.values()), default=1.0)
        if all(abs(place.offset) <= half_frame and not place.drift for place in told.values()):
            return starts, rates
        begins = []
        for index, place in told.items():
            span, info = self._spans[index], self._infos[index]
            assert info is not None
            begins.append((span.shared(info.start) - place.offset) / (1 + place.drift))
        begin = max([*begins, *([0.0] if self._has_starts else [])])  # the first moment that all have
        for index, place in told.items():
            span, info = self._spans[index], self._infos[index]
            assert info is not None
            own = place.offset + (1 + place.drift) * begin
            starts[index] = round(float(span.own(np.array([own]))[0]), 4)
            if place.drift:
                rates[index] = round(info.fps * span.speed * (1 + place.drift), 6)
        return starts, rates


def _info(path: str) -> VideoInfo | None:
    try:
        return probe(path)
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
    source = sample_manifest() if str(manifest) == "sample" else Path(manifest)
    if source.resolve() == Path(out).resolve():
        raise InputError(f"{out} is the manifest that is read, which is never overwritten; choose another name")
