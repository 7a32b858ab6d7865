"""Short trainings that differ in what lets a second view count, tested in rooms, on people and from cameras never seen.

Every trial is a pre-training of the product's (`mv2mae pretrain`). It is tested pair by pair: the loss of the masked
target tokens from the target alone (self-view decoder), with the source (cross-view decoder, the same tokens), and with
a source of another room in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.second_view.bank import TEST, TRAIN, as_own_source, make_bank
from benchmarks.second_view.ceiling import ANGLES
from mv2mae.config import ComputeConfig, LogConfig, ModelConfig, OptimConfig, PairConfig, PretrainConfig
from mv2mae.data.calibration import cameras_of
from mv2mae.data.manifest import read_manifest
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.views import PairDataset
from mv2mae.files import write_json
from mv2mae.model.pretraining import MV2MAE
from mv2mae.studies.second_view.measure import measure_pairs, summarise
from mv2mae.studies.second_view.pairs import MeasuredPairs, pairs_of
from mv2mae.studies.second_view.results import AngleResult
from mv2mae.train.pretrain import pretrain
from mv2mae.weights import load_pretrained

SMALL = ModelConfig(
    num_frames=4,
    image_size=48,
    tubelet_size=(4, 8, 8),
    encoder_width=96,
    encoder_depth=3,
    encoder_heads=3,
    decoder_width=96,
    decoder_depth=3,
    decoder_heads=3,
    positions="sincos-3d",
    mask_ratio=0.9,
    motion_temperature=None,
)
"""The small model: 36 tokens of 4 x 8 x 8 pixels, so that hundreds of steps take a minute or two."""
PAPER = replace(SMALL, num_frames=16, image_size=128, tubelet_size=(2, 16, 16), positions="sinusoid-1d", mask_ratio=0.7)
"""The paper's clip, tubelets, masks and positions, in an encoder that a CPU can train."""
SEEN: dict[str, Any] = {"source_mask_ratio": 0.0, "directions": "one"}
ROPE: dict[str, Any] = {"decoder_positions": "rope"}
RAYS: dict[str, Any] = {"cameras": "rays", "camera_drop": 0.0}
UNIFORM: dict[str, Any] = {"effective_tokens": None}
BOTH_MASKED: dict[str, Any] = {"mask_ratio": 0.8}
"""The source masked as the target."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A training and what it is tested on.

    bank: the set of `bank.SETS`; views: of training, all if empty; own_source: the source is the target's own video;
    changes: of `base`; stride: of the frames of a clip; steps: a factor on the steps asked for; batch: pairs a step;
    extra: run only where it is named.
    """

    name: str
    bank: str = "free"
    views: tuple[int, ...] = (1, 2, 3, 4, 5)
    own_source: bool = False
    crop: str = "centre"
    base: ModelConfig = SMALL
    changes: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 1
    steps: float = 1.0
    batch: int = 24
    extra: bool = False

    @property
    def model(self) -> ModelConfig:
        """The model that is trained."""
        return replace(self.base, **self.changes)

    def tests(self) -> dict[float, list[tuple[int, int]]]:
        """By angle in degrees, the pairs of views (target, source)."""
        if self.own_source:
            return {0.0: [(1, 2)]}
        if self.bank == "ntu":
            return {45.0: [(1, 2), (2, 1), (2, 3), (3, 2)], 90.0: [(1, 3), (3, 1)]}
        return {angle: [(1, view), (view, 1)] for view, angle in enumerate(ANGLES, 1) if view > 1}


TRIALS = (
    Trial(name="control: the same clip", own_source=True, changes=SEEN | ROPE),
    Trial(name="control: another part of the same picture", own_source=True, crop="multi-scale", changes=SEEN | ROPE),
    Trial(name="both 80 % masked, added positions", changes=BOTH_MASKED),
    Trial(name="both 80 % masked, RoPE", changes=BOTH_MASKED | ROPE),
    Trial(name="source visible, added positions", changes=SEEN),
    Trial(name="source visible, RoPE", changes=SEEN | ROPE),
    Trial(name="source visible, added positions, rays", changes=SEEN | RAYS),
    Trial(name="source visible, RoPE, rays", changes=SEEN | ROPE | RAYS),
    Trial(name="NTU rig: both 80 % masked, added positions", bank="ntu", views=(), changes=BOTH_MASKED),
    Trial(name="NTU rig: source visible, RoPE", bank="ntu", views=(), changes=SEEN | ROPE),
    Trial(name="NTU rig: source visible, RoPE, rays", bank="ntu", views=(), changes=SEEN | ROPE | RAYS),
    Trial(name="the paper's clip and masks (70/70, 128 px)", bank="paper", base=PAPER, steps=0.5, batch=12),
    # Why the second control is not learnt: time, or not knowing where the crops lie?
    Trial(
        name="why: another part, four times the steps",
        own_source=True,
        crop="multi-scale",
        changes=SEEN | ROPE,
        steps=4,
        extra=True,
    ),
    Trial(name="why: another part, rays", own_source=True, crop="multi-scale", changes=SEEN | ROPE | RAYS, extra=True),
    # What keeps the second view from counting, one thing at a time against "source visible, RoPE, rays".
    Trial(name="against: random crops", crop="multi-scale", changes=SEEN | ROPE | RAYS, extra=True),
    Trial(name="against: twice the stride", stride=2, changes=SEEN | ROPE | RAYS, extra=True),
    Trial(name="against: no motion weights", changes=SEEN | ROPE | RAYS | UNIFORM, extra=True),
)


