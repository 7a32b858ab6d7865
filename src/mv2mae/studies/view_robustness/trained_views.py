"""Which views of a manifest an encoder has seen in training: its run tells, and the runs that this one started from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.config import PairConfig, VideosConfig
from mv2mae.data.manifest import read_manifest, sample_manifest
from mv2mae.data.pairing import pair_views
from mv2mae.data.protocols import select
from mv2mae.data.remote import is_url
from mv2mae.errors import InputError
from mv2mae.runs import CONFIG_NAME, read_config


def views_of_training(source: str | Path, data: VideosConfig) -> tuple[list[str], list[str]]:
    """Views of this manifest that an encoder was trained on, in its last training and in those that it started from.

    Returns:
        the views, and what of its training no configuration tells, as text; nothing if they are all.
    """
    frame = read_manifest(data.manifest)
    views: set[Any] = set()
    unknown: list[str] = []
    trainings: list[str] = []
    start: str | None = str(source)
    while start and start not in trainings:  # a run may have begun with its own weights
        trainings.append(start)
        settings = _settings_of(Path(start))
        if settings is None:
            unknown.append(f"no {CONFIG_NAME} tells how {start} was trained")
            break
        stored, start = settings.get("data", {}), settings.get("init")
        if settings.get("train_blocks") == 0:
            continue  # the head alone learnt
        if not _same_manifest(str(stored.get("manifest")), data.manifest):
            unknown.append(f"{trainings[-1]} was trained on another manifest ({stored.get('manifest')})")
            continue
        try:
            views.update(_trained_rows(frame, settings)["view"])
        except InputError as error:
            unknown.append(f"{trainings[-1]} does not fit the manifest any more ({error})")
    return [str(view) for view in sorted(views)], unknown


def manifest_file(manifest: str) -> Path:
    """The file that a configuration's `data.manifest` names."""
    return sample_manifest() if manifest == "sample" else Path(manifest)


# ---------------------------------------------------------------------------------------------------------


def _settings_of(training: Path) -> dict[str, Any] | None:
    """The configuration of a run, or of the run in whose folder a weights file lies."""
    folder = training if training.is_dir() else training.parent
    return read_config(folder) if training.exists() and (folder / CONFIG_NAME).exists() else None


def _trained_rows(frame: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that a training took; a pre-training takes those that its choice of views puts into pairs."""
    stored = settings.get("data", {})
    rows = select(frame, split=stored.get("split", ""), part="train", query=stored.get("train_query", ""))
    if "augment" in settings:  # a fine-tuning
        return rows
    choice = ("num_sources", "target_views", "source_views", "nearest_sources", "camera_angles")
    return pair_views(rows, PairConfig(**{name: stored[name] for name in choice if name in stored})).frame


def _same_manifest(one: str, other: str) -> bool:
    """Whether two names are of one file, however they are written."""
    if is_url(one) or is_url(other):
        return one == other
    return manifest_file(one).resolve() == manifest_file(other).resolve()
