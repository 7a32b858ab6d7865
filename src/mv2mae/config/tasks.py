"""Which task a setting of the data belongs to; runs and recipes from before each task had its own name them all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mv2mae.config.data import ClipConfig, PairConfig
from mv2mae.config.training import FinetuneConfig, PretrainConfig

Task = type[PretrainConfig] | type[FinetuneConfig]
_TASKS: dict[type[PairConfig] | type[ClipConfig], str] = {
    PairConfig: "pre-training (`mv2mae pretrain`)",
    ClipConfig: "fine-tuning (`mv2mae finetune`)",
}

_RETIRED = "position_grid"
"""Of the model: the token grid from which positions are interpolated."""
RETIRED = {f"model.{_RETIRED}": f"model.{_RETIRED} is not set any more, weights of `init` tell it"}
"""What was a setting once, and a line for whoever gives it."""


def task_of(values: Mapping[str, Any]) -> Task:
    """Whether a run's settings are those of a pre-training or of a fine-tuning."""
    return FinetuneConfig if "augment" in values else PretrainConfig


def tasks_with(name: str) -> str:
    """The tasks that have a setting of the data, as text; empty if none has."""
    return " and ".join(told for kind, told in _TASKS.items() if name in kind.__dataclass_fields__)


def of_own_task(values: Mapping[str, Any], task: Task) -> tuple[dict[str, Any], list[str]]:
    """Settings without those of the other task, which never had an effect, and those that exist no more.

    Args:
        values: nested dictionaries, as a recipe or a run's configuration holds them.
        task: what they are for.

    Returns:
        the settings; and of those left out the ones that are not at their default, each as a line that says so.
    """
    values, told = _without_retired(values)
    if not isinstance(values.get("data"), Mapping):
        return values, told
    own, other = (PairConfig, ClipConfig) if task is PretrainConfig else (ClipConfig, PairConfig)
    default = json.loads(json.dumps(dataclasses.asdict(other())))
    foreign = set(default) - set(own.__dataclass_fields__)
    data = {name: value for name, value in values["data"].items() if name not in foreign}
    told += [
        f"data.{name} is a setting of {_TASKS[other]} and has no effect on {_TASKS[own].partition(' ')[0]}"
        for name, value in values["data"].items()
        if name in foreign and not _is_default(value, default[name])
    ]
    return {**values, "data": data}, told


def _without_retired(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Without what was a setting once, and a line for each that had an effect."""
    if not isinstance(model := values.get("model"), Mapping):
        return dict(values), []
    told = [] if model.get(_RETIRED) is None else list(RETIRED.values())
    return {**values, "model": {name: value for name, value in model.items() if name != _RETIRED}}, told


def _is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default, or tables of them, some of whose entries an older version did not have."""
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return all(name in default and _is_default(entry, default[name]) for name, entry in value.items())
    return bool(value == default)
