"""Floating-point operations of a training step: those of its matrix products, two for each multiply and add.

A backward pass costs twice the forward pass; the embedding has no gradient for pixels, so that it costs once. What
is computed a second time (attention in the backward pass, checkpoints) does not count: it is the price of less memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from mv2mae.config import ModelConfig


@dataclass(frozen=True)
class StepFlops:
    """Of one item, forward and backward: all its views, in one direction or both."""

    embed: float
    encoder: float
    """With the projector to the decoders' width."""
    self_decoder: float
    cross_decoder: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.embed + self.encoder + self.self_decoder + self.cross_decoder


def step_flops(config: ModelConfig, num_views: int = 2) -> StepFlops:
    """What a step of `MV2MAE` has to compute for a target and its sources.

    Args:
        config: of the model; without a cross-view weight it has no cross-view decoder.
        num_views: the target and its sources.
    """
    visible, shown = config.num_tokens - config.num_masked, config.num_shown
    masked = config.num_decoded
    n = visible + masked  # tokens of a decoder
    wide, narrow = config.encoder_width, config.decoder_width
    one, has_cross = config.directions == "one", config.cross_view_weight > 0
    num_targets = config.num_masks if one else num_views
    # how often the encoder sees what a view keeps as a target, and what it shows as a source
    kept_views, shown_views = num_targets, 0
    if config.source_mask_ratio is None:
        kept_views = num_views
    elif has_cross:
        shown_views = num_views - 1 if one else num_views

    def encoded(tokens: int) -> int:
        return config.encoder_depth * _block(tokens, wide) + tokens * wide * narrow

    encoder = kept_views * encoded(visible) + shown_views * encoded(shown)
    embed = (kept_views * visible + shown_views * shown) * config.tubelet_dim * wide
    # in a decoder's last block only masked tokens ask and go on, though all have queries, keys and values
    last = _attention(masked, n, narrow) + 3 * n * narrow**2 + masked * (1 + 8) * narrow**2
    head = masked * narrow * config.tubelet_dim
    joint = (config.decoder_depth - 1) * _block(n, narrow) + last + head
    alone = joint
    if config.self_view_attention == "cross":
        alone = config.decoder_depth * (_cross(masked, visible, narrow) + 8 * masked * narrow**2) + head
    cross = _cross(n, (num_views - 1) * shown, narrow)
    crossed = joint + config.decoder_depth * cross if has_cross else 0
    if has_cross and config.decoder_order == "self-first":  # there all tokens ask in the last block too
        crossed += _attention(n, n, narrow) - _attention(masked, n, narrow) + (n - masked) * narrow**2
    return StepFlops(
        *(2.0 * part for part in (2 * embed, 3 * encoder, *(3 * num_targets * d for d in (alone, crossed))))
    )


def peer_flops(config: ModelConfig) -> float:
    """The same for one clip in transformers' `VideoMAEForPreTraining`: all tokens embedded, no block shortened."""
    n, masked = config.num_tokens, config.num_masked
    wide, narrow = config.encoder_width, config.decoder_width
    blocks = config.encoder_depth * _block(n - masked, wide) + config.decoder_depth * _block(n, narrow)
    rest = (n - masked) * wide * narrow + masked * narrow * config.tubelet_dim
    return 2.0 * (3 * (blocks + rest) + 2 * n * config.tubelet_dim * wide)


def classifier_flops(config: ModelConfig) -> float:
    """Of one clip in fine-tuning, forward and backward: all tokens, no decoder; the head is too small to count."""
    n, wide = config.num_tokens, config.encoder_width
    return 2.0 * (2 * n * config.tubelet_dim * wide + 3 * config.encoder_depth * _block(n, wide))


def _attention(queries: int, keys: int, width: int) -> int:
    """Multiply-adds of scores and values."""
    return 2 * queries * keys * width


def _cross(queries: int, keys: int, width: int) -> int:
    """Multiply-adds of cross-attention with its projections."""
    return _attention(queries, keys, width) + 2 * (queries + keys) * width**2


def _block(tokens: int, width: int) -> int:
    """Multiply-adds of one block: queries, keys, values, projection (4 d^2 a token), MLP (8 d^2), attention."""
    return 12 * tokens * width**2 + _attention(tokens, tokens, width)
