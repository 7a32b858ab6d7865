"""Labels: which videos of a test show a class that was trained; and training sets with few labels."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import pandas as pd

from mv2mae.config import DataConfig
from mv2mae.errors import InputError
from mv2mae.wording import listed


def count_untrained(rows: pd.DataFrame, classes: Collection[int]) -> int:
    """How many videos of a test show a class that was never trained. They count as errors: nobody can name it.

    Args:
        rows: of a manifest.
        classes: labels of the classes that were trained.

    Raises:
        InputError: a video has no label, or none shows a class that was trained.
    """
    bare = rows[rows["label"].isna()]
    if len(bare):
        raise InputError(
            f"{len(bare)} of {len(rows)} videos have no label (first: {bare['path'].iloc[0]}); fill the manifest's "
            "column `label` with classes from 0, or leave them out by a query (data.test_query)"
        )
    unknown = ~rows["label"].isin(list(classes))
    if unknown.all():
        raise InputError(
            f"none of the {len(rows)} test videos shows a class that was trained (they have the labels "
            f"{listed(sorted(set(rows['label'])))}, trained were {listed(sorted(classes))}); is it the manifest of "
            "another data set?"
        )
    return int(unknown.sum())


def few_labels(frame: pd.DataFrame, config: DataConfig, seed: int) -> pd.DataFrame:
    """The rows of the groups whose labels are used; all views of a group stay together.

    The draw follows from the seed and the groups' names alone. Smaller draws are part of larger ones: the groups
    of `labels_per_class: 5` are among those of 10.

    Args:
        frame: rows of a manifest.
        config: `labels_per_class` groups, or a `label_fraction` of the groups of each class, at least one.
        seed: of the draw.

    Raises:
        InputError: a class has fewer groups than asked for.
    """
    wanted, share = config.labels_per_class, config.label_fraction
    if wanted is None and share is None:
        return frame
    labels, groups = frame["label"].to_numpy(dtype=float, na_value=np.nan), frame["group"].astype(str).to_numpy()
    chosen = np.isnan(labels)  # rows without a label stay, for those who need labels to complain of
    short = {}
    for label in np.unique(labels[~chosen]):
        names = sorted(set(groups[labels == label]), key=lambda name: _place(seed, name))
        number = wanted if wanted is not None else max(1, round((share or 1) * len(names)))
        if number > len(names):
            short[int(label)] = len(names)
        chosen |= (labels == label) & np.isin(groups, names[:number])
    if short:
        label, fewest = min(short.items(), key=lambda item: item[1])
        raise InputError(
            f"data.labels_per_class={wanted}, but {len(short)} classes have fewer training groups "
            f"(class {label} has {fewest}); choose at most {fewest}"
        )
    return frame[chosen].reset_index(drop=True)


def _place(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()
