"""Cutting to the people that a detector sees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_videos import even_times, write_video

from mv2mae.cli import main
from mv2mae.config import StoreConfig
from mv2mae.data.manifest import make_frame, write_manifest
from mv2mae.data.store.crop import person_box
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import VideoError
from mv2mae.errors import InputError

transformers = pytest.importorskip("transformers")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "v.mp4", even_times(20, 25), size=(120, 200))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector that is sure of one thing: in the middle half of every frame there is a person."""
    folder = tmp_path_factory.mktemp("yolos")
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
        patch_size=16, num_detection_tokens=2, id2label={0: "chair", 1: "person"}, label2id={"chair": 0, "person": 1},
    )  # fmt: skip
    network = transformers.YolosForObjectDetection(config)
    with torch.no_grad():
        for head, bias in ((network.class_labels_classifier, [0.0, 9.0, 0.0]), (network.bbox_predictor, [0.0] * 4)):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.copy_(torch.tensor(bias))
    network.save_pretrained(folder)
    transformers.YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    return folder


def test_a_model_of_transformers_cuts_to_its_people(video: Path, model: Path, tmp_path: Path) -> None:
    source = write_manifest(make_frame([{"path": str(video), "group": "g", "view": 1}]), tmp_path / "m.csv")
    config = StoreConfig(short_side=64, crop="person", detector=str(model))
    assert prepare(source, tmp_path / "out", config, progress=False).made == 1
    box = pd.read_parquet(tmp_path / "out" / "store" / "index.parquet").iloc[0]
    # the middle half of 200 x 120 is 100 x 60 pixels; with room the square is 130, and the frame ends at 120
    assert box[["left", "top", "right", "bottom"]].tolist() == [35, 0, 165, 120]


def test_bystanders_are_left_out_and_all_moments_count(video: Path) -> None:
    def detect(frames):
        moving = [[0.1 + 0.05 * i, 0.2, 0.3 + 0.05 * i, 0.8] for i in range(len(frames))]
        return [np.array([box, [0.9, 0.9, 0.95, 1.0]]) for box in moving]

    left, top, right, bottom = person_box(str(video), None, None, 120, 200, detect)
    assert (left, right) == (4, 147)  # 20 to 130 pixels and 15 % on either side; the bystander stands at 180
    assert (top, bottom) == (0, 120)


def test_nobody_is_a_reason_to_set_aside(video: Path) -> None:
    with pytest.raises(VideoError, match="shows no person that the detector finds .in 8 frames"):
        person_box(str(video), None, None, 120, 200, lambda frames: [np.zeros((0, 4))] * len(frames))


def test_a_detector_that_is_not_there_is_one_clear_error(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = write_manifest(make_frame([{"path": str(video), "group": "g", "view": 1}]), tmp_path / "m.csv")
    words = ["prepare", str(source), str(tmp_path / "out"), "--crop", "person", "--detector", str(tmp_path / "none")]
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "cannot be loaded" in said[0]


def test_a_detector_without_people_is_refused(model: Path, tmp_path: Path, video: Path) -> None:

    shutil.copytree(model, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config.update(id2label={"0": "chair", "1": "table"}, label2id={"chair": 0, "table": 1})
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    source = write_manifest(make_frame([{"path": str(video), "group": "g", "view": 1}]), tmp_path / "m.csv")
    with pytest.raises(InputError, match="knows no class `person`"):
        prepare(source, tmp_path / "out", StoreConfig(crop="person", detector=str(tmp_path / "other")), progress=False)
