"""The model compiles into one graph, once; in a process of its own, because shapes are not checked there."""

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
torch._dynamo.config.error_on_recompile = True
config = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=32, encoder_depth=1, encoder_heads=2,
    decoder_width=24, decoder_depth=1, decoder_heads=2,
)
for way in sys.argv[2:]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = MV2MAE(config)
    if way == "checkpointed":
        checkpoint_activations(model)
    compiled = torch.compile(model, fullgraph=True, backend=sys.argv[1])
    for batch in range(2):
        source, target = torch.randint(256, (2, 4, 3, 4, 32, 32), dtype=torch.uint8)
        losses, gradients = [], []
        for each in (model, compiled):
            model.zero_grad()
            loss = each(source, target, seeds=torch.arange(4) + 7 * batch).loss
            loss.backward()
            losses.append(loss.detach())
            gradients.append([p.grad.clone() for p in model.parameters()])
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
"""


def check(*words):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_one_graph_without_breaks_serves_every_batch():
    check("aot_eager", "kept", "checkpointed")


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="no C++ compiler for torch.compile")
def test_compiled_code_gives_the_same_losses_and_gradients():
    check("inductor", "kept")
