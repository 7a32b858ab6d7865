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
    *("num_frames", "image_size", "tubelet_size"),
)
"""What a pre-training that goes on from another may change: the task, not the model. Positions are computed, so clips
may be longer and wider than before, and tubelets smaller, whose weights are resampled and whose positions lie between
those of the larger ones: what few tokens teach costs a fraction there."""


def taken_over(config: ModelConfig, source: str) -> MV2MAE:
    """A model with stored weights of another pre-training.

    Args:
        config: of the model.
        source: whatever `read_weights` takes.

    Raises:
        InputError: if they are of another build.
    """
    stored = read_weights(source)
    build = [f.name for f in dataclasses.fields(ModelConfig) if f.name not in TASK_SETTINGS]
    other = [name for name in build if getattr(stored.config, name) != getattr(config, name)]
    if other:
        have, want = getattr(stored.config, other[0]), getattr(config, other[0])
        raise InputError(f"{stored.path} has {other[0]}={have}, but model.{other[0]} is {want}; make them equal")
    old, new = stored.config.tubelet_size, config.tubelet_size
    position_grid = stored.position_grid
    if old != new:
        position_grid = position_grid or stored.config.grid
        say(
            f"  tubelets of {_times(old)} resampled to {_times(new)}: embedding and prediction heads; blocks as they "
            f"are; positions of {_times(position_grid)} tokens for {_times(config.grid)}"
        )
    tensors = resampled_tubelets(stored.tensors, old, new)
    model = MV2MAE(config, position_grid)
    fill(model, {**_fresh_cross_decoder(model, stored), **tensors}, stored.path)
    return model


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
