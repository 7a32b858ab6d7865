"""Python functions take paths as text, as the command line does."""

import inspect
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mv2mae
from mv2mae import runs, weights
from mv2mae.data import indexing, manifest
from mv2mae.demo.demo import demo
from mv2mae.evaluate.evaluate import evaluate
from mv2mae.evaluate.predict import load_classifier
from mv2mae.evaluate.scores import read_scores
from mv2mae.interop.export import export
from mv2mae.interop.exported import write_exported
from mv2mae.interop.transformers import write_transformers
from mv2mae.studies.embedding.run import map_of_clips
from mv2mae.studies.extract import extract
from mv2mae.studies.features import extract_features
from mv2mae.studies.geometry import summary
from mv2mae.studies.probes import measure as probes
from mv2mae.studies.second_view.run import run_second_view
from mv2mae.studies.view_robustness import measure as robustness
from mv2mae.studies.view_robustness.tables import run_robustness, write_robustness
from mv2mae.synthetic.encode import write_video
from mv2mae.synthetic.generate import generate, synth
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.visualize.preview import preview
from mv2mae.visualize.visualize import visualize

FUNCTIONS = [
    pretrain, finetune, evaluate, load_classifier, read_scores,
    extract, probes.probe, robustness.view_robustness, write_robustness, summary.run_geometry,
    run_robustness, run_second_view, map_of_clips, extract_features, export, write_exported, write_transformers,
    visualize, preview, demo, generate, synth, write_video,
    indexing.index, manifest.read_manifest, manifest.write_manifest, manifest.read_table, runs.read_config,
    runs.read_log, weights.save_weights, mv2mae.load_encoder,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_no_parameter_is_a_path_alone(function):
    hints = typing.get_type_hints(inspect.unwrap(function))
    hints.pop("return", None)
    assert [
        name
        for name, hint in hints.items()
        if Path in (hint, *typing.get_args(hint)) and str not in typing.get_args(hint)
    ] == []


def test_text_is_taken(tmp_path):
    place = str(tmp_path)
    runs.start_run(tmp_path / "run", {"data": {}})
    assert runs.read_config(f"{place}/run") == {"data": {}}
    (tmp_path / "run" / "log.csv").write_text("step,name,value\n1,loss,0.5\n")
    assert runs.read_log(f"{place}/run")["loss"].tolist() == [0.5]
    pd.DataFrame({"path": ["a"]}).to_csv(tmp_path / "t.csv", index=False)
    assert manifest.read_table(f"{place}/t.csv")["path"].tolist() == ["a"]
    encoder = mv2mae.load_encoder("synthetic-small")
    weights.save_weights(f"{place}/w.safetensors", encoder, "encoder", encoder.config)
    write_video(f"{place}/v.mp4", np.zeros((2, 16, 16, 3), np.uint8), fps=10, crf=None)
    assert (tmp_path / "v.mp4").is_file()
    mv2mae.load_encoder(f"{place}/w.safetensors")
