"""View robustness: its measures on made-up features, and the whole command on a few videos."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from frozen import DATA, FEW, few_videos, tiny_weights

from mv2mae.cli import main
from mv2mae.config import FeatureConfig, ProbeConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.robustness import (
    Seen,
    accuracy_cells,
    angle_between,
    by_angle,
    hits_across_views,
    retrieval_figures,
    retrieve,
    similarity,
)
from mv2mae.evaluate.views import long_table, rows_of_all_views, view_robustness, views_of_training, with_azimuths

CONFIG = ProbeConfig(weight_decays=(0.1,), k=5)


def made_up(*, persons, action=0.0, view=0.0, performance=0.0, noise=0.3, seed=0):
    """4 actions x persons x 3 cameras: each feature is a sum of parts for what is named, and noise."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    parts = {"action": fixed.normal(size=(4, 32)), "view": fixed.normal(size=(3, 32))}
    rows, values = [], []
    for person in persons:
        for label in range(4):
            own = rng.normal(size=32)
            for camera in range(3):
                place = {"view": camera + 1, "setup": person % 2, "azimuth": 45.0 * (1 - camera)}
                rows.append({"group": f"{person}-{label}", "label": label, "subject": person, **place})
                values.append(5 + action * parts["action"][label] + view * parts["view"][camera] + performance * own
                              + noise * rng.normal(size=32))  # fmt: skip
    return Seen(torch.tensor(np.array(values), dtype=torch.float32), pd.DataFrame(rows))


def cells(train, test, probe="linear"):
    hits = hits_across_views(train, test, CONFIG, probe=probe)
    return hits, {(cell["train_view"], cell["test_view"]): cell["value"] for cell in accuracy_cells(hits)}


@pytest.mark.parametrize("probe", ["linear", "knn"])
def test_features_of_the_action_alone_are_told_from_every_view(probe):
    hits, found = cells(made_up(persons=range(10), action=3), made_up(persons=range(10, 15), action=3, seed=1), probe)
    assert len(found) == 3 * 3 + 3 + 3
    assert set(found.values()) == {1.0}
    assert [(c["angle"], c["value"]) for c in by_angle(hits, "hit")] == [(0, 1.0), (45, 1.0), (90, 1.0)]


def test_features_that_change_with_the_camera_are_told_from_their_own_view_only():
    train, test = (made_up(persons=p, seed=s) for p, s in ((range(10), 0), (range(10, 20), 1)))
    codes = np.random.default_rng(5).normal(size=(3, 4, 32)) * 3  # another code of the actions for each view
    for seen in (train, test):
        code = codes[seen.rows["view"] - 1, seen.rows["label"]]
        seen.values.add_(torch.tensor(code, dtype=torch.float32))
    _, found = cells(train, test)
    assert all(found[view, view] == 1 for view in (1, 2, 3))
    assert np.mean([found[a, b] for a in (1, 2, 3) for b in (1, 2, 3) if a != b]) < 0.5
    assert np.mean([found["all", view] for view in (1, 2, 3)]) > 0.95
    assert np.mean([found["all others", view] for view in (1, 2, 3)]) < 0.6


def test_a_performance_is_found_by_what_is_its_own():
    seen = made_up(persons=range(10), performance=3)
    ranks = retrieve(seen, seen.values.mean(dim=0))
    for gallery, size in (("all", 40), ("same person and room", 4)):
        part = ranks[ranks["gallery"] == gallery]
        figures = retrieval_figures(part)
        assert len(part) == 6 * 40
        assert (part["size"] == size).all()
        assert (figures["recall_at_1"], figures["map"]) == (1.0, 1.0)
        assert figures["chance_recall_at_1"] == pytest.approx(1 / size)
    assert sorted(ranks["angle"].unique()) == [45, 90]


def test_guessing_reaches_what_is_called_chance():
    seen = made_up(persons=range(30), noise=1)
    ranks = retrieve(seen, seen.values.mean(dim=0))
    for _, part in ranks.groupby("gallery"):
        figures = retrieval_figures(part)
        assert figures["recall_at_1"] == pytest.approx(figures["chance_recall_at_1"], abs=0.05)
        assert figures["map"] == pytest.approx(figures["chance_map"], abs=0.05)


def test_features_that_are_all_equal_find_nothing():
    seen = made_up(persons=range(4))
    seen.values[:] = 1.0
    assert retrieval_figures(retrieve(seen, torch.zeros(32)))["recall_at_1"] == 0


def test_ragged_groups_ask_only_where_there_is_an_answer():
    seen = made_up(persons=range(4), performance=3)
    kept = seen.part(~((seen.rows["group"] == "0-0") & (seen.rows["view"] == 2)).to_numpy())
    ranks = retrieve(kept, kept.values.mean(dim=0)).query("gallery == 'all'")
    assert len(ranks[(ranks["query_view"] == 2) & (ranks["gallery_view"] == 1)]) == 15
    assert len(ranks[(ranks["query_view"] == 1) & (ranks["gallery_view"] == 2)]) == 15


