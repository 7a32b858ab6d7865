"""A run compiles its model once, for the training; looks at the held-out batch, of another size, do without."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from clips import moving_blobs

from mv2mae.config import PretrainConfig
from mv2mae.train.objective import OBJECTIVES, objective_of

SCRIPT = """
import dataclasses
import sys
from pathlib import Path

import torch
from tiny_runs import PRETRAINING

from mv2mae.train.pretrain import pretrain

torch._dynamo.config.error_on_recompile = True
compiled = torch.nn.Module.compile
torch.nn.Module.compile = lambda self: compiled(self, backend="aot_eager")  # the graphs without their code
parts = {"compute": {"compile": True}, "optim": {"steps": 2}, "log": {"check_every": 1}}
changed = {name: dataclasses.replace(getattr(PRETRAINING, name), **values) for name, values in parts.items()}
pretrain(dataclasses.replace(PRETRAINING, **changed), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_held_out_metrics_do_not_run_compiled_code(tiny, monkeypatch, kind):
    def refuse(*args, **kwargs):
        raise AssertionError("compiled code was called")

    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: refuse)
    objective = objective_of(PretrainConfig(model=tiny, objective=kind))
    model = objective.build()
    model.compile()
    batch = {
        "sources": moving_blobs(4, seed=1).unsqueeze(1),
        "target": moving_blobs(4, seed=2),
        "seed": torch.arange(4),
        "group": torch.arange(4),
        "other_room": torch.tensor([1, 2, 3, 0]),
    }
    with pytest.raises(AssertionError, match="compiled"):
        model(batch["sources"], batch["target"])
    assert all(value.isfinite() for value in objective.held_out(model.eval(), batch, chunk=3).values())


@pytest.mark.slow
def test_a_run_compiles_its_model_once(tmp_path):
    """In a process of its own, because shapes are not checked there; the held-out batch has two pairs, others four."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run")]
    tests = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tests, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
