"""A training step of MV2MAE against transformers' VideoMAE of the same sizes, in one run, taking turns.

    python benchmarks/step.py [--sizes small base] [--repeats 9] [--batch 8] [--threads 2] [--precision bf16-mixed]
        [--device cuda] [--compile none|ours|both] [--out figures.json]

Contestants, each in a process of its own, which makes a step when it is its turn:
  transformers   VideoMAEForPreTraining with SDPA, normalised pixel targets, fused AdamW (the Trainer's choice)
  single view    this project's model without a cross-view decoder and with uniform weights: the same work
  checkpointed   the same, activations made again on the backward pass
  full           the whole method: both decoders, motion weights

A step: forward, targets, loss, backward, AdamW, on a batch that is in memory. transformers is given normalised floats
(their making is not counted), this project's model the bytes that its loader delivers. Same sizes of clips and models,
same number of masked tokens.

Memory is the peak of a few steps, less what was there after the imports: of torch's allocator on a GPU; on a CPU of a
process of its own, which gives freed memory back at once (MALLOC_MMAP_THRESHOLD_), so that it tells what a step needs
and not how the heap is cut up. `--repeats 0` measures memory alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        **{"size": "tiny", "image_size": 32, "num_frames": 4, "mask_ratio": 0.7, "decoder_depth": 1},
        **{"decoder_width": 64, "decoder_heads": 1},
    },
    "small": {"size": "small", "image_size": 128, "mask_ratio": 0.7},
    "base": {
        **{"size": "base", "image_size": 224, "mask_ratio": 0.9},
        **{"decoder_width": 384, "decoder_heads": 6},  # VideoMAE's own for ViT-B
    },
    "large": {
        **{"size": "large", "image_size": 224, "mask_ratio": 0.9},
        **{"decoder_width": 512, "decoder_heads": 8},  # likewise for ViT-L
    },
}
"""What is compared: the paper's ViT-S, VideoMAE's ViT-B and ViT-L; and `tiny`, to see whether all runs."""
CONTESTANTS = ("transformers", "single view", "checkpointed", "full")


def main() -> None:
    """Compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["small", "base"])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--repeats", type=int, default=9, help="steps of each contestant")
    parser.add_argument("--batch", type=int, default=8, help="clips in a step; `full` takes half as many pairs")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="on a CPU")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", choices=["none", "ours", "both"], default="none")
    parser.add_argument("--cpu_time", action="store_true", help="count computing time; on a busy machine, one thread")
    parser.add_argument("--no_memory", action="store_true", help="on a CPU, start no processes to measure memory")
    parser.add_argument("--out", default="")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args)
        return
    rows = [row for size in args.sizes for row in compare(size, args)]
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def compare(size: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Lets the contestants take turns, and prints their medians."""
    workers = {name: start(name, size, args) for name in args.contestants}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    rounds = args.repeats + 2 if args.repeats else 0
    for turn in range(rounds):
        for name, worker in workers.items():
            taken = ask(worker, "step")["cpu" if args.cpu_time else "wall"]
            if turn >= 2:
                seconds[name].append(taken)
            print(f"\r{size}: step {turn + 1} of {rounds}, {name:14}", end="", file=sys.stderr, flush=True)
    ends = {name: ask(worker, "end") for name, worker in workers.items()}
    if args.device == "cpu" and not args.no_memory:
        for name in ends:
            print(f"\r{size}: memory, {name:20}", end="", file=sys.stderr, flush=True)
            worker = start(name, size, args, MALLOC_MMAP_THRESHOLD_=str(2**20))
            for _ in range(2):
                ask(worker, "step")
            ends[name]["peak"] = ask(worker, "end")["peak"]
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    peer = "transformers" if "transformers" in workers else next(iter(workers))
    rows = []
    print(f"{size}, {args.batch} clips a step, {args.precision}, {ends[peer]['device']}, compile: {args.compile}")
    heads = ("", "s a step, median (fastest)", "clips/s", "as fast", "GFLOP a clip", "GFLOP/s", "peak MB", "share")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, end in ends.items():
        median = statistics.median(seconds[name] or [math.nan])
        faster = statistics.median([p / s for p, s in zip(seconds[peer], seconds[name], strict=True)] or [math.nan])
        memory = end["peak"] / ends[peer]["peak"]
        fastest, gflop = min(seconds[name], default=math.nan), end["flops"] / args.batch / 1e9
        row = {"size": size, "name": name, "median": median, "faster": faster, **end, "memory": memory}
        rows.append({**row, "seconds": seconds[name], "options": {**vars(args)}})
        print(
            f"| {name} | {median:.3f} ({fastest:.3f}) | {args.batch / median:.2f} | {faster:.2f} "
            f"| {gflop:.1f} | {end['flops'] / median / 1e9:.0f} | {end['peak'] / 2**20:.0f} | {memory:.2f} |"
        )
    print()
    return rows


def start(name: str, size: str, args: argparse.Namespace, **environment: str) -> subprocess.Popen[str]:
    """A contestant's process."""
    options = ("batch", "threads", "precision", "device", "compile")
    words = [f"--{option}={getattr(args, option)}" for option in options]
    return subprocess.Popen(
        [sys.executable, __file__, "--worker", name, "--sizes", size, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(args.threads), **environment},
    )


def ask(worker: subprocess.Popen[str], word: str) -> dict[str, Any]:
    """One word to a contestant, its answer back."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(word + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def work(name: str, args: argparse.Namespace) -> None:
    """A contestant: makes a step for each line it reads, and tells its peak of memory at the end."""
    import torch

    torch.set_num_threads(args.threads)
    on_gpu = args.device.startswith("cuda")
    build = transformers_step if name == "transformers" else own_step
    step, flops, before = build(name, args)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        begin, computed = time.perf_counter(), time.process_time()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        answer = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - computed}
        print(json.dumps(answer), flush=True)
    peak = resident() - before
    device = f"{args.threads} CPU threads"
    if on_gpu:
        peak, device = torch.cuda.max_memory_allocated(), torch.cuda.get_device_name()
    print(json.dumps({"peak": peak, "flops": flops, "device": device}), flush=True)


def own_step(name: str, args: argparse.Namespace) -> tuple[Callable[[], None], float, int]:
    """A step of this project's model, its floating-point operations, and the memory before."""
    import torch

    from mv2mae.config import ModelConfig
    from mv2mae.model.flops import step_flops
    from mv2mae.model.layers import checkpoint_activations
    from mv2mae.model.pretraining import MV2MAE

    before = resident()
    simple = {} if name == "full" else {"cross_view_weight": 0.0, "motion_temperature": None, "effective_tokens": None}
    config = ModelConfig.of_size(**{**SIZES[args.sizes[0]], **simple})
    torch.manual_seed(0)
    model = MV2MAE(config).to(args.device)
    if name == "checkpointed":
        checkpoint_activations(model)
    if args.compile != "none":
        model.compile()
    pairs = args.batch // 2
    shape = (pairs, 3, config.num_frames, config.image_size, config.image_size)
    source, target = (torch.randint(256, shape, dtype=torch.uint8, device=args.device) for _ in range(2))
    seeds = torch.arange(pairs, device=args.device)
    step = training_step(model, lambda: model(source, target, seeds=seeds).loss, args)
    return step, pairs * step_flops(config).total, before


def transformers_step(name: str, args: argparse.Namespace) -> tuple[Callable[[], None], float, int]:
    """The same of transformers' model."""
    import torch
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    from mv2mae.config import ModelConfig
    from mv2mae.model.flops import peer_flops

    before = resident()
    config = ModelConfig.of_size(**SIZES[args.sizes[0]])
    torch.manual_seed(0)
    peer = VideoMAEConfig(
        image_size=config.image_size,
        num_frames=config.num_frames,
        hidden_size=config.encoder_width,
        num_hidden_layers=config.encoder_depth,
        num_attention_heads=config.encoder_heads,
        intermediate_size=4 * config.encoder_width,
        decoder_hidden_size=config.decoder_width,
        decoder_num_hidden_layers=config.decoder_depth,
        decoder_num_attention_heads=config.decoder_heads,
        decoder_intermediate_size=4 * config.decoder_width,
        use_mean_pooling=False,
        norm_pix_loss=True,
        attn_implementation="sdpa",
    )
    model = VideoMAEForPreTraining(peer).train().to(args.device)
    if args.compile == "both":
        model.compile()
    shape = (args.batch, config.num_frames, 3, config.image_size, config.image_size)
    clip = torch.randn(shape, device=args.device)
    is_masked = torch.rand(args.batch, config.num_tokens, device=args.device).argsort(dim=1) < config.num_masked
    step = training_step(model, lambda: model(clip, bool_masked_pos=is_masked).loss, args)
    return step, args.batch * peer_flops(config), before


def training_step(model: Any, loss_of: Callable[[], Any], args: argparse.Namespace) -> Callable[[], None]:
    """Forward, backward, AdamW."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    bf16 = args.precision == "bf16-mixed"

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=bf16):
            loss = loss_of()
        loss.backward()
        optimizer.step()

    return step


def resident() -> int:
    """The peak of memory so far, in bytes (Linux counts kilobytes)."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