def test_similarity_equals_the_obvious_way():
    seen = made_up(persons=range(3), action=1, view=1, performance=1)
    mean = seen.values.mean(dim=0)
    centred = (seen.values - mean).double().numpy()
    sums = {}
    for i, a in seen.rows.iterrows():
        for j, b in seen.rows.iterrows():
            if i == j:
                continue
            action, person = a["label"] == b["label"], a["subject"] == b["subject"]
            relation = {(True, True): "same performance", (True, False): "same action, other person",
                        (False, True): "same person, other action",
                        (False, False): "other person and action"}[action, person]  # fmt: skip
            cosine = centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j])
            where = "same view" if a["view"] == b["view"] else "other view"
            sums.setdefault((relation, where), []).append(cosine)
    found = {(cell["relation"], cell["view"]): cell for cell in similarity(seen, mean)}
    assert found.keys() == sums.keys()
    for key, cosines in sums.items():
        assert found[key]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-5)
        assert found[key]["num"] == len(cosines)
    assert ("same performance", "same view") not in found


def test_angles_go_round():
    np.testing.assert_allclose(angle_between([170, 0, 90, np.nan], [-170, 45, -90, 0]), [20, 45, 180, np.nan])


@pytest.fixture
def weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    return tiny_weights(tmp_path / "model.safetensors", tiny)


def test_all_views_of_the_splits_performances_are_used(tmp_path):
    data = dataclasses.replace(DATA, manifest=str(few_videos(tmp_path / "m.csv")), split="synthetic/xsub-xview")
    rows = rows_of_all_views(data)
    assert set(rows.train["view"]) == set(rows.test["view"]) == {1, 2, 3}
    assert set(rows.train["subject"]) == {1, 2, 3}
    assert set(rows.test["subject"]) == {4, 5}
    with pytest.raises(InputError, match="every test performance is a training one too"):
        rows_of_all_views(dataclasses.replace(data, split="synthetic/xview"))
    single = few_videos(tmp_path / "single.csv", FEW + " and view == 2")
    with pytest.raises(InputError, match="have one view only"):
        rows_of_all_views(dataclasses.replace(data, manifest=str(single), split="synthetic/xsub"))


def test_cameras_are_looked_up_by_setup_and_view(tmp_path):
    rows = with_azimuths(read_manifest("sample"), "sample")
    assert rows["azimuth"].notna().all()
    by_view = rows.groupby("view")["azimuth"].mean()
    assert (by_view[1] > 30) & (abs(by_view[2]) < 10) & (by_view[3] < -30)
    manifest = few_videos(tmp_path / "m.csv")
    assert with_azimuths(read_manifest(manifest), str(manifest))["azimuth"].isna().all()
    with pytest.raises(InputError, match=r"no file at nowhere\.json"):
        with_azimuths(rows, str(manifest), "nowhere.json")


def test_the_views_a_run_was_trained_on_are_told(tmp_path):
    manifest = few_videos(tmp_path / "m.csv")
    data = dataclasses.replace(DATA, manifest=str(manifest))
    (tmp_path / "config.yaml").write_text(f"data: {{manifest: '{manifest}', split: synthetic/xsub-xview}}\n")
    assert views_of_training(tmp_path, data) == ["2", "3"]
    assert views_of_training(tmp_path, dataclasses.replace(data, manifest="sample")) == []
    assert views_of_training("synthetic-small", data) == []


def test_the_whole_command(weights, tmp_path, capsys):
    manifest = few_videos(tmp_path / "m.csv", broken=[2])
    words = ["views", str(weights), "--data", str(manifest), "--data.split", "synthetic/xsub", "--method", "knn"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "all others" in said
    assert "1 video cannot be read" in said
    out = tmp_path / "views"
    assert {path.name for path in out.iterdir()} == {"views.json", "views.csv", "views.png"}
    table = pd.read_csv(out / "views.csv")
    assert set(table["encoder"]) == {str(weights), "untrained"}
    top1 = table[table["measure"] == "top-1"]
    assert len(top1) == 2 * (3 * 3 + 3 + 3)
    assert (top1["chance"] == 0.5).all()


def test_figures_name_all_that_was_measured(weights, tmp_path):
    data = dataclasses.replace(DATA, train_query=FEW + " and subject < 3", test_query=FEW + " and subject in [4, 5]")
    figures = view_robustness(weights, data, FeatureConfig(), CONFIG, probe="knn", floor=False, progress=False)
    found = figures["encoders"][str(weights)]
    assert [cell["angle"] for cell in found["accuracy_by_angle"]] == [0, 45, 90]
    assert found["retrieval"]["all"]["mean_gallery"] == 4
    measures = set(long_table(figures)["measure"])
    assert {"top-1", "recall@1, all", "mAP, same person and room", "cosine, same performance"} <= measures
