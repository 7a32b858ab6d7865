"""Every layer runs its own forward, so that what others do with a torch model works: adapters, hooks, quantisation,
function transforms, export.
"""

import subprocess
import sys

import pytest
import torch
from torch import nn

from mv2mae.model.classifier import Classifier
from mv2mae.model.pretraining import MV2MAE

LAYERS = (nn.Linear, nn.LayerNorm)


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return MV2MAE(tiny)


@pytest.fixture
def classifier(tiny):
    torch.manual_seed(0)
    return Classifier(tiny, 3).eval()


class LowRank(nn.Module):
    """What PEFT puts in a Linear's place: the frozen layer and a low-rank addition, which has no `weight`."""

    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def linears(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def test_every_linear_can_be_adapted(model, pair):
    """Each adapter, put in alone, changes the loss and is given a gradient."""
    seeds = torch.arange(4)
    plain = model(*pair, seeds=seeds).loss.detach()
    names = linears(model)
    assert len(names) > 20
    for name in names:
        base = model.get_submodule(name)
        adapter = LowRank(base)
        model.set_submodule(name, adapter)
        loss = model(*pair, seeds=seeds).loss
        loss.backward()
        assert loss != plain, name
        assert adapter.up.weight.grad.abs().sum() > 0, name
        model.set_submodule(name, base)


def test_hooks_fire_on_every_layer(model, classifier, pair):
    for whole, inputs in ((model, pair), (classifier, pair[:1])):
        layers = {name for name, module in whole.named_modules() if isinstance(module, LAYERS)}
        calls = []
        for name in layers:
            whole.get_submodule(name).register_forward_hook(lambda *_, name=name, calls=calls: calls.append(name))
        for enabled in (False, True):
            calls.clear()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                whole(*inputs)
            assert set(calls) == layers


@pytest.mark.filterwarnings("ignore:.*(torch.ao.quantization|reduce_range|Quantize).*")
def test_dynamic_quantisation(classifier, pair):
    quantised = torch.ao.quantization.quantize_dynamic(classifier, {nn.Linear}, dtype=torch.qint8)
    assert not linears(quantised)
    with torch.no_grad():
        features, wanted = quantised.features(pair[0]), classifier.features(pair[0])
    assert not torch.equal(features, wanted)
    assert torch.nn.functional.cosine_similarity(features, wanted).min() > 0.99


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_each_clip_by_function_transforms(classifier, pair, dtype):
    classifier.to(dtype)
    labels = torch.tensor([0, 2, 1, 0])
    weights = dict(classifier.named_parameters())

    def loss(weights, clip, label):
        scores = torch.func.functional_call(classifier, weights, (clip[None],))
        return nn.functional.cross_entropy(scores.float(), label[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, pair[0], labels)
    for index in range(4):
        classifier.zero_grad()
        loss(weights, pair[0][index], labels[index]).backward()
        for name, weight in weights.items():
            off = (each[name][index] - weight.grad).float().norm()
            assert off <= (1e-4 if dtype == torch.float32 else 0.1) * weight.grad.float().norm() + 1e-5, name


def test_gradient_of_pretraining_by_function_transform(model, pair):
    weights, seeds = dict(model.named_parameters()), torch.arange(4)

    def loss(weights):
        return torch.func.functional_call(model, weights, pair, {"seeds": seeds}).loss

    found = torch.func.grad(loss)(weights)
    loss(weights).backward()
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-6)


def test_second_derivatives_in_bfloat16(classifier, pair):
    """Of the plain products too, which attention takes in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        score = classifier(pair[0])[:, 0].float().square().sum()
    weight = classifier.encoder.blocks[0].attention.qkv.weight
    (slope,) = torch.autograd.grad(score, weight, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), weight)
    assert curvature.isfinite().all()
    assert curvature.abs().sum() > 0


SCRIPT = """
import torch
from tiny_runs import TINY
from mv2mae.model.classifier import Classifier

torch.set_num_threads(1)
torch.manual_seed(0)
classifier, clip = Classifier(TINY, 3), torch.rand(2, 3, 4, 32, 32)
for dtype in (torch.float32, torch.bfloat16):
    classifier.to(dtype)
    wanted = classifier(clip)
    exported = torch.export.export(classifier, (clip,)).module()
    traced = torch.jit.trace(classifier, (clip,))
    for other in (exported, traced):
        torch.testing.assert_close(other(clip), wanted, rtol=0.1, atol=0.05 if dtype == torch.bfloat16 else 1e-5)
"""


@pytest.mark.slow
def test_export_and_trace(request):
    """In a process of its own, because shapes are not checked there."""
    code = f"import sys; sys.path.insert(0, {str(request.config.rootpath / 'tests')!r})\n" + SCRIPT
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
