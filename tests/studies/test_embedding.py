import matplotlib.text
import numpy as np
import pandas as pd
import pytest

from mv2mae.errors import InputError
from mv2mae.studies.embedding.figure import MAX_NAMED, embedding_figure, neighbour_shares, project


def make_rows(groups: int = 12, views: int = 2, classes: int = 3) -> pd.DataFrame:
    rows = [
        {"group": f"g{g}", "view": v, "label": g % classes, "subject": g % 2}
        for g in range(groups)
        for v in range(views)
    ]
    return pd.DataFrame(rows).astype({"label": "Int64", "subject": "Int64"})


def of_column(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Features that tell the values of one column apart and nothing else but a little noise."""
    codes = pd.factorize(rows[column])[0]
    return np.eye(12)[codes] * 5 + np.random.default_rng(0).normal(size=(len(rows), 12)) * 0.1


def test_nearest_neighbours_of_other_performances_tell_what_features_tell_apart():
    rows = make_rows()
    by_action = neighbour_shares(of_column(rows, "label"), rows)
    assert by_action["label"][0] == 1
    # 3 other groups of the same action among 11
    assert by_action["label"][1] == pytest.approx(3 / 11)
    assert by_action["view"] == (pytest.approx(0.5, abs=0.35), pytest.approx(0.5))
    assert neighbour_shares(of_column(rows, "view"), rows)["view"][0] == 1
    # the other view of the same performance is the nearest of all, and does not count
    assert neighbour_shares(of_column(rows, "group"), rows)["label"][0] < 1


def test_what_is_not_known_or_all_the_same_has_no_share():
    rows = make_rows()
    rows["subject"] = pd.array([pd.NA] * len(rows), dtype="Int64")
    rows["label"] = 1
    assert list(neighbour_shares(of_column(rows, "view"), rows)) == ["view"]
    one = rows[rows["group"] == "g0"]
    assert neighbour_shares(np.eye(2), one) == {}


def test_the_plane_keeps_the_largest_variance():
    features = np.random.default_rng(1).normal(size=(50, 6)) * [1, 9, 1, 4, 1, 1]
    points = project(features)
    centred = features - features.mean(axis=0)
    values = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    np.testing.assert_allclose((points**2).sum(axis=0), values[:2])
    np.testing.assert_allclose(points, project(features + 100), atol=1e-6)


@pytest.mark.parametrize(("method", "package"), [("tsne", "scikit-learn"), ("umap", "umap-learn")])
def test_a_missing_package_is_named(monkeypatch, method: str, package: str):
    def without(name: str) -> None:
        raise ImportError(f"No module named {name}")

    monkeypatch.setattr("mv2mae.studies.embedding.figure.import_module", without)
    with pytest.raises(InputError, match=rf"method={method} needs {package} \(pip install {package}\); or choose pca"):
        project(np.eye(5), method)
    with pytest.raises(InputError, match="a map of 3 clips says nothing"):
        project(np.eye(3), method)


def test_t_sne_where_it_is_installed():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert project(np.random.default_rng(0).normal(size=(20, 5)), "tsne").shape == (20, 2)


def test_a_panel_for_each_kind_that_is_known():
    rows = make_rows()
    figure = embedding_figure(of_column(rows, "label"), rows, classes={0: "wave", 1: "clap"})
    words = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
    assert {"wave", "clap", "class 2", "view 0", "person 1"} <= words
    assert "by action\nnearest neighbour the same: 100% (chance 27%)" in words
    assert any("24 clips of 12 performances" in word for word in words)
    rows["subject"] = pd.array([pd.NA] * len(rows), dtype="Int64")
    assert len(embedding_figure(of_column(rows, "label"), rows).axes) == 2


def test_more_classes_than_can_be_told_apart_are_grey():
    rows = make_rows(groups=60, views=1, classes=30)
    figure = embedding_figure(np.random.default_rng(0).normal(size=(60, 4)), rows)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(legend) == MAX_NAMED + 1
    assert legend[0] == f"{30 - MAX_NAMED} others"
