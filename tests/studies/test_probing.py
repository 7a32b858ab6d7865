"""`mv2mae probe` on a few videos: what it writes, and what it refuses."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from frozen import DATA, few_videos, tiny_weights

from mv2mae.config import FeatureConfig, ProbeConfig
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.errors import InputError
from mv2mae.studies.features import Features
from mv2mae.studies.probes.measure import LabelledRows, labelled_rows, print_probes, probe, run_probes
from mv2mae.studies.view_robustness.measure import rows_of_all_views

QUICK = ProbeConfig(epochs=2, min_steps=2, weight_decays=(0.1, 0.01))


@pytest.fixture
def weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    return tiny_weights(tmp_path / "model.safetensors", tiny)


def divided(manifest, **settings):
    return dataclasses.replace(DATA, manifest=str(manifest), split="synthetic/xsub", **settings)


def test_three_probes_and_their_floor(weights, tmp_path):
    data = divided(few_videos(tmp_path / "m.csv", broken=[0, 20]))
    result = probe(weights, data, FeatureConfig(), QUICK, tmp_path / "out", progress=False)
    rows = labelled_rows(data)
    assert (result.num_train, result.num_test) == (len(rows.train), len(rows.test)) == (18, 12)
    assert result.chance == 0.5
    assert list(result.encoders) == [str(weights), "untrained"]
    assert [path.rpartition("/")[2] for path, _ in result.broken] == ["cut0.mp4", "cut20.mp4"]
    for probes in result.encoders.values():
        assert list(probes) == ["linear", "knn", "attentive"]
        assert all((found.num, found.num_broken) == (12, 1) for found in probes.values())
    assert json.loads((tmp_path / "out" / "probe.json").read_text())["encoders"].keys() == result.encoders.keys()
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert len(table) == 2 * 3 * 12
    probabilities = table[[name for name in table if name[0] == "p" and name[1:].isdigit()]]
    sums = probabilities.sum(axis=1, skipna=False)
    assert np.allclose(sums.dropna(), 1)
    assert sums.isna().sum() == 6
    # the figures follow from the table
    one = table[(table["encoder"] == "untrained") & (table["probe"] == "knn")]
    values = one[probabilities.columns].to_numpy(float)
    assert list(probabilities) == ["p5", "p7"]
    best = np.array([5, 7])[np.nan_to_num(values, nan=-1).argmax(axis=1)]
    hits = (best == one["label"]) & ~np.isnan(values).any(axis=1)
    assert result.encoders["untrained"]["knn"].top1 == pytest.approx(hits.mean())


def test_test_videos_of_a_class_without_training_are_errors_and_told(weights, tmp_path, capsys):
    rows = read_manifest(few_videos(tmp_path / "m.csv"))
    rows.loc[(rows["subject"] == 5) & (rows["label"] == 7), "label"] = 6
    data = divided(write_manifest(rows, tmp_path / "gap.csv"))
    config = dataclasses.replace(QUICK, probes=("linear", "knn"))
    result = probe(weights, data, FeatureConfig(), config, tmp_path / "out", floor=False, progress=False)
    assert (result.classes, result.untrained, result.num_untrained) == (("5", "7"), ("6",), 3)
    assert result.chance == 0.5
    for found in result.encoders[str(weights)].values():
        assert found.per_class[6] == 0
    print_probes(result)
    assert "3 videos show a class that nothing was trained on (6): counted as errors" in capsys.readouterr().out
    rows.loc[rows["subject"] >= 4, "label"] = 6
    with pytest.raises(InputError, match="none of the 12 test videos shows a class that was trained"):
        labelled_rows(divided(write_manifest(rows, tmp_path / "other.csv")))


def test_test_videos_of_another_manifest_are_matched_by_name(tmp_path):
    rows = read_manifest(few_videos(tmp_path / "m.csv"))
    parts = {"train": rows[rows["subject"] <= 3], "test": rows[rows["subject"] > 3]}
    numbers = {"train": {5: 0, 7: 1}, "test": {5: 2, 7: 0}}
    names = {"train": ["sit", "wave"], "test": ["wave", "fall", "sit"]}
    for part, frame in parts.items():
        write_manifest(frame.assign(label=frame["label"].map(numbers[part])), tmp_path / f"{part}.csv")
        (tmp_path / f"{part}.classes.json").write_text(json.dumps(names[part]))
    data = dataclasses.replace(DATA, manifest=str(tmp_path / "train.csv"), test_manifest=str(tmp_path / "test.csv"))
    for found in (labelled_rows(data), rows_of_all_views(data)):
        assert found.classes == ["sit", "wave"]
        assert found.test["label"].tolist() == parts["test"]["label"].map({5: 0, 7: 1}).tolist()
    with pytest.raises(InputError, match="18 videos are both for training and for testing"):
        labelled_rows(dataclasses.replace(data, test_manifest=data.manifest))


def test_tokens_that_are_too_many_leave_the_attentive_probe_out(weights, tmp_path):
    config = dataclasses.replace(QUICK, token_gigabytes=1e-6)
    data = divided(few_videos(tmp_path / "m.csv"))
    result = probe(weights, data, FeatureConfig(), config, tmp_path / "out", floor=False, progress=False)
    assert list(result.encoders[str(weights)]) == ["linear", "knn"]
    assert "would take" in result.left_out["attentive"]
    only = dataclasses.replace(config, probes=("attentive",))
    with pytest.raises(InputError, match="the attentive probe is left out: the tokens would take"):
        probe(weights, data, FeatureConfig(), only, tmp_path / "out", progress=False)


@pytest.mark.slow
def test_what_the_features_hold_is_found_whatever_the_order():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"path": [f"{i}.mp4" for i in range(90)], "group": [f"g{i // 3}" for i in range(90)],
                          "view": [i % 3 for i in range(90)], "label": rng.integers(3, size=90), "subject": 1,
                          "setup": 1})  # fmt: skip
    values = torch.tensor(rng.normal(size=(90, 1, 4, 8)), dtype=torch.float32)
    values[:, 0, :, :3] += 20 * torch.nn.functional.one_hot(torch.tensor(frame["label"]), 3)[:, None].float()
    train, test = (
        Features(values[:60], torch.zeros(60, 1, 2)),
        Features(values[60:], torch.zeros(30, 1, 2), {3: "gone"}),
    )
    test.values[3] = torch.nan
    rows = LabelledRows(frame[:60], frame[60:].reset_index(drop=True), {0: "a", 1: "b", 2: "c"})
    for table, _ in run_probes(rows, train, test, ProbeConfig()).values():
        best = table[["p0", "p1", "p2"]].fillna(-1).to_numpy().argmax(axis=1)
        assert (best == table["label"])[table.index != 3].all()
        assert table.loc[3, ["p0", "p1", "p2"]].isna().all()


def test_bad_divisions_are_refused(tmp_path):
    manifest = few_videos(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"give --data\.split, or"):
        labelled_rows(dataclasses.replace(DATA, manifest=str(manifest)))
    overlapping = {"split": "", "train_query": "subject <= 3", "test_query": "subject >= 2 and subject < 4"}
    with pytest.raises(InputError, match="12 videos are both for training and for testing"):
        labelled_rows(dataclasses.replace(divided(manifest), **overlapping))
    with pytest.raises(InputError, match="picks none of 30 videos"):
        labelled_rows(dataclasses.replace(divided(manifest), split="", train_query="view > 1", test_query="view == 9"))
    rows = read_manifest(manifest)
    rows.loc[4, "label"] = pd.NA
    bare = write_manifest(rows, tmp_path / "bare.csv")
    with pytest.raises(InputError, match=r"1 of 18 videos have no label \(first: .*\.mp4\)"):
        labelled_rows(divided(bare))
