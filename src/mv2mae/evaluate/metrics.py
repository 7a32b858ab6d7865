"""Accuracy from scores: pure functions of a table, so that every figure can be made again without the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mv2mae.evaluate.results import (
    Accuracy,
    Calibration,
    FusedScored,
    Interval,
    ReliabilityBin,
    Scored,
    TestResult,
)
from mv2mae.evaluate.scores import numbered

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


def accuracy(scores: pd.DataFrame) -> Accuracy:
    """Top-1, top-5, mean class accuracy and accuracy per class."""
    probabilities, places, labels = score_matrix(scores), class_places(scores), scores["label"].to_numpy(dtype=np.int64)
    broken = np.isnan(probabilities).any(axis=1)
    hit1 = _hits(probabilities, places, 1) & ~broken
    hit5 = _hits(probabilities, places, 5) & ~broken if probabilities.shape[1] > 5 else None
    per_class = {int(label): float(hit1[labels == label].mean()) for label in np.unique(labels)}
    return Accuracy(
        num=len(scores),
        num_broken=int(broken.sum()),
        num_untrained=int((places < 0).sum()),
        top1=float(hit1.mean()),
        top5=None if hit5 is None else float(hit5.mean()),
        mean_class=float(np.mean(list(per_class.values()))),
        per_class=per_class,
    )


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


def interval(hits: np.ndarray, groups: np.ndarray, *, seed: int = 0, draws: int = 2000) -> Interval:
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


def calibration(scores: pd.DataFrame, num_bins: int = CALIBRATION_BINS) -> Calibration:
    """Whether probabilities mean what they say, over the videos that could be read.

    Args:
        scores: a row a video.
        num_bins: of the likeliest class's probability (its confidence), of one width.
    """
    probabilities, places = score_matrix(scores), class_places(scores)
    good = ~np.isnan(probabilities).any(axis=1)
    probabilities, places = probabilities[good], places[good]
    if not len(places):
        return Calibration()
    confidence, hits = probabilities.max(axis=1), _hits(probabilities, places, 1)
    trained = places >= 0
    of_label = probabilities[trained, places[trained]]
    edges = np.linspace(0, 1, num_bins + 1)
    place = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)  # a bin holds its upper edge
    bins = [
        ReliabilityBin(
            low=float(edges[k]),
            high=float(edges[k + 1]),
            num=int((place == k).sum()),
            confidence=float(confidence[place == k].mean()),
            accuracy=float(hits[place == k].mean()),
        )
        for k in np.unique(place)
    ]
    return Calibration(
        nll=float(-np.log(of_label.clip(min=1e-12)).mean()) if len(of_label) else None,
        ece=sum(part.num * abs(part.accuracy - part.confidence) for part in bins) / len(places),
        reliability=tuple(bins),
    )


def _scored(scores: pd.DataFrame) -> Scored:
    _, low, high, _ = top1_with_interval(scores)
    return Scored(top1_interval=(low, high), **vars(accuracy(scores)), **vars(calibration(scores)))


def _counts(scores: pd.DataFrame) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, confusion(scores).tolist()))


def _fused(fused: pd.DataFrame) -> FusedScored:
    incomplete = int((fused["num_fused"] < fused["num_views"]).sum())
    return FusedScored(**vars(_scored(fused)), confusion=_counts(fused), incomplete=incomplete)


def _top1_by(scores: pd.DataFrame, column: str) -> dict[str, tuple[float, float, float, int]]:
    """Top-1, interval and number of videos for each value of a column; values in order, numbers as numbers."""
    values = sorted(scores[column].dropna().unique(), key=lambda value: (isinstance(value, str), value))
    return {str(value): top1_with_interval(scores[scores[column] == value]) for value in values}


def summarise(scores: pd.DataFrame, fused: pd.DataFrame | None = None) -> TestResult:
    """All metrics of a test, and what it was made with as far as the table's `attrs` tell.

    Args:
        scores: a row a video (`mv2mae.evaluate.scores`).
        fused: a row a group where the views were fused in another way than by their mean.
    """
    by: dict[str, Any] = {}
    for column, name in (("view", "per_view"), ("subject", "per_subject")):
        found = _top1_by(scores, column) if column in scores else {}
        by[name] = {value: top1 for value, (top1, *_) in found.items()}
        by[f"{name}_interval"] = {value: (low, high) for value, (_, low, high, _) in found.items()}
        by[f"{name}_num"] = {value: num for value, (*_, num) in found.items()}
    late = None
    if fused is not None:
        late = _scored(fuse_views(scores))
    elif scores["view"].nunique() > 1:
        fused = fuse_views(scores)
    return TestResult(
        **_made_with(scores),
        single_view=_scored(scores),
        **by,
        late=late,
        fused=None if fused is None else _fused(fused),
        confusion=_counts(scores),
        broken=tuple(map(tuple, scores.loc[scores["error"] != "", ["path", "error"]].values.tolist())),
    )


def _made_with(scores: pd.DataFrame) -> dict[str, Any]:
    """Classes by the columns and labels of a table, unless its `attrs` name them; and what else these tell."""
    labels = [int(name[1:]) for name in numbered(scores, "p")]
    untrained = sorted(int(label) for label in set(scores["label"]) - set(labels))
    names = {"classes": map(str, labels), "untrained": map(str, untrained), "untrained_labels": untrained}
    told = ("run", "split", "num_clips", "num_crops", "fusion", "trained_on")
    return {
        **{name: tuple(scores.attrs.get(name, values)) for name, values in names.items()},
        **{name: scores.attrs.get(name) for name in told},
        "labels": tuple(labels),
    }
