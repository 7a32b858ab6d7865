"""`mv2mae bench model`: its floating-point operations, what it measures, and what it says."""

import dataclasses
import json

import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from mv2mae.bench.model import StepFigures, bench_model, print_figures
from mv2mae.cli import main
from mv2mae.config import ComputeConfig, ModelConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier
from mv2mae.model.flops import classifier_flops, peer_flops, step_flops
from mv2mae.model.pretraining import MV2MAE

PARTS = ["masks", "embed", "encoder", "self decoder", "cross decoder", "targets, loss", "backward", "optimiser"]


def counted_flops(forward):
    """Torch's own count of a forward pass, attention written out because its count knows no fused one on a CPU."""
    with (
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        forward()
    return counter.get_total_flops()


@pytest.mark.parametrize("num_sources", [1, 2])
@pytest.mark.parametrize("cross_view_weight", [0.0, 1.0])
@pytest.mark.parametrize("directions", ["both", "one"])
@pytest.mark.parametrize("source_mask_ratio", [None, 0.0])
def test_operations_are_those_that_torch_counts(tiny, cross_view_weight, num_sources, directions, source_mask_ratio):
    roles = {"directions": directions, "source_mask_ratio": source_mask_ratio}
    config = dataclasses.replace(tiny, cross_view_weight=cross_view_weight, **roles)
    clips = torch.rand(3, 1 + num_sources, 3, 4, 32, 32)
    counted = counted_flops(lambda: MV2MAE(config)(clips[:, 1:], clips[:, 0]))
    flops = step_flops(config, 1 + num_sources)
    assert 3 * (flops.embed / 2 + (flops.total - flops.embed) / 3) == pytest.approx(counted, rel=1e-9)


def test_operations_of_the_peer_are_those_that_torch_counts(tiny):
    transformers = pytest.importorskip("transformers")
    config = dataclasses.replace(tiny, encoder_width=48, encoder_heads=3)
    peer = transformers.VideoMAEForPreTraining(
        transformers.VideoMAEConfig(
            **{"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, "use_mean_pooling": False},
            **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192},
            **{"decoder_hidden_size": 24, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 2},
            decoder_intermediate_size=96,
        )
    )
    is_masked = torch.arange(config.num_tokens)[None] < config.num_masked
    counted = counted_flops(lambda: peer(torch.rand(1, 4, 3, 32, 32), bool_masked_pos=is_masked))
    embed = 2 * config.num_tokens * config.tubelet_dim * 48
    assert embed + (peer_flops(config) - 2 * embed) / 3 == pytest.approx(counted, rel=1e-9)


def test_operations_of_a_classifier_are_those_that_torch_counts(tiny):
    counted = counted_flops(lambda: Classifier(tiny, 2)(torch.rand(1, 3, 4, 32, 32)))
    embed, head = 2 * tiny.num_tokens * tiny.tubelet_dim * 32, 2 * 2 * 32
    assert 3 * (counted - embed - head) + 2 * embed == pytest.approx(classifier_flops(tiny), rel=1e-9)


def measured(model, pairs=2, num_steps=2, **compute):
    config = PretrainConfig(
        model=model,
        data=PairConfig(num_sources=2),
        optim=OptimConfig(lr=1e-3, steps=10),
        compute=ComputeConfig(accelerator="cpu", num_threads=1, **compute),
    )
    return bench_model(config, pairs=pairs, num_steps=num_steps, progress=False)


def test_figures_fit_together(tiny):
    figures = measured(tiny, precision="bf16-mixed", checkpoint_activations=True)
    assert list(figures.parts) == PARTS
    assert all(spent > 0 for spent in figures.parts.values())
    assert figures.clips_per_s == pytest.approx(2 * 3 / figures.seconds)
    assert figures.flops == 2 * step_flops(tiny, 3).total
    assert 0 < figures.share_of_peak < 1
    assert figures.checkpointed
    single = measured(dataclasses.replace(tiny, cross_view_weight=0.0))
    assert list(single.parts) == [part for part in PARTS if part != "cross decoder"]


FIGURES = StepFigures(
    **{"device": "CPU", "num_threads": 2, "precision": "32-true", "compiled": True, "checkpointed": False},
    **{"num_frames": 16, "size": 128, "num_parameters": 26_600_000, "pairs": 4, "clips_per_pair": 2, "num_steps": 10},
    **{"seconds": 2.0, "parts": {"forward": 0.5, "backward": 1.4, "optimiser": 0.1}, "flops": 200e9},
    **{"peak_flops": 200e9, "memory": 500 * 2**20},
)


def test_the_tables_fit_a_terminal_and_tell_rates_and_parts():
    console = Console(record=True, width=80)
    print_figures(FIGURES, console)
    lines = console.export_text().splitlines()
    said = " ".join(" ".join(lines).split())
    for words in (
        *("26.6 M parameters, clips of 16 x 128 x 128", "CPU, 2 threads", "32-true, compiled", "4 pairs = 8 clips"),
        *("clips/s │ 4.0", "GFLOP a pair │ 50.0", "GFLOP/s │ 100", "share of that │ 50%", "peak memory │ 500 MB"),
        *("backward │ 1,400.0 │ 70%",),
    ):
        assert words in said
    assert max(map(len, lines)) <= 80


def test_the_command_writes_what_it_measured(tmp_path, capsys):
    out = tmp_path / "figures" / "step.json"
    model = ["--model.image_size=32", "--model.num_frames=4", "--model.decoder_depth=1", "--model.mask_ratio=0.5"]
    words = ["--size", "tiny", "--pairs", "1", "--num_steps", "1", "--compute.accelerator", "cpu", "--out", str(out)]
    threads = torch.get_num_threads()
    assert main(["bench", "model", *model, *words]) == 0
    assert torch.get_num_threads() == threads
    assert f"wrote {out}" in capsys.readouterr().out
    written = json.loads(out.read_text())
    sized = ModelConfig.of_size("tiny", image_size=32, num_frames=4, decoder_depth=1, mask_ratio=0.5)
    assert written["flops"] == step_flops(sized).total
    assert written["clips_per_s"] == pytest.approx(2 / written["seconds"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "0"], "pairs=0 and num_steps=10: give at least 1 of each"),
        (["--size", "huge"], "size='huge' is unknown; choose one of tiny, small, base, large"),
        (["--recipe", "as-contrastive"], "objective=contrastive cannot be measured"),
    ],
)
def test_bad_input_is_one_clear_line(words, message, capsys):
    assert main(["bench", "model", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(tiny):
    config = PretrainConfig(model=tiny, compute=ComputeConfig(accelerator="gpu"))
    with pytest.raises(InputError, match="device 'cuda' is not there: .*; or give cpu"):
        bench_model(config, pairs=1, num_steps=1)
