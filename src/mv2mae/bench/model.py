"""How fast a pre-training step is, what its parts take, how near to the device's peak: `mv2mae bench model`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from mv2mae.config import ComputeConfig, PretrainConfig
from mv2mae.devices import device_type
from mv2mae.errors import InputError
from mv2mae.files import write_json
from mv2mae.model.flops import step_flops
from mv2mae.model.layers import checkpoint_activations
from mv2mae.model.precision import precision_of
from mv2mae.model.pretraining import MV2MAE
from mv2mae.wording import counted

_WARM_UP = 2
"""Steps that do not count: memory is taken, kernels are chosen, the model is compiled."""
_REDUCED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

OptimizerOf = Callable[[nn.Module, PretrainConfig], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class StepFigures:
    """What was measured.

    seconds: of a step, the median. parts: seconds of its parts, in steps that were stopped at each of them; of a
    compiled model only forward, backward and optimiser. flops: of a step (`step_flops`). peak_flops: of a large matrix
    product in the same precision, a second. memory: bytes at the peak, of what was there before the model less; None
    where the system does not tell.
    """

    device: str
    num_threads: int
    precision: str
    compiled: bool
    checkpointed: bool
    num_frames: int
    size: int
    num_parameters: int
    pairs: int
    clips_per_pair: int
    num_steps: int
    seconds: float
    parts: dict[str, float]
    flops: float
    peak_flops: float
    memory: int | None

    @property
    def clips_per_s(self) -> float:
        """Clips a second, all views counted."""
        return self.pairs * self.clips_per_pair / self.seconds

    @property
    def share_of_peak(self) -> float:
        """Floating-point operations of the step a second, over those of the matrix product."""
        return self.flops / self.seconds / self.peak_flops


def bench_model(
    config: PretrainConfig, *, pairs: int, num_steps: int, optimizer_of: OptimizerOf, progress: bool = True
) -> StepFigures:
    """Makes steps of `MV2MAE` on random clips that are in memory, and takes their time.

    Args:
        config: of the training: its model, sources, device, precision, threads, compilation and checkpointing.
        pairs: items in a step.
        num_steps: that count; half as many again are made part by part.
        optimizer_of: makes the optimiser of a model.
        progress: show a bar.

    Raises:
        InputError: a number of steps or pairs that cannot be, a contrastive training, or a device that is not there.
    """
    if pairs < 1 or num_steps < 1:
        raise InputError(f"pairs={pairs} and num_steps={num_steps}: give at least 1 of each")
    if config.objective != "masked":
        raise InputError(f"objective={config.objective} cannot be measured; set objective to masked")
    compute = config.compute
    device = _device(compute)
    if compute.num_threads is not None:
        torch.set_num_threads(compute.num_threads)
    before = _peak_memory(device)
    step = _Step(config, pairs, device, optimizer_of)
    seconds = [step.seconds() for _ in track(range(_WARM_UP + num_steps), "steps", disable=not progress)]
    after = _peak_memory(device)
    return StepFigures(
        device=torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        num_threads=torch.get_num_threads(),
        precision=precision_of(compute),
        compiled=compute.compile,
        checkpointed=compute.checkpoint_activations,
        num_frames=config.model.num_frames,
        size=config.model.image_size,
        num_parameters=sum(p.numel() for p in step.model.parameters()),
        pairs=pairs,
        clips_per_pair=1 + config.data.num_sources,
        num_steps=num_steps,
        seconds=statistics.median(seconds[_WARM_UP:]),
        parts=step.parts(max(1, num_steps // 2), progress),
        flops=pairs * step_flops(config.model, 1 + config.data.num_sources).total,
        peak_flops=matrix_peak(device, _REDUCED.get(precision_of(compute), torch.float32)),
        memory=None if before is None or after is None else after - before,
    )


class _Step:
    """A training step on one batch."""

    def __init__(self, config: PretrainConfig, pairs: int, device: torch.device, optimizer_of: OptimizerOf) -> None:
        compute, model = config.compute, config.model
        torch.manual_seed(config.seed)
        self.device, self.dtype = device, _REDUCED.get(precision_of(compute))
        self.model = MV2MAE(model).to(device)
        self.optimizer = optimizer_of(self.model, config)
        if compute.checkpoint_activations:
            checkpoint_activations(self.model)
        self.compiled = compute.compile
        if self.compiled:
            self.model.compile()
        clip = (3, model.num_frames, model.image_size, model.image_size)
        self.sources = torch.randint(256, (pairs, config.data.num_sources, *clip), dtype=torch.uint8, device=device)
        self.target = torch.randint(256, (pairs, *clip), dtype=torch.uint8, device=device)
        self.seeds = torch.arange(pairs, device=device)

    def make(self, mark: Callable[[str], None] = lambda part: None) -> None:
        """Make it; `mark` is told the name of each part that ended."""
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            loss = self.model(self.sources, self.target, seeds=self.seeds).loss
        mark("forward" if self.compiled else "targets, loss")
        loss.backward()
        mark("backward")
        self.optimizer.step()
        mark("optimiser")

    def seconds(self) -> float:
        """Make it, and say how long it took."""
        begin = time.perf_counter()
        self.make()
        self._wait()
        return time.perf_counter() - begin

    def parts(self, num_steps: int, progress: bool) -> dict[str, float]:
        """Median seconds of each part, in the order of the step."""
        taken: list[dict[str, float]] = []
        last = 0.0

        def mark(part: str) -> None:
            nonlocal last
            self._wait()
            now = time.perf_counter()
            taken[-1][part] = taken[-1].get(part, 0.0) + now - last
            last = now

        with self._told(mark):
            for _ in track(range(num_steps), "parts", disable=not progress):
                taken.append({})
                self._wait()
                last = time.perf_counter()
                self.make(mark)
        return {part: statistics.median(step[part] for step in taken) for part in taken[0]}

    @contextmanager
    def _told(self, mark: Callable[[str], None]) -> Iterator[None]:
        """Have the parts of the forward pass told, as far as they can be seen from outside."""
        model, handles = self.model, []
        if not self.compiled:
            begins = [(model.encoder, "masks"), (model.encoder.blocks, "embed"), (model.self_decoder, "encoder")]
            ends = [(model.encoder, "encoder"), (model.self_decoder, "self decoder")]
            if model.cross_decoder is not None:
                ends.append((model.cross_decoder, "cross decoder"))
            handles = [m.register_forward_pre_hook(lambda *_, part=part: mark(part)) for m, part in begins]
            handles += [m.register_forward_hook(lambda *_, part=part: mark(part)) for m, part in ends]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def print_figures(figures: StepFigures, console: Console | None = None) -> None:
    """Prints what was measured as tables."""
    console = console or Console()
    shape = f"{figures.num_frames} x {figures.size} x {figures.size}"
    table = Table(title=f"{figures.num_parameters / 1e6:.1f} M parameters, clips of {shape}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    threads = f", {counted(figures.num_threads, 'thread')}" if figures.device == "CPU" else ""
    options = (", compiled" if figures.compiled else "") + (", checkpointed" if figures.checkpointed else "")
    table.add_row("device", f"{figures.device}{threads}")
    table.add_row("precision", f"{figures.precision}{options}")
    table.add_row("step", f"{counted(figures.pairs, 'pair')} = {figures.pairs * figures.clips_per_pair} clips")
    table.add_row("seconds a step", f"{figures.seconds:.4g} (median of {figures.num_steps})")
    table.add_row("clips/s", f"{figures.clips_per_s:,.1f}")
    table.add_row("GFLOP a pair", f"{figures.flops / figures.pairs / 1e9:,.1f}")
    table.add_row("GFLOP/s", f"{figures.flops / figures.seconds / 1e9:,.0f}")
    table.add_row("a large matrix product", f"{figures.peak_flops / 1e9:,.0f} GFLOP/s")
    table.add_row("share of that", f"{figures.share_of_peak:.0%}")
    if figures.memory is not None:
        table.add_row("peak memory", f"{figures.memory / 2**20:,.0f} MB")
    parts, whole = Table(title="where the time of a step goes"), sum(figures.parts.values())
    parts.add_column("part")
    parts.add_column("ms", justify="right")
    parts.add_column("share", justify="right")
    for part, spent in figures.parts.items():
        parts.add_row(part, f"{1e3 * spent:,.1f}", f"{spent / whole:.0%}")
    console.print(table, parts)


def write_figures(figures: StepFigures, path: Path) -> None:
    """Writes what was measured as JSON."""
    derived = {"clips_per_s": figures.clips_per_s, "share_of_peak": figures.share_of_peak}
    write_json(path, {**asdict(figures), **derived})


# ---------------------------------------------------------------------------------------------------------


def _device(compute: ComputeConfig) -> torch.device:
    accelerator = compute.accelerator
    there = torch.cuda.is_available()
    if accelerator not in ("auto", "cpu") and not (accelerator in ("gpu", "cuda") and there):
        also = " or gpu" if there else ""
        raise InputError(f"compute.accelerator={accelerator}: no such device here; choose cpu{also}")
    return torch.device(device_type(compute))


def _peak_memory(device: torch.device) -> int | None:
    """Bytes: of torch's allocator on a GPU, of the process elsewhere, where the system tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # no Unix
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product, the best of five."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        begin = time.perf_counter()
        c = a @ b
        c[0, 0].item()  # waits for the product
        best = min(best, time.perf_counter() - begin)
    return 2 * n**3 / best
