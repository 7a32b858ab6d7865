"""Findings about single videos: the file itself, and the file against its row in the manifest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mv2mae.data.check.report import Finding
from mv2mae.data.check.scan import TAIL_SECONDS, Scan
from mv2mae.text import counted

_VARIABLE_SHARE = 0.05
"""With more irregular intervals than this share, a rate is variable; with fewer, frames are missing."""
_RATE_SHARE = 0.01
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
