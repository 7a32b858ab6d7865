"""What a pre-training starts from: the weights of another one, whose task, clips and tubelets may have been others."""

from __future__ import annotations

import dataclasses
import logging

from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.resampling import resampled_tubelets
from mv2mae.ranks import say
from mv2mae.weights import StoredWeights, fill, read_weights

_log = logging.getLogger(__name__)

TASK_SETTINGS = (
    *("mask_ratio", "masking", "source_mask_ratio", "directions", "camera_drop", "cross_view_weight"),
    *("decoded_share", "num_masks"),
    *("motion_temperature", "motion_scale", "effective_tokens", "literal_loss_scale", "target_floor"),
    *("num_frames", "image_size", "tubelet_size", "position_grid"),
)
"""What a pre-training that goes on from another may change: the task, not the model. Positions are computed, so clips
may be longer and wider than before, and tubelets smaller, whose weights are resampled: what few tokens teach costs a
fraction there."""


def take_over(model: MV2MAE, source: str) -> None:
    """Fill a model with stored weights of another pre-training.

    Args:
        source: whatever `read_weights` takes.

    Raises:
        InputError: if they are of another build, or if their tubelets are of another size and it is not said where
            positions come from.
    """
    stored, config = read_weights(source), model.config
    build = [f.name for f in dataclasses.fields(ModelConfig) if f.name not in TASK_SETTINGS]
    other = [name for name in build if getattr(stored.config, name) != getattr(config, name)]
    if other:
        have, want = getattr(stored.config, other[0]), getattr(config, other[0])
        raise InputError(f"{stored.path} has {other[0]}={have}, but model.{other[0]} is {want}; make them equal")
    old, new = stored.config.tubelet_size, config.tubelet_size
    if old != new:
        if config.position_grid is None:
            raise InputError(
                f"{stored.path} has tubelets of {_times(old)}, model.tubelet_size is {list(new)}; say where positions "
                f"come from: --model.position_grid '{list(stored.config.position_grid or stored.config.grid)}' "
                f"interpolates those of the weights, '{list(config.grid)}' makes new ones"
            )
        say(
            f"  tubelets of {_times(old)} resampled to {_times(new)}: embedding and prediction heads; blocks as they "
            f"are; positions of {_times(config.position_grid)} tokens for {_times(config.grid)}"
        )
    tensors = resampled_tubelets(stored.tensors, old, new)
    fill(model, {**_fresh_cross_decoder(model, stored), **tensors}, stored.path)


def _times(sizes: tuple[int, int, int]) -> str:
    return " x ".join(map(str, sizes))


def _fresh_cross_decoder(model: nn.Module, stored: StoredWeights) -> dict[str, Tensor]:
    """The first weights of a cross-view decoder that starts from scratch beside a stored single-view model."""
    prefixes = ("cross_decoder.", "ray_embedding.")
    fresh = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(prefixes)}
    if not fresh or any(name.startswith(prefixes) for name in stored.tensors):
        return {}
    _log.warning("%s has no cross-view decoder, which starts from scratch", stored.path)
    return fresh
