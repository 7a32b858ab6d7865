"""Accuracies from score tables."""

import numpy as np
import pandas as pd
import pytest

from mv2mae.evaluate import metrics
from mv2mae.evaluate.metrics import accuracy, calibration, chunks_of, confusion, fuse_views, interval, summarise
from mv2mae.evaluate.results import Calibration


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
    assert figures.top1 == pytest.approx(3 / 6)
    assert (figures.num, figures.num_broken) == (6, 1)
    assert figures.per_class == {0: 0.5, 1: 0.5, 2: 0.5}
    assert figures.top5 is None


def test_views_are_fused_by_their_mean():
    fused = fuse_views(SCORES)
    assert list(fused["group"]) == ["a", "b", "c"]
    np.testing.assert_allclose(fused.loc[0, ["p0", "p1", "p2"]].astype(float), [0.4, 0.4, 0.2])
    np.testing.assert_allclose(fused.loc[2, ["p0", "p1", "p2"]].astype(float), [0.0, 0.2, 0.8])
    assert accuracy(fused).top1 == 1.0  # a tie goes to the smaller label


def test_a_group_of_broken_videos_stays_an_error():
    fused = fuse_views(table([("a", 1, 0, None), ("a", 2, 0, None), ("b", 1, 1, (0, 1, 0))]))
    assert accuracy(fused).top1 == 0.5


def test_top5_needs_the_label_among_the_best_five():
    p = np.arange(7) / 21
    rows = pd.DataFrame([{"group": str(i), "label": i, **{f"p{j}": p[j] for j in range(7)}} for i in range(7)])
    assert accuracy(rows).top5 == pytest.approx(5 / 7)
    assert accuracy(rows).top1 == pytest.approx(1 / 7)


def test_more_than_ten_classes_keep_their_order():
    rows = pd.DataFrame([{"group": "a", "label": 10, **{f"p{j}": float(j == 10) for j in range(12)}}])
    assert accuracy(rows[sorted(rows.columns)]).top1 == 1.0


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
    assert figures.per_view == {"1": pytest.approx(1 / 3), "2": pytest.approx(2 / 3)}
    assert figures.fused.num == 3
    assert summarise(SCORES[SCORES["view"] == 1]).fused is None


