"""What a weights file says of itself is checked before anything is built from it.

A description of a hundred bytes may ask for a model of any size: so its values have to have the right types and sane
sizes, and the tensors beside it have to be as many as the model needs that it describes.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError

DAMAGED = "the description in its header is damaged"
_ROOM = 8
"""Times as many values as the file holds for which a model is built at most."""
PRETRAINING, CLASSIFIER, ENCODER, FUSION = "pretraining", "classifier", "encoder", "fusion"
"""Kinds of weights."""
POSITION_GRID = "position_grid"
"""Stands among the settings of the model in a header, and is none: what its positions are interpolated from."""
_LARGEST_INT, _LARGEST_TABLE = 1 << 20, 1 << 25
"""No setting is larger, and no table of positions has more values (32,000 tokens of width 1,024)."""


def config_of(values: Mapping[str, Any], path: Path) -> tuple[ModelConfig, tuple[int, int, int] | None]:
    """The model's configuration as a header has it, and the grid of its positions where that is another.

    Raises:
        InputError: unknown settings, values of another type, or sizes that no model has.
    """
    hints = {**typing.get_type_hints(ModelConfig), POSITION_GRID: tuple[int, int, int] | None}
    if unknown := set(values) - set(hints):
        raise InputError(f"{path}: made by another version of mv2mae (unknown settings: {', '.join(sorted(unknown))})")
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise InputError(f"{path}: {DAMAGED} ({name}={str(value)[:40]})")
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    position_grid = plain.pop(POSITION_GRID, None)
    try:
        config = ModelConfig(**plain)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {DAMAGED} ({error})") from error
    width = max(config.encoder_width, config.decoder_width)
    for grid in (config.grid, position_grid or config.grid):
        if math.prod(grid) * width > _LARGEST_TABLE:
            raise InputError(f"{path}: {DAMAGED} (a clip of {math.prod(grid):,} tokens of width {width:,})")
    return config, position_grid


def check_about(about: Mapping[str, Any], kind: str, path: Path) -> None:
    """Raises InputError where what a header tells beside the model cannot be: classes, labels, rates."""
    positive = {"frame_stride", "fps", "video_fps"}
    bad = [
        name
        for name in positive & about.keys()
        if about[name] is not None and not (_fits(about[name], float) and about[name] > 0)
    ]
    if kind == CLASSIFIER and (classes := about.get("classes")) is not None:
        if not (isinstance(classes, list) and classes and all(isinstance(name, str) for name in classes)):
            bad.append("classes")
        elif not _are_labels(about.get("labels", list(range(len(classes)))), len(classes)):
            bad.append("labels")
    if kind == FUSION and not (type(about.get("num_classes")) is int and about["num_classes"] > 0):
        bad.append("num_classes")
    if bad:
        raise InputError(f"{path}: {DAMAGED} ({bad[0]}={str(about.get(bad[0]))[:40]})")


def _are_labels(labels: Any, num: int) -> bool:
    if not (isinstance(labels, list) and all(type(label) is int and label >= 0 for label in labels)):
        return False
    return len(labels) == len(set(labels)) == num


def check_tensors(
    config: ModelConfig, tensors: Mapping[str, Tensor], kind: str, about: Mapping[str, Any], path: Path
) -> None:
    """Raises InputError unless the tensors are finite, and enough for the model that is described."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(
                f"{path}: {name} holds values that are not finite numbers: the training came apart, or the file is "
                "damaged; take weights of an earlier step"
            )
    present, needed = sum(tensor.numel() for tensor in tensors.values()), _fewest_values(config, kind, about, path)
    if needed > _ROOM * present + _LARGEST_TABLE:  # what fits less badly is told tensor by tensor, once it is built
        raise InputError(f"{path}: {DAMAGED} (a model of {needed:,} values at least, and the file holds {present:,})")


def _fewest_values(config: ModelConfig, kind: str, about: Mapping[str, Any], path: Path) -> int:
    """Values that a model of this description has at least: in a block 12 for each pair of channels."""
    width, decoders = config.encoder_width, (1 + (config.cross_view_weight > 0)) * (kind == PRETRAINING)
    if kind == FUSION:
        return 4 * width**2 + about["num_classes"] * width
    if kind not in (PRETRAINING, ENCODER, CLASSIFIER):
        raise InputError(f"{path}: {DAMAGED} (a {kind[:40]!r}, which is no kind of model)")
    encoder = config.encoder_depth * 12 * width**2 + config.tubelet_dim * width
    decoder = config.decoder_depth * 12 * config.decoder_width**2 + config.tubelet_dim * config.decoder_width
    return encoder + decoders * decoder + len(about.get("classes", ())) * width * (kind == CLASSIFIER)


def compare_shapes(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError naming the first tensor that is missing, left over or of another shape."""
    for name, tensor in wanted.items():
        if name not in tensors:
            raise InputError(f"{path}: no tensor {name}, which this model needs")
        if tensors[name].shape != tensor.shape:
            raise InputError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, but this model needs {list(tensor.shape)}; "
                "are they of the same size?"
            )
    if left := sorted(set(tensors) - set(wanted)):
        raise InputError(f"{path}: {left[0]} (and {len(left) - 1} more) has no place in this model")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a header has the type of a setting; numbers are bounded too."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return isinstance(value, list | tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if hint is int:
        return type(value) is int and abs(value) <= _LARGEST_INT
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint
