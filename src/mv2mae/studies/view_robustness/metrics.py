"""How far features depend on the camera: accuracy across views, retrieval across views, similarity. Arrays, no files.

All of it is measured on performances that the probe did not learn from, with features less the mean of the training
features: a clip's mean token holds a large part that all clips share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from mv2mae.config import ProbeConfig
from mv2mae.evaluate.metrics import interval
from mv2mae.model.knn import knn_scores
from mv2mae.studies.probes.heads import Labelled, fit_linear
from mv2mae.studies.view_robustness.results import AngleShare, CellShare, Retrieval, Share, Similarity

ALL, OTHERS = "all", "all others"
"""Training on all views, or on all but the one of the test."""
ANGLE_STEP = 45
"""Angles between cameras are gathered round the multiples of this, in degrees."""


@dataclass(frozen=True)
class Seen:
    """Features of videos and what is known of each: `group, view, label, subject, setup, azimuth` (degrees or NaN)."""

    values: Float[Tensor, "v d"]
    rows: pd.DataFrame

    def part(self, chosen: np.ndarray) -> Seen:
        """Some of them, by a mask."""
        return Seen(self.values[torch.tensor(chosen)], self.rows[chosen].reset_index(drop=True))


def angle_between(a: ArrayLike, b: ArrayLike) -> Shaped[np.ndarray, " n"]:
    """Degrees from 0 to 180 between directions in degrees; NaN where one is unknown."""
    return np.abs((np.asarray(a, float) - np.asarray(b, float) + 180) % 360 - 180)


# --- accuracy --------------------------------------------------------------------------------------------


def hits_across_views(
    train: Seen,
    test: Seen,
    config: ProbeConfig,
    *,
    probe: str,
    unread: pd.DataFrame | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """Whether each test video is told right by a probe that learnt from one view, all views, or all others.

    A video of a class that the probe did not learn is not.

    Args:
        train, test: videos that could be read.
        config: of the probe.
        probe: `linear` or `knn`.
        unread: rows of the test videos that could not be read, which no probe tells right.
        device: where the probe runs.

    Returns:
        `train_view`, `test_view`, `group`, `hit`, and `angle` between the test video's camera and the camera of the
        training view in the same room, where that is known.
    """
    views = sorted(test.rows["view"].unique())
    seen = train.rows["view"].to_numpy()
    learnt = sorted(train.rows["view"].unique())
    parts = []
    for view in learnt:
        parts.append(_hits(train.part(seen == view), test, config, probe, device).assign(train_view=view))
    parts.append(_hits(train, test, config, probe, device).assign(train_view=ALL))
    for view in views:
        others, same = seen != view, test.part(test.rows["view"].to_numpy() == view)
        if others.any():
            found = _hits(train.part(others), same, config, probe, device)
            parts.append(found.assign(train_view=OTHERS))
    known = [train.rows, test.rows]
    if unread is not None and len(unread):
        missed = _about(unread).assign(hit=False)
        parts += [missed.assign(train_view=view) for view in (*learnt, ALL)]
        has_others = [(seen != view).any() for view in missed["test_view"]]
        parts.append(missed[has_others].assign(train_view=OTHERS))
        known.append(unread)
    hits = pd.concat([part for part in parts if len(part)], ignore_index=True)
    places = _places(pd.concat(known))
    of_training = [places.get(key, np.nan) for key in zip(hits["setup"], hits["train_view"], strict=True)]
    return hits.assign(angle=angle_between(hits["azimuth"], of_training)).drop(columns=["setup", "azimuth"])


def _hits(train: Seen, test: Seen, config: ProbeConfig, probe: str, device: str) -> pd.DataFrame:
    known, queries = train.values.to(device), test.values.to(device)
    classes, places = np.unique(train.rows["label"].to_numpy(np.int64), return_inverse=True)
    labels = torch.tensor(places, device=device)
    if probe == "knn":
        scores = knn_scores(queries, known, labels, len(classes), k=config.k, temperature=config.temperature)
    else:
        groups = train.rows["group"].tolist()
        scores = fit_linear(Labelled(known, labels, groups, len(classes)), config).logits(queries)
    hit = classes[scores.argmax(dim=1).cpu().numpy()] == test.rows["label"].to_numpy(np.int64)
    return _about(test.rows).assign(hit=hit)


def _about(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["group", "view", "setup", "azimuth"]].rename(columns={"view": "test_view"})


def _places(rows: pd.DataFrame) -> dict[tuple[object, object], float]:
    """Azimuth by (setup, view)."""
    return dict(zip(zip(rows["setup"], rows["view"], strict=True), rows["azimuth"], strict=True))


def accuracy_cells(hits: pd.DataFrame) -> list[CellShare]:
    """Top-1 with its interval for each training view and test view."""
    cells = hits.groupby(["train_view", "test_view"], sort=False)
    return [
        CellShare(train_view=str(train), test_view=str(test), **vars(_share(cell, "hit")))
        for (train, test), cell in cells
    ]


def by_angle(table: pd.DataFrame, value: str) -> list[AngleShare]:
    """The mean of a column round each multiple of `ANGLE_STEP` degrees; empty where no angle is known."""
    known = table[table["angle"].notna()]
    nearest = (known["angle"] / ANGLE_STEP).round() * ANGLE_STEP
    return [AngleShare(angle=float(angle), **vars(_share(part, value))) for angle, part in known.groupby(nearest)]


def _share(part: pd.DataFrame, value: str) -> Share:
    values = part[value].to_numpy(float)
    return Share(value=float(values.mean()), interval=interval(values, part["group"].to_numpy()), num=len(values))


# --- retrieval -------------------------------------------------------------------------------------------


def retrieve(seen: Seen, mean: Float[Tensor, " d"]) -> pd.DataFrame:
    """Look for each performance of one view among those of another, by cosine.

    Two galleries: `all` performances of the other view; and only those of the same person in the same room
    (`same person and room`, where the manifest tells them), so that neither person nor room gives it away.

    Args:
        seen: videos of two views at least.
        mean: of the training features.

    Returns:
        for each query and gallery: `query_view`, `gallery_view`, `group`, `gallery`, `size` (performances in the
        gallery), `rank` of the right one (1 = found; equal cosines count against it), `angle` between the cameras.
    """
    unit = F.normalize(seen.values - mean, dim=1)
    views = sorted(seen.rows["view"].unique())
    by_view = {view: np.flatnonzero(seen.rows["view"].to_numpy() == view) for view in views}
    found = [_ranks(seen.rows, unit, by_view[a], by_view[b]) for a in views for b in views if a != b]
    return pd.concat(found, ignore_index=True)


def _ranks(rows: pd.DataFrame, unit: Tensor, queries: np.ndarray, gallery: np.ndarray) -> pd.DataFrame:
    groups = {group: place for place, group in enumerate(rows["group"].to_numpy()[gallery])}
    queries = queries[[group in groups for group in rows["group"].to_numpy()[queries]]]
    query_rows, gallery_rows = rows.iloc[queries].reset_index(drop=True), rows.iloc[gallery].reset_index(drop=True)
    right = np.array([groups[group] for group in query_rows["group"]], dtype=np.int64)
    cosine = (unit[queries] @ unit[gallery].T).numpy()
    better = cosine >= cosine[np.arange(len(right)), right][:, None]
    about = pd.DataFrame(
        {
            "query_view": query_rows["view"],
            "gallery_view": gallery_rows["view"].iloc[0],
            "group": query_rows["group"],
            "angle": angle_between(query_rows["azimuth"], gallery_rows["azimuth"].to_numpy()[right]),
        }
    )
    found = [about.assign(gallery="all", size=len(gallery_rows), rank=better.sum(axis=1))]
    if not rows[["subject", "setup"]].isna().any(axis=None):
        codes = pd.factorize(pd.MultiIndex.from_frame(pd.concat([query_rows, gallery_rows])[["subject", "setup"]]))[0]
        alike = codes[: len(query_rows), None] == codes[None, len(query_rows) :]
        size, rank = alike.sum(axis=1), (better & alike).sum(axis=1)
        hard = about.assign(gallery="same person and room", size=size, rank=rank)
        found.append(hard[size > 1])
    return pd.concat(found)


def retrieval_of(ranks: pd.DataFrame) -> Retrieval:
    """Recall@1 and mean average precision of some queries, with what guessing would reach.

    A query has one right answer, so its average precision is 1 / rank; guessing in a gallery of n finds it first with
    1 / n, and has a mean of (1 + 1/2 + ... + 1/n) / n.
    """
    table = ranks.assign(first=ranks["rank"] == 1, precision=1 / ranks["rank"])
    recall, precision, size = _share(table, "first"), _share(table, "precision"), ranks["size"].to_numpy()
    harmonic = np.cumsum(1 / np.arange(1, size.max() + 1))
    return Retrieval(
        recall_at_1=recall.value,
        recall_at_1_interval=recall.interval,
        map=precision.value,
        map_interval=precision.interval,
        chance_recall_at_1=float((1 / size).mean()),
        chance_map=float((harmonic[size - 1] / size).mean()),
        mean_gallery=float(size.mean()),
        num=recall.num,
    )


# --- similarity ------------------------------------------------------------------------------------------


def similarity(seen: Seen, mean: Float[Tensor, " d"]) -> list[Similarity]:
    """Mean cosine of pairs of videos by what they have in common, from the same view and from other views.

    Relations: `same performance` (from other views only), `same action, other person`, `same person, other action`,
    `other person and action`. Where the manifest has no subjects, performances stand for people. Two performances of
    one action by one person are left out.
    """
    unit = F.normalize(seen.values - mean, dim=1)
    sums: dict[tuple[str, str], list[float]] = {}
    columns = {name: torch.from_numpy(pd.factorize(seen.rows[name])[0]) for name in ("group", "view", "label")}
    subject = seen.rows["subject"] if seen.rows["subject"].notna().all() else seen.rows["group"]
    columns["person"] = torch.from_numpy(pd.factorize(subject)[0])
    for chosen in torch.arange(len(unit)).split(512):
        cosine = unit[chosen] @ unit.T
        same = {name: codes[chosen][:, None] == codes[None] for name, codes in columns.items()}
        same["itself"] = chosen[:, None] == torch.arange(len(unit))[None]
        for relation, where, pairs in _pairs(same):
            total = sums.setdefault((relation, where), [0.0, 0])
            total[0] += float(cosine[pairs].double().sum())
            total[1] += int(pairs.sum())
    return [
        Similarity(relation=relation, view=where, cosine=total / num, num=int(num))
        for (relation, where), (total, num) in sums.items()
        if num
    ]


def _pairs(same: dict[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    group, label, person = same["group"], same["label"], same["person"]
    relations = {
        "same performance": group,
        "same action, other person": label & ~person,
        "same person, other action": person & ~label,
        "other person and action": ~person & ~label,
    }
    for relation, pairs in relations.items():
        yield relation, "other view", pairs & ~same["view"]
        yield relation, "same view", pairs & same["view"] & ~same["itself"]
