"""How fast a pre-training step is, what its parts take, how near to the device's peak: `mv2mae bench model`."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mv2mae.bench.step import TimedStep
from mv2mae.config import PretrainConfig
from mv2mae.devices import best_device, device_type
from mv2mae.errors import InputError
from mv2mae.files import write_json
from mv2mae.model.flops import step_flops
from mv2mae.model.precision import REDUCED, precision_of
from mv2mae.model.pretraining import MV2MAE
from mv2mae.text import counted
from mv2mae.train.devices import speed_up

_WARM_UP = 2
"""Steps that do not count: memory is taken, kernels are chosen, the model is compiled."""


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


def bench_model(config: PretrainConfig, *, pairs: int, num_steps: int, progress: bool = True) -> StepFigures:
    """Makes steps of `MV2MAE` on random clips that are in memory, and takes their time.

    Args:
        config: of the training: its model, sources, device, precision, threads, compilation and checkpointing.
        pairs: items in a step.
        num_steps: that count; half as many again are made part by part.
        progress: show a bar.

    Raises:
        InputError: a number of steps or pairs that cannot be, a contrastive training, or a device that is not there.
    """
    if pairs < 1 or num_steps < 1:
        raise InputError(f"pairs={pairs} and num_steps={num_steps}: give at least 1 of each")
    if config.objective != "masked":
        raise InputError(f"objective={config.objective} cannot be measured; set objective to masked")
    compute = config.compute
    device = torch.device(best_device(device_type(compute)))
    if compute.num_threads is not None:
        torch.set_num_threads(compute.num_threads)
    before = _peak_memory(device)
    step = _step(config, pairs, device)
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
        parts=_parts(step, compute.compile, max(1, num_steps // 2), progress),
        flops=pairs * step_flops(config.model, 1 + config.data.num_sources).total,
        peak_flops=matrix_peak(device, REDUCED.get(precision_of(compute), torch.float32)),
        memory=None if before is None or after is None else after - before,
    )


def _step(config: PretrainConfig, pairs: int, device: torch.device) -> TimedStep:
    """A step on random clips."""
    torch.manual_seed(config.seed)
    model = MV2MAE(config.model).to(device)
    speed_up(model, config.compute)
    clip = (3, config.model.num_frames, config.model.image_size, config.model.image_size)
    sources = torch.randint(256, (pairs, config.data.num_sources, *clip), dtype=torch.uint8, device=device)
    target = torch.randint(256, (pairs, *clip), dtype=torch.uint8, device=device)
    seeds = torch.arange(pairs, device=device)
    return TimedStep(model, config, lambda: model(sources, target, seeds=seeds).loss)


def _parts(step: TimedStep, compiled: bool, num_steps: int, progress: bool) -> dict[str, float]:
    """Median seconds of each part, of the forward pass as far as its parts can be seen from outside."""
    rounds = track(range(num_steps), "parts", disable=not progress)
    if compiled:
        return step.parts(rounds)
    model = step.model
    assert isinstance(model, MV2MAE)
    begins = [(model.encoder, "masks"), (model.encoder.blocks, "embed"), (model.self_decoder, "encoder")]
    ends = [(model.encoder, "encoder"), (model.self_decoder, "self decoder")]
    if model.cross_decoder is not None:
        ends.append((model.cross_decoder, "cross decoder"))
    handles = [m.register_forward_pre_hook(lambda *_, part=part: step.mark(part)) for m, part in begins]
    handles += [m.register_forward_hook(lambda *_, part=part: step.mark(part)) for m, part in ends]
    try:
        return step.parts(rounds, mark_forward="targets, loss")
    finally:
        for handle in handles:
            handle.remove()


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
