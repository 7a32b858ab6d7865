"""Accuracy from scores: pure functions of a table, so that every figure can be made again without the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

Figures = dict[str, Any]


def score_matrix(scores: pd.DataFrame) -> np.ndarray:
    """The probabilities of a score table as an array [videos, classes]."""
    return scores[_probability_columns(scores)].to_numpy(dtype=np.float64)


def _probability_columns(scores: pd.DataFrame) -> list[str]:
    return sorted((name for name in scores.columns if name[0] == "p" and name[1:].isdigit()), key=lambda n: int(n[1:]))


def fuse_views(scores: pd.DataFrame) -> pd.DataFrame:
    """Late fusion: the mean of the views' probabilities, one row a group (Section D).

    Views whose video was broken have no probabilities and are left out; a group without any stays as an error.
    """
    columns = _probability_columns(scores)
    keep = {name: "first" for name in ("label", "subject", "setup") if name in scores}
    fused = scores.groupby("group", sort=True).agg({**keep, **{name: "mean" for name in columns}}).reset_index()
    fused["view"] = "fused"
    return fused


def accuracy(scores: pd.DataFrame) -> Figures:
    """Top-1, top-5, mean class accuracy and accuracy per class; a broken video counts as an error.

    Returns:
        `num`, `num_broken`, `top1`, `top5` (None for fewer than 6 classes), `mean_class`, `per_class` (label -> top-1).
    """
    probabilities, labels = score_matrix(scores), scores["label"].to_numpy(dtype=np.int64)
    broken = np.isnan(probabilities).any(axis=1)
    num_classes = probabilities.shape[1]
    hit1 = _hits(probabilities, labels, 1) & ~broken
    hit5 = _hits(probabilities, labels, 5) & ~broken if num_classes > 5 else None
    per_class = {int(label): float(hit1[labels == label].mean()) for label in np.unique(labels)}
    return {
        "num": len(scores),
        "num_broken": int(broken.sum()),
        "top1": float(hit1.mean()),
        "top5": None if hit5 is None else float(hit5.mean()),
        "mean_class": float(np.mean(list(per_class.values()))),
        "per_class": per_class,
    }


def _hits(probabilities: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether each row's label is among its k best classes; of equal scores the smaller label comes first."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return (best == labels[:, None]).any(axis=1)


def confusion(scores: pd.DataFrame) -> np.ndarray:
    """Counts [true class, predicted class] over the videos that could be read."""
    probabilities, labels = score_matrix(scores), scores["label"].to_numpy(dtype=np.int64)
    good = ~np.isnan(probabilities).any(axis=1)
    matrix = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(matrix, (labels[good], probabilities[good].argmax(axis=1)), 1)
    return matrix


def interval(hits: np.ndarray, groups: np.ndarray, *, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of a mean; whole groups are drawn, since the views of one are not independent."""
    names, codes = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(codes, weights=hits), np.bincount(codes)
    picks = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def top1_with_interval(scores: pd.DataFrame) -> tuple[float, float, float, int]:
    """Top-1 of some rows of a score table, its 95 % bootstrap interval (by group) and the number of rows."""
    hits = top1_hits(scores)
    low, high = interval(hits, scores["group"].to_numpy())
    return float(hits.mean()), low, high, len(hits)


def top1_hits(scores: pd.DataFrame) -> np.ndarray:
    """Whether each row's likeliest class is its label; False for a broken video."""
    probabilities, labels = score_matrix(scores), scores["label"].to_numpy(dtype=np.int64)
    return _hits(probabilities, labels, 1) & ~np.isnan(probabilities).any(axis=1)


def summarise(scores: pd.DataFrame) -> Figures:
    """All figures of a test: single views together, each view alone, and fused over the views of a group."""
    views = scores["view"].unique()
    figures: Figures = {
        "single_view": {**accuracy(scores), "top1_interval": top1_with_interval(scores)[1:3]},
        "per_view": {str(view): accuracy(scores[scores["view"] == view])["top1"] for view in sorted(views, key=str)},
    }
    if len(views) > 1:
        fused = fuse_views(scores)
        figures["fused"] = {**accuracy(fused), "top1_interval": top1_with_interval(fused)[1:3]}
    return figures
