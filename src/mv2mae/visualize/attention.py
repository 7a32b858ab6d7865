"""Which target token to ask for; and, from `model.attention_maps`, where in the source the decoder looks for it."""

from __future__ import annotations

from jaxtyping import Int, Shaped
from torch import Tensor

from mv2mae.model.attention_maps import CrossAttentionMaps, cross_attention_maps
from mv2mae.model.motion import motion_energy
from mv2mae.model.tubelets import Size3

__all__ = ["CrossAttentionMaps", "cross_attention_maps", "most_moving_masked_token"]


def most_moving_masked_token(
    clip: Shaped[Tensor, "c t h w"], masked_idx: Int[Tensor, " m"], tubelet_size: Size3
) -> int:
    """The masked token with the largest motion weight: the query that says most about moving parts."""
    energy = motion_energy(clip[None], tubelet_size)[0]
    return int(masked_idx[energy[masked_idx].argmax()])
