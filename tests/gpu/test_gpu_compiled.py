"""Compiled code on a device gives the losses and gradients of plain code there; in a process of its own, because shapes
are not checked in it.
"""

import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import torch
from mv2mae.config import ModelConfig
from mv2mae.model.layers import checkpoint_activations
from mv2mae.model.pretraining import MV2MAE

torch.set_num_threads(1)
device, backend, *ways = sys.argv[1:]
torch._dynamo.config.error_on_recompile = True
config = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=64, encoder_depth=1, encoder_heads=1,
    decoder_width=64, decoder_depth=1, decoder_heads=1,
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
for way in ways:
    torch.manual_seed(0)
    torch._dynamo.reset()
    dtype = DTYPES[way.split("-")[0]]
    model = MV2MAE(config).to(device)
    if "checkpointed" in way:
        checkpoint_activations(model)
    options = {"mode": "reduce-overhead"} if "graphs" in way and backend == "inductor" else {"backend": backend}
    compiled = torch.compile(model, fullgraph=True, **options)
    for batch in range(4):  # a graph is recorded in the second and replayed from the third on
        torch.manual_seed(batch)
        source, target = torch.randint(256, (2, 4, 3, 4, 32, 32), dtype=torch.uint8).to(device)
        seeds = (torch.arange(4) + 7 * batch).to(device)
        losses, gradients = [], []
        for each in (model, compiled):
            model.zero_grad()
            torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32):
                loss = each(source, target, seeds=seeds).loss
            loss.backward()
            losses.append(loss.detach().clone())
            gradients.append(torch.cat([p.grad.clone().flatten() for p in model.parameters()]))
        coarse = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2}[way.split("-")[0]]
        torch.testing.assert_close(*losses, rtol=coarse, atol=0)
        assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 1 - 2 * coarse, way
"""
COMPILER = any(map(shutil.which, ("g++", "clang++", "c++")))


def check(*words: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not COMPILER, reason="no C++ compiler for torch.compile")
@pytest.mark.parametrize("ways", [("float32", "float16"), ("bfloat16", "bfloat16-checkpointed"), ("bfloat16-graphs",)])
def test_compiled_code_equals_plain_code(ways):
    check("cuda", "inductor", *ways)
