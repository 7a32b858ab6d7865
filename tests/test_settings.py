"""What a run brings along for what is done with it afterwards."""

import json

import pytest

from mv2mae.model.encoder import Encoder
from mv2mae.settings import stored_settings
from mv2mae.weights import ENCODER, save_weights


@pytest.fixture
def weights(tiny, tmp_path):
    """The weights file of a run."""
    file = tmp_path / "run" / "model.safetensors"
    save_weights(file, Encoder(tiny), ENCODER, tiny, frame_stride=3, fps=None)
    values = {"data": {"manifest": "m.csv", "split": "synthetic/xsub", "frame_stride": 5}, "test": {"num_clips": 2}}
    (file.parent / "config.yaml").write_text(json.dumps({**values, "seed": 4}))
    return file


def test_a_run_brings_its_data_and_its_test_settings(weights):
    wanted = {"data.manifest": "m.csv", "data.split": "synthetic/xsub", "data.frame_stride": 5, "test.num_clips": 2}
    assert stored_settings(weights.parent) == stored_settings(weights) == wanted


def test_a_split_and_queries_put_each_other_out_of_force(weights):
    by_split = stored_settings(weights, {"data.split", "device"})
    assert (by_split["data.train_query"], by_split["data.test_query"]) == ("", "")
    for query in ("data.train_query", "data.test_query"):
        assert stored_settings(weights, {query})["data.split"] == ""


def test_another_manifest_puts_the_runs_test_videos_out_of_force(weights):
    config = json.loads((weights.parent / "config.yaml").read_text())
    config["data"]["test_manifest"] = "test.csv"
    (weights.parent / "config.yaml").write_text(json.dumps(config))
    assert stored_settings(weights)["data.test_manifest"] == "test.csv"
    assert stored_settings(weights, {"data.manifest"})["data.test_manifest"] is None


def test_weights_without_a_run_bring_their_clips(weights, tiny, tmp_path):
    (weights.parent / "config.yaml").unlink()
    assert stored_settings(weights) == stored_settings(weights.parent) == {"data.frame_stride": 3}
    assert stored_settings("synthetic-small")["data.frame_stride"] > 0
    assert stored_settings(tmp_path / "nowhere") == {}
    save_weights(weights, Encoder(tiny), ENCODER, tiny, frame_stride=3, fps=15.0)
    assert stored_settings(weights) == {"data.frame_stride": 3, "data.fps": 15.0}
    weights.write_bytes(b"damaged")
    assert stored_settings(weights) == {}
