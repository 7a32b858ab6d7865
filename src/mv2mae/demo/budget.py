"""What a demo can do in the time that it is given: the machine's speed, measured first, and the steps that fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from mv2mae.bench.step import TimedStep
from mv2mae.config import FinetuneConfig, ModelConfig, PretrainConfig
from mv2mae.model.classifier import Classifier
from mv2mae.model.pretraining import MV2MAE
from mv2mae.records import read_record, write_record

_NUM_CLASSES = 10
_PRETRAIN_SHARE = 0.15
"""Of the time: how much goes into pre-training on."""
_MOST_PRETRAIN_STEPS, _FEWEST_STEPS = 60, 4
_WORTH_IT = 150
"""Steps of fine-tuning below which a second encoder to compare with is left out."""
_TIMED = 4
"""Steps that are timed; the first warms up."""
_OVERHEAD = 25.0
"""Seconds for reading videos, saving and the page, at most a quarter of the time."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds of a step of pre-training and of fine-tuning, and of testing an encoder."""

    pretrain: float
    finetune: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps of a demo.

    scratch: whether an encoder from scratch is trained beside, as many steps.
    seconds: what all of it is expected to take.
    """

    pretrain_steps: int
    finetune_steps: int
    scratch: bool
    seconds: float

    @classmethod
    def of(cls, seconds: float, speed: Speed, recipe_steps: int) -> Budget:
        """What fits into so many seconds, up to the recipe's steps; an encoder from scratch too if there is room."""
        overhead = min(_OVERHEAD, seconds / 4)
        pretrain = int(_PRETRAIN_SHARE * seconds / speed.pretrain)
        pretrain = min(_MOST_PRETRAIN_STEPS, max(_FEWEST_STEPS, pretrain))
        left = seconds - overhead - pretrain * speed.pretrain

        def steps(num: int) -> int:
            return min(recipe_steps, int((left / num - speed.test) / speed.finetune))

        scratch = steps(2) >= _WORTH_IT
        finetune = max(_FEWEST_STEPS, steps(2 if scratch else 1))
        each = finetune * speed.finetune + speed.test
        total = overhead + pretrain * speed.pretrain + (2 if scratch else 1) * each
        return cls(pretrain_steps=pretrain, finetune_steps=finetune, scratch=scratch, seconds=total)

    def describe(self) -> str:
        """The steps and their time in a line."""
        beside = ", and as many from scratch beside it" if self.scratch else ""
        return (
            f"{self.pretrain_steps} steps of pre-training, {self.finetune_steps} of fine-tuning{beside}: "
            f"about {max(1, round(self.seconds / 60))} min"
        )


def kept_budget(file: Path, seconds: float, measure: Callable[[], Speed], recipe_steps: int) -> Budget:
    """The budget of a demo's folder; a demo that goes on keeps the one that it began with."""
    if file.exists():
        return Budget(**read_record(file))
    budget = Budget.of(seconds, measure(), recipe_steps)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_record(file, asdict(budget))
    return budget


def measure_speed(pretraining: PretrainConfig, finetuning: FinetuneConfig, num_test_clips: int) -> Speed:
    """Time a few steps of each training on made-up clips, and take the fastest: what else the machine does now may end.

    Args:
        num_test_clips: clips and crops that a test computes.
    """
    clips = finetuning.optim.batch_size
    classifier = Classifier(pretraining.model, _NUM_CLASSES)
    labels = torch.arange(clips) % _NUM_CLASSES
    pixels = _clips(pretraining.model, clips).float() / 255
    finetune = _seconds(
        lambda: torch.nn.functional.cross_entropy(classifier(pixels).float(), labels), classifier, finetuning
    )
    pair = _clips(pretraining.model, pretraining.optim.batch_size)
    model = MV2MAE(pretraining.model)
    pretrain = _seconds(lambda: model(pair, pair).loss, model, pretraining)
    # a forward pass is a third of a step
    return Speed(pretrain=pretrain, finetune=finetune, test=finetune / 3 * num_test_clips / clips)


def _clips(config: ModelConfig, num: int) -> Tensor:
    return torch.randint(256, (num, 3, config.num_frames, *2 * [config.image_size]), dtype=torch.uint8)


def _seconds(loss: Callable[[], Tensor], model: torch.nn.Module, config: PretrainConfig | FinetuneConfig) -> float:
    step = TimedStep(model, config, loss)
    return min(step.seconds() for _ in range(_TIMED))
