"""The prepared run for a GPU, rehearsed: every part of it runs on the CPU at a tiny size and writes its figures."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mv2mae.weights import read_weights

RUN = Path(__file__).parents[2] / "scripts" / "gpu" / "run.sh"


def run(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    patient = {f"{part}_SECONDS": "500" for part in "ABCD"}  # on a busy machine
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # python3 is ours
    environment = {**os.environ, **patient, "PATH": path, "OUT": str(out), "OMP_NUM_THREADS": "1"}
    return subprocess.run([RUN, *words], env=environment, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.parametrize("script", ["machine", "steps", "rates", "drawn_run"])
def test_what_a_part_imports_is_there(script, tmp_path, monkeypatch):
    """Names move in the package, and the whole rehearsal is slow."""
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.syspath_prepend(str(RUN.parents[2]))
    runpy.run_path(str(RUN.with_name(f"{script}.py")), run_name="looked at")


@pytest.mark.slow
def test_every_part_writes_its_figures(tmp_path):
    done = run(tmp_path, "--tiny")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"machine.json", "log.txt", "a-tests.xml", "b-steps.json", "b-traces.zip", "c-rates.json"}
    assert made >= {"d-run.json", "d-weights.0"}
    assert len(made) <= 8  # what comes back from a borrowed machine
    assert 'failures="0"' in (tmp_path / "a-tests.xml").read_text()
    steps = json.loads((tmp_path / "b-steps.json").read_text())
    assert {row["name"] for row in steps["rows"]} == {"transformers", "single view", "full"}
    assert all(row["clips_per_s"] > 0 and row["share_of_peak"] > 0 for row in steps["rows"])
    assert steps["profiles"][0]["kernels"] > 100
    assert 0 <= steps["profiles"][0]["gap_share"] < 1
    rates = json.loads((tmp_path / "c-rates.json").read_text())
    assert rates["renderer"][0]["view_frames_per_s"] > 0
    assert rates["loader"][0]["clips_per_s"] > 0
    assert 0 <= rates["runs"][0]["speed/data_wait_share"] < 1
    drawn = json.loads((tmp_path / "d-run.json").read_text())
    assert drawn["train"]["performances"] == 6
    assert "unseen/cross_gain" in drawn["variants"]["best"]["log"]["2"]
    (tmp_path / "best.safetensors").write_bytes((tmp_path / "d-weights.0").read_bytes())
    best = read_weights(tmp_path / "best.safetensors")
    assert (best.config.masking, best.config.cameras) == ("tube", "rays")
    command = [sys.executable, RUN.with_name("drawn_run.py"), "--tiny", "--variants", "best"]
    places = {"OUT": str(tmp_path), "PYTHONPATH": os.pathsep.join(map(str, (RUN.parents[2] / "src", RUN.parents[2])))}
    further = [*command, "--init", tmp_path / "best.safetensors"]
    subprocess.run(further, env={**os.environ, **places, "OMP_NUM_THREADS": "1"}, check=True, timeout=500)
    assert (tmp_path / "d-weights.0").read_bytes() != (tmp_path / "best.safetensors").read_bytes()
    # the last layer begins at 0: that it has moved shows that cameras were told
    assert best.tensors["ray_embedding.mlp.2.weight"].any()


def test_without_a_gpu_it_says_so(tmp_path):
    done = run(tmp_path, "a")
    if json.loads((tmp_path / "machine.json").read_text())["gpu"] is None:
        assert done.returncode == 1
        assert "there is no GPU here; --tiny rehearses on the CPU" in done.stdout
