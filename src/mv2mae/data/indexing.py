"""From a folder of videos to a manifest: `mv2mae index`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mv2mae.data.manifest import sample_manifest, with_media_info, write_manifest
from mv2mae.data.protocols import build_index
from mv2mae.errors import InputError


def index(name: str, root: str | Path, out: Path, *, pattern: str = "", probe: bool = True) -> Path:
    """Find the videos of a data set, write the manifest and say what was found.

    Beside the manifest go `STEM.classes.json` where the labels have names, and `STEM.report.json` with the files
    that were left out: names that do not fit, videos that cannot be opened.

    Args:
        name: data set (`ntu60`, `synthetic`, `folder`).
        root: folder of the videos.
        out: manifest to write, .parquet or .csv.
        pattern: of `folder`: where group, view and label stand in a path.
        probe: open each video for its rate, length and size.

    Raises:
        InputError: if nothing fits, or nothing that fits can be opened.
    """
    found = build_index(name, root, pattern)
    frame, broken = with_media_info(found.frame) if probe else (found.frame, [])
    if frame.empty:
        raise InputError(f"none of the {len(found.frame)} videos below {root} can be opened; first: {broken[0][1]}")
    write_manifest(frame, out)
    if found.class_names:
        _write_json(out.with_name(f"{out.stem}.classes.json"), list(found.class_names))
    report: dict[str, list[Any]] = {"unmatched": list(found.unmatched), "broken": [list(entry) for entry in broken]}
    _write_json(out.with_name(f"{out.stem}.report.json"), report)
    views = frame.groupby("group")["view"].size()
    sizes = ", ".join(f"{count:,} with {num}" for num, count in views.value_counts().sort_index().items())
    print(f"{len(frame):,} videos in {len(views):,} groups (views a group: {sizes}); wrote {out}")
    for what, entries in (("do not fit the names", report["unmatched"]), ("cannot be opened", report["broken"])):
        if entries:
            print(f"  {len(entries)} files {what}, listed in {out.stem}.report.json; first: {entries[0]}")
    return out


def class_names(manifest: str, num_classes: int) -> list[str]:
    """Names of the classes 0, 1, ... of a manifest: from the file beside it, or else the numbers themselves."""
    file = sample_manifest() if manifest == "sample" else Path(manifest)
    names = [str(i) for i in range(num_classes)]
    for beside in (file.with_name(f"{file.stem}.classes.json"), file.with_name("classes.json")):
        if beside.exists():
            values = json.loads(beside.read_text(encoding="utf-8"))
            known = dict(enumerate(values)) if isinstance(values, list) else {int(k): v for k, v in values.items()}
            return [str(known.get(i, names[i])) for i in range(num_classes)]
    return names


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
