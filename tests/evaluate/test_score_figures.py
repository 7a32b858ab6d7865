"""Pictures of tests and timelines show what the figures say."""

import numpy as np
import pytest

from mv2mae.evaluate.results import FusedScored, ReliabilityBin, Scored, TestResult
from mv2mae.evaluate.score_figures import reliability_figure, views_figure, write_score_figures
from mv2mae.evaluate.timeline_figure import timeline_figure

BINS = (
    ReliabilityBin(low=0.2, high=0.4, num=10, confidence=0.3, accuracy=0.5),
    ReliabilityBin(low=0.8, high=1.0, num=30, confidence=0.9, accuracy=0.6),
)


def result_of(num_classes):
    whole = {"top1_interval": (0.4, 0.6), "mean_class": 0.5, "per_class": {0: 0.5}, "reliability": BINS}
    return TestResult(
        classes=tuple(f"class {k}" for k in range(num_classes)),
        confusion=tuple(map(tuple, np.eye(num_classes, dtype=int).tolist())),
        single_view=Scored(top1=0.5, num=40, **whole),
        fused=FusedScored(top1=0.7, num=20, **whole),
        per_view={"1": 0.4, "left": 0.6},
        per_view_interval={"1": (0.2, 0.5), "left": (0.5, 0.8)},
        per_view_num={"1": 25, "left": 15},
    )


@pytest.mark.parametrize("num_classes", [3, 60])
def test_the_pictures_of_a_test_are_written(num_classes, tmp_path):
    paths = write_score_figures(result_of(num_classes), tmp_path / "out")
    assert [path.name for path in paths] == ["confusion.png", "reliability.png", "views.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_views_are_named_with_their_numbers():
    axis = views_figure(result_of(4)).axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["view 1", "view left", "all single views", "fused views"]
    assert [text.get_text() for text in axis.texts][1] == "0.600  (15 test items)"


def test_reliability_shows_accuracy_over_confidence():
    upper, lower = reliability_figure({"single views": BINS}).axes
    np.testing.assert_allclose(upper.lines[1].get_xydata(), [[0.3, 0.5], [0.9, 0.6]])
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [0.25, 0.75])


def test_a_timeline_shows_the_classes_that_win_and_gaps():
    probabilities = np.full((5, 9), 0.01)
    probabilities[[0, 1], 7] = 0.9
    probabilities[4, 2] = 0.8
    probabilities[2] = np.nan
    starts = np.arange(5.0)
    segments = [{"start": 0.0, "end": 3.0, "label": "k7"}, {"start": 3.0, "end": 6.0, "label": ""}]
    figure = timeline_figure(starts, starts + 2, probabilities, [f"k{i}" for i in range(9)], segments, top=3)
    upper, lower = figure.axes
    assert {"k7", "k2"} <= {line.get_label() for line in upper.lines}
    first = next(line for line in upper.lines if line.get_label() == "k7")
    np.testing.assert_allclose(first.get_xdata(), starts + 1)
    assert np.isnan(first.get_ydata()[2])
    assert [text.get_text() for text in lower.texts] == ["k7"]
