"""What a plan will cost: operations, hours, disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mv2mae.config import FinetuneConfig, ModelConfig, PretrainConfig, VideosConfig
from mv2mae.model.flops import classifier_flops, step_flops
from mv2mae.records import read_record
from mv2mae.tables.plan import Part, Plan
from mv2mae.tables.sets import num_labelled, num_pairs, rows_for
from mv2mae.text import counted

DONE_NAME = "part.json"
"""Written into a part's folder when it is done."""
_H100 = 0.35 * 989e12
"""Operations a second of an H100 at a share of its peak in bfloat16 that is often reached; not measured here."""
_BYTES_A_PARAMETER = 4 * (1 + 3 * 3)
"""The weights, and three checkpoints with two momenta each."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a part. items: pairs, videos of an epoch, or test videos. steps: 0 for a test. done: whether it is there."""

    part: Part
    items: int
    steps: int
    flops: float
    disk: float
    done: bool


def costs_of(plan: Plan) -> list[Cost]:
    """The cost of each part, in the order of the plan."""
    counted: dict[tuple[object, ...], int] = {}
    return [_cost(part, plan.options.parts, counted) for part in plan.parts]


def model_of(part: Part) -> ModelConfig:
    """The model that a part trains or tests: that of the pre-training where there is one."""
    while part.needs is not None:
        part = part.needs
    assert isinstance(part.config, (PretrainConfig, FinetuneConfig))
    return part.config.model


def _cost(part: Part, parts: Path, counted: dict[tuple[object, ...], int]) -> Cost:
    model, config = model_of(part), part.config
    items = _items(part, counted)
    steps, disk = 0, 0.0
    if isinstance(config, PretrainConfig):
        steps = config.optim.total_steps(items)
        flops = step_flops(model, 1 + config.data.num_sources).total * steps * config.optim.batch_size
        disk = _BYTES_A_PARAMETER * _parameters(model, with_decoders=True)
    elif isinstance(config, FinetuneConfig):
        times = 1 if config.batch_counts == "videos" else config.num_repeats
        steps = config.optim.total_steps(items * times)
        flops = classifier_flops(model) * steps * config.videos_per_step * config.num_repeats
        disk = _BYTES_A_PARAMETER * _parameters(model, with_decoders=False)
    else:
        crops = part.test.num_clips * part.test.num_crops if part.test is not None else 1
        flops = classifier_flops(model) / 3 * crops * items  # forward alone
        disk = 8 * items * crops * 100
    done = (part.folder(parts) / DONE_NAME).is_file()
    return Cost(part=part, items=items, steps=steps, flops=flops, disk=disk, done=done)


def _items(part: Part, counted: dict[tuple[object, ...], int]) -> int:
    """Counted once for parts on the same data."""
    config = part.config
    data = config if isinstance(config, VideosConfig) else config.data
    seed = config.seed if isinstance(config, FinetuneConfig) and config.data.labels_per_class else 0
    key = (part.stage, part.data.digest, seed, repr(dataclasses.replace(data, manifest="")))
    if key not in counted:
        if isinstance(config, PretrainConfig):
            counted[key] = num_pairs(part.data, config.data)
        elif isinstance(config, FinetuneConfig):
            counted[key] = num_labelled(part.data, config.data, config.seed)
        else:
            whole = part.stage != "test" and bool(data.split or data.train_query)
            counted[key] = sum(len(rows_for(part.data, data, name)) for name in ("train", "test")[not whole :])
    return counted[key]


def _parameters(model: ModelConfig, *, with_decoders: bool) -> float:
    """About: the matrices of the blocks and the embedding."""
    encoder = 12 * model.encoder_depth * model.encoder_width**2 + model.tubelet_dim * model.encoder_width
    cross = 16 if model.cross_view_weight else 0
    decoders = (12 + cross) * model.decoder_depth * model.decoder_width**2 + 2 * model.tubelet_dim * model.decoder_width
    return encoder + (decoders if with_decoders else 0)


def seconds_of(part: Part, parts: Path) -> float | None:
    """What a part took; None where it is not done."""
    file = part.folder(parts) / DONE_NAME
    return float(read_record(file)["seconds"]) if file.is_file() else None


def speed_of(costs: Iterable[Cost], parts: Path) -> tuple[float, str]:
    """Operations a second, from the parts that are done; or those assumed of an H100. And in words where it is from."""
    done = [(cost.flops, seconds_of(cost.part, parts) or 0.0) for cost in costs if cost.done]
    seconds = sum(taken for _, taken in done)
    if seconds > 0:
        return sum(flops for flops, _ in done) / seconds, "at the speed of the parts that are done"
    return _H100, "on an H100 at 35 % of its peak (assumed)"


def describe_plan(plan: Plan) -> list[str]:
    """The plan in lines: parts of one kind with what rests on them, then the whole."""
    costs, users = costs_of(plan), plan.users()
    speed, said = speed_of(costs, plan.options.parts)
    alike: dict[tuple[object, ...], list[Cost]] = {}
    for cost in costs:
        key = (cost.part.stage, cost.items, cost.steps, tuple(users[cost.part.name]))
        alike.setdefault(key, []).append(cost)
    lines = [_line(group, users[group[0].part.name], speed) for group in alike.values()]
    left = [cost for cost in costs if not cost.done]
    flops, disk = (sum(getattr(cost, name) for cost in left) for name in ("flops", "disk"))
    total = f"{len(left)} of {len(costs)} parts to do: {flops:.2g} operations, {hours(flops / speed)} {said}, "
    return [*lines, total + f"about {disk / 1e9:.2g} GB on disk"]


def _line(costs: Sequence[Cost], users: Sequence[str], speed: float) -> str:
    """Of parts that differ in their seeds alone."""
    first, flops = costs[0], sum(cost.flops for cost in costs if not cost.done)
    what = {"pretrain": "pair", "finetune": "labelled video"}.get(first.part.stage, "video")
    length = f"{first.steps:,} steps each, " if first.steps else ""
    done = sum(cost.done for cost in costs)
    state = f", {done} done" if done else ""
    return (
        f"{len(costs)} x {first.part.stage:9} {counted(first.items, what)}, {length}{flops:.2g} operations, "
        f"{hours(flops / speed)}{state}: {'; '.join(users[:3])}{'; ...' if len(users) > 3 else ''}"
    )


def hours(seconds: float) -> str:
    """`3.2 h`, `12 min`, `40 s`."""
    if seconds >= 5400:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.2g} s"
