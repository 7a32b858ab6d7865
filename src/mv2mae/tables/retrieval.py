"""Whether a frozen encoder finds a performance again in another view; each answer is kept, so that it can be tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mv2mae.config import FeatureConfig, VideosConfig
from mv2mae.data.selection import manifest_of_part
from mv2mae.evaluate.scores import write_table
from mv2mae.studies.features import extract_features, frozen_encoder
from mv2mae.studies.view_robustness.measure import rows_of_all_views, with_azimuths
from mv2mae.studies.view_robustness.metrics import Seen, retrieve

RANKS_NAME = "ranks.parquet"
_MOST = 500
"""Test performances to look among."""


def retrieval(source: str | Path, data: VideosConfig, out: Path, *, device: str = "cpu") -> None:
    """Look for each test performance of one view among those of another, and write the ranks of the right ones.

    Args:
        source: pre-training run.
        data: what divides performances into training ones, whose mean feature is taken off, and test ones.
        out: folder for `ranks.parquet`, the table of `studies.view_robustness.metrics.retrieve`.

    Raises:
        InputError: videos that do not divide, or test performances of one view only.
    """
    rows = rows_of_all_views(data)
    frozen = frozen_encoder(source)
    known, tested_features = (
        extract_features(frozen, part, data, FeatureConfig(), device=device) for part in (rows.train, rows.test)
    )
    test = with_azimuths(rows.test, manifest_of_part(data, "test"))
    kept = sorted(set(test["group"]))[:_MOST]
    good = tested_features.good & np.isin(test["group"].to_numpy(), kept)
    seen = Seen(tested_features.of_videos()[good], test[good].reset_index(drop=True))
    write_table(retrieve(seen, known.of_videos()[known.good].mean(dim=0)), out / RANKS_NAME)
