"""Several data sets as one: manifests, class names and known cameras joined, nothing mistaken for its namesake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.data.calibration import CAMERAS_NAME, find_cameras, raw_cameras, read_calibration
from mv2mae.data.labels import class_names, match_labels
from mv2mae.data.manifest import beside, check_ending, read_manifest, write_beside, write_manifest
from mv2mae.errors import InputError
from mv2mae.files import make_writable, write_json


@dataclass(frozen=True)
class Joined:
    """What was joined.

    manifest: the file written.
    names: of the data sets, as their groups begin in it.
    videos: of each.
    classes: names by number; empty without labels.
    knows_cameras: whether cameras.json was written beside it; it is where each data set knows its own.
    """

    manifest: Path
    names: tuple[str, ...]
    videos: tuple[int, ...]
    classes: dict[int, str]
    knows_cameras: bool

    def summary(self) -> str:
        """What was done, in a line or two."""
        parts = ", ".join(f"{number:,} of {name}" for name, number in zip(self.names, self.videos, strict=True))
        classes = f"{len(self.classes):,} classes matched by name; " if self.classes else ""
        cameras = f"known cameras in {CAMERAS_NAME}" if self.knows_cameras else "no cameras are known of all"
        return f"{sum(self.videos):,} videos: {parts}; {classes}{cameras}\nwrote {self.manifest}"


def join(
    manifests: Sequence[str | Path], out: str | Path, *, names: Sequence[str] = (), same_people: bool = False
) -> Joined:
    """Write one manifest for several data sets, with the names of its classes and its cameras beside it.

    Group, setup and subject get the name of their data set in front, so that subject 1 of one is not taken for that of
    another; a data set without setups becomes one setup. Classes are matched by their names.

    Args:
        manifests: two or more, of originals (prepare the joined one afterwards).
        out: the manifest to write, .csv or .parquet.
        names: a short name for each; by default that of its folder.
        same_people: subjects of one name are one person in all of them.

    Raises:
        InputError: fewer than two manifests, names that are not one for each or not different, a prepared store,
            classes that cannot be matched, or `out` beside one of the manifests, whose cameras it would write over.
    """
    check_ending(Path(out))
    if len(manifests) < 2:
        raise InputError(f"{len(manifests)} manifest to join; give two or more")
    called = tuple(names) or tuple(_name_of(manifest) for manifest in manifests)
    if len(called) != len(manifests) or len(set(called)) < len(called) or not all(called):
        raise InputError(
            f"{len(manifests)} data sets want as many different names, not {', '.join(called)}; give --names"
        )
    file = Path(out)
    files = [path for path in map(Path, map(str, manifests)) if path.is_file()]  # not URLs, nor `sample`
    if any(file.absolute().parent == path.absolute().parent for path in files):
        raise InputError(
            f"{file.absolute().parent} holds one of the manifests; give --out a file in a folder of its own"
        )
    frames: list[pd.DataFrame] = []
    classes: dict[int, str] = {}
    for name, manifest in zip(called, manifests, strict=True):
        if beside(manifest, "store/store.json") is not None:
            raise InputError(f"{manifest} is prepared; join the manifests of the originals, and prepare the joined one")
        frame = read_manifest(manifest)
        if frames:
            frame = _numbered(frame, manifest, classes)
        else:
            classes = _classes(manifest, frame)
        frames.append(_renamed(frame, name, same_people=same_people))
    cameras = _cameras(called, manifests)
    make_writable(file.parent)
    written = write_manifest(pd.concat(frames, ignore_index=True), file)
    write_beside(file, "classes.json", {str(key): classes[key] for key in sorted(classes)})
    if cameras:
        write_json(file.with_name(CAMERAS_NAME), cameras)
    else:
        file.with_name(CAMERAS_NAME).unlink(missing_ok=True)  # of an earlier joining, which knew them
    return Joined(written, called, tuple(map(len, frames)), classes, bool(cameras))


def _name_of(manifest: str | Path) -> str:
    path = Path(str(manifest))
    return path.stem if len(path.parts) == 1 else path.absolute().parent.name


def _classes(manifest: str | Path, frame: pd.DataFrame) -> dict[int, str]:
    labels = [int(label) for label in sorted(frame["label"].dropna().unique())]
    return dict(zip(labels, class_names(manifest, labels), strict=True))


def _numbered(frame: pd.DataFrame, manifest: str | Path, classes: dict[int, str]) -> pd.DataFrame:
    """The rows with the numbers of the classes so far; new ones, counted on without a gap, are added to `classes`."""
    frame, found = match_labels(frame, manifest, classes)
    first, new = max(classes, default=-1) + 1, [label for label in sorted(found) if label not in classes]
    number = {label: first + place for place, label in enumerate(new)}
    classes |= {number[label]: found[label] for label in new}
    return frame.assign(label=frame["label"].replace(number))


def _setup(name: str, setup: object) -> str:
    return name if setup is None or pd.isna(setup) or str(setup) == "" else f"{name}-{setup}"  # type: ignore[call-overload]


def _renamed(frame: pd.DataFrame, name: str, *, same_people: bool) -> pd.DataFrame:
    subjects = frame["subject"].astype(object)
    if not same_people:
        subjects = subjects.map(lambda subject: None if pd.isna(subject) else f"{name}-{subject}")
    return frame.assign(
        group=[f"{name}-{group}" for group in frame["group"]],
        view=frame["view"].astype(object),  # numbers in one, names in another
        setup=[_setup(name, setup) for setup in frame["setup"]],
        subject=subjects,
    )


def _cameras(names: Sequence[str], manifests: Sequence[str | Path]) -> dict[str, Any]:
    """cameras.json of all; empty unless each has one: half-known cameras are refused by training."""
    files = [find_cameras(manifest) for manifest in manifests]
    joined: dict[str, Any] = {}
    for name, file in zip(names, files, strict=True):
        if file is None:
            return {}
        for setup, entry in raw_cameras(read_calibration(file)).items():
            takes = {f"{name}-{group}": views for group, views in entry.get("takes", {}).items()}
            joined[_setup(name, setup)] = {**entry, **({"takes": takes} if takes else {})}
    return joined
