"""A made-up index of a public data set, so that a recipe can be tried out without the data set (`--dry_run`)."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd

from mv2mae.config import VideosConfig
from mv2mae.data.manifest import make_frame, sample_manifest, write_manifest
from mv2mae.data.protocols import PROTOCOLS, select
from mv2mae.data.stream import STREAM
from mv2mae.errors import InputError

_VIEWS = {"etri": 8, "synadl": 4}
"""Cameras of a made-up group, where they are not three. (SynADL has 28; few do as well here.)"""


def is_made_up(data: VideosConfig) -> bool:
    """Whether a configuration names a split of a public data set, but no manifest of it."""
    return bool(data.manifest in ("sample", STREAM) and data.split and not data.split.startswith("synthetic/"))


def made_up_rows(split: str) -> pd.DataFrame:
    """Rows that a data set could have: of each class one performance for each part of the split.

    Args:
        split: `PROTOCOL/SPLIT`, or a protocol alone where it has no splits.

    Returns:
        `group, view, label, subject, setup, part`; the cameras are numbered from 1.

    Raises:
        InputError: unknown data set or split, or one without class names (`folder`, `synthetic`).
    """
    name = split.partition("/")[0]
    if name not in PROTOCOLS or not PROTOCOLS[name].class_names:
        public = ", ".join(sorted(known for known, protocol in PROTOCOLS.items() if protocol.class_names))
        raise InputError(f"no index can be made up for {split!r}; a dry run knows {public}, or give it a manifest")
    people = pd.DataFrame(
        product(range(1, 41), range(1, 3), ("train", "val", "test")), columns=["subject", "setup", "part"]
    )
    views = pd.DataFrame({"view": range(1, _VIEWS.get(name, 3) + 1)})
    candidates = people.merge(views, how="cross")
    rows = []
    for part in ("train", "test") if "/" in split else ("",):
        fit = select(candidates, split=split, part=part) if part else candidates
        takes = fit[["subject", "setup", "part"]].drop_duplicates()
        for label in range(len(PROTOCOLS[name].class_names)):
            take = takes.iloc[label * 7 % len(takes)]
            found = fit.merge(take.to_frame().T.astype(takes.dtypes.to_dict()))
            rows.append(found.assign(label=label, group=f"{part or 'all'}-{label:03d}"))
    return pd.concat(rows, ignore_index=True)


def write_rehearsal(split: str, folder: Path) -> Path:
    """Writes the manifest of a made-up index; its videos are links to those of the sample set.

    Raises:
        InputError: as `made_up_rows`.
    """
    rows = made_up_rows(split)
    videos = sorted((sample_manifest().parent / "videos").iterdir())
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, row in enumerate(rows.itertuples()):
        path = folder / f"{row.group}-{row.view}.mp4"
        path.symlink_to(videos[number % len(videos)])
        paths.append(str(path))
    manifest = folder / "manifest.csv"
    write_manifest(make_frame(rows.assign(path=paths)), manifest)
    return manifest
