"""Part b: training steps against transformers', share of the matrix peak, memory, and what lies between kernels.

Writes b-steps.json after every measurement, and the profiler's traces into b-traces.zip, both in $OUT.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.step import SIZES
from mv2mae.bench.model import matrix_peak
from mv2mae.config import ComputeConfig, ModelConfig, OptimConfig, PretrainConfig
from mv2mae.files import write_json
from mv2mae.model.pretraining import MV2MAE
from mv2mae.recipes import load_recipe
from mv2mae.train.devices import speed_up
from mv2mae.train.optim import build_optimizer

OUT = Path(os.environ["OUT"])
AIMS = {"faster": {"small": 1.8, "base": 1.8}, "share_of_peak": {"small": 0.35, "base": 0.5}, "memory": 0.6}
"""What the figures are held against: speed and memory over transformers', operations over the matrix product's."""
_PROFILED = 3


def main() -> None:
    """Measure, the most valuable first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, at a size of seconds")
    tiny = parser.parse_args().tiny
    device = "cpu" if tiny else "cuda"
    torch.set_num_threads(1 if tiny else torch.get_num_threads())
    found: dict[str, Any] = {"aims": AIMS, "peak": {}, "rows": [], "profiles": []}
    for name in ("float32",) if tiny else ("bfloat16", "float32"):
        found["peak"][name] = matrix_peak(torch.device(device), getattr(torch, name))
    write(found)
    if not tiny:  # the small recipes' model, whose kernels take less time than to start them
        for options in ({}, {"compiled": True}, {"compiled": True, "graphs": True}):
            found["profiles"].append(profiled("stream", 64, device, **options))
            write(found)
    plan = [("tiny", 4, "none")] if tiny else [("small", 256, "both"), ("base", 128, "both"), ("large", 32, "none")]
    for size, batch, compiled in plan:
        found["rows"] += compared(size, batch, compiled, device, found["peak"])
        write(found)
        for options in ({}, {"compiled": True}) if size == "small" else ({},):
            found["profiles"].append(profiled(size, batch // 2, device, **options))
            write(found)


def write(found: dict[str, Any]) -> None:
    """What is known so far."""
    write_json(OUT / "b-steps.json", found)


def compared(size: str, batch: int, compiled: str, device: str, peak: dict[str, float]) -> list[dict[str, Any]]:
    """Rows of `benchmarks/step.py`, with the share of the matrix peak."""
    precision = "32-true" if device == "cpu" else "bf16-mixed"
    options = ["--device", device, "--precision", precision, "--compile", compiled, "--batch", str(batch)]
    names = ["transformers", "single view"] + ([] if size == "large" else ["full"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        options += ["--repeats", "1", "--threads", "1", "--no_memory"] if device == "cpu" else ["--repeats", "20"]
        command = [sys.executable, "benchmarks/step.py", "--sizes", size, *options, "--contestants", *names]
        done = subprocess.run([*command, "--out", str(out)], text=True, check=False)
        if done.returncode:
            return [{"size": size, "failed": done.returncode}]
        rows = json.loads(out.read_text(encoding="utf-8"))
    highest = peak["float32" if device == "cpu" else "bfloat16"]
    return [
        {**row, "clips_per_s": batch / row["median"], "share_of_peak": row["flops"] / row["median"] / highest}
        for row in rows
    ]


def settings(size: str) -> ModelConfig:
    """The model of a size; `stream` is that of the recipe for synthetic data."""
    if size == "stream":
        return load_recipe("synthetic-stream", PretrainConfig).model
    return ModelConfig.of_size(**SIZES[size])


def profiled(size: str, pairs: int, device: str, *, compiled: bool = False, graphs: bool = False) -> dict[str, Any]:
    """A few steps of the whole method under torch's profiler: kernels, the time between them, the longest ones."""
    config = PretrainConfig(
        model=settings(size),
        optim=replace(OptimConfig(), lr=1e-4, steps=100, batch_size=pairs),
        compute=ComputeConfig(compile=compiled, graphs=graphs),
    )
    model = MV2MAE(config.model).to(device)
    optimizer, _ = build_optimizer(model, config.optim, depth=config.model.encoder_depth, num_items=pairs)
    speed_up(model, config.compute)
    clip = (pairs, 3, config.model.num_frames, config.model.image_size, config.model.image_size)
    source, target = (torch.randint(256, clip, dtype=torch.uint8, device=device) for _ in range(2))
    seeds = torch.arange(pairs, device=device)

    def step() -> None:
        optimizer.zero_grad()
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = model(source, target, seeds=seeds).loss
        loss.backward()
        optimizer.step()

    for _ in range(1 if device == "cpu" else 4):
        step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as seen:
        for _ in range(_PROFILED):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
    name = f"{size}{'-compiled' if compiled else ''}{'-graphs' if graphs else ''}"
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / f"{name}.json"
        seen.export_chrome_trace(str(trace))
        with zipfile.ZipFile(OUT / "b-traces.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.write(trace, trace.name)
    del model, optimizer
    return {"size": size, "pairs": pairs, "compiled": compiled, "graphs": graphs, **kernels(seen, device)}


def kernels(seen: profile, device: str) -> dict[str, Any]:
    """Of a profile: kernels a step, milliseconds a step from the first to the last, share in which none ran."""
    kind = torch.autograd.DeviceType.CUDA if device == "cuda" else torch.autograd.DeviceType.CPU
    events = [event for event in seen.events() if event.device_type == kind]
    if device == "cpu":
        events = [event for event in events if event.cpu_parent is None]
    spans = sorted((event.time_range.start, event.time_range.end) for event in events)
    if not spans:
        return {"kernels": 0}
    longest: dict[str, float] = {}
    for event in events:
        longest[event.name] = longest.get(event.name, 0.0) + event.time_range.elapsed_us() / 1e3 / _PROFILED
    whole = max(end for _, end in spans) - spans[0][0]
    return {
        "kernels": len(spans) / _PROFILED,
        "ms": whole / 1e3 / _PROFILED,
        "gap_share": 1 - covered(spans) / whole,
        "longest_ms": dict(sorted(longest.items(), key=lambda item: -item[1])[:15]),
    }


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals that are sorted by their beginning."""
    total, reached = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


if __name__ == "__main__":
    main()
