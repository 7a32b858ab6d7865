"""Trainings in two processes: started once for many of them, because starting takes longer than they do."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mv2mae.config import (
    AugmentConfig,
    ClipConfig,
    ComputeConfig,
    FinetuneConfig,
    HeadConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    PairConfig,
    PretrainConfig,
)

FEW = "subject in [1, 2, 3] and label in [5, 7] and setup == 1"
MODEL = ModelConfig(
    num_frames=4, image_size=32, tubelet_size=(2, 8, 8), encoder_width=32, encoder_depth=2, encoder_heads=2,
    decoder_width=24, decoder_depth=1, decoder_heads=2,
)  # fmt: skip
COMPUTE = ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1)
STEPS = 4

PRETRAIN = PretrainConfig(
    model=MODEL,
    data=PairConfig(train_query=FEW, frame_stride=8, cache="memory"),
    optim=OptimConfig(lr=1e-3, batch_size=8, steps=STEPS, warmup_steps=2),
    compute=COMPUTE,
    log=LogConfig(log_every=1, check_every=2, save_every=2, held_out_pairs=4),
)
FINETUNE = FinetuneConfig(
    model=MODEL,
    data=ClipConfig(train_query=FEW, frame_stride=8, flip=True, cache="memory"),
    num_repeats=2,
    augment=AugmentConfig(rand_augment_ops=0),
    optim=OptimConfig(lr=1e-3, batch_size=8, steps=STEPS, warmup_steps=2),
    compute=COMPUTE,
    log=LogConfig(log_every=1, save_every=2),
)
Config = PretrainConfig | FinetuneConfig


def changed(config: Config, **parts: dict[str, Any]) -> Config:
    """A configuration with other values in some of its parts."""
    fields = {name: dataclasses.replace(getattr(config, name), **values) for name, values in parts.items()}
    return dataclasses.replace(config, **fields)


def runs() -> dict[str, Config]:
    """What is trained, by name; in one process as it is, and in two."""
    stirred = AugmentConfig(mixup=0.8, cutmix=1.0, erase_prob=0.25)
    pretrain = changed(
        PRETRAIN,
        compute={"device_batch_size": 2},  # two parts a step in two processes, four in one
        optim={"clip_grad_norm": 0.05},
        log={"probe_every": 2, "probe_clips": 9},
    )
    return {
        "pretrain": pretrain,
        "contrastive": dataclasses.replace(PRETRAIN, objective="contrastive"),
        "muon": changed(PRETRAIN, optim={"optimizer": "muon"}),
        "finetune": FINETUNE,
        "stirred": dataclasses.replace(
            FINETUNE,
            augment=stirred,
            train_blocks=1,
            ema_decay=0.9,
            head=HeadConfig(class_weights="balanced", drop_path=0.5),
        ),
    }


def train(config: Config, run: Path) -> Path:
    """Train as configured."""
    from mv2mae.train.finetune import finetune
    from mv2mae.train.pretrain import pretrain

    return pretrain(config, run) if isinstance(config, PretrainConfig) else finetune(config, run)


def in_two_processes(task: str, folder: Path, timeout: float = 540) -> str:
    """Call `task` of this file with a folder in two processes, as torchrun would; returns what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    common = {
        **os.environ, "PYTHONPATH": places, "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, __file__, task, str(folder)],
            text=True,
            env={**common, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert not any(process.returncode for process in started), "\n".join(said)
    return "".join(said)


def everything(folder: Path) -> None:
    """All runs with DDP or FSDP, and two that are stopped in the middle."""
    kinds = {"ddp": ("pretrain", "contrastive", "finetune", "stirred"), "fsdp": ("pretrain", "muon", "stirred")}
    for kind, names in kinds.items():
        for name in names:
            train(in_two(runs()[name], kind), folder / kind / name)
    stop_in_the_middle(in_two(runs()["pretrain"], "ddp"), folder / "fsdp" / "stopped")
    train(in_two(runs()["pretrain"], "fsdp"), folder / "fsdp" / "stopped")
    stop_in_the_middle(in_two(runs()["stirred"], "fsdp"), folder / "one" / "stopped")


def in_two(config: Config, strategy: str) -> Config:
    """The same for two processes."""
    return changed(config, compute={"devices": 2, "strategy": strategy})


def stop_in_the_middle(config: Config, run: Path) -> None:
    """Train until after the first checkpoint."""
    from mv2mae.train.step import StepModule

    def broken(self: StepModule, *args: Any) -> None:
        if self.trainer.global_step == config.log.save_every:
            raise RuntimeError("power cut")

    StepModule.on_train_batch_start = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(RuntimeError, match="power cut"):
            train(config, run)
    finally:
        del StepModule.on_train_batch_start


def on_gpus(folder: Path) -> None:
    """Pre-training on two GPUs, in both ways."""
    for kind in ("ddp", "fsdp"):
        config = changed(in_two(runs()["pretrain"], kind), compute={"accelerator": "gpu", "precision": "bf16-mixed"})
        train(config, folder / kind)


TASKS: dict[str, Callable[[Path], None]] = {"everything": everything, "on_gpus": on_gpus}

if __name__ == "__main__":
    TASKS[sys.argv[1]](Path(sys.argv[2]))
