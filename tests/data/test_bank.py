"""Frames on the training device: the pairs that are cut there are those of frames in the host's memory."""

import dataclasses
import pickle

import pytest
import torch
from tiny_runs import PRETRAINING

from mv2mae.config import PairConfig
from mv2mae.data import bank
from mv2mae.data.bank import FrameBank, PlannedPairs
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.views import collate_pairs
from mv2mae.errors import InputError
from mv2mae.runs import read_log
from mv2mae.train.pretrain import pretrain

KEYS = [(0, 1), (0, 0), (3, 1), (4, 0)]


def data(**settings):
    config = dataclasses.replace(PRETRAINING.data, cache="device", **settings)
    return pretrain_data(config, num_frames=4, size=32, seed=0, progress=False).train


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": "multi-scale", "augment_alike": True},
        {"crop": "random-resized", "num_repeats": 2, "num_sources": 2},
        {"crop": "centre", "cache_size": 32},
    ],
)
def test_pairs_are_those_of_frames_in_memory(device, monkeypatch, settings):
    pairs = data(**settings)
    wanted = collate_pairs(pairs.__getitems__(KEYS))
    monkeypatch.setattr(bank, "_AT_ONCE", 30_000)  # pixels, so that boxes of one size are cut in several parts
    frames = FrameBank(pairs.videos, device, 32)
    planned = pickle.loads(pickle.dumps(PlannedPairs(pairs)))  # as a process of the loader gets it
    made = frames.pairs(planned.collate(planned.__getitems__(KEYS)))
    assert made.keys() == wanted.keys()
    for name in ("index", "seed"):
        assert torch.equal(made[name].cpu(), wanted[name])
    for name in ("target", "sources"):
        assert made[name].device.type == device.type
        off = (made[name].cpu().int() - wanted[name].int()).abs().max()
        assert off <= (0 if device.type == "cpu" else 1)  # a GPU scales in float32


def test_the_host_keeps_no_frames():
    pairs = data()
    shapes = pairs.videos.shapes()
    FrameBank(pairs.videos, torch.device("cpu"), 32)
    assert pairs.videos.shapes() == shapes
    assert len(pickle.dumps(pairs.videos)) < 100_000


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_is_the_same_with_frames_on_the_device(tmp_path, workers):
    losses = []
    for cache in ("memory", "device"):
        parts = {"data": {"cache": cache}, "compute": {"num_workers": workers}, "optim": {"steps": 4}}
        config = dataclasses.replace(
            PRETRAINING,
            **{name: dataclasses.replace(getattr(PRETRAINING, name), **part) for name, part in parts.items()},
        )
        losses.append(read_log(pretrain(config, tmp_path / cache))["train/loss"].dropna())
    assert losses[0].equals(losses[1])


def test_what_cannot_be_is_refused(monkeypatch):
    pairs = data()
    monkeypatch.setattr(bank, "free_bytes", lambda device: 1000)
    with pytest.raises(InputError, match=r"data.cache=device would take 0.0 GB of meta, where 0.0 GB are free; give"):
        FrameBank(pairs.videos, torch.device("meta"), 32)
    stream = PairConfig(manifest="synthetic-stream", cache="device")
    with pytest.raises(InputError, match="synthetic-stream has none; compute.draw_on=device draws it there"):
        pretrain_data(stream, num_frames=4, size=32, seed=0)
