"""What a user points at: files of one performance, many files, folders or a manifest, as a table of videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mv2mae.data.images import PICTURE_ENDINGS, short_name
from mv2mae.data.manifest import TABLE_ENDINGS, make_frame, read_manifest
from mv2mae.data.protocols.base import is_text, list_folder
from mv2mae.errors import InputError


def performances(inputs: Sequence[str | Path], *, each: bool = False) -> pd.DataFrame:
    """A manifest's table of what is to be predicted, a group a performance.

    Args:
        inputs: video files, which are the views of one performance; or folders, each video below them being a
            performance of its own; or one manifest, whose groups are the performances.
        each: take single files, too, for performances of their own.

    Raises:
        InputError: nothing is given, a folder holds no video, or the manifest is none.
    """
    paths = [Path(item) for item in inputs]
    if not paths:
        raise InputError("no video given; give the files of one performance, one for each camera, or a folder")
    check_names(inputs)
    if any(path.suffix.lower() in TABLE_ENDINGS for path in paths):
        if len(paths) > 1:
            raise InputError(f"{len(paths)} inputs with a manifest among them; give one manifest alone, or videos")
        return read_manifest(paths[0])
    if not each and not any(path.is_dir() for path in paths):
        return one_performance(inputs)
    files = [found for item in paths for found in _files(item)]
    names = _distinct([name for _, name in files], [str(path) for path, _ in files])
    rows = zip(files, names, strict=True)
    return make_frame({"path": str(path), "group": name, "view": 0} for (path, _), name in rows)


def check_names(paths: Sequence[str | Path]) -> None:
    """Raises InputError for a name that is no UTF-8, which no table of results can hold."""
    for path in paths:
        if not is_text(str(path)):
            raise InputError(f"{str(path)!a}: its name is no valid UTF-8; rename the file or its folder")


def one_performance(videos: Sequence[str | Path]) -> pd.DataFrame:
    """A manifest's table of one group.

    Raises:
        InputError: no video is given.
    """
    if not videos:
        raise InputError("no video given; give the files of one performance, one for each camera")
    check_names(videos)
    name = "+".join(dict.fromkeys(short_name(path) for path in videos))
    return make_frame({"path": str(path), "group": name, "view": i} for i, path in enumerate(videos))


def _files(item: Path) -> list[tuple[Path, str]]:
    """The videos of a folder, or a file itself; each with the name by which it is told."""
    if not item.is_dir():
        return [(item, item.name)]
    listing = list_folder(item)
    check_names([item / name for name in listing.undecodable])
    found = listing.files
    if not found and any(name.lower().endswith((*PICTURE_ENDINGS, ".tar")) for name in listing.others):
        raise InputError(
            f"{item}: holds pictures, no videos; `mv2mae index folder` makes a manifest of numbered ones "
            '(--pattern "{group}/{view}/{frame}.jpg" --rate 30)'
        )
    if not found:
        raise InputError(f"{item}: no video in this folder; give video files, a folder that holds some, or a manifest")
    return [(item / name, name) for name in found]


def _distinct(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """A short name for each file: without its ending where that is enough, the whole path where nothing less is."""
    stems = [str(Path(name).with_suffix("")) for name in names]
    by_stem, by_name = Counter(stems), Counter(names)
    return [
        stem if by_stem[stem] == 1 else name if by_name[name] == 1 else path
        for stem, name, path in zip(stems, names, paths, strict=True)
    ]
