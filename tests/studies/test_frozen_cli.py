"""extract, probe and views as a user meets them: defaults and bad input."""

import json
import shutil

import pytest
import torch
from frozen import few_videos, tiny_weights

from mv2mae.cli import main
from mv2mae.studies.extract import read_about, read_features
from mv2mae.weights import CLASSIFIER, save_weights


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """The folder of a run that was trained on part of a manifest."""
    monkeypatch.setenv("MV2MAE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    tiny_weights(folder / "model.safetensors", tiny)
    manifest = few_videos(tmp_path / "m.csv", broken=[4])
    settings = {"data": {"manifest": str(manifest), "split": "synthetic/xsub", "frame_stride": 5}}
    (folder / "config.yaml").write_text(json.dumps(settings))
    return folder


def test_a_run_brings_its_videos_and_its_clips(run, tmp_path, capsys):
    out = tmp_path / "f.safetensors"
    assert main(["extract", str(run), "--out", str(out), "--part", "test", "--num_clips", "2"]) == 0
    assert "24 features" in capsys.readouterr().out
    rows, values = read_features(out)
    assert set(rows["subject"]) == {4, 5}
    assert len(rows) == len(values) == 12 * 2
    assert read_about(out)["frame_stride"] == 5
    assert main(["extract", str(run), "--out", str(tmp_path / "all.parquet"), "--data.frame_stride=3"]) == 0
    assert "1 broken videos left out, listed in" in capsys.readouterr().out
    assert read_about(tmp_path / "all.parquet")["frame_stride"] == 3
    assert json.loads((tmp_path / "all.report.json").read_text())["broken"][0][0].endswith("cut4.mp4")


def test_a_query_stands_for_its_part(run, tmp_path, capsys):
    words = ["extract", str(run), "--out", str(tmp_path / "f.parquet"), "--data.train_query", "subject == 1"]
    assert main([*words, "--part", "train"]) == 0
    assert "5 features" in capsys.readouterr().out


def test_a_probe_writes_beside_its_run(run, capsys):
    words = ["--floor", "false", "--probe.probes", '["knn", "linear"]', "--probe.weight_decays", "[0.1]"]
    assert main(["probe", str(run), *words]) == 0
    said = capsys.readouterr().out
    assert "chance 0.500" in said
    assert "17 neighbours" in said  # all that there are
    written = {path.name for path in (run / "probe").iterdir()}
    assert written == {"probe.json", "predictions.parquet", "environment.json", "report.html"}
    figures = json.loads((run / "probe" / "probe.json").read_text())
    assert figures["split"] == "synthetic/xsub"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probe", "nowhere"], "nowhere: no such run folder or weights file"),
        (["probe", "RUN", "--data.split", "synthetic/xcam"], "split 'synthetic/xcam' is unknown"),
        (["probe", "RUN", "--probe.k", "0"], "k=0 must be at least 1"),
        (["probe", "RUN", "--layer", "9"], "layer=9, but the encoder of"),
        (["probe", "synthetic-small", "--data", "sample"], "nothing says which videos the probes learn from"),
        (["robustness", "RUN", "--method", "svm"], "method='svm' is unknown; choose linear or knn"),
        (["robustness", "RUN", "--cameras", "none.json"], "no file at none.json"),
        (["extract", "RUN", "--out", "f.csv"], "f.csv ends in .csv"),
        (["extract", "RUN", "--out", "f.parquet", "--part", "val"], "part='val' is unknown; choose train or test"),
        (
            ["extract", "synthetic-small", "--data", "sample", "--out", "f.parquet", "--part", "test"],
            "nothing says which videos are the part test; give --data.split or --data.test_query",
        ),
        (
            ["extract", "RUN", "--out", "f.parquet", "--part", "train", "--data.test_query", "subject == 1"],
            "nothing says which videos are the part train; give --data.split or --data.train_query",
        ),
        (["extract", "RUN", "--out", "f.parquet", "--num_clips", "0"], "num_clips=0 must be at least 1"),
    ],
)
def test_bad_input_gives_one_line(run, words, message, capsys, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main([word.replace("RUN", str(run)) for word in words]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert list(empty.iterdir()) == []


def test_a_run_without_an_encoder_is_refused(run, capsys):
    shutil.move(run / "model.safetensors", run / "gone")
    assert main(["probe", str(run), "--data.split", "synthetic/xsub"]) == 1
    assert "no model.safetensors in this folder" in capsys.readouterr().err


def test_weights_without_an_encoder_are_refused(run, tiny, capsys):
    save_weights(run / "model.safetensors", torch.nn.Linear(4, 3), CLASSIFIER, tiny, classes=["a", "b", "c"])
    for words in (["probe"], ["robustness"], ["extract", "--out", str(run / "f.parquet")]):
        assert main([words[0], str(run), *words[1:]]) == 1
        said = capsys.readouterr().err
        assert "no tensor embed.weight, which this model needs" in said
        assert len(said.strip().splitlines()) == 1


def test_a_pre_training_on_a_stream_has_no_videos_to_look_at(run, capsys):
    (run / "config.yaml").write_text(json.dumps({"data": {"manifest": "synthetic-stream"}}))
    assert main(["probe", str(run), "--data.split", "synthetic/xsub"]) == 1
    said = capsys.readouterr().err
    assert "synthetic-stream" in said
    assert "--data" in said
    assert len(said.strip().splitlines()) == 1
