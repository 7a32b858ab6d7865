"""What the second view is worth: losses of the target's masked tokens with its source, with a wrong one, with none.

Pure functions of what `MV2MAE` returns; training looks at a few held-out pairs with them, `mv2mae second-view` at many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from mv2mae.config import ModelConfig
from mv2mae.model.calling import reconstruct
from mv2mae.model.layers import CrossAttention
from mv2mae.model.losses import token_errors
from mv2mae.model.motion import configured_weights
from mv2mae.model.pretraining import MV2MAE, PretrainOutput
from mv2mae.model.tubelets import take_tokens, token_targets


@dataclass(frozen=True)
class TargetLosses:
    """Of the m masked tokens of each target: squared errors in the normalised scale, and how much each one counts."""

    tokens: Int[Tensor, "b m"]
    """Which tokens of the clip they are."""
    weights: Float[Tensor, "b m"]
    """Motion weights as the loss takes them: with mean 1 over a clip, or with sum 1 (`literal_loss_scale`)."""
    self_view: Float[Tensor, "b m"]
    """From the target alone."""
    cross_view: Float[Tensor, "b m"] | None
    """With the source; None without a cross-view decoder."""
    baseline: Float[Tensor, "b m"]
    """Of predicting each tubelet's mean."""

    def of_items(self, errors: Float[Tensor, "b m"]) -> Float[Tensor, " b"]:
        """The loss of each item (Equation 2)."""
        return (self.weights * errors).mean(dim=1)


def target_losses(out: PretrainOutput, target: Shaped[Tensor, "b c t h w"], config: ModelConfig) -> TargetLosses:
    """The losses of the targets, token by token.

    Args:
        out: of a model that was asked for its reconstructions.
        target: the clips that it was given, pixels in [0, 1] or uint8.
    """
    assert out.reconstructions is not None
    made = out.reconstructions
    tokens = made.masks.masked_idx[:, 0]
    weights = configured_weights(target, config)
    truth = token_targets(target, tokens, config.tubelet_size, config.target_floor)
    return TargetLosses(
        tokens=tokens,
        weights=take_tokens(weights * (1 if config.literal_loss_scale else config.num_tokens), tokens),
        self_view=token_errors(made.self_view[:, 0].float(), truth),
        cross_view=None if made.cross_view is None else token_errors(made.cross_view[:, 0].float(), truth),
        baseline=truth.square().mean(dim=-1),
    )


@dataclass(frozen=True)
class SourceLosses:
    """What `compare_sources` found of b targets with m masked tokens each."""

    own: TargetLosses
    """With their own sources."""
    cross: dict[str, Float[Tensor, "b m"]]
    """Squared errors of the cross-view decoder with other sources, by name; `EMPTY` = with none,
    `MASK_TOKENS` = with those in its place. Empty without such a decoder."""


EMPTY = "empty"
"""The name of no source at all."""
MASK_TOKENS = "mask_tokens"
"""The name of a source whose tokens are all mask tokens: places, and nothing at them."""


def compare_sources(
    model: MV2MAE, batch: Mapping[str, Tensor], wrong: Mapping[str, Tensor]
) -> tuple[PretrainOutput, SourceLosses]:
    """The same targets and masks with their own source, with mask tokens in its place, with none, and with wrong ones.

    Args:
        batch: target [b, c, t, h, w], sources [b, s, c, t, h, w], seed [b], and cameras [b, 1 + s, 16] if they are to
            be told.
        wrong: by name other sources [b, s, c, t, h, w]; cameras stay those of the own ones.

    Returns:
        what the model says of the batch itself, and the losses.
    """
    target = batch["target"]
    out = reconstruct(model, batch, with_reconstructions=True)
    own = target_losses(out, target, model.config)
    if own.cross_view is None:
        return out, SourceLosses(own, {})
    assert out.reconstructions is not None
    masks = out.reconstructions.masks
    truth = model.target(target, own.tokens)
    if isinstance(model, FSDPModule):  # its steps are called below, not itself
        model.unshard()
    # of a wrong source only the target is rebuilt: no other direction, no self-view decoder, nothing masked anew
    rays = model.embedded_rays(batch.get("cameras"))
    visible_idx, shown_idx = masks.visible_idx[:, 0], masks.shown_idx[:, 1:]
    visible = model.encode(target, visible_idx)

    def errors(sources: Float[Tensor, "b s l d"]) -> Float[Tensor, "b m"]:
        made = model.decode_cross(visible, visible_idx, own.tokens, sources, shown_idx, rays)
        return token_errors(made.float(), truth)

    def shown(clips: Shaped[Tensor, "b s c t h w"]) -> Float[Tensor, "b s l d"]:
        tokens = model.encode(clips.flatten(0, 1), shown_idx.flatten(0, 1))
        return tokens.unflatten(0, clips.shape[:2])

    nothing = model.mask_token.expand(*shown_idx.shape, -1)
    cross = {MASK_TOKENS: errors(nothing)}
    with emptied_memory(model):
        cross[EMPTY] = errors(nothing)
    cross |= {name: errors(shown(sources)) for name, sources in wrong.items()}
    if isinstance(model, FSDPModule):
        model.reshard()
    return out, SourceLosses(own, cross)


@contextmanager
def emptied_memory(model: MV2MAE) -> Iterator[None]:
    """Within the block cross-attention finds nothing: what it adds to the target's tokens is 0.

    The same decoder, the same target, no source at all.
    """

    def nothing(_: nn.Module, __: Any, found: Tensor) -> Tensor:
        return torch.zeros_like(found)

    found = [module for module in model.modules() if isinstance(module, CrossAttention)]
    handles = [module.register_forward_hook(nothing) for module in found]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
