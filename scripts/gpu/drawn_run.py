"""Part d: performances drawn on all cores and on the GPU, kept in its memory, and trained on; the weights come back.

Every performance has a room and cameras of its own. Test rooms and people are others than those of training. For each
variant as many steps as fit into its share of the time; losses and gains go to d-run.json in $OUT as they come, and
with each tenth of the steps the weights of the last one in half precision to d-weights.0, .1, ... of 15 MB (`cat
d-weights.? >x.safetensors` puts them together; `--init` goes on from such files).
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from mv2mae.config import ComputeConfig, LogConfig, ModelConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.data.cameras import Cameras, Pinhole
from mv2mae.data.datamodule import PretrainData
from mv2mae.data.manifest import make_frame
from mv2mae.data.video import DecodedVideo, VideoInfo, available_cores
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.views import PairDataset
from mv2mae.files import write_json
from mv2mae.model.pretraining import MV2MAE
from mv2mae.runs import read_log, start_run
from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.data_set import Group
from mv2mae.synthetic.generate import build_setup, cast_group, make_take, manifest
from mv2mae.synthetic.render.film import Take, film
from mv2mae.train.callbacks import StepCallback
from mv2mae.train.held_out import HeldOut, held_out_batches
from mv2mae.train.lightning import is_logged
from mv2mae.train.log import ProgressBar, Speed
from mv2mae.train.optim import build_optimizer
from mv2mae.train.pretrain import PretrainModule
from mv2mae.train.trainer import fit, num_devices
from mv2mae.weights import PRETRAINING, WEIGHTS_NAME, save_weights

OUT = Path(os.environ["OUT"])
FOUND: dict[str, Any] = {}
_PART = 15 << 20
"""Bytes of a file that comes back."""
_DRAWN_TOGETHER = 32
"""Performances that are filmed at a time."""
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "best": {
        **{"positions": "sincos-3d", "decoder_positions": "rope", "effective_tokens": None, "motion_temperature": None},
        **{"mask_ratio": 0.9, "masking": "tube", "source_mask_ratio": 0.0, "directions": "one"},
        "cameras": "rays",
    },
}
"""The paper's MV2MAE, and what lets the second view count (docs/second-view.md)."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is drawn and trained."""

    groups: int
    tests: int
    pixels: int
    frames: int
    batch: int
    at_once: int
    """Pairs of a batch on the device at a time: the frames take more than half of 80 GB, and 256 pairs 41 GB."""
    model: ModelConfig
    device: str


LARGE = Size(groups=4000, tests=64, pixels=128, frames=40, batch=256, at_once=128, model=ModelConfig(), device="cuda")
TINY = Size(
    groups=6,
    tests=4,
    pixels=32,
    frames=8,
    batch=4,
    at_once=2,
    model=ModelConfig(
        **{"num_frames": 4, "image_size": 32, "encoder_width": 64, "encoder_depth": 1, "encoder_heads": 1},
        **{"tubelet_size": (2, 8, 8), "decoder_width": 64, "decoder_depth": 1, "decoder_heads": 1},
    ),
    device="cpu",
)


