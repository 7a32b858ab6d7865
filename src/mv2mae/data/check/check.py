"""`mv2mae check`: opens every video of a manifest and says what is wrong with it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mv2mae.data.check.findings import Scans, copies, file_findings, group_findings, group_offsets, repeated_rows
from mv2mae.data.check.report import CheckReport
from mv2mae.data.check.worker import scan_all
from mv2mae.data.manifest import (
    check_ending,
    copy_class_names,
    manifest_file,
    read_manifest,
    refuse_overwriting,
    write_manifest,
)
from mv2mae.data.remote import is_url, local_copy
from mv2mae.errors import InputError
from mv2mae.files import write_json
from mv2mae.text import counted


def check_manifest(
    manifest: str | Path,
    *,
    quick: bool = False,
    sync: bool = True,
    tolerance: float = 0.1,
    max_offset: float = 2.0,
    num_workers: int | None = None,
    time_limit: float = 120.0,
    progress: bool = True,
) -> CheckReport:
    """Looks for broken, mismatched, copied and unsynchronised videos.

    Every frame of every video is decoded, in processes of their own: a file on which the decoder hangs or
    crashes becomes a finding. Several rows may use parts of one file; it is opened once.

    Args:
        manifest: a .csv or .parquet file or its URL, or `sample`. Repeated rows, which `read_manifest` refuses, become
            findings here. Items of a store are looked at as files are.
        quick: read headers and decode the first and the last frame only: finds files that cannot be opened, most
            cut-off ones, wrong lengths, rates and sizes, exact copies; nothing inside, no synchronisation.
        sync: estimate the time offsets between the views of a group from their motion. Groups that the manifest marks
            as not synchronised are left out.
        tolerance: seconds that views may be apart.
        max_offset: largest offset that is looked for, in seconds.
        num_workers: processes; None = one a core; 0 = none, everything in this one, without protection.
        time_limit: seconds that one file may take (and one more for each of its megabytes).
        progress: show a progress bar.

    Raises:
        InputError: no such manifest, unknown or missing columns, values of the wrong kind, no rows, bad options.
    """
    _check_options(tolerance, max_offset, num_workers, time_limit)
    frame = read_manifest(manifest, may_repeat=True)
    paths = list(dict.fromkeys(frame["path"]))
    _fetch_shards(paths, progress)
    results = scan_all(paths, quick=quick, num_workers=num_workers, time_limit=time_limit)
    scans: Scans = {}
    for scan in track(results, "checking videos", len(paths), disable=not progress):
        scans[scan.path] = scan
    findings = [*repeated_rows(frame), *copies(frame, scans)]
    for row, path in enumerate(frame["path"]):
        findings += file_findings(frame, row, scans[path])
    useless = {entry.row for entry in findings if entry.kind in ("listed_twice", "view_twice")}
    offsets = []
    groups = [np.asarray(rows).tolist() for rows in frame.groupby("group", sort=False).indices.values()]
    for all_rows in track(groups, "comparing views", disable=not progress):
        rows = [row for row in all_rows if row not in useless]
        findings += group_findings(frame, rows, scans)
        if sync and not quick:
            entries, found = group_offsets(frame, rows, scans, tolerance=tolerance, max_offset=max_offset)
            offsets += entries
            findings += found
    findings.sort(key=lambda entry: (entry.severity != "error", entry.row))
    return CheckReport(str(manifest), len(frame), len(groups), quick, tuple(dict.fromkeys(findings)), tuple(offsets))


def write_fixed(manifest: str | Path, report: CheckReport, out: str | Path, *, strict: bool = False) -> int:
    """Writes a manifest without the rows that have errors, and the names of the classes beside it.

    Args:
        manifest: the one that was checked; never overwritten.
        report: what was found.
        out: .csv or .parquet; paths are right relative to where it lies.
        strict: leave out rows with warnings too.

    Returns:
        the number of rows that were left out.

    Raises:
        InputError: `out` is the manifest itself, no row would be left, or the manifest has changed since.
    """
    refuse_overwriting(manifest, out, "checked")
    frame = read_manifest(manifest, may_repeat=True)
    if len(frame) != report.num_videos:
        raise InputError(f"{manifest} has {len(frame)} rows now, {report.num_videos} were checked; check it again")
    bad = report.bad_rows(strict=strict)
    kept = frame[[row not in bad for row in range(len(frame))]]
    if kept.empty:
        raise InputError(f"every one of the {len(frame)} rows of {manifest} has a problem; nothing is left for {out}")
    file = write_manifest(kept, out)
    copy_class_names(manifest, file)
    return len(frame) - len(kept)


def check_command(
    manifest: str, *, out: str = "", fix: str = "", strict: bool = False, num_rows: int = 20, **options: Any
) -> int:
    """Check a manifest, print what was found, write the report and, if wanted, the mended manifest.

    Args:
        manifest: a file or its URL, or `sample`.
        out: JSON report; by default `STEM.check.json` beside the manifest (here, if that is not in a folder of yours).
        fix: manifest to write without the broken videos; nothing if empty.
        strict: warnings count as errors do.
        num_rows: findings to print.
        options: those of `check_manifest`.

    Returns:
        the exit status: 0, or 1 if there are errors (with `strict` also warnings).

    Raises:
        InputError: as `check_manifest` and `write_fixed`, and where nothing can be written; before the work starts.
    """
    read_manifest(manifest, may_repeat=True)
    source = manifest_file(manifest)
    beside = Path() if manifest == "sample" or is_url(manifest) else source.parent
    report_file = Path(out) if out else beside / f"{source.stem}.check.json"
    refuse_overwriting(manifest, report_file, "checked")
    _check_writable(report_file)
    if fix:
        refuse_overwriting(manifest, fix, "checked")
        check_ending(Path(fix))
        _check_writable(Path(fix), "--fix")
    report = check_manifest(manifest, **options)
    report.print(num_rows=num_rows)
    write_json(report_file, report.to_json())
    print(f"wrote {report_file}")
    if fix:
        num_dropped = write_fixed(manifest, report, fix, strict=strict)
        kept = f"without {num_dropped:,} of {counted(report.num_videos, 'video')}"
        print(f"wrote {fix} " + (kept if num_dropped else f"with all {counted(report.num_videos, 'video')}"))
    return 0 if report.is_clean(strict=strict) else 1


def _check_options(tolerance: float, max_offset: float, num_workers: int | None, time_limit: float) -> None:
    if not 0 < tolerance < max_offset:
        raise InputError(f"tolerance={tolerance:g} must lie between 0 and max_offset={max_offset:g} seconds")
    if num_workers is not None and num_workers < 0:
        raise InputError(f"num_workers={num_workers} must be 0 or more")
    if time_limit <= 0:
        raise InputError(f"time_limit={time_limit:g} must be positive")


def _fetch_shards(paths: list[str], progress: bool) -> None:
    """Copies shards from behind URLs here in advance: the time limit is meant for decoding."""
    shards = list(dict.fromkeys(path.rpartition("#")[0] for path in paths if is_url(path) and ".tar#" in path))
    for shard in track(shards, "fetching shards", len(shards), disable=not (progress and shards)):
        with suppress(InputError):  # a finding about each of its items will say so
            local_copy(shard)


def _check_writable(file: Path, option: str = "--out") -> None:
    folder = file.absolute().parent
    while option == "--fix" and not folder.exists():  # it is made with the manifest
        folder = folder.parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{file} cannot be written; give another place with {option}")
