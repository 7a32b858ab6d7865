"""The picture of view robustness is drawn whatever was measured."""

import matplotlib.backends.backend_agg as agg
import pytest

from mv2mae.studies.view_robustness.figure import robustness_figure
from mv2mae.studies.view_robustness.results import RobustnessResult


def found(value, views, angles):
    share = {"value": value, "interval": [value - 0.1, value + 0.1], "num": 20}
    retrieval = {"recall_at_1": value, "recall_at_1_interval": [value - 0.1, value], "map": value,
                 "map_interval": [value, value + 0.1], "chance_recall_at_1": 0.1, "chance_map": 0.2,
                 "mean_gallery": 10, "num": 20, "pairs": [], "by_angle": []}  # fmt: skip
    return {
        "accuracy": [{"train_view": a, "test_view": b, **share} for a in (*views, "all") for b in views],
        "accuracy_by_angle": [{"angle": angle, **share} for angle in angles],
        "retrieval": {"all": retrieval},
        "similarity": [
            {"relation": relation, "view": view, "cosine": value / 3, "num": 5}
            for relation in ("same performance", "other person and action")
            for view in ("other view", "same view")
            if (relation, view) != ("same performance", "same view")
        ],
    }


@pytest.mark.parametrize(
    ("views", "angles", "floor"),
    [
        (("1", "2"), (0.0, 45.0, 90.0), True),
        (("1", "2"), (), True),
        (tuple(map(str, range(1, 29))), (0.0, 45.0), False),
    ],
)
def test_the_figure(views, angles, floor):
    encoders = {"runs/a": found(0.6, views, angles)}
    if floor:
        encoders["untrained"] = found(0.2, views, angles)
    about = {"run": "runs/a", "manifest": "m.csv", "split": "", "views": list(views), "views_of_training": ["1"],
             "unknown_training": [], "train_performances": 9, "test_performances": 9, "probe": "linear", "chance": 0.1,
             "most_frequent_class": 0.1, "num_untrained": 0, "untrained": [], "num_broken": 0,
             "broken": []}  # fmt: skip
    figure = robustness_figure(RobustnessResult.from_json({**about, "encoders": encoders}))
    agg.FigureCanvasAgg(figure).draw()
    matrix, angle, *_ = figure.axes
    assert len(matrix.texts) == (6 if len(views) == 2 else 0)
    assert matrix.get_xticklabels()[0].get_text() == "1 *"
    assert ("degrees" in angle.get_xlabel()) == bool(angles)
