"""Findings that take several videos: copies, and the views of a group against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from mv2mae.data.check.files import alike, finding
from mv2mae.data.check.motion import Motion
from mv2mae.data.check.report import Finding, GroupOffset
from mv2mae.data.check.scan import Scan
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.data.windows import Span, shared_clock, video_span

_LENGTH_SECONDS = 0.25
_START_SECONDS = 0.1
_RATE_SHARE = 0.01
_GREY_LEVELS = 2.0
SURE_GAIN = 4.0
"""An offset with this gain is an error, with less a warning."""
Scans = dict[str, Scan]


def repeated_rows(frame: pd.DataFrame) -> Iterator[Finding]:
    """Rows that say the same as an earlier one, and views that stand for two videos."""
    again = frame.duplicated(["path", "start"]).to_numpy()
    for row in np.flatnonzero(again):
        yield finding(frame, int(row), "listed_twice", "the file and its start stand in an earlier row too", "once")
    twice = frame.duplicated(["group", "view"]).to_numpy() & ~again
    for row in np.flatnonzero(twice):
        yield finding(frame, int(row), "view_twice", "an earlier row is the same view of the group", "one video")


def copies(frame: pd.DataFrame, scans: Scans) -> Iterator[Finding]:
    """Files with the same bytes, or the same pictures, as one that stands earlier in the manifest."""
    first_row = frame.reset_index(drop=True).groupby("path", sort=False).head(1)
    by_digest: dict[str, str] = {}
    distinct: list[int] = []
    for row in first_row.index:
        path = str(frame["path"].iloc[row])
        scan = scans[path]
        if scan.info is None:
            continue
        original = by_digest.setdefault(scan.digest, path)
        if original != path:
            yield from (finding(frame, r, "same_file", f"the bytes of {original}", "a file of its own")
                        for r in np.flatnonzero(frame["path"] == path).tolist())  # fmt: skip
        else:
            distinct.append(int(row))
    yield from _same_pictures(frame, scans, distinct)


def _same_pictures(frame: pd.DataFrame, scans: Scans, rows: Sequence[int]) -> Iterator[Finding]:
    """Compares videos of about equal length whose first frames are about equally bright."""
    keyed = []
    for row in rows:
        scan = scans[str(frame["path"].iloc[row])]
        if scan.motion is not None and scan.thumbnails:
            keyed.append((len(scan.motion.times), float(scan.thumbnails[0].mean()), row, scan))
    keyed.sort(key=lambda entry: entry[:3])
    by_length: dict[int, list[tuple[float, int, Scan]]] = defaultdict(list)
    for length, level, row, scan in keyed:
        by_length[length].append((level, row, scan))
    for length, entries in by_length.items():
        levels = np.array([level for level, _, _ in by_length.get(length + 1, [])])
        for index, (level, row, scan) in enumerate(entries):
            rivals = []
            for rival in entries[index + 1 :]:
                if rival[0] > level + _GREY_LEVELS:
                    break
                rivals.append(rival)
            near = np.flatnonzero(np.abs(levels - level) <= _GREY_LEVELS)
            rivals += [by_length[length + 1][i] for i in near]
            for _, other, its in rivals:
                if alike(scan, its):
                    yield _copy(frame, min(row, other), max(row, other))


def _copy(frame: pd.DataFrame, original: int, row: int) -> Finding:
    same_group = frame["group"].iloc[original] == frame["group"].iloc[row]
    kind, path = ("same_view" if same_group else "same_pictures"), frame["path"].iloc[original]
    return finding(frame, row, kind, f"the pictures of {path}", "pictures of its own")


def group_findings(frame: pd.DataFrame, rows: Sequence[int], scans: Scans) -> Iterator[Finding]:
    """The views of one group against each other: how many, their lengths, rates and starts."""
    good = [(row, scan) for row in rows if (scan := scans[str(frame["path"].iloc[row])]).info is not None]
    if len(rows) == 1:
        yield finding(frame, rows[0], "single_view", "1 view", "2 or more")
    if len(good) < 2:
        return
    spans = [_span(frame, row, scan) for row, scan in good]
    lengths = np.array([span.last - span.first for span in spans])
    rates = np.array([span.fps for span in spans])
    begins = np.array([span.first for span in spans])
    given = frame["start"].iloc[[row for row, _ in good]].notna().any()
    usual = [float(np.median(values)) if len(good) > 2 else float(values[0]) for values in (lengths, rates, begins)]
    for index, (row, scan) in enumerate(good):
        if abs(lengths[index] - usual[0]) > _LENGTH_SECONDS:
            yield finding(frame, row, "length_differs", f"{lengths[index]:.2f} s", f"{usual[0]:.2f} s")
        # with gaps between frames the average rate says little, and the gaps are reported already
        if not scan.irregular and abs(rates[index] / usual[1] - 1) > _RATE_SHARE:
            yield finding(frame, row, "rate_differs", f"{rates[index]:.3f} frames/s", f"{usual[1]:.3f} frames/s")
        if not given and abs(begins[index] - usual[2]) > _START_SECONDS:
            yield finding(frame, row, "start_differs", f"{begins[index]:.2f} s", f"{usual[2]:.2f} s")


def group_offsets(
    frame: pd.DataFrame, rows: Sequence[int], scans: Scans, *, tolerance: float, max_offset: float
) -> tuple[list[GroupOffset], list[Finding]]:
    """Time offsets of the views of one group on the clock on which their clips are drawn, and findings from them."""
    used = [row for row in rows if scans[str(frame["path"].iloc[row])].motion is not None]
    if len(used) < 2 or not frame["synchronised"].iloc[used].all():
        return [], []
    spans = [_span(frame, row, scans[str(frame["path"].iloc[row])]) for row in used]
    starts = [None if pd.isna(start) else float(start) for start in frame["start"].iloc[used]]
    spans = shared_clock(spans, starts)
    motions = []
    for row, span in zip(used, spans, strict=True):
        motion = scans[str(frame["path"].iloc[row])].motion
        assert motion is not None
        part = motion.between(span.first, span.last)
        motions.append(Motion(part.times - span.zero, part.moments))
    offsets, found, entries = estimate_offsets(motions, tolerance=tolerance, max_offset=max_offset), [], []
    for row, offset in zip(used, offsets, strict=True):
        entries.append(GroupOffset(str(frame["group"].iloc[row]), str(frame["view"].iloc[row]), offset))
        if offset.verdict == "unsynchronised" and offset.seconds is not None:
            kind = "unsynchronised" if offset.gain >= SURE_GAIN else "perhaps_unsynchronised"
            late = "late" if offset.seconds > 0 else "early"
            said = f"{abs(offset.seconds):.2f} s {late} (confidence {offset.gain:.1f})"
            found.append(finding(frame, row, kind, said, f"within {tolerance:g} s of the other views"))
        elif offset.steps:
            said = ", ".join(f"{seconds:+.2f} s from {time:.1f} s" for time, seconds in offset.steps)
            found.append(finding(frame, row, "offset_changes", said, "one offset"))
    return entries, found


def _span(frame: pd.DataFrame, row: int, scan: Scan) -> Span:
    assert scan.info is not None
    start, end = (None if pd.isna(value) else float(value) for value in frame[["start", "end"]].iloc[row])
    return video_span(scan.info, start, end)
