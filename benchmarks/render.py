"""How many view frames a second the generator of synthetic videos makes: `python benchmarks/render.py`.

Compared in the same run with its prototype's way, a z-buffer in plain NumPy that draws with the
same supersampling. One CPU core; on CUDA too where there is a device.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.data_set import Group
from mv2mae.synthetic.difficulty import DIFFICULTIES
from mv2mae.synthetic.encode import write_video
from mv2mae.synthetic.generate import build_setup, film_group
from mv2mae.synthetic.people.performance import animate
from mv2mae.synthetic.render.film import Batch, Take, film
from mv2mae.synthetic.render.stage import MARGIN, SUPERSAMPLE, Stage
from mv2mae.synthetic.render.truth import TRUTH
from mv2mae.synthetic.world.mesh import Mover


def numpy_film(stage: Stage, mover: Mover) -> np.ndarray:
    """The prototype's way: [t, size, size, 3] uint8, lit by Lambert's cosine, without shadows, shake or noise."""
    n, window = stage.size * SUPERSAMPLE, slice(MARGIN, -MARGIN)
    colour, depth, out = stage.colour[window, window], stage.depth[window, window], []
    for vertices in mover.vertices():
        xy, z = stage.camera.project(vertices, n)
        a, b, c = (vertices[mover.model.faces[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        cosine = normal @ stage.room.light / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
        lit = np.clip(mover.model.colours * (0.5 + 0.6 * np.maximum(cosine, 0))[:, None], 0, 255).astype(np.uint8)
        picture, buffer = colour.copy(), (1 / depth).astype(np.float32)
        corners = mover.model.faces[:, [0, 2, 1]]
        _numpy_fill(picture.reshape(-1, 3), buffer.ravel(), n, xy[corners], 1 / z[corners], lit)
        out.append(picture.reshape(stage.size, 2, stage.size, 2, 3).mean((1, 3)).astype(np.uint8))
    return np.stack(out)


def _numpy_fill(
    picture: np.ndarray, buffer: np.ndarray, n: int, xy: np.ndarray, near: np.ndarray, lit: np.ndarray
) -> None:
    """Faces of like size together: every sample of the square about each; far fragments written before near ones."""
    edge = xy[:, 1:] - xy[:, :1]
    area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
    low = np.clip(np.ceil(xy.min(1) - 0.5).astype(int), 0, n)
    extent = (np.clip(np.floor(xy.max(1) - 0.5).astype(int) + 1, low, n) - low).max(1) * (area > 0)
    places, depths, colours = [], [], []
    for small, size in zip((0, 2, 4, 8, 16, 64), (2, 4, 8, 16, 64, 256), strict=True):
        face = np.nonzero((extent > small) & (extent <= size))[0]
        step = np.arange(size)
        x, y = low[face, 0, None, None] + step, low[face, 1, None, None] + step[:, None]
        dx, dy = x + 0.5 - xy[face, 0, 0, None, None], y + 0.5 - xy[face, 0, 1, None, None]
        (ax, ay), (bx, by) = ([edge[face, k, j, None, None] / area[face, None, None] for j in (0, 1)] for k in (0, 1))
        v, w = dx * by - dy * bx, dy * ax - dx * ay
        row, i, j = np.nonzero((v >= 0) & (w >= 0) & (v + w <= 1) & (x < n) & (y < n))
        v, w, face = v[row, i, j], w[row, i, j], face[row]
        depths.append(near[face, 0] * (1 - v - w) + near[face, 1] * v + near[face, 2] * w)
        places.append(y[row, i, 0] * n + x[row, 0, j])
        colours.append(lit[face])
    place, depth, colour = (np.concatenate(parts) for parts in (places, depths, colours))
    seen = depth > buffer[place]
    order = np.flatnonzero(seen)[np.argsort(depth[seen], kind="stable")]
    picture[place[order]] = colour[order]


def rate(frames: int, work: Callable[[], object], device: str = "cpu", repeats: int = 3) -> float:
    """View frames a second, the best of some repeats after a first one that does not count."""
    best = float("inf")
    for k in range(repeats + 1):
        started = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        if k:
            best = min(best, time.perf_counter() - started)
    return frames / best


def takes_of(config: SyntheticSet, groups: Sequence[Group], extra: bool = False) -> list[Take]:
    """All views of some performances: the person alone, or with what belongs to the performance."""
    takes = []
    for group in groups:
        movers = tuple(animate(config, group).movers)
        for view, stage in build_setup(config, group.setup).items():
            added = DIFFICULTIES[config.difficulty].disturbance
            chosen = movers if extra else movers[:1]
            takes.append(Take(stage=stage, movers=chosen, disturbance=added, seed=view))
    return takes


def on_cpu(size: int) -> None:
    """One core: the peer, the renderer, the renderer with ground truth, and all of it with motion and encoding."""
    config = SyntheticSet(size=size, num_frames=64, num_groups=6)
    group = config.groups()[0]
    takes = takes_of(config, [group])
    stage, person = takes[0].stage, takes[0].movers[0]
    short = Mover(model=person.model, rotations=person.rotations[::8], positions=person.positions[::8])
    frames = 64 * len(takes)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for view, footage in film_group(config, group).items():
                write_video(Path(folder) / f"{view}.mp4", footage.frames.numpy(), fps=config.fps, crf=config.quality)

    row(
        size,
        "cpu",
        "NumPy z-buffer (peer): person only, no shadows, no noise",
        rate(8, lambda: numpy_film(stage, short)),
    )
    row(size, "cpu", "film: one person, level normal", rate(frames, lambda: film(takes)))
    row(size, "cpu", "film: with depth, parts, joints, flow", rate(frames, lambda: film(takes, truth=TRUTH)))
    row(size, "cpu", "animate + film + encode, with props and distractors", rate(frames, whole))


def on_cuda(size: int) -> None:
    """Batches of several sizes, of different people in one setup."""
    for count in (8, 32, 96):
        config = SyntheticSet(size=size, num_frames=16, fps=8, num_groups=count)
        takes = takes_of(config, config.groups())
        speed = rate(16 * len(takes), lambda takes=takes: film(takes, device="cuda"), "cuda")  # type: ignore[misc]
        row(size, "cuda", f"film: {len(takes)} takes of 16 frames together", speed)


# Operations of torch that start a kernel on a GPU; views, conversions of numbers and the like do not.
_COMPUTING = [
    "mul",
    "mul_",
    "index_select",
    "index",
    "add",
    "add_",
    "sub",
    "sub_",
    "rsub",
    "div",
    "div_",
    "arange",
    "cat",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "__rshift__",
    "__lshift__",
    "repeat_interleave",
    "cumsum",
    "lt",
    "gt",
    "ge",
    "minimum",
    "maximum",
    "masked_fill_",
    "floor_",
    "ceil_",
    "ceil",
    "round",
    "addcmul",
    "addcmul_",
    "nonzero",
    "scatter_reduce_",
    "lerp",
    "avg_pool2d",
    "upsample_bilinear2d",
    "clamp_",
    "clamp_min_",
    "mm",
    "fill_",
    "abs",
    "sum",
]


def operations(size: int = 128) -> None:
    """How many operations, and waits for the device, a batch of a GPU's size takes (counted on the CPU)."""
    config = SyntheticSet(size=size, num_frames=4, num_groups=4)
    takes = takes_of(config, config.groups())
    for chosen in (takes, takes[:3]):
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            film(chosen, batch=Batch(takes=256, frames=2048))
        calls = {event.key: event.count for event in seen.key_averages()}
        made = sum(calls.get(f"aten::{name}", 0) for name in _COMPUTING)
        waits = calls.get("aten::_local_scalar_dense", 0) + calls.get("aten::nonzero", 0)
        print(f"one batch of {len(chosen)} takes: about {made} kernels, {waits} waits for counts")


def row(size: int, device: str, what: str, speed: float) -> None:
    """Prints a line of the table."""
    print(f"| {size} | {device} | {what} | {speed:,.0f} |", flush=True)


def main() -> None:
    """Measures and prints everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128])
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| pixels | device | what | view frames/s |\n|---|---|---|---|")
    for size in args.sizes:
        on_cpu(size)
        if torch.cuda.is_available():
            on_cuda(size)
    operations()


if __name__ == "__main__":
    main()
