"""Accuracy from scores: pure functions of a table, so that every figure can be made again without the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mv2mae.evaluate.scores import numbered

Figures = dict[str, Any]

CALIBRATION_BINS = 15
_DRAWN_AT_ONCE = 4_000_000
"""Groups, over all draws of a bootstrap that are held in memory: some tens of megabytes."""


def score_matrix(scores: pd.DataFrame) -> np.ndarray:
    """The probabilities of a score table as an array [videos, classes]."""
    return scores[numbered(scores, "p")].to_numpy(dtype=np.float64)


def class_places(scores: pd.DataFrame) -> np.ndarray:
    """The column of `score_matrix` that stands for each row's class, [videos]; -1 for a class never trained."""
    column = {int(name[1:]): place for place, name in enumerate(numbered(scores, "p"))}
    return np.array([column.get(int(label), -1) for label in scores["label"]], dtype=np.int64)


def fuse_views(scores: pd.DataFrame) -> pd.DataFrame:
    """Late fusion: the mean of the views' probabilities, one row a group (Section D).

    Groups may have any number of views. Views whose video was broken have no probabilities and are left out; a group
    without any stays as an error. The columns `num_views` and `num_fused` count the views that there are and those
    that could be read.
    """
    columns = numbered(scores, "p")
    keep = {name: "first" for name in ("label", "subject", "setup") if name in scores}
    groups = scores.groupby("group", sort=True)
    fused = groups.agg({**keep, **{name: "mean" for name in columns}}).reset_index()
    counts = groups[columns[0]].agg(["size", "count"]).reset_index(drop=True)
    return fused.assign(view="fused", num_views=counts["size"], num_fused=counts["count"])


def accuracy(scores: pd.DataFrame) -> Figures:
    """Top-1, top-5, mean class accuracy and accuracy per class.

    A broken video counts as an error, and so does one of a class that was never trained.

    Returns:
        `num`, `num_broken`, `num_untrained` (videos of classes that were never trained), `top1`, `top5` (None for
        fewer than 6 trained classes), `mean_class`, `per_class` (label -> top-1).
    """
    probabilities, places, labels = score_matrix(scores), class_places(scores), scores["label"].to_numpy(dtype=np.int64)
    broken = np.isnan(probabilities).any(axis=1)
    hit1 = _hits(probabilities, places, 1) & ~broken
    hit5 = _hits(probabilities, places, 5) & ~broken if probabilities.shape[1] > 5 else None
    per_class = {int(label): float(hit1[labels == label].mean()) for label in np.unique(labels)}
    return {
        "num": len(scores),
        "num_broken": int(broken.sum()),
        "num_untrained": int((places < 0).sum()),
        "top1": float(hit1.mean()),
        "top5": None if hit5 is None else float(hit5.mean()),
        "mean_class": float(np.mean(list(per_class.values()))),
        "per_class": per_class,
    }