def main() -> None:
    """Draw, then train each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=420, help="for all of it")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--init", nargs="*", default=[], help="weights files to go on from, one for each variant")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, at a size of seconds")
    args = parser.parse_args()
    size, end = TINY if args.tiny else LARGE, time.monotonic() + args.seconds
    seconds = 1e9 if args.tiny else 0.4 * args.seconds
    videos, known = Videos(), dict[tuple[str, str], Pinhole]()
    rows = {
        part: pd.concat(draw(part, size, videos, known, time.monotonic() + share * seconds))
        for part, share in (("test", 0.2), ("train", 0.8))
    }
    cameras = Cameras(name="the generator", takes=known)
    FOUND["variants"] = {}
    inits = dict(zip(args.variants, args.init, strict=False))
    for number, name in enumerate(args.variants):
        left = (end - time.monotonic()) / (len(args.variants) - number)
        last = number == len(args.variants) - 1
        # each run hands the frames of its videos over to its device
        train(name, size, copy_of(videos), cameras, rows, left, inits.get(name), keep=last)
        gc.collect()
        torch.cuda.empty_cache()


def settings(part: str, size: Size) -> SyntheticSet:
    """Who performs, and in whose rooms."""
    people = range(1, 11) if part == "test" else range(11, 41)
    return SyntheticSet(
        cameras="free",
        num_cameras=2 if size is TINY else 6,
        own_rooms=True,
        setups=(1,),
        subjects=tuple(people),
        repetitions=8,
        num_groups=size.tests if part == "test" else size.groups,
        num_frames=size.frames,
        fps=15,
        size=size.pixels,
        difficulty="easy",
        seed=2 if part == "test" else 1,
    )


def takes_of(task: tuple[SyntheticSet, Group]) -> tuple[Group, list[Take]]:
    """A performance up to what needs pixels: its room as each camera sees it empty, and what moves."""
    torch.set_num_threads(1)
    config, group = task
    stages = build_setup(config, group.setup)
    room = next(iter(stages.values())).room
    movers = cast_group(config, group, [stage.camera for stage in stages.values()], room)
    return group, [make_take(config, group, stages[view], movers) for view in config.views]


def draw(
    part: str, size: Size, videos: Videos, known: dict[tuple[str, str], Pinhole], until: float
) -> Iterator[pd.DataFrame]:
    """Films performances into memory until all are there or the time is over; the rows of their videos.

    `known` is told the cameras, by group and view: every performance has its own.
    """
    config, begun, frames = settings(part, size), time.monotonic(), 0
    # in an order of their own, so that any number of them shows all actions
    groups = [config.groups()[i] for i in np.random.default_rng(0).permutation(len(config.groups()))]
    tasks = [(config, group) for group in groups]
    workers = 0 if size is TINY else available_cores() - 1
    pool = get_context("forkserver").Pool(workers) if workers else None
    room = threading.Semaphore(4 * _DRAWN_TOGETHER)  # rooms are large: few wait to be filmed

    def fed() -> Iterator[tuple[SyntheticSet, Group]]:
        for task in tasks:
            room.acquire()
            yield task

    done: Iterable[tuple[Group, list[Take]]] = pool.imap(takes_of, fed()) if pool else map(takes_of, tasks)
    waiting: list[tuple[Group, list[Take]]] = []
    for number, made in enumerate(done, 1):
        room.release()
        waiting.append(made)
        over = number == len(tasks) or time.monotonic() > until
        if len(waiting) == _DRAWN_TOGETHER or over:
            frames += sum(len(takes) for _, takes in waiting) * size.frames
            yield filmed(waiting, config, videos, known, size.device)
            waiting = []
            taken = time.monotonic() - begun
            FOUND[part] = {"performances": number, "seconds": taken, "view_frames_per_s": frames / taken}
            write_json(OUT / "d-run.json", FOUND)
        if over:
            break
    if pool is not None:
        room.release(len(tasks))  # what feeds the processes waits at it, and would be waited for
        pool.terminate()


def filmed(
    made: list[tuple[Group, list[Take]]],
    config: SyntheticSet,
    videos: Videos,
    known: dict[tuple[str, str], Pinhole],
    device: str,
) -> pd.DataFrame:
    """Rows of performances whose frames are now in memory, by the names of files that are never written."""
    filming = [take for _, takes in made for take in takes]
    footage = film(filming, device=device)
    rows = manifest(config, [group for group, _ in made])
    rows["path"] = f"/drawn/{config.seed}/" + rows["path"]
    times = np.arange(config.num_frames) / config.fps
    info = VideoInfo(
        fps=config.fps,
        num_frames=config.num_frames,
        width=config.size,
        height=config.size,
        duration=config.num_frames / config.fps,
    )
    for row, take, shot in zip(rows.itertuples(), filming, footage, strict=True):
        videos.put(DecodedVideo(shot.frames.cpu(), times, info, row.path))
        known[str(row.group), str(row.view)] = take.stage.camera.pinhole()
    return rows


def copy_of(videos: Videos) -> Videos:
    """The same frames, to be handed over."""
    copied = Videos()
    for video in videos.parts():
        copied.put(video)
    return copied


def train(
    name: str,
    size: Size,
    videos: Videos,
    cameras: Cameras,
    rows: Mapping[str, pd.DataFrame],
    seconds: float,
    init: Any,
    keep: bool,
) -> None:
    """A variant, for so many seconds; `keep`: its weights come back."""
    end = time.monotonic() + seconds
    config = configuration(name, size, steps=1000, init=init)
    each = seconds_a_step(config, size.device)
    steps = max(2, int(0.85 * (end - time.monotonic()) / each)) if size is LARGE else 2
    config = configuration(name, size, steps=steps, init=init)
    world_size = num_devices(config.compute)
    about: dict[str, Any] = {"steps": steps, "seconds_a_step_before": each}
    FOUND["variants"][name] = about
    data = data_of(config, videos, cameras, rows["train"], rows["test"])
    module = PretrainModule(config, data, world_size)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / name
        described = {"data": data.summary, "frame_stride": config.data.frame_stride, "seed": config.seed}
        start_run(run, config)

        def save(step: int) -> None:
            save_weights(run / WEIGHTS_NAME, module.model, PRETRAINING, config.model, **described, steps=step)

        told = Told(run, about)
        checks = HeldOut(held_out_batches(config, data), config.log.check_every)
        bar = ProgressBar(name, {"train/loss": "loss", "unseen/cross_gain": "gain on unseen rooms"})
        kept = [Kept(config.model, described)] if keep else []
        fit(module, run, log=config.log, save=save, callbacks=[checks, told, *kept, Speed(2), bar])


def configuration(name: str, size: Size, *, steps: int, init: Any) -> PretrainConfig:
    """The training of a variant."""
    on_gpu = size.device == "cuda"
    every = max(1, steps // 10)
    return PretrainConfig(
        init=init,
        model=replace(size.model, **VARIANTS[name]),
        data=PairConfig(cache="device", frame_stride=2 if on_gpu else 1, augment_alike=True, min_crop=0.75),
        optim=OptimConfig(
            **{"optimizer": "muon", "muon_lr": 0.02, "lr": 2e-3, "weight_decay": 0.1, "min_lr_share": 0.02},
            **{"batch_size": size.batch, "steps": steps, "warmup_steps": min(50, every)},
        ),
        compute=ComputeConfig(
            accelerator="gpu" if on_gpu else "cpu",
            devices=1,
            device_batch_size=size.at_once,
            num_workers=available_cores() - 2 if on_gpu else 0,
        ),
        log=LogConfig(log_every=every, check_every=every, save_every=10**9, held_out_pairs=128 if on_gpu else 4),
    )


def data_of(
    config: PretrainConfig, videos: Videos, cameras: Cameras, train: pd.DataFrame, test: pd.DataFrame
) -> PretrainData:
    """Pairs of the drawn performances; some of training's rooms are held out, those of the test are unseen."""
    rows = make_frame(train)
    held = rows["group"].isin(sorted(rows["group"].unique())[: max(2, rows["group"].nunique() // 50)])

    def pairs(some: pd.DataFrame) -> PairDataset:
        model = config.model
        return PairDataset(
            some.reset_index(drop=True),
            config.data,
            num_frames=model.num_frames,
            size=model.image_size,
            seed=0,
            videos=videos,
            cameras=cameras if model.cameras != "none" else None,
        )

    return PretrainData(
        train=pairs(rows[~held]),
        held_out=pairs(rows[held]),
        unseen=pairs(make_frame(test)),
        problems=ProblemLog(None),
        apart={"held_out": ("setup",), "unseen": ("setup", "subject")},
        summary={"groups": int((~held).sum()), "held_out_groups": int(held.sum())},
    )


def seconds_a_step(config: PretrainConfig, device: str) -> float:
    """Of a whole step on clips that are there, after it has warmed up."""
    model = MV2MAE(config.model).to(device).train()
    optimizer, _ = build_optimizer(model, config.optim, depth=config.model.encoder_depth, num_items=1000)
    pairs, shape = config.optim.batch_size, (3, config.model.num_frames, *2 * [config.model.image_size])
    source, target = (torch.randint(256, (pairs, *shape), dtype=torch.uint8, device=device) for _ in range(2))
    seeds, cameras = torch.arange(pairs, device=device), model.any_camera.expand(pairs, 2, -1)
    begin = 0.0
    for step in range(2 if device == "cpu" else 8):
        if step == (1 if device == "cpu" else 3):
            begin = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = model(source, target, seeds=seeds, cameras=cameras).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - begin) / (1 if device == "cpu" else 5)


class Told(StepCallback):
    """Writes what the log says into d-run.json as the training goes."""

    def __init__(self, run: Path, about: dict[str, Any]) -> None:
        self.run, self.about = run, about

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """After each line of the log, of which there are ten."""
        if is_logged(trainer, trainer.global_step) or trainer.global_step == trainer.max_steps:
            self._write()

    def on_train_end(self, *args: Any) -> None:
        """The last one too."""
        self._write()

    def _write(self) -> None:
        log = read_log(self.run)
        self.about["log"] = {
            str(step): {name: value for name, value in row.items() if value == value} for step, row in log.iterrows()
        }
        write_json(OUT / "d-run.json", FOUND)


class Kept(StepCallback):
    """Writes the weights with each line of the log, so that a training which is cut off has left some."""

    def __init__(self, model: ModelConfig, described: dict[str, Any]) -> None:
        self.config, self.described = model, described

    def after_step(self, trainer: pl.Trainer, module: Any) -> None:
        """Ten times."""
        if is_logged(trainer, trainer.global_step) or trainer.global_step == trainer.max_steps:
            half = copy.deepcopy(module.model).half()
            whole = OUT / "d-weights.safetensors"
            save_weights(whole, half, PRETRAINING, self.config, **self.described, steps=trainer.global_step)
            parts(whole)


def parts(file: Path) -> None:
    """Cut a file into such that come back, in place of those that are there."""
    whole = file.read_bytes()
    pieces = [whole[first : first + _PART] for first in range(0, len(whole), _PART)]
    for number, piece in enumerate(pieces):
        file.with_suffix(f".{number}-new").write_bytes(piece)
    for number in range(len(pieces)):  # all of one step, but for a kill within this moment
        file.with_suffix(f".{number}-new").replace(file.with_suffix(f".{number}"))
    file.unlink()


if __name__ == "__main__":
    main()