def interval_at_once(hits, groups, *, seed=0, draws=2000):
    """The bootstrap as plainly as it can be written, all draws in memory."""
    names, codes = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(codes, weights=hits), np.bincount(codes)
    picks = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    low, high = np.quantile(sums[picks].sum(axis=1) / counts[picks].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("num_groups", [1, 2, 3, 17, 1999, 2001, 5003])
def test_interval_in_parts_is_that_of_all_draws_at_once(num_groups, monkeypatch):
    rng = np.random.default_rng(num_groups)
    groups = np.concatenate([np.arange(num_groups), rng.integers(num_groups, size=2 * num_groups)])
    hits, values = rng.random(len(groups)) < 0.3, rng.normal(size=len(groups))
    assert interval(hits, groups) == interval_at_once(hits, groups)
    few = {"seed": 5, "draws": 300}
    for at_once in (7 * num_groups, 1):  # seven draws at a time, and one, of an odd number of groups too
        monkeypatch.setattr(metrics, "_DRAWN_AT_ONCE", at_once)
        assert interval(values, groups, **few) == interval_at_once(values, groups, **few)


def test_parts_of_a_bootstrap_are_small_and_leave_no_draw_out():
    for draws, num_groups in ((2000, 19_920), (10_000, 3), (5, 10**8), (2000, 0)):
        sizes = chunks_of(draws, num_groups)
        assert sum(sizes) == draws
        assert max(sizes) == 1 or max(sizes) * num_groups <= 4_000_000


def test_calibration_by_hand():
    rows = table(
        [
            ("a", 1, 0, (0.8, 0.1, 0.1)),  # right; 0.8 is the upper edge of (0.6, 0.8]
            ("b", 1, 1, (0.65, 0.25, 0.1)),  # wrong, in the same bin
            ("c", 1, 2, (0.0, 0.0, 1.0)),  # right; 1 belongs to the last bin, (0.8, 1]
            ("d", 1, 1, (0.35, 0.4, 0.25)),  # right; 0.4 is the upper edge of (0.2, 0.4]
        ]
    )
    found = calibration(rows, num_bins=5)
    assert found.nll == pytest.approx(-np.log([0.8, 0.25, 1.0, 0.4]).sum() / 4)
    assert [(part.low, part.high, part.num) for part in found.reliability] == [
        (pytest.approx(0.2), pytest.approx(0.4), 1),
        (pytest.approx(0.6), pytest.approx(0.8), 2),
        (pytest.approx(0.8), 1.0, 1),
    ]
    assert [part.confidence for part in found.reliability] == pytest.approx([0.4, 0.725, 1.0])
    assert [part.accuracy for part in found.reliability] == [1.0, 0.5, 1.0]
    assert found.ece == pytest.approx((0.6 * 1 + 0.225 * 2 + 0.0 * 1) / 4)


def test_calibration_leaves_out_what_has_no_probability():
    rows = table([("a", 1, 0, (0.8, 0.1, 0.1)), ("b", 1, 7, (0.3, 0.5, 0.2)), ("c", 1, 2, None)])
    found = calibration(rows, num_bins=5)
    assert found.nll == pytest.approx(-np.log(0.8))  # class 7 was never trained, c is broken
    assert found.ece == pytest.approx((1 - 0.8 + 0.5) / 2)  # what was never trained is an error all the same
    never = calibration(table([("a", 1, 0, (0.0, 1.0, 0.0))]))
    assert never.nll == pytest.approx(-np.log(1e-12))  # certain and wrong: not infinite
    assert calibration(table([("c", 1, 2, None)])) == Calibration(nll=None, ece=None, reliability=())


def test_mean_class_accuracy_weighs_each_class_of_the_test_alike():
    right, wrong = (0.9, 0.05, 0.05), (0.05, 0.05, 0.9)
    rows = [("a", view, 0, right) for view in range(8)] + [("b", 1, 1, wrong), ("b", 2, 1, (0.1, 0.8, 0.1))]
    found = accuracy(table(rows))
    assert (found.top1, found.mean_class) == (pytest.approx(9 / 10), pytest.approx(3 / 4))
    assert found.per_class == {0: 1.0, 1: 0.5}  # class 2 is not in the test, and no error
    with_other = accuracy(table([*rows, ("c", 1, 5, wrong)]))  # a class that was never trained is one
    assert with_other.per_class == {0: 1.0, 1: 0.5, 5: 0.0}
    assert with_other.mean_class == pytest.approx(1.5 / 3)


def test_top1_is_told_by_subject():
    subjects = [3, 3, 12, 12, 12, np.nan]  # c's second video says nothing of who it shows
    found = summarise(SCORES.assign(subject=subjects))
    assert list(found.per_subject) == ["3.0", "12.0"]
    assert list(found.per_subject.values()) == [pytest.approx(1 / 2), pytest.approx(1 / 3)]
    assert list(found.per_subject_num.values()) == [2, 3]
    # of subject 3 there is one group alone: nothing to draw
    assert found.per_subject_interval["3.0"] == (0.5, 0.5)
    low, high = found.per_subject_interval["12.0"]
    assert (low, high) == (0.0, 0.5)  # either group alone: b has 1 of 2, c's broken one 0 of 1
    assert summarise(SCORES.drop(columns="subject")).per_subject == {}


@pytest.mark.parametrize(("num_classes", "top5"), [(5, None), (6, 5 / 6)])
def test_top5_is_told_from_six_classes_on(num_classes, top5):
    p = np.arange(num_classes, dtype=float)
    rows = [{"group": str(i), "label": i, **{f"p{j}": p[j] for j in range(num_classes)}} for i in range(num_classes)]
    assert accuracy(pd.DataFrame(rows)).top5 == (None if top5 is None else pytest.approx(top5))
