"""View robustness: its measures on made-up features, and the whole command on a few videos."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from frozen import DATA, FEW, few_videos, tiny_weights

from mv2mae.cli import main
from mv2mae.config import FeatureConfig, ProbeConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.studies.view_robustness.measure import rows_of_all_views, view_robustness, with_azimuths
from mv2mae.studies.view_robustness.metrics import (
    Seen,
    accuracy_cells,
    angle_between,
    by_angle,
    hits_across_views,
    retrieval_of,
    retrieve,
    similarity,
)
from mv2mae.studies.view_robustness.tables import long_table
from mv2mae.studies.view_robustness.trained_views import views_of_training

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
                values.append(
                    5
                    + action * parts["action"][label]
                    + view * parts["view"][camera]
                    + performance * own
                    + noise * rng.normal(size=32)
                )
    return Seen(torch.tensor(np.array(values), dtype=torch.float32), pd.DataFrame(rows))


def cells(train, test, probe="linear"):
    hits = hits_across_views(train, test, CONFIG, probe=probe)
    return hits, {(cell.train_view, cell.test_view): cell.value for cell in accuracy_cells(hits)}


@pytest.mark.parametrize("probe", ["linear", "knn"])
def test_features_of_the_action_alone_are_told_from_every_view(probe):
    hits, found = cells(made_up(persons=range(10), action=3), made_up(persons=range(10, 15), action=3, seed=1), probe)
    assert len(found) == 3 * 3 + 3 + 3
    assert set(found.values()) == {1.0}
    assert [(c.angle, c.value) for c in by_angle(hits, "hit")] == [(0, 1.0), (45, 1.0), (90, 1.0)]


def test_videos_that_cannot_be_read_are_told_wrong():
    train, test = made_up(persons=range(10), action=3), made_up(persons=range(10, 15), action=3, seed=1)
    broken = (test.rows["subject"] == 10).to_numpy() & (test.rows["view"] != 3).to_numpy() | (test.rows["view"] == 2)
    hits = hits_across_views(train, test.part(~broken.to_numpy()), CONFIG, probe="linear", unread=test.rows[broken])
    found = {(cell.train_view, cell.test_view): cell for cell in accuracy_cells(hits)}
    assert len(found) == 3 * 3 + 3 + 3
    for (_, tested), cell in found.items():
        assert (cell.value, cell.num) == ({"1": 0.8, "2": 0.0, "3": 1.0}[tested], 20)
    for cell, (angle, value) in zip(by_angle(hits, "hit"), [(0, 0.6), (45, 0.45), (90, 0.9)], strict=True):
        assert (cell.angle, cell.value) == (angle, pytest.approx(value))


def test_a_video_without_other_views_to_learn_from_is_no_error_of_theirs():
    train, test = made_up(persons=range(10), action=3), made_up(persons=range(10, 15), action=3, seed=1)
    first = (train.rows["view"] == 1).to_numpy()
    broken = (test.rows["subject"] == 10).to_numpy()
    hits = hits_across_views(train.part(first), test.part(~broken), CONFIG, probe="knn", unread=test.rows[broken])
    found = {(cell.train_view, cell.test_view): cell.value for cell in accuracy_cells(hits)}
    assert found == {(a, b): 0.8 for a in ("1", "all") for b in "123"} | {("all others", b): 0.8 for b in "23"}


def test_features_that_change_with_the_camera_are_told_from_their_own_view_only():
    train, test = (made_up(persons=p, seed=s) for p, s in ((range(10), 0), (range(10, 20), 1)))
    codes = np.random.default_rng(5).normal(size=(3, 4, 32)) * 3  # another code of the actions for each view
    for seen in (train, test):
        code = codes[seen.rows["view"] - 1, seen.rows["label"]]
        seen.values.add_(torch.tensor(code, dtype=torch.float32))
    _, found = cells(train, test)
    assert all(found[view, view] == 1 for view in "123")
    assert np.mean([found[a, b] for a in "123" for b in "123" if a != b]) < 0.5
    assert np.mean([found["all", view] for view in "123"]) > 0.95
    assert np.mean([found["all others", view] for view in "123"]) < 0.6


def test_a_performance_is_found_by_what_is_its_own():
    seen = made_up(persons=range(10), performance=3)
    ranks = retrieve(seen, seen.values.mean(dim=0))
    for gallery, size in (("all", 40), ("same person and room", 4)):
        part = ranks[ranks["gallery"] == gallery]
        found = retrieval_of(part)
        assert len(part) == 6 * 40
        assert (part["size"] == size).all()
        assert (found.recall_at_1, found.map) == (1.0, 1.0)
        assert found.chance_recall_at_1 == pytest.approx(1 / size)
    assert sorted(ranks["angle"].unique()) == [45, 90]


def test_guessing_reaches_what_is_called_chance():
    seen = made_up(persons=range(30), noise=1)
    ranks = retrieve(seen, seen.values.mean(dim=0))
    for _, part in ranks.groupby("gallery"):
        found = retrieval_of(part)
        assert found.recall_at_1 == pytest.approx(found.chance_recall_at_1, abs=0.05)
        assert found.map == pytest.approx(found.chance_map, abs=0.05)


def test_features_that_are_all_equal_find_nothing():
    seen = made_up(persons=range(4))
    seen.values[:] = 1.0
    assert retrieval_of(retrieve(seen, torch.zeros(32))).recall_at_1 == 0


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
            relation = {
                (True, True): "same performance",
                (True, False): "same action, other person",
                (False, True): "same person, other action",
                (False, False): "other person and action",
            }[action, person]
            cosine = centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j])
            where = "same view" if a["view"] == b["view"] else "other view"
            sums.setdefault((relation, where), []).append(cosine)
    found = {(cell.relation, cell.view): cell for cell in similarity(seen, mean)}
    assert found.keys() == sums.keys()
    for key, cosines in sums.items():
        assert found[key].cosine == pytest.approx(np.mean(cosines), abs=1e-5)
        assert found[key].num == len(cosines)
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
    assert views_of_training(tmp_path, data) == (["2", "3"], [])
    seen, unknown = views_of_training(tmp_path, dataclasses.replace(data, manifest="sample"))
    assert (seen, unknown) == ([], [f"{tmp_path} was trained on another manifest ({manifest})"])
    assert views_of_training("synthetic-small", data) == ([], ["no config.yaml tells how synthetic-small was trained"])


def trained(run, manifest, *, init=None, **settings):
    """A run's folder, as far as it tells what it was trained on."""
    run.mkdir()
    (run / "model.safetensors").touch()
    (run / "config.yaml").write_text(json.dumps({"init": init, "data": {"manifest": str(manifest)}} | settings))
    return run


