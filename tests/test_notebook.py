"""Training and testing on arrays in three lines, as in a notebook."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_runs import TINY

import mv2mae
from mv2mae.errors import InputError

MODEL = {**dataclasses.asdict(TINY), "decoder_depth": 1, "positions": "sincos-3d"}
QUICK = {"accelerator": "cpu", "num_threads": 1}
DATA = {"frame_stride": 1}
OPTIM = {"steps": 3, "warmup_steps": 0, "batch_size": 4}


def takes(num: int, seed: int = 0) -> np.ndarray:
    """Squares that move, seen by two cameras: [n, 2, 8, 40, 40, 3]."""
    rng = np.random.default_rng(seed)
    out = rng.integers(0, 30, (num, 2, 8, 40, 40, 3), np.uint8)
    for n in range(num):
        for t in range(8):
            out[n, :, t, 4 + 2 * t : 12 + 2 * t, 10 * (n % 2) : 10 * (n % 2) + 12] = 200
    return out


def test_arrays_to_a_tested_classifier(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, labels = takes(6), ["left", "right"] * 3
    settings = {"model": MODEL, "optim": OPTIM, "compute": QUICK}
    run = mv2mae.pretrain(data, "pre", log={"log_every": 1, "held_out_pairs": 2}, **settings)
    assert run.encoder()(torch.rand(1, 3, 4, 32, 32)).shape == (1, 32, 32)
    shown = run._repr_html_()
    assert "<table>" in shown
    assert 'src="data:image/png;base64,' in shown
    found = mv2mae.finetune(data, "fine", start=run, labels=labels, data=DATA, **settings)
    assert found.config["init"] == str(tmp_path / "pre")
    assert found.config["data"]["frame_stride"] == 1
    test = mv2mae.evaluate_run(found, takes(4, seed=1), labels=labels[:4], num_clips=1, num_crops=1, device="cpu")
    assert test.figures.classes == ("left", "right")
    assert test.figures.single_view.num == 8
    assert 0 <= test.top1 <= 1
    assert "chance" in test._repr_html_()
    again = mv2mae.finetune(data, "fine", start=run, labels=labels, data=DATA, **settings)
    assert again.folder == found.folder


def test_labels_without_data_are_refused(tmp_path):
    with pytest.raises(InputError, match="labels without data"):
        mv2mae.finetune(None, tmp_path / "run", labels=[1])


def test_help_tells_shapes_and_units():
    for function in (mv2mae.pretrain, mv2mae.finetune, mv2mae.evaluate_run):
        assert "Args:" in function.__doc__
    assert "[n, views, frames, height, width, 3]" in mv2mae.pretrain.__doc__
    assert "frames a second" in mv2mae.pretrain.__doc__