def config_of(trial: Trial, data: Path, *, steps: int, seed: int) -> PretrainConfig:
    """The pre-training of a trial."""
    manifest = _manifest(trial, data, TRAIN)
    return PretrainConfig(
        model=trial.model,
        data=PairConfig(
            manifest=str(manifest),
            train_query=f"view in {list(trial.views)}" if trial.views and not trial.own_source else "",
            target_views=(1,) if trial.own_source else (),
            source_views=(2,) if trial.own_source else (),
            frame_stride=trial.stride,
            crop=trial.crop,  # type: ignore[arg-type]
            augment_alike=True,
            cache="memory",
            cache_size=trial.base.image_size,
            held_out_groups=8,
            held_out_share=0.0,
        ),
        optim=OptimConfig(
            optimizer="muon",
            muon_lr=0.02,
            lr=2e-3,
            weight_decay=0.3,
            batch_size=trial.batch,
            steps=round(steps * trial.steps),
            warmup_steps=20,
            min_lr_share=0.02,
        ),
        compute=ComputeConfig(accelerator="cpu", num_workers=0, num_threads=1, precision="32-true"),
        log=LogConfig(log_every=20, check_every=10_000, save_every=10_000, held_out_pairs=8),
        seed=seed,
    )


def run_quietly(task: tuple[Trial, Path, Path, int, int]) -> dict[str, Any]:
    """Trains and tests a trial (with its folder of runs, folder of videos, steps and seed), in a process of its own;
    what it says goes into a file beside its run. What is finished is not repeated.
    """
    trial, out, data, steps, seed = task
    torch.set_num_threads(1)
    run = out / f"{_slug(trial.name)}-{seed}"
    done = run.with_suffix(".json")
    if not done.exists():
        with run.with_suffix(".txt").open("w") as said, redirect_stdout(said), redirect_stderr(said):
            config = config_of(trial, data, steps=steps, seed=seed)
            pretrain(config, run)
            found = summary(measure(load_pretrained(run), trial, data))
        write_json(done, {"trial": trial.name, "seed": seed, "steps": config.optim.steps, **found})
    return dict(json.loads(done.read_text()))


def measure(model: MV2MAE, trial: Trial, data: Path, *, batch: int = 32) -> pd.DataFrame:
    """The test pairs by what `mv2mae second-view` measures of them: its rows (`studies.second_view.measure`)."""
    config, frame = model.config, read_manifest(_manifest(trial, data, TEST))
    videos = Videos(problems=ProblemLog(None), cache_size=config.image_size)
    videos.preload(frame["path"], num_threads=1, progress=False)

    def measured() -> Iterator[MeasuredPairs]:
        for angle, pairs in trial.tests().items():
            for target, source in pairs:
                choice = PairConfig(
                    manifest=str(_manifest(trial, data, TEST)),
                    target_views=(target,),
                    source_views=(source,),
                    frame_stride=trial.stride,
                    crop=trial.crop,  # type: ignore[arg-type]
                )
                known = cameras_of(choice.manifest, choice.cameras) if config.cameras == "rays" else None
                shape: dict[str, Any] = {"num_frames": config.num_frames, "size": config.image_size}
                items = PairDataset(frame, choice, **shape, seed=0, videos=videos, cameras=known)
                for few in pairs_of(items, len(items), batch_size=batch, seed=0):
                    yield replace(few, placed_at=np.full(len(few.groups), angle))

    return measure_pairs(model.eval(), measured(), list(trial.tests()))


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """The loss from the target alone over all pairs, and by angle what the source takes off it.

    Returns:
        `self`, a share of the mean baseline; `angles`, for each `gain` (how far the cross-view loss lies below the
        self-view loss of the same tokens, as a share of it), `interval` (95 %, over performances), `self`, `cross` and
        `wrong` (shares of the mean baseline; the last with a source of another room), `wrong_over_cross`, and
        `performances`.
    """
    return {
        "self": float(rows["self"].sum() / rows["baseline"].sum()),
        "angles": {found.angle: _cell(found) for found in summarise(rows, sorted(set(rows["at"])))},
    }


def _cell(found: AngleResult) -> dict[str, Any]:
    wrong = found.with_source("other_room")
    assert found.gain is not None
    assert wrong is not None
    return {
        "gain": found.gain.value,
        "interval": list(found.gain.interval or 2 * [found.gain.value]),
        "self": found.self,
        "cross": found.cross,
        "wrong": wrong,
        "wrong_over_cross": wrong / found.cross,
        "performances": found.performances,
    }


def _manifest(trial: Trial, data: Path, part: str) -> Path:
    manifest = make_bank(data, trial.bank, part)
    return as_own_source(manifest) if trial.own_source else manifest


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