def test_the_views_of_the_training_that_a_run_started_from_count(tmp_path, monkeypatch):
    manifest = few_videos(tmp_path / "m.csv")
    monkeypatch.chdir(tmp_path)
    data = dataclasses.replace(DATA, manifest="m.csv")  # another name of the same file
    on_two = {"augment": {}, "data": {"manifest": str(manifest), "train_query": "view in [2, 3]"}}
    everything = trained(tmp_path / "everything", manifest)
    for init in (everything, everything / "model.safetensors"):
        tuned = trained(tmp_path / f"tuned-{init.name}", manifest, init=str(init), **on_two)
        assert views_of_training(tuned, data) == (["1", "2", "3"], [])
        assert views_of_training(tuned / "model.safetensors", data) == (["1", "2", "3"], [])
    packaged = trained(tmp_path / "packaged", manifest, init="synthetic-small", **on_two)
    assert views_of_training(packaged, data) == (["2", "3"], ["no config.yaml tells how synthetic-small was trained"])
    moved = trained(tmp_path / "moved", manifest, init="gone/model.safetensors", **on_two)
    assert views_of_training(moved, data)[1] == ["no config.yaml tells how gone/model.safetensors was trained"]
    stream = trained(tmp_path / "stream", "synthetic-stream")
    after_stream = trained(tmp_path / "after", manifest, init=str(stream), **on_two)
    unknown = f"{stream} was trained on another manifest (synthetic-stream)"
    assert views_of_training(after_stream, data) == (["2", "3"], [unknown])
    head = trained(tmp_path / "head", manifest, init=str(tmp_path / "packaged"), augment={}, train_blocks=0)
    assert views_of_training(head, data)[0] == ["2", "3"]
    itself = trained(tmp_path / "itself", manifest, init=str(tmp_path / "itself"), **on_two)
    assert views_of_training(itself, data) == (["2", "3"], [])


