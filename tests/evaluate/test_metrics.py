"""Accuracies from score tables."""

import numpy as np
import pandas as pd
import pytest

from mv2mae.evaluate.metrics import accuracy, confusion, fuse_views, interval, summarise


def table(rows):
    """Rows of (group, view, label, probabilities or None)."""
    records = []
    for group, view, label, p in rows:
        record = {"path": f"{group}{view}", "group": group, "view": view, "label": label, "subject": 1, "setup": 1}
        record["error"] = "cut off" if p is None else ""
        record.update({f"p{i}": np.nan if p is None else p[i] for i in range(3)})
        records.append(record)
    return pd.DataFrame(records)


SCORES = table(
    [
        ("a", 1, 0, (0.6, 0.3, 0.1)),
        ("a", 2, 0, (0.2, 0.5, 0.3)),
        ("b", 1, 1, (0.5, 0.4, 0.1)),
        ("b", 2, 1, (0.1, 0.7, 0.2)),
        ("c", 1, 2, None),
        ("c", 2, 2, (0.0, 0.2, 0.8)),
    ]
)


def test_a_broken_video_counts_as_an_error():
    figures = accuracy(SCORES)
    assert figures["top1"] == pytest.approx(3 / 6)
    assert (figures["num"], figures["num_broken"]) == (6, 1)
    assert figures["per_class"] == {0: 0.5, 1: 0.5, 2: 0.5}
    assert figures["top5"] is None


def test_views_are_fused_by_their_mean():
    fused = fuse_views(SCORES)
    assert list(fused["group"]) == ["a", "b", "c"]
    np.testing.assert_allclose(fused.loc[0, ["p0", "p1", "p2"]].astype(float), [0.4, 0.4, 0.2])
    np.testing.assert_allclose(fused.loc[2, ["p0", "p1", "p2"]].astype(float), [0.0, 0.2, 0.8])
    assert accuracy(fused)["top1"] == 1.0  # a tie goes to the smaller label


def test_a_group_of_broken_videos_stays_an_error():
    fused = fuse_views(table([("a", 1, 0, None), ("a", 2, 0, None), ("b", 1, 1, (0, 1, 0))]))
    assert accuracy(fused)["top1"] == 0.5


def test_top5_needs_the_label_among_the_best_five():
    p = np.arange(7) / 21
    rows = pd.DataFrame([{"group": str(i), "label": i, **{f"p{j}": p[j] for j in range(7)}} for i in range(7)])
    assert accuracy(rows)["top5"] == pytest.approx(5 / 7)
    assert accuracy(rows)["top1"] == pytest.approx(1 / 7)


def test_more_than_ten_classes_keep_their_order():
    rows = pd.DataFrame([{"group": "a", "label": 10, **{f"p{j}": float(j == 10) for j in range(12)}}])
    assert accuracy(rows[sorted(rows.columns)])["top1"] == 1.0


def test_confusion_counts_what_could_be_read():
    assert confusion(SCORES).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_interval_covers_the_mean_and_narrows_with_groups():
    rng = np.random.default_rng(0)
    few, many = rng.random(20) < 0.5, rng.random(2000) < 0.5
    low, high = interval(few, np.arange(20))
    assert low < few.mean() < high
    low2, high2 = interval(many, np.arange(2000))
    assert high2 - low2 < (high - low) / 5


def test_interval_draws_groups_not_videos():
    hits = np.repeat(np.arange(10) % 2, 50).astype(float)
    by_group = interval(hits, np.repeat(np.arange(10), 50))
    by_video = interval(hits, np.arange(500))
    assert by_group[1] - by_group[0] > 3 * (by_video[1] - by_video[0])


def test_summary_has_single_fused_and_each_view():
    figures = summarise(SCORES)
    assert figures["per_view"] == {"1": pytest.approx(1 / 3), "2": pytest.approx(2 / 3)}
    assert figures["fused"]["num"] == 3
    assert "fused" not in summarise(SCORES[SCORES["view"] == 1])