def _hits(probabilities: np.ndarray, places: np.ndarray, k: int) -> np.ndarray:
    """Whether each row's class is among its k best; of equal scores the smaller label comes first."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return (best == places[:, None]).any(axis=1)


def confusion(scores: pd.DataFrame) -> np.ndarray:
    """Counts [true class, predicted class] over the videos of trained classes that could be read."""
    probabilities, places = score_matrix(scores), class_places(scores)
    good = ~np.isnan(probabilities).any(axis=1) & (places >= 0)
    matrix = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(matrix, (places[good], probabilities[good].argmax(axis=1)), 1)
    return matrix


def interval(hits: np.ndarray, groups: np.ndarray, *, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of a mean; whole groups are drawn, since the views of one are not independent."""
    names, codes = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(codes, weights=hits), np.bincount(codes)
    rng, means = np.random.default_rng(seed), []
    for size in chunks_of(draws, len(names)):
        picks = rng.integers(len(names), size=(size, len(names)))
        means.append(sums[picks].sum(axis=1) / counts[picks].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def chunks_of(draws: int, num_groups: int) -> list[int]:
    """Sizes of parts of a bootstrap's draws that fit into memory; the parts draw what all at once would."""
    size = max(1, _DRAWN_AT_ONCE // max(1, num_groups))
    return [min(size, draws - begin) for begin in range(0, draws, size)]


def top1_with_interval(scores: pd.DataFrame) -> tuple[float, float, float, int]:
    """Top-1 of some rows of a score table, its 95 % bootstrap interval (by group) and the number of rows."""
    hits = top1_hits(scores)
    low, high = interval(hits, scores["group"].to_numpy())
    return float(hits.mean()), low, high, len(hits)


def top1_hits(scores: pd.DataFrame) -> np.ndarray:
    """Whether each row's likeliest class is its label; False for a broken video."""
    probabilities = score_matrix(scores)
    return _hits(probabilities, class_places(scores), 1) & ~np.isnan(probabilities).any(axis=1)


def calibration(scores: pd.DataFrame, num_bins: int = CALIBRATION_BINS) -> Figures:
    """Whether probabilities mean what they say, over the videos that could be read.

    Returns:
        `nll`, the mean of -log p(label) over the videos of trained classes; `ece`, the expected calibration error:
        over bins of the likeliest class's probability (its confidence), the mean of |accuracy - confidence|, weighted
        by the videos in each; `reliability`, a row a bin that is not empty: `low`, `high`, `num`,
        `confidence`, `accuracy`. The first two are None where nothing could be read.
    """
    probabilities, places = score_matrix(scores), class_places(scores)
    good = ~np.isnan(probabilities).any(axis=1)
    probabilities, places = probabilities[good], places[good]
    if not len(places):
        return {"nll": None, "ece": None, "reliability": []}
    confidence, hits = probabilities.max(axis=1), _hits(probabilities, places, 1)
    trained = places >= 0
    of_label = probabilities[trained, places[trained]]
    edges = np.linspace(0, 1, num_bins + 1)
    place = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)  # a bin holds its upper edge
    rows = [
        {
            "low": float(edges[k]),
            "high": float(edges[k + 1]),
            "num": int((place == k).sum()),
            "confidence": float(confidence[place == k].mean()),
            "accuracy": float(hits[place == k].mean()),
        }
        for k in np.unique(place)
    ]
    gaps = [row["num"] * abs(row["accuracy"] - row["confidence"]) for row in rows]
    return {
        "nll": float(-np.log(of_label.clip(min=1e-12)).mean()) if len(of_label) else None,
        "ece": float(sum(gaps) / len(places)),
        "reliability": rows,
    }


def _all_of(scores: pd.DataFrame) -> Figures:
    return {**accuracy(scores), "top1_interval": top1_with_interval(scores)[1:3], **calibration(scores)}


def _top1_by(scores: pd.DataFrame, column: str) -> dict[str, tuple[float, float, float, int]]:
    """Top-1, interval and number of videos for each value of a column; values in order, numbers as numbers."""
    values = sorted(scores[column].dropna().unique(), key=lambda value: (isinstance(value, str), value))
    return {str(value): top1_with_interval(scores[scores[column] == value]) for value in values}


def summarise(scores: pd.DataFrame, fused: pd.DataFrame | None = None) -> Figures:
    """All figures of a test.

    Args:
        scores: a row a video (`mv2mae.evaluate.scores`).
        fused: a row a group where the views were fused in another way than by their mean.

    Returns:
        `single_view`: the figures of `accuracy` and `calibration` and `top1_interval`, over all videos; `per_view` and
        `per_subject`: top-1 by view and by subject (of single views), with `per_view_interval`, `per_view_num`
        (videos) and so on;
        `confusion`: counts [true, predicted]; `broken`: (path, reason) of every video that could not be read; where
        there are several views, `fused`: the same figures with a row a group, its own `confusion` and `incomplete`, the
        number of groups that were fused without some of their views since these could not be read. Where `fused` was
        given, `late` has the figures of fusion by the mean.
    """
    figures: Figures = {"single_view": _all_of(scores)}
    for column, name in (("view", "per_view"), ("subject", "per_subject")):
        found = _top1_by(scores, column) if column in scores else {}
        figures[name] = {value: top1 for value, (top1, *_) in found.items()}
        figures[f"{name}_interval"] = {value: [low, high] for value, (_, low, high, _) in found.items()}
        figures[f"{name}_num"] = {value: num for value, (*_, num) in found.items()}
    if fused is not None:
        figures["late"] = _all_of(fuse_views(scores))
    elif scores["view"].nunique() > 1:
        fused = fuse_views(scores)
    if fused is not None:
        incomplete = int((fused["num_fused"] < fused["num_views"]).sum())
        figures["fused"] = {**_all_of(fused), "confusion": confusion(fused).tolist(), "incomplete": incomplete}
    figures["confusion"] = confusion(scores).tolist()
    figures["broken"] = scores.loc[scores["error"] != "", ["path", "error"]].values.tolist()
    return figures