def test_a_pre_training_saw_the_views_that_it_paired(tmp_path):
    manifest = few_videos(tmp_path / "m.csv")
    data = dataclasses.replace(DATA, manifest=str(manifest))
    chosen = {"manifest": str(manifest), "target_views": [1], "source_views": [3]}
    pretrained = trained(tmp_path / "pretrained", manifest, data=chosen)
    assert views_of_training(pretrained, data) == (["1", "3"], [])
    tuned = trained(tmp_path / "tuned", manifest, data=chosen, augment={})
    assert views_of_training(tuned, data) == (["1", "2", "3"], [])
    gone = trained(tmp_path / "gone", manifest, data={**chosen, "target_views": [9]})
    seen, (reason,) = views_of_training(gone, data)
    assert seen == []
    assert reason.startswith(f"{gone} does not fit the manifest any more (")


def test_the_whole_command(weights, tmp_path, capsys):
    manifest = few_videos(tmp_path / "m.csv", broken=[2, 27])  # one for training, one for testing
    words = ["robustness", str(weights), "--data", str(manifest), "--data.split", "synthetic/xsub", "--method", "knn"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "all others" in said
    assert "2 videos cannot be read: left out of training, counted as errors in testing" in said
    assert "retrieval and similarity leave out 1 test video that cannot be read" in said
    assert "which views the encoder was trained on is not known: no config.yaml tells how" in said
    out = tmp_path / "robustness"
    assert {path.name for path in out.iterdir()} == {"robustness.json", "robustness.csv", "robustness.png"}
    table = pd.read_csv(out / "robustness.csv")
    assert set(table["encoder"]) == {str(weights), "untrained"}
    top1 = table[table["measure"] == "top-1"]
    assert len(top1) == 2 * (3 * 3 + 3 + 3)
    assert (top1["chance"] == 0.5).all()
    assert (top1["num"] == 4).all()
    figures = json.loads((out / "robustness.json").read_text())
    assert (figures["num_broken"], len(figures["broken"])) == (1, 2)
    assert figures["encoders"]["untrained"]["retrieval"]["all"]["num"] == 6 * 4 - 4  # two pairs of views, both ways


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda rows: rows["view"] != 2, "of the 4 test performances, only view 2 can be read; two are needed"),
        (
            lambda rows: rows["view"] != rows["group"].rank(method="dense") % 3 + 1,
            "of the 4 test performances, none can be read in more than one view; two are needed",
        ),
    ],
)
def test_one_view_that_can_be_read_is_not_enough(weights, tmp_path, capsys, broken, said):
    rows = read_manifest(few_videos(tmp_path / "whole.csv"))
    lost = rows.index[(rows["subject"] > 3) & broken(rows)]
    manifest = few_videos(tmp_path / "m.csv", broken=lost)
    assert main(["robustness", str(weights), "--data", str(manifest), "--data.split", "synthetic/xsub"]) == 1
    error = capsys.readouterr().err
    assert f"{said} (first broken: {tmp_path / f'cut{lost[0]}.mp4'}: " in error
    assert len(error.strip().splitlines()) == 1


def test_figures_name_all_that_was_measured(weights, tmp_path):
    data = dataclasses.replace(DATA, train_query=FEW + " and subject < 3", test_query=FEW + " and subject in [4, 5]")
    result = view_robustness(weights, data, FeatureConfig(), CONFIG, probe="knn", floor=False, progress=False)
    found = result.encoders[str(weights)]
    assert [cell.angle for cell in found.accuracy_by_angle] == [0, 45, 90]
    assert found.retrieval["all"].mean_gallery == 4
    measures = set(long_table(result)["measure"])
    assert {"top-1", "recall@1, all", "mAP, same person and room", "cosine, same performance"} <= measures
