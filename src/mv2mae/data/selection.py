"""Which videos of a manifest a configuration chooses: a part of a split, a query, the groups of some videos."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from mv2mae.config import VideosConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.errors import InputError


def rows_of_part(config: VideosConfig, part: str) -> pd.DataFrame:
    """The training or the test videos that a configuration chooses, as rows of their manifest.

    Raises:
        InputError: no manifest, an unknown split, a query that cannot be, or nothing left.
    """
    query = config.train_query if part == "train" else config.test_query
    return select(read_manifest(manifest_of_part(config, part)), split=config.split, part=part, query=query)


def manifest_of_part(config: VideosConfig, part: str) -> str:
    """The manifest that holds the part `train` or `test`."""
    return (config.test_manifest if part == "test" else None) or config.manifest


def same_groups(rows: pd.DataFrame, paths: Collection[str]) -> pd.DataFrame:
    """The rows of the groups that have one of these videos, with all their views.

    Raises:
        InputError: there is none.
    """
    known = rows["group"][rows["path"].isin(list(paths))]
    if known.empty:
        raise InputError(
            f"none of the {len(rows)} videos is among the {len(paths)} that the run was fine-tuned on (here "
            f"{rows['path'].iloc[0]}, there {next(iter(paths), 'none')}); give the manifest that it was trained with, "
            "or where its videos have moved since, correct its list of them (training_videos.json)"
        )
    return rows[rows["group"].isin(known)].reset_index(drop=True)
