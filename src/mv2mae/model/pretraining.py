"""MV2MAE, the pre-training model: encoder, two decoders, motion-weighted loss (Figure 1, Equation 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.decoders import CrossViewDecoder, SelfViewDecoder
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import init_weights, position_table
from mv2mae.model.losses import mean_baseline, reconstruction_loss
from mv2mae.model.masking import draw_masks
from mv2mae.model.motion import configured_weights, effective_number
from mv2mae.model.tubelets import normalised_target, take_tokens, take_tubelets, to_unit


class Masks(NamedTuple):
    """Which tokens are kept and which are predicted, for the target (view 0) and each source."""

    visible_idx: Int[Tensor, "b v k"]
    masked_idx: Int[Tensor, "b v m"]


class Reconstructions(NamedTuple):
    """Predicted masked tokens, in the normalised scale of the target; view 0 is the target view."""

    self_view: Float[Tensor, "b v m d"]
    cross_view: Float[Tensor, "b v m d"] | None
    masks: Masks


@dataclass
class PretrainOutput:
    """The loss of Equation 3 and what it is made of, each a scalar tensor."""

    loss: Tensor
    """self_source + self_target + lambda (cross_target + cross_source)."""
    self_source: Tensor
    """Source from itself."""
    self_target: Tensor
    """Target from itself."""
    cross_target: Tensor
    """Target with the help of the source; 0 without a cross-view decoder."""
    cross_source: Tensor
    """Source with the help of the target; 0 without a cross-view decoder."""
    baseline_source: Tensor
    """Loss of predicting each tubelet's mean in the source: what self_source and cross_source start from."""
    baseline_target: Tensor
    """The same in the target."""
    effective_tokens: Tensor
    """Mean effective number of tokens of the motion weights, 1 to N."""
    reconstructions: Reconstructions | None = None

    def parts(self) -> dict[str, Tensor]:
        """The four losses by name."""
        names = ("self_source", "self_target", "cross_target", "cross_source")
        return {name: getattr(self, name) for name in names}


