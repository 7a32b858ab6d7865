"""Muon against `torch.optim.Muon` in one run, taking turns; and its share of a training step of the small recipes.

    python benchmarks/optimizer.py [--widths 96 128 384] [--repeats 5] [--threads 1] [--out figures.json]

A width stands for the matrices of four transformer blocks: queries-keys-values, projection and the two of the MLP. Of a
recipe a step is made on random clips: forward, loss, backward, optimiser (no loader).

A processor without bfloat16 is had from one with it by

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/optimizer.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mv2mae.bench.step import BACKWARD, FORWARD, OPTIMISER, TimedStep
from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.model.classifier import Classifier
from mv2mae.model.pretraining import MV2MAE
from mv2mae.recipes import load_recipe
from mv2mae.train.muon import Muon, iterated_in

RECIPES = {"synthetic-small": "pretrain", "sample-finetune": "finetune"}


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="+", type=int, default=[96, 128, 192, 384])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    capability, bits = torch.backends.cpu.get_cpu_capability(), iterated_in(torch.device("cpu"))
    print(f"{capability}, {args.threads} threads, torch {torch.__version__}; iterations in {bits}", flush=True)
    figures: dict[str, Any] = {"capability": capability, "threads": args.threads, "iterated_in": str(bits)}
    figures["widths"] = {str(width): compare(width, args.repeats) for width in args.widths}
    for width, times in figures["widths"].items():
        ratio = times["torch"] / times["ours"]
        print(f"width {width}: torch {times['torch']:.4f} s, ours {times['ours']:.4f} s, {ratio:.1f} times as fast")
    figures["recipes"] = {name: step_of(name, kind, args.repeats) for name, kind in RECIPES.items()}
    for name, times in figures["recipes"].items():
        share = times["optimiser"] / (times["optimiser"] + times["model"])
        print(f"{name}: model {times['model']:.3f} s, optimiser {times['optimiser']:.3f} s, {share:.1%} of a step")
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2))


def compare(width: int, repeats: int) -> dict[str, float]:
    """Seconds of a step of the matrices of four blocks, median."""
    shapes = 4 * [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    optimizers = {}
    for name, kind in (("torch", torch.optim.Muon), ("ours", Muon)):
        params = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        optimizers[name] = kind(params, lr=0.02)
    return take_turns({name: optimizer.step for name, optimizer in optimizers.items()}, repeats)


def step_of(recipe: str, kind: str, repeats: int) -> dict[str, float]:
    """Seconds of the model's and the optimiser's part of a step, median."""
    config = load_recipe(recipe, PretrainConfig if kind == "pretrain" else FinetuneConfig)
    torch.manual_seed(0)
    model_config, batch = config.model, config.compute.device_batch_size or config.optim.batch_size
    clip = torch.randint(256, (batch, 3, model_config.num_frames, *2 * [model_config.image_size]), dtype=torch.uint8)
    model: nn.Module = MV2MAE(model_config) if kind == "pretrain" else Classifier(model_config, 10)

    def loss() -> torch.Tensor:
        return model(clip, clip).loss if kind == "pretrain" else model(clip.float() / 255).square().mean()

    step = TimedStep(model, config, loss)
    step.seconds()  # warms up
    parts = step.parts(range(repeats))
    return {"model": parts[FORWARD] + parts[BACKWARD], "optimiser": parts[OPTIMISER]}


def take_turns(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each; the first turn of each warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
