"""Findings about single videos, and about several: copies, and the views of a group against each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np
import pandas as pd

from mv2mae.data.check.report import Finding, GroupOffset
from mv2mae.data.check.scan import TAIL_SECONDS, Scan
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.data.manifest import PART_OF_FILE, VIEW_OF_GROUP, parts_of
from mv2mae.data.windows import Span, shared_clock, video_span
from mv2mae.text import counted

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
    spans = shared_clock(spans, [start for start, *_ in parts_of(frame.iloc[used])])
    seen = [motion for row in used if (motion := scans[str(frame["path"].iloc[row])].motion) is not None]
    motions = [motion.within(span) for motion, span in zip(seen, spans, strict=True)]
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


_VARIABLE_SHARE = 0.05
"""With more irregular intervals than this share, a rate is variable; with fewer, frames are missing."""
_STILL_GREY_LEVELS = 1e-3


def finding(frame: pd.DataFrame, row: int, kind: str, found: str, expected: str = "") -> Finding:
    """A finding about a row of a manifest."""
    path, group, view = (str(frame[column].iloc[row]) for column in ("path", "group", "view"))
    return Finding(row, path, group, view, kind, found, expected)


def file_findings(frame: pd.DataFrame, row: int, scan: Scan) -> Iterator[Finding]:
    """Everything about one row that can be told without looking at the others."""
    if scan.info is None:
        yield finding(frame, row, scan.kind, scan.reason)
        return
    needed = frame["end"].iloc[row]
    lacks_end = scan.is_cut and (pd.isna(needed) or needed > scan.end + TAIL_SECONDS)
    if lacks_end:
        expected = f"{scan.promised_end:.2f} s by the header"
        yield finding(frame, row, "truncated", f"frames end at {scan.end:.2f} s", expected)
    for kind, found, expected in (*_inside(scan), *_against_manifest(frame.iloc[row], scan, lacks_end)):
        yield finding(frame, row, kind, found, expected)


def _inside(scan: Scan) -> Iterator[tuple[str, str, str]]:
    info = scan.info
    assert info is not None
    if info.num_jumps:
        said = f"time stamps start again or jump {counted(info.num_jumps, 'time')}"
        yield "clock_jumps", f"{said}; the parts are read one behind the other", "one clock"
    for low, high in info.holes:
        yield "hole", f"no frames between {low:.2f} and {high:.2f} s; no clip lies across", "frames all along"
    if scan.num_decoded is None or scan.motion is None:  # a quick look
        return
    if scan.num_decoded < info.num_frames - 1:
        yield "missing_frames", f"{scan.num_decoded} frames can be decoded", f"{info.num_frames} by the header"
    if scan.irregular > _VARIABLE_SHARE:
        yield "variable_rate", f"{scan.irregular:.0%} of the intervals differ from the usual one", "even intervals"
    elif scan.num_gaps:
        yield "missing_frames", f"{scan.num_gaps} frames missing between others, by their time stamps", "no gaps"
    if scan.is_joined:
        yield "joined", "another MP4 lies behind its end, which no program reads", "files joined by one that knows MP4"
    if scan.num_interlaced:
        yield "interlaced", f"{scan.num_interlaced} of {scan.num_decoded} frames are half pictures, interleaved", "0"
    if len(scan.sizes) > 1:
        sizes = ", ".join(f"{width}x{height}" for width, height in scan.sizes[:4])
        yield "size_changes", f"frames of {sizes}; all are scaled to the first size", "one size"
    if scan.num_damaged:
        yield "damaged", f"{scan.num_damaged} of {scan.num_decoded} frames are damaged", "0"
    if len(scan.motion.times) and float(scan.motion.strength.max()) < _STILL_GREY_LEVELS:
        yield "still", f"all {scan.num_decoded} frames look the same", "something that moves"


def _against_manifest(row: pd.Series, scan: Scan, lacks_end: bool) -> Iterator[tuple[str, str, str]]:
    info = scan.info
    assert info is not None
    num = info.num_frames if scan.num_decoded is None else scan.num_decoded
    if not pd.isna(row["frames"]):
        room = max(2, round(0.02 * int(row["frames"])))
        fps = float(row["fps"]) if row["fps"] > 0 else info.fps
        promised, length = int(row["frames"]) / fps, scan.end - info.start
        if num < row["frames"] - room and not lacks_end:
            lacks_time = length < promised - max(2.5 / fps, 0.02 * promised)
            yield "wrong_length" if lacks_time else "missing_frames", f"{num} frames", f"{row['frames']} frames"
        elif num > row["frames"] + room:
            yield "longer", f"{num} frames", f"{row['frames']} frames"
    if row["start"] >= info.end:
        yield "wrong_length", f"ends at {info.end:.2f} s", f"a part from {row['start']:.2f} s on"
    elif row["end"] > info.end + TAIL_SECONDS and not lacks_end:
        yield "wrong_length", f"ends at {info.end:.2f} s", f"a part up to {row['end']:.2f} s"
    if not scan.irregular and row["fps"] > 0 and abs(info.fps / row["fps"] - 1) > _RATE_SHARE:
        said = f"{row['fps']:.3f} frames/s, which has no effect (a column `rate` would have)"
        yield "wrong_rate", f"{info.fps:.3f} frames/s", said
    sizes = [None if pd.isna(row[side]) else int(row[side]) for side in ("width", "height")]
    if any(want not in (None, have) for want, have in zip(sizes, (info.width, info.height), strict=True)):
        yield "wrong_size", f"{info.width}x{info.height}", "x".join("?" if s is None else str(s) for s in sizes)


def alike(a: Scan, b: Scan) -> bool:
    """Whether two videos show the same pictures, up to compression and size."""
    if a.motion is None or b.motion is None or abs(len(a.motion.times) - len(b.motion.times)) > 1:
        return False
    if any(x.shape != y.shape for x, y in zip(a.thumbnails, b.thumbnails, strict=True)):
        return False
    gap = max(float(np.abs(x.astype(np.int16) - y).mean()) for x, y in zip(a.thumbnails, b.thumbnails, strict=True))
    num = min(len(a.motion.times), len(b.motion.times))
    one, other = np.sqrt(a.motion.strength[:num]), np.sqrt(b.motion.strength[:num])
    if num < 3 or min(one.std(), other.std()) < 1e-3:  # nothing moves: only the pictures can tell
        return gap < 0.1
    return gap < 2.0 and float(np.corrcoef(one, other)[0, 1]) > 0.95
