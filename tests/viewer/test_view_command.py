"""`mv2mae view` from the command line: what it refuses, and that it ends cleanly."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from mv2mae.cli import main
from mv2mae.config import ModelConfig
from mv2mae.data.manifest import write_manifest
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.model.pretraining import MV2MAE
from mv2mae.viewer.lru_cache import LRUCache
from mv2mae.viewer.requests import ClipRequest
from mv2mae.viewer.server import listening
from mv2mae.viewer.view import view
from mv2mae.weights import CLASSIFIER, ENCODER, PRETRAINING, save_weights


@pytest.fixture
def run(tmp_path: Path, model: MV2MAE) -> Path:
    save_weights(tmp_path / "run" / "model.safetensors", model, PRETRAINING, model.config, frame_stride=2)
    return tmp_path / "run"


def said(capsys, *words: str) -> str:
    assert main(["view", *words]) == 1
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    return err


def test_models_that_cannot_rebuild_are_refused(tmp_path: Path, small: ModelConfig, model: MV2MAE, capsys):
    save_weights(tmp_path / "fine.safetensors", Classifier(small, 2), CLASSIFIER, small, classes=["a", "b"])
    assert "holds a classifier without decoders; give a pre-training run" in said(
        capsys, str(tmp_path / "fine.safetensors")
    )
    save_weights(tmp_path / "encoder.safetensors", model.encoder, ENCODER, small)
    assert "holds a encoder without decoders" in said(capsys, str(tmp_path / "encoder.safetensors"))
    assert "no such run folder or weights file" in said(capsys, str(tmp_path / "nowhere"))


def test_weights_that_are_not_whole_are_refused(tmp_path: Path, model: MV2MAE, capsys):
    # pictures of a model some of whose weights are random would mislead
    part = torch.nn.Module()
    part.encoder, part.projector = model.encoder, model.projector
    save_weights(tmp_path / "part.safetensors", part, PRETRAINING, model.config)
    assert "which this model needs" in said(capsys, str(tmp_path / "part.safetensors"))


def test_bad_options_get_one_line(run: Path, capsys):
    assert "no manifest at" in said(capsys, str(run), "--data", "nowhere.csv")
    assert "frame_stride=-1 must lie between 0.01 and 1000" in said(capsys, str(run), "--frame_stride", "-1")
    assert "max_upload_mb=0 must be positive" in said(capsys, str(run), "--max_upload_mb", "0")
    assert "cannot listen at" in said(capsys, str(run), "--port", "99999")
    assert "cannot listen at 192.0.2.1:0" in said(capsys, str(run), "--host", "192.0.2.1", "--port", "0")


def test_a_port_that_is_taken_is_said(run: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{port} .*give another --port"):
            view(run, port=port)


def test_without_the_extra_its_name_is_said(run: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mv2mae.viewer.server", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[viewer\]'"):
        view(run)


def test_a_run_is_viewed_on_its_own_manifest(run: Path, filmed: pd.DataFrame, monkeypatch):
    seen = []
    monkeypatch.setattr("mv2mae.viewer.server.serve", lambda session, host, port: seen.append(session))
    view(run)
    manifest = write_manifest(filmed, run / "manifest.csv")
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"manifest": str(manifest)}}))
    view(run)
    assert [len(session.catalogue.groups) for session in seen] == [200, 3]
    assert {session.frame_stride for session in seen} == {2.0}
    for session in seen:
        session.close()


def test_a_run_is_viewed_at_the_rate_of_its_training(tmp_path: Path, model: MV2MAE, filmed: pd.DataFrame, monkeypatch):
    manifest = write_manifest(filmed, tmp_path / "manifest.csv")  # of 10 frames a second
    save_weights(tmp_path / "model.safetensors", model, PRETRAINING, model.config, frame_stride=1, fps=5.0)
    seen = []
    monkeypatch.setattr("mv2mae.viewer.server.serve", lambda session, host, port: seen.append(session))
    view(tmp_path, str(manifest))
    view(tmp_path, str(manifest), frame_stride=3)  # asked for by hand: of the video's own frames, as in `visualize`
    steps = []
    for session in seen:
        clip, _ = session.clip(ClipRequest(group="walk", stride=session.frame_stride))
        steps.append(clip["times"][1] - clip["times"][0])
        session.close()
    assert steps == pytest.approx([1 / 5, 3 / 10])
    assert [session.about()["fps"] for session in seen] == [5.0, None]


def test_a_run_with_a_damaged_configuration_is_refused(run: Path, capsys):
    (run / "config.yaml").write_text("data: [")
    assert "config.yaml cannot be read" in said(capsys, str(run))


def test_an_open_address_is_warned_of(run: Path, monkeypatch, capsys):
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    view(run, host="127.0.0.1", port=0)
    assert "warning" not in capsys.readouterr().out
    view(run, host="0.0.0.0", port=0)
    assert "there is no password" in " ".join(capsys.readouterr().out.split())


def test_it_ends_when_stopped_and_leaves_nothing(run: Path, filmed: pd.DataFrame, tmp_path: Path):
    manifest = write_manifest(filmed, tmp_path / "manifest.csv")
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "mv2mae.cli", "view", str(run), "--data", str(manifest), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    watch = threading.Timer(240, process.kill)
    watch.start()
    try:
        line = next(line for line in process.stdout if "open http" in line)
        with urllib.request.urlopen(line.split()[1], timeout=60) as page:
            assert b"<title>mv2mae view</title>" in page.read()
        assert len(list(folder.glob("mv2mae-view-*"))) == 1
        process.send_signal(signal.SIGTERM)  # after which nothing but the server's own end runs
        _, err = process.communicate(timeout=60)
    finally:
        watch.cancel()
        process.kill()
    assert "Traceback" not in err
    assert list(folder.glob("mv2mae-view-*")) == []


def test_the_cache_forgets_what_was_used_longest_ago():
    @dataclasses.dataclass
    class Value:
        num_bytes: int

    kept: LRUCache[Value] = LRUCache(100, lambda value: value.num_bytes)
    for key in "abc":
        kept.get(key, lambda: Value(40))
        kept.get("a", lambda: pytest.fail("a is kept"))
    assert (len(kept), kept.num_bytes) == (2, 80)
    kept.get("c", lambda: pytest.fail("c is kept"))
    kept.get("b", lambda: Value(500))  # the newest stays even where it is too large
    assert (len(kept), kept.num_bytes) == (1, 500)


def test_listening_takes_both_kinds_of_address():
    with listening("localhost", 0) as sock:
        assert sock.getsockname()[1] > 0
