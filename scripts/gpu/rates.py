"""Part c: view frames a second of the renderer, clips a second from a store, and how long a ViT-S run waits for data.

Writes c-rates.json into $OUT after every measurement.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.render import rate, takes_of
from mv2mae.bench.loading import bench_data
from mv2mae.config import ComputeConfig, LogConfig, ModelConfig, OptimConfig, PairConfig, PretrainConfig, StoreConfig
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import available_cores
from mv2mae.files import write_json
from mv2mae.runs import read_log
from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.render.film import film
from mv2mae.train.pretrain import pretrain

OUT = Path(os.environ["OUT"])
AIMS = {"view_frames_per_s": 20_000, "data_wait_share": 0.05}
"""At 128 pixels; of a ViT-S step with 16 cores from a store."""


def main() -> None:
    """Measure, the most valuable first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, at a size of seconds")
    tiny = parser.parse_args().tiny
    found: dict[str, Any] = {"aims": AIMS, "cores": available_cores(), "renderer": [], "loader": [], "runs": []}
    for count in (1,) if tiny else (32, 96, 8):
        found["renderer"].append(renderer(count, 32 if tiny else 128, "cpu" if tiny else "cuda"))
        write_json(OUT / "c-rates.json", found)
    with tempfile.TemporaryDirectory() as folder:
        manifest = "sample" if tiny else store(Path(folder))
        config = settings(manifest, tiny)
        figures = bench_data(config, num_clips=16 if tiny else 20_000, progress=False)
        found["loader"].append({"workers": figures.num_workers, "clips_per_s": figures.clips_per_s})
        write_json(OUT / "c-rates.json", found)
        found["runs"].append({"from": "a store", **run_of(config, Path(folder) / "run")})
        write_json(OUT / "c-rates.json", found)
        config = replace(config, data=replace(config.data, cache="device"))
        found["runs"].append({"from": "the device's memory", **run_of(config, Path(folder) / "cached")})
        write_json(OUT / "c-rates.json", found)


def renderer(count: int, size: int, device: str) -> dict[str, Any]:
    """View frames a second of so many performances, all their views drawn together."""
    num_frames = 2 if device == "cpu" else 16
    config = SyntheticSet(size=size, num_frames=num_frames, fps=8, num_groups=count)
    takes = takes_of(config, config.groups())
    speed = rate(num_frames * len(takes), lambda: film(takes, device=device), device, repeats=1 if count == 1 else 3)
    return {"takes": len(takes), "frames": num_frames, "size": size, "view_frames_per_s": speed}


def store(folder: Path) -> str:
    """A store of the sample set; its videos are small enough to be kept as they are."""
    return str(prepare("sample", folder, StoreConfig(short_side=128), processes=None, progress=False).manifest)


def settings(manifest: str, tiny: bool) -> PretrainConfig:
    """ViT-S on the paper's clips, as fast as the loader lets it."""
    cores = available_cores()
    model = ModelConfig(positions="sincos-3d")
    if tiny:
        few = {"encoder_width": 64, "encoder_heads": 1, "decoder_width": 64, "decoder_heads": 1}
        model = replace(model, num_frames=4, image_size=32, encoder_depth=1, decoder_depth=1, **few)
    return PretrainConfig(
        model=model,
        data=PairConfig(
            manifest=manifest,
            frame_stride=2,
            train_query="subject in [1, 2] and label in [5, 7] and setup == 1" if tiny else "",
        ),
        optim=OptimConfig(lr=1e-4, batch_size=4 if tiny else 256, steps=2 if tiny else 60, warmup_steps=1),
        compute=ComputeConfig(
            accelerator="cpu" if tiny else "gpu",
            devices=1,
            precision="32-true" if tiny else "bf16-mixed",
            num_workers=0 if tiny else cores - 1,
        ),
        log=LogConfig(log_every=1 if tiny else 20, check_every=10_000, save_every=10_000, held_out_pairs=2),
    )


def run_of(config: PretrainConfig, run: Path) -> dict[str, Any]:
    """What a short run logs of its speed; its first line counts the start and is left out where there are others."""
    log = read_log(pretrain(config, run))
    last = log[[name for name in log if name.startswith("speed/")]].dropna().iloc[-1]
    memory = torch.cuda.max_memory_allocated() if config.compute.accelerator == "gpu" else None
    speed = {str(name): float(value) for name, value in last.items()}
    return {"batch_size": config.optim.batch_size, **speed, "memory": memory}


if __name__ == "__main__":
    main()
