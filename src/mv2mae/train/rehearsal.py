"""Trying a recipe out before the hours: two steps of it on few items (`--dry_run true`)."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from mv2mae.config import ClipConfig, FinetuneConfig, PairConfig, PretrainConfig
from mv2mae.data.datamodule import eval_data
from mv2mae.data.rehearsal import is_made_up, write_rehearsal
from mv2mae.errors import InputError
from mv2mae.ranks import say
from mv2mae.train.finetune import finetune
from mv2mae.train.forecast import forecast
from mv2mae.train.pretrain import pretrain
from mv2mae.train.step import accumulation
from mv2mae.weights import read_weights

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)

STEPS = 2


def rehearse(config: PretrainConfig | FinetuneConfig) -> None:
    """Tells what a configuration would do, and makes two steps of it, in a folder that is removed afterwards.

    Of a fine-tuning one test video is read too.

    A manifest that was named is used; a split of a public data set without one gets a made-up index of it.

    Raises:
        InputError: whatever the real run would refuse before its first step, with the devices that are configured
            in numbers.
    """
    if isinstance(config.compute.devices, int):
        repeats = config.num_repeats if isinstance(config, FinetuneConfig) else config.data.num_repeats
        items = config.videos_per_step if isinstance(config, FinetuneConfig) else config.optim.batch_size // repeats
        accumulation(items, config.compute, config.compute.devices * config.compute.num_nodes, repeats)
    say("The whole run", *(f"  {line}" for line in forecast(config)), "", "Two small steps of it")
    with tempfile.TemporaryDirectory(prefix="mv2mae-dry-run-") as folder:
        run = Path(folder) / "run"
        if isinstance(config, PretrainConfig):
            pretrain(rehearsal_of(config, Path(folder)), run)
        else:
            small = rehearsal_of(config, Path(folder))
            finetune(small, run)
            _read_a_test_video(small, run)
    say(f"  dry run done: {STEPS} small steps on a CPU; nothing was kept")


def rehearsal_of(config: Config, folder: Path) -> Config:
    """The configuration with data that is there, two small steps, and nothing that needs a large machine.

    The model and the kind of everything stay as configured.
    """
    # the clips of one video, or of two where clips are mixed; or two pairs, so that there is something to contrast
    if isinstance(config, FinetuneConfig):
        size = (2 if config.mixes else 1) * (1 if config.batch_counts == "videos" else config.num_repeats)
    else:
        size = 2 * config.data.num_repeats
    optim = dataclasses.replace(
        config.optim, batch_size=size, steps=STEPS, epochs=None, warmup_steps=0, warmup_epochs=None
    )
    compute = dataclasses.replace(
        config.compute,
        accelerator="cpu",
        devices=1,
        num_nodes=1,
        strategy="auto",
        precision="32-true",
        device_batch_size=None,
        num_workers=0,
    )
    log = dataclasses.replace(
        config.log, log_every=1, check_every=STEPS, save_every=STEPS, held_out_pairs=2, trackers=()
    )
    changes: dict[str, Any] = {"data": _data(config.data, folder), "optim": optim, "compute": compute, "log": log}
    return dataclasses.replace(config, **changes)


def _data(data: PairConfig | ClipConfig, folder: Path) -> PairConfig | ClipConfig:
    made_up = is_made_up(data)
    if made_up:
        data = dataclasses.replace(data, manifest=str(write_rehearsal(data.split, folder / "data")))
    if isinstance(data, PairConfig):
        return dataclasses.replace(data, cache="none", held_out_groups=1)
    if made_up:  # with one group of each class, from which no labels can be drawn
        data = dataclasses.replace(data, labels_per_class=None, label_fraction=None)
    return dataclasses.replace(data, cache="none", validation_groups=0)


def _read_a_test_video(config: FinetuneConfig, run: Path) -> None:
    """What `mv2mae evaluate` would begin with."""
    if config.data.split or config.data.test_query:
        model = read_weights(run).config
        tested = eval_data(
            config.data, num_frames=model.num_frames, size=model.image_size, test=config.test, progress=False
        )[0]
        if "error" in tested:
            raise InputError(f"the first test video cannot be read: {tested['error']}")
