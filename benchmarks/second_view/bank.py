"""The videos that the trials train and test on: every performance in a room of its own, made once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.second_view.ceiling import ANGLES
from mv2mae.data.calibration import CAMERAS_NAME
from mv2mae.data.calibration_formats import load_mapping
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.files import write_json
from mv2mae.synthetic import SyntheticSet, generate

TRAIN, TEST = "train", "test"
_PEOPLE = {TRAIN: tuple(range(11, 41)), TEST: tuple(range(1, 11))}
_SEEDS = {TRAIN: 1, TEST: 2}
SETS = {  # name: rig, pixels, frames, performances of training and of the test
    "free": ("free", 64, 12, 500, 60),
    "ntu": ("ntu", 64, 12, 400, 60),
    "paper": ("free", 128, 20, 150, 30),
}
"""`free`: six cameras at `ANGLES`; `ntu`: views 1, 2, 3 at +45, 0, -45 degrees, one lens and height; `paper`: `free` in
the paper's size of picture."""


def make_bank(folder: Path, name: str, part: str, *, processes: int = 1) -> Path:
    """The manifest of a set's part, which is made where it is missing; people, rooms and cameras of the test are
    others than those of training.
    """
    rig, size, num_frames, *counts = SETS[name]
    out = folder / f"{name}-{part}"
    config = SyntheticSet(
        cameras=rig,
        azimuths=ANGLES if rig == "free" else (),
        own_rooms=True,
        setups=(1,),
        subjects=_PEOPLE[part],
        num_groups=counts[part == TEST],
        num_frames=num_frames,
        fps=15,
        size=size,
        difficulty="easy",
        seed=10 * list(SETS).index(name) + _SEEDS[part],
    )
    if not (out / "manifest.csv").exists():
        generate(out, config, num_processes=processes, progress=False)
    return out / "manifest.csv"


def as_own_source(manifest: Path) -> Path:
    """The manifest of a set beside another in which view 2 is the very video of view 1: what must be learnt."""
    out = manifest.parent.with_name(f"same-{manifest.parent.name}")
    if not (out / "manifest.csv").exists():
        frame = read_manifest(manifest)
        first = frame[frame["view"] == 1]
        (out / "videos").mkdir(parents=True, exist_ok=True)
        for path in first["path"]:
            for view in "12":
                shutil.copy(path, out / "videos" / f"{view}-{Path(path).name}")
        copies = [
            first.assign(view=view, path=[str(out / "videos" / f"{view}-{Path(path).name}") for path in first["path"]])
            for view in (1, 2)
        ]
        write_json(out / CAMERAS_NAME, _as_own_camera(load_mapping(manifest.with_name(CAMERAS_NAME))))
        write_manifest(pd.concat(copies, ignore_index=True), out / "manifest.csv")
    return out / "manifest.csv"


def _as_own_camera(rigs: Mapping[str, Any]) -> dict[str, Any]:
    """The cameras of each setup with that of view 1 in the place of view 2."""
    return {setup: {**rig, "cameras": {view: rig["cameras"]["1"] for view in "12"}} for setup, rig in rigs.items()}
