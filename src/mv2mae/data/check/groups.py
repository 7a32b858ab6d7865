"""Findings that take several videos: copies, and the views of a group against each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np
import pandas as pd

from mv2mae.data.check.files import alike, finding
from mv2mae.data.check.motion import Motion
from mv2mae.data.check.report import Finding, GroupOffset
from mv2mae.data.check.scan import Scan
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.data.manifest import PART_OF_FILE, VIEW_OF_GROUP, parts_of, seconds_or_none
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
    again = frame.duplicated(PART_OF_FILE).to_numpy()
    for row in np.flatnonzero(again):
        yield finding(frame, int(row), "listed_twice", "an earlier row is the same part of the same file", "once")
    twice = frame.duplicated(VIEW_OF_GROUP).to_numpy() & ~again
    for row in np.flatnonzero(twice):
        yield finding(frame, int(row), "view_twice", "an earlier row is the same view of the group", "one video")


def copies(frame: pd.DataFrame, scans: Scans) -> Iterator[Finding]:
    """Files with the same bytes, or the same pictures, as one that stands earlier in the manifest."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(frame["path"]):
        rows_of[path].append(row)
    originals: dict[str, str] = {}
    distinct: list[int] = []
    for path, rows in rows_of.items():
        scan = scans[path]
        original = originals.setdefault(scan.digest or path, path)
        if original == path:
            distinct.append(rows[0])
        else:
            for row in rows:
                yield finding(frame, row, "same_file", f"the bytes of {original}", "a file of its own")
    yield from _same_pictures(frame, scans, distinct)


def _same_pictures(frame: pd.DataFrame, scans: Scans, rows: Sequence[int]) -> Iterator[Finding]:
    """Compares videos of about equal length whose first frames are about equally bright."""
    by_length: dict[int, list[tuple[float, int, Scan]]] = defaultdict(list)
    for row in rows:
        scan = scans[frame["path"].iloc[row]]
        if scan.motion is not None:
            by_length[len(scan.motion.times)].append((float(scan.thumbnails[0].mean()), row, scan))
    for entries in by_length.values():
        entries.sort(key=itemgetter(0, 1))
    level, groups, known = itemgetter(0), frame["group"].to_numpy(), set[int]()
    for length, entries in by_length.items():
        longer = by_length.get(length + 1, [])
        for index, (here, row, scan) in enumerate(entries):
            low, high = here - _GREY_LEVELS, here + _GREY_LEVELS
            rivals = entries[index + 1 : bisect_right(entries, high, key=level)]
            rivals += longer[bisect_left(longer, low, key=level) : bisect_right(longer, high, key=level)]
            for _, other, its in rivals:
                first, second = sorted((row, other))
                same_group = groups[row] == groups[other]
                # of many copies each is told once, except that a copy within its own group is always told
                if (same_group or not known & {row, other}) and alike(scan, its):
                    known.add(second)
                    kind, path = "same_view" if same_group else "same_pictures", frame["path"].iloc[first]
                    yield finding(frame, second, kind, f"the pictures of {path}", "pictures of its own")


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
    used = frame.iloc[[row for row, _ in good]]
    on_one_clock, given = used["synchronised"].all(), used["start"].notna().any()
    usual = [float(np.median(values)) if len(good) > 2 else float(values[0]) for values in (lengths, rates, begins)]
    for index, (row, scan) in enumerate(good):
        if on_one_clock and not scan.is_cut and abs(lengths[index] - usual[0]) > _LENGTH_SECONDS:
            yield finding(frame, row, "length_differs", f"{lengths[index]:.2f} s", f"{usual[0]:.2f} s")
        # with gaps between frames the average rate says little, and the gaps are reported already
        if not scan.irregular and abs(rates[index] / usual[1] - 1) > _RATE_SHARE:
            yield finding(frame, row, "rate_differs", f"{rates[index]:.3f} frames/s", f"{usual[1]:.3f} frames/s")
        if on_one_clock and not given and abs(begins[index] - usual[2]) > _START_SECONDS:
            yield finding(frame, row, "start_differs", f"{begins[index]:.2f} s", f"{usual[2]:.2f} s")


def group_offsets(
    frame: pd.DataFrame, rows: Sequence[int], scans: Scans, *, tolerance: float, max_offset: float
) -> tuple[list[GroupOffset], list[Finding]]:
    """Time offsets of the views of one group on the clock on which their clips are drawn, and findings from them."""
    used = [row for row in rows if scans[str(frame["path"].iloc[row])].motion is not None]
    if len(used) < 2 or not frame["synchronised"].iloc[used].all():
        return [], []
    spans = [_span(frame, row, scans[str(frame["path"].iloc[row])]) for row in used]
    starts = [seconds_or_none(start) for start in frame["start"].iloc[used]]
    spans = shared_clock(spans, starts)
    motions = []
    for row, span in zip(used, spans, strict=True):
        motion = scans[str(frame["path"].iloc[row])].motion
        assert motion is not None
        part = motion.between(span.first, span.last)
        motions.append(Motion((part.times - span.zero) / span.speed, part.moments))
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
    return video_span(scan.info, *parts_of(frame.iloc[[row]])[0])
