"""Hours, memory, reads and decoding cores of a pre-training on 1, 8 and 64 GPUs, from counted and measured parts.

    python benchmarks/scaling_plan.py [--size small] [--pairs 63360] [--epochs 1600] [--utilisation 0.35 0.5]

Operations are counted (`mv2mae.model.flops`), and so is what a pair keeps for its backward pass, on the model
itself. The time of a clip comes from `mv2mae bench data`, its bytes from `benchmarks/store.py`; the peak and the links
are those of the data sheet, and the utilisation is assumed until `--utilisation` gives one that was measured. Nothing
is timed here.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor

from mv2mae.config import ENCODER_SIZES, ModelConfig
from mv2mae.model.flops import step_flops
from mv2mae.model.pretraining import MV2MAE

STATE_BYTES = 16
"""Bytes a parameter in training with mixed precision: weight, gradient and AdamW's two moments, four each."""


@dataclass(frozen=True)
class Cost:
    """What a model asks for."""

    flop: float
    """Floating-point operations of a pair, forward and backward, attention's products included."""
    kept: float
    """Bytes that a pair keeps for its backward pass under bf16 autocast."""
    parameters: int


def cost_of(config: ModelConfig) -> Cost:
    """Count."""
    model = MV2MAE(config)
    clip = torch.zeros(1, 3, config.num_frames, config.image_size, config.image_size, dtype=torch.uint8)
    kept = _kept(model, clip.repeat(2, 1, 1, 1, 1)) - _kept(model, clip)  # without the weights' own copies
    return Cost(step_flops(config).total, kept, sum(p.numel() for p in model.parameters()))


def _kept(model: MV2MAE, clips: Tensor) -> int:
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        loss = model(clips, clips, seeds=torch.arange(len(clips))).loss  # alive, so that no storage is used twice
    assert loss.requires_grad
    return sum(storages.values())


@dataclass(frozen=True)
class Plan:
    """A training on so many GPUs; see `main` for the units."""

    cost: Cost
    gpus: int
    batch: int
    utilisation: float
    peak: float
    link: float
    clip_ms: float
    cores: int
    clip_bytes: float

    @property
    def step_ms(self) -> float:
        """Computing of a step."""
        return 1e3 * self.batch * self.cost.flop / (self.gpus * self.utilisation * self.peak)

    @property
    def exchange_ms(self) -> float:
        """A ring all-reduce of the gradients, each sent and received twice; it can hide behind the backward pass."""
        return 1e3 * 2 * 4 * self.cost.parameters * (self.gpus - 1) / self.gpus / self.link

    @property
    def decode_ms(self) -> float:
        """Decoding of a step's clips by all cores there are."""
        return 2 * self.batch * self.clip_ms / (self.gpus * self.cores)

    @property
    def longest(self) -> tuple[float, str]:
        """What a step waits for, in ms, and its name; the three go on at the same time."""
        times = {"computing": self.step_ms, "exchange": self.exchange_ms, "decoding": self.decode_ms}
        name = max(times, key=lambda key: times[key])
        return times[name], name

    @property
    def cores_wanted(self) -> float:
        """Cores a GPU with which decoding takes no longer than computing or exchange."""
        return self.decode_ms * self.cores / max(self.step_ms, self.exchange_ms)

    @property
    def reads(self) -> float:
        """MB/s that a GPU's loader reads at the pace of `longest`."""
        return 2 * self.batch / self.gpus * self.clip_bytes / self.longest[0] / 1e3

    @property
    def memory(self) -> float:
        """GB of a GPU with DDP and all of its share of a batch at once."""
        return (STATE_BYTES * self.cost.parameters + self.batch / self.gpus * self.cost.kept) / 1e9

    def row(self, steps: float) -> str:
        """As a line of a Markdown table."""
        longest, name = self.longest
        computing, real = (steps * ms / 3.6e6 for ms in (max(self.step_ms, self.exchange_ms), longest))
        cells = (
            self.gpus, f"{self.utilisation:.0%}", self.batch // self.gpus, f"{self.step_ms:.1f}",
            f"{self.exchange_ms:.1f}", f"{self.decode_ms:.1f}", f"{computing:.2f}", f"{self.cores_wanted:.0f}",
            f"{real:.2f}", name, f"{self.reads:.0f}", f"{self.memory:.1f}",
        )  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


COLUMNS = (
    "GPUs", "utilisation", "pairs a GPU", "computing, ms a step", "exchange", "decoding", "hours if decoding keeps up",
    "cores a GPU for that", "hours with the cores there are", "waits for", "reads, MB/s a GPU", "memory, GB",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    """What is put in; the defaults are those of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(ENCODER_SIZES), default="small")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--mask_ratio", type=float, default=0.7)
    parser.add_argument("--pairs", type=int, default=63_360, help="an epoch; NTU-120: 63,360 (xsub), 114,480 (all)")
    parser.add_argument("--epochs", type=float, default=1600)
    parser.add_argument("--batch", type=int, default=1024, help="pairs a step over all GPUs")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--utilisation", type=float, nargs="+", default=[0.35, 0.5], help="of the peak (assumed)")
    parser.add_argument("--peak", type=float, default=989, help="TFLOP/s; H100 SXM, bf16, dense (data sheet)")
    parser.add_argument("--node", type=int, default=8, help="GPUs of a machine")
    parser.add_argument("--link", type=float, nargs=2, default=[450, 50], help="GB/s a GPU within and between machines")
    parser.add_argument("--clip_ms", type=float, default=5.1, help="of one core, file to batch (mv2mae bench data)")
    parser.add_argument("--cores", type=int, default=16, help="a GPU")
    parser.add_argument(
        "--clip_kb",
        type=float,
        default=52,
        help="read for a clip; store: 16 + 7.5 frames of 2.2 kB",
    )
    return parser.parse_args()


def main() -> None:
    """Count, and print the plan as a Markdown table."""
    args = arguments()
    config = ModelConfig.of_size(args.size, image_size=args.image_size, mask_ratio=args.mask_ratio)
    cost, steps = cost_of(config), args.pairs * args.epochs / args.batch
    print(
        f"ViT-{args.size}, {config.num_frames} x {args.image_size} x {args.image_size}, {args.mask_ratio:.0%} masked: "
        f"{cost.flop / 1e9:.1f} GFLOP a pair, {cost.kept / 1e6:.0f} MB kept for its backward pass, "
        f"{cost.parameters / 1e6:.1f} M parameters\n{args.pairs:,} pairs x {args.epochs:g} epochs = {steps:,.0f} steps "
        f"of {args.batch} = {args.pairs * args.epochs * cost.flop:.2g} FLOP\n"
    )
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for gpus in args.gpus:
        for utilisation in args.utilisation:
            plan = Plan(
                cost=cost, gpus=gpus, batch=args.batch, utilisation=utilisation, peak=args.peak * 1e12,
                link=args.link[gpus > args.node] * 1e9, clip_ms=args.clip_ms, cores=args.cores,
                clip_bytes=args.clip_kb * 1e3,
            )  # fmt: skip
            print(plan.row(steps))


if __name__ == "__main__":
    main()