class MV2MAE(nn.Module):
    """Multi-view video masked autoencoder.

    One encoder, one self-view decoder and one cross-view decoder serve all views and both directions; one projector
    and one mask token serve both decoders. With `cross_view_weight` (lambda) 0 there is no cross-view decoder, and
    what remains is a single-view VideoMAE. Several sources: every view is rebuilt with the help of all others,
    losses averaged over the sources, which for one source is Equation 3 to the letter.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.projector = nn.Linear(config.encoder_width, config.decoder_width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(config.decoder_width))
        table = position_table(config.positions, config.grid, config.decoder_width)
        self.decoder_positions: Tensor
        self.register_buffer("decoder_positions", table, persistent=False)
        self.self_decoder = SelfViewDecoder(config)
        self.cross_decoder = CrossViewDecoder(config) if config.cross_view_weight > 0 else None
        init_weights(self.projector)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(
        self,
        source: Shaped[Tensor, "b *source"],
        target: Shaped[Tensor, "b c t h w"],
        *,
        seeds: Int[Tensor, " b"] | None = None,
        masks: Masks | None = None,
        with_reconstructions: bool = False,
    ) -> PretrainOutput:
        """Mask, encode, decode, and compare.

        Args:
            source: one source clip [b, c, t, h, w], or s of them [b, s, c, t, h, w]; pixels in [0, 1], or uint8.
            target: the target clip of the same moment.
            seeds: one for each item of the batch, from which its masks follow; drawn when not given.
            masks: the masks themselves instead of `seeds`.
            with_reconstructions: return the predictions too.

        Raises:
            InputError: if the clips are not of the model's size.
        """
        views = self._stack(source, target)
        masks = masks if masks is not None else self.draw_masks(len(views), views.shape[1], views.device, seeds)
        tokens, memory = self._encode(views, masks)
        self_view = self._decode_self(tokens, masks)
        cross_view = self._decode_cross(tokens, memory, masks) if self.cross_decoder is not None else None
        return self._compare(views, Reconstructions(self_view, cross_view, masks), with_reconstructions)

    def draw_masks(self, batch: int, views: int, device: torch.device, seeds: Int[Tensor, " b"] | None = None) -> Masks:
        """Masks for a batch, independent for each view."""
        if seeds is None:
            seeds = torch.randint(2**62, (batch,), device=device)
        config = self.config
        each_view = (seeds[:, None] * 4 + torch.arange(views, device=device)).flatten()
        visible, masked = draw_masks(each_view, config.grid, config.mask_ratio, config.masking)
        return Masks(visible.unflatten(0, (batch, views)), masked.unflatten(0, (batch, views)))

    def _stack(self, source: Tensor, target: Tensor) -> Shaped[Tensor, "b v c t h w"]:
        config = self.config
        sources = source[:, None] if source.ndim == 5 else source
        wanted = (3, config.num_frames, config.image_size, config.image_size)
        for name, shape in (("source", sources.shape[2:]), ("target", target.shape[1:])):
            if tuple(shape) != wanted:
                raise InputError(f"a {name} clip has [c, t, h, w] = {list(shape)}, but the model takes {list(wanted)}")
        return torch.cat([target[:, None], sources], dim=1)

    def _encode(
        self, views: Shaped[Tensor, "b v c t h w"], masks: Masks
    ) -> tuple[Float[Tensor, "b v n d"], Float[Tensor, "b v k d"]]:
        """All views in one call. Returns the decoders' tokens (visible, then mask tokens) and the memory."""
        b, v = views.shape[:2]
        visible = self.projector(self.encoder(views.flatten(0, 1), masks.visible_idx.flatten(0, 1)))
        positions = self.decoder_positions
        memory = visible.unflatten(0, (b, v)) + positions[masks.visible_idx]
        return torch.cat([memory, self.mask_token + positions[masks.masked_idx]], dim=2), memory

    def _decode_self(self, tokens: Float[Tensor, "b v n d"], masks: Masks) -> Float[Tensor, "b v m p"]:
        return self.self_decoder(tokens.flatten(0, 1), masks.masked_idx.shape[-1]).unflatten(0, tokens.shape[:2])

    def _decode_cross(
        self, tokens: Float[Tensor, "b v n d"], memory: Float[Tensor, "b v k d"], masks: Masks
    ) -> Float[Tensor, "b v m p"]:
        assert self.cross_decoder is not None
        out = self.cross_decoder(tokens.flatten(0, 1), other_views(memory).flatten(0, 1), masks.masked_idx.shape[-1])
        return out.unflatten(0, tokens.shape[:2])

    def _compare(
        self, views: Shaped[Tensor, "b v c t h w"], made: Reconstructions, with_reconstructions: bool
    ) -> PretrainOutput:
        config = self.config
        b, v = views.shape[:2]
        clips, masked_idx = views.flatten(0, 1), made.masks.masked_idx.flatten(0, 1)
        weights = configured_weights(clips, config)
        effective = effective_number(weights).mean()
        if not config.literal_loss_scale:
            # Equation 2 with weights that sum to 1 is 1/N of a mean squared error: too small for AdamW's eps and fp16.
            weights = weights * config.num_tokens
        weights = take_tokens(weights, masked_idx).unflatten(0, (b, v))
        parts = take_tubelets(clips, masked_idx, config.tubelet_size)
        target = normalised_target(to_unit(parts)).unflatten(0, (b, v))

        def both(prediction: Tensor | None) -> tuple[Tensor, Tensor]:
            """Loss of the target view (0) and mean loss of the sources (1 and up)."""
            if prediction is None:
                return target.new_zeros(()), target.new_zeros(())
            return (
                reconstruction_loss(prediction[:, 0], target[:, 0], weights[:, 0]),
                reconstruction_loss(
                    prediction[:, 1:].flatten(0, 1), target[:, 1:].flatten(0, 1), weights[:, 1:].flatten(0, 1)
                ),
            )

        self_target, self_source = both(made.self_view)
        cross_target, cross_source = both(made.cross_view)
        with torch.no_grad():
            baseline_target = mean_baseline(target[:, 0], weights[:, 0])
            baseline_source = mean_baseline(target[:, 1:].flatten(0, 1), weights[:, 1:].flatten(0, 1))
        return PretrainOutput(
            loss=self_source + self_target + config.cross_view_weight * (cross_target + cross_source),
            self_source=self_source,
            self_target=self_target,
            cross_target=cross_target,
            cross_source=cross_source,
            baseline_source=baseline_source,
            baseline_target=baseline_target,
            effective_tokens=effective,
            reconstructions=made if with_reconstructions else None,
        )


def other_views(memory: Float[Tensor, "b v k d"]) -> Float[Tensor, "b v l d"]:
    """For each view the visible tokens of all others, one after another: l = (v - 1) k."""
    each = [torch.cat([memory[:, :i], memory[:, i + 1 :]], dim=1).flatten(1, 2) for i in range(memory.shape[1])]
    return torch.stack(each, dim=1)
