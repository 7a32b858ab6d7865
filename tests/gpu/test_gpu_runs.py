"""Trainings on a device: killed and gone on with, repeated, in a group of one process; all equal the first."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import PRETRAINING

from mv2mae.config import PretrainConfig
from mv2mae.runs import read_log
from mv2mae.train.pretrain import pretrain

KILLED = """
import os
import signal
import sys
from pathlib import Path
from test_gpu_runs import run_of
from mv2mae.train.pretrain import PretrainModule, pretrain

step = PretrainModule.training_step

def training_step(self, batch, batch_idx):
    if self.trainer.global_step == 7:  # one step after a checkpoint
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

PretrainModule.training_step = training_step
pretrain(run_of(sys.argv[1]), Path(sys.argv[2]))
"""
GRAPHED = """
import sys
from pathlib import Path
import torch
from test_gpu_runs import run_of
from mv2mae.train.pretrain import pretrain

device = sys.argv[1]
if device == "cpu":  # compiled into graphs of operations, without their code
    compiled = torch.nn.Module.compile
    torch.nn.Module.compile = lambda self, mode: compiled(self, backend="aot_eager")
torch._dynamo.config.error_on_recompile = True
pretrain(run_of(device, compile=True, graphs=True), Path(sys.argv[2]))
if device == "cuda":
    from torch._dynamo.utils import counters
    from torch._inductor.cudagraph_trees import get_manager
    assert get_manager(0, create_if_none_exists=False) is not None, "no graph was recorded"
    assert not counters["inductor"]["cudagraph_skips"], dict(counters["inductor"])
"""
TOLERANCE = {"cpu": 0.0, "cuda": 2e-3}
"""Largest relative difference of losses: sums of a GPU are not always taken in one order."""


def run_of(device: str, **compute: object) -> PretrainConfig:
    """Twelve steps in the device's own precision."""
    settings = {"accelerator": {"cpu": "cpu", "cuda": "gpu"}[device], "devices": 1, "precision": "auto", **compute}
    return dataclasses.replace(PRETRAINING, compute=dataclasses.replace(PRETRAINING.compute, **settings))


def losses(run: Path) -> torch.Tensor:
    """Of every step, and of what is held out."""
    return torch.tensor(read_log(run)[["train/loss", "held_out/loss"]].to_numpy().tolist())


def assert_equal_losses(a: Path, b: Path, device: torch.device, least: float = 0.0) -> None:
    tolerance = max(least, TOLERANCE[device.type])
    torch.testing.assert_close(losses(a), losses(b), rtol=tolerance, atol=0, equal_nan=True)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], scope="module")
def whole(request, tmp_path_factory):
    """A device, and a training on it that nothing happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    return torch.device(request.param), pretrain(run_of(request.param), run)


def in_a_process(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a script that knows this file, where shapes are not checked and nothing is left behind."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_training_with_graphs_is_one_without(whole, tmp_path):
    """Every step by its own batch: what is replayed must not be what was recorded."""
    device, run = whole
    done = in_a_process(GRAPHED, device.type, str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal_losses(run, tmp_path / "run", device, least=2e-3 if device.type == "cpu" else 1e-2)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(whole, tmp_path):
    device, run = whole
    done = in_a_process(KILLED, device.type, str(tmp_path / "run"))
    assert done.returncode == -9, done.stderr[-2000:]
    assert len(list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))) == 2
    pretrain(run_of(device.type), tmp_path / "run")
    assert_equal_losses(run, tmp_path / "run", device)


@pytest.mark.slow
def test_deterministic_algorithms_give_the_same_bits(tmp_path, device, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        short = dataclasses.replace(
            run_of(device.type), optim=dataclasses.replace(PRETRAINING.optim, steps=4, warmup_steps=2)
        )
        runs = [pretrain(short, tmp_path / name) for name in "ab"]
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*(torch.nan_to_num(losses(run)) for run in runs))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_process_of_several_is_a_run_alone(whole, tmp_path, monkeypatch, strategy):
    device, run = whole
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.setenv(name, "")  # Lightning leaves them set, for every process that a later test starts
        monkeypatch.delenv(name)
    try:
        pretrain(run_of(device.type, strategy=strategy), tmp_path / "run")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert_equal_losses(run, tmp_path / "run", device, least=1e-4)
