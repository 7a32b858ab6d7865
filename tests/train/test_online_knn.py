"""The look at nearest neighbours during pre-training: what it says, and that the training does not notice."""

import dataclasses

import pandas as pd
import pytest
import torch
from power_cut import power_cut

from mv2mae.config import ComputeConfig, LogConfig, ModelConfig, OptimConfig, PairConfig, PretrainConfig, StreamConfig
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.errors import InputError
from mv2mae.model.encoder import Encoder
from mv2mae.runs import read_log
from mv2mae.train.online_knn import LabelledClips, draw_rows, knn_top1
from mv2mae.train.pretrain import PretrainModule, pretrain
from mv2mae.weights import read_weights

FEW = "subject in [1, 2, 3, 4] and label in [5, 7] and setup == 1"


@pytest.fixture
def config(tiny):
    return PretrainConfig(
        model=dataclasses.replace(tiny, positions="sincos-3d"),
        data=PairConfig(train_query=FEW, cache="memory", frame_stride=8),
        optim=OptimConfig(lr=1e-3, batch_size=4, steps=8, warmup_steps=2),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1),
        log=LogConfig(log_every=1, check_every=4, save_every=3, held_out_pairs=4, probe_every=2, probe_clips=12),
    )


def without(config):
    return dataclasses.replace(config, log=dataclasses.replace(config.log, probe_every=0))


def test_the_training_is_the_same_with_and_without(config, tmp_path, capsys):
    seen, unseen = pretrain(config, tmp_path / "a"), pretrain(without(config), tmp_path / "b")
    assert "4 clips told by their neighbours among 8 others; chance 0.500" in capsys.readouterr().out
    a, b = read_weights(seen).tensors, read_weights(unseen).tensors
    assert all(torch.equal(a[name], b[name]) for name in a)
    log, other = read_log(seen), read_log(unseen)
    assert log["probe/knn_top1"].dropna().index.tolist() == [0, 2, 4, 6, 8]
    assert log["probe/knn_top1"].dropna().between(0, 1).all()
    names = [name for name in other if not name.startswith("speed/")]
    pd.testing.assert_frame_equal(log[names], other[names])


def test_a_stopped_run_goes_on_with_the_same_looks(config, tmp_path, monkeypatch):
    whole = read_log(pretrain(config, tmp_path / "whole"))
    with power_cut(monkeypatch, PretrainModule, 5):
        pretrain(config, tmp_path / "parts")
    parts = read_log(pretrain(config, tmp_path / "parts"))
    pd.testing.assert_series_equal(whole["probe/knn_top1"].dropna(), parts["probe/knn_top1"].dropna())


def test_queries_are_other_people_than_the_gallery(config):
    sample = dataclasses.replace(config, data=PairConfig(split="synthetic/xsub"))
    log = dataclasses.replace(config.log, probe_clips=90)
    rows = draw_rows(dataclasses.replace(sample, log=log))
    queries, gallery = rows[rows["is_query"]], rows[~rows["is_query"]]
    assert (len(queries), len(gallery)) == (30, 60)
    assert not set(queries["subject"]) & set(gallery["subject"])
    assert not set(rows["subject"]) & {4, 5, 9, 10}  # those of the test part
    pd.testing.assert_frame_equal(rows, draw_rows(dataclasses.replace(sample, log=log)))


def test_few_people_are_divided_by_performances(config):
    data = dataclasses.replace(config.data, train_query="subject == 1")
    rows = draw_rows(dataclasses.replace(config, data=data))
    assert not set(rows[rows["is_query"]]["group"]) & set(rows[~rows["is_query"]]["group"])


def test_classes_that_look_different_are_told(tiny):
    encoder = Encoder(tiny).eval()
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    noise = torch.randint(0, 60, (60, 3, 4, 32, 32), generator=generator)
    clips = (noise + 60 * labels.view(-1, 1, 1, 1, 1)).to(torch.uint8)
    seen = LabelledClips(clips, labels, torch.arange(60) < 20)
    assert knn_top1(encoder, seen) == 1.0
    shuffled = labels[torch.randperm(60, generator=generator)]
    assert knn_top1(encoder, dataclasses.replace(seen, labels=shuffled)) < 0.7


def test_a_look_needs_labels(config, tmp_path):
    rows = read_manifest("sample").query(FEW, engine="python")
    bare = write_manifest(rows.assign(label=pd.NA), tmp_path / "bare.csv")
    data = PairConfig(manifest=str(bare))
    with pytest.raises(InputError, match=r"probe_every=2 needs labels of two classes at least, and .*bare\.csv has 0"):
        pretrain(dataclasses.replace(config, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    log = dataclasses.replace(config.log, probe_manifest="sample")
    assert len(draw_rows(dataclasses.replace(config, data=data, log=log))) == 12


def test_a_stream_needs_a_manifest_for_it(config):
    stream = PairConfig(manifest="synthetic-stream", stream=StreamConfig(num_rooms=1))
    with pytest.raises(InputError, match=r"give one as log\.probe_manifest"):
        draw_rows(dataclasses.replace(config, model=ModelConfig(), data=stream))
