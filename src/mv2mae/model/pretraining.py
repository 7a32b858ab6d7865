"""MV2MAE, the pre-training model: encoder, two decoders, motion-weighted loss (Figure 1, Equation 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from mv2mae.config import ModelConfig
from mv2mae.errors import InputError
from mv2mae.model.cameras import RayEmbedding, known_cameras, token_rays
from mv2mae.model.decoders import CrossViewDecoder, SelfViewDecoder
from mv2mae.model.encoder import Encoder
from mv2mae.model.layers import init_weights, position_table, rotation_table
from mv2mae.model.losses import mean_baseline, reconstruction_loss
from mv2mae.model.masking import Masks, masks_of_views, repeated, token_noise, training_masks
from mv2mae.model.motion import configured_weights, effective_number
from mv2mae.model.tubelets import Size3, take_tokens, token_targets

_AS_CAMERA = 0x2545F4914F6CDD1D
"""Tells whether an item's cameras are withheld from its masks."""
_ANY_CAMERA = (1.0, 1.0, 0.5, 0.5, *(1.0, 0.0, 0.0), *(0.0, 1.0, 0.0), *(0.0, 0.0, 1.0), *(0.0, 0.0, 0.0))
"""Stands in for an unknown one, whose rays then count nothing."""


class Reconstructions(NamedTuple):
    """Predicted masked tokens, in the normalised scale of the target; view 0 is the target view.

    Of all views, u = v, or with `directions=one` of the target alone, u = 1.
    """

    self_view: Float[Tensor, "b u m d"]
    cross_view: Float[Tensor, "b u m d"] | None
    masks: Masks


@dataclass
class PretrainOutput:
    """The loss of Equation 3 and what it is made of, each a scalar tensor."""

    loss: Tensor
    """self_source + self_target + lambda (cross_target + cross_source)."""
    self_source: Tensor
    """Source from itself; like all that is said of sources 0 with `directions=one`."""
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

    def scalars(self) -> dict[str, Tensor]:
        """All but the reconstructions, by name."""
        return {name: value for name, value in vars(self).items() if name != "reconstructions"}

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

    Args:
        config: all of it.
        position_grid: as the `Encoder` takes it, for the decoders too.
    """

    def __init__(self, config: ModelConfig, position_grid: Size3 | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, position_grid=position_grid)
        self.projector = nn.Linear(config.encoder_width, config.decoder_width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(config.decoder_width))
        table = position_table(config.positions, config.grid, config.decoder_width, position_grid)
        self.decoder_positions: Tensor
        self.register_buffer("decoder_positions", table, persistent=False)
        self.self_decoder = SelfViewDecoder(config)
        self.cross_decoder = CrossViewDecoder(config) if config.cross_view_weight > 0 else None
        init_weights(self.projector)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        rope = config.decoder_positions == "rope"
        head = config.decoder_width // config.decoder_heads
        turns = rotation_table(config.grid, head, made_for=position_grid) if rope else None
        self.rotations: Tensor | None
        self.register_buffer("rotations", turns, persistent=False)
        has_rays = config.cameras == "rays" and self.cross_decoder is not None
        self.ray_embedding = RayEmbedding(config.decoder_width) if has_rays else None
        self.any_camera: Tensor
        self.register_buffer("any_camera", torch.tensor(_ANY_CAMERA), persistent=False)

    def forward(
        self,
        source: Shaped[Tensor, "b *source"],
        target: Shaped[Tensor, "b c t h w"],
        *,
        seeds: Int[Tensor, " b"] | None = None,
        masks: Masks | None = None,
        cameras: Float[Tensor, "b v 16"] | None = None,
        with_reconstructions: bool = False,
    ) -> PretrainOutput:
        """Mask, encode, decode, and compare.

        Args:
            source: one source clip [b, c, t, h, w], or s of them [b, s, c, t, h, w]; pixels in [0, 1], or uint8.
            target: the target clip of the same moment.
            seeds: one for each item of the batch, from which its masks follow; drawn when not given.
            masks: the masks themselves instead of `seeds`.
            cameras: of the target and its sources, as `model.cameras` describes them; NaN = unknown. A model without
                rays leaves them aside.
            with_reconstructions: return the predictions too.

        Raises:
            InputError: if the clips are not of the model's size.
        """
        views = self._stack(source, target)
        if seeds is None:
            seeds = torch.randint(2**62, (len(views),), device=views.device)
        if masks is None:
            drawn = training_masks if self.training else masks_of_views
            masks = drawn(self.config, seeds, views.shape[1])
        visible, shown = self._encode(views, masks)
        num_targets, crossed = visible.shape[1], None
        # first of all, so that gradients are summed in the order of earlier versions, to the same bits
        alone = self._decode(visible, masks, None, None)
        if self.cross_decoder is not None:
            rays = self._rays(cameras, seeds)
            rays = None if rays is None else repeated(rays, len(visible) // len(views))
            crossed = self._decode(visible, masks, shown, rays)
        made = Reconstructions(alone, crossed, masks)
        return self._compare(views[:, :num_targets], made, with_reconstructions)

    def draw_masks(self, batch: int, views: int, device: torch.device, seeds: Int[Tensor, " b"] | None = None) -> Masks:
        """Masks for a batch, independent for each view."""
        if seeds is None:
            seeds = torch.randint(2**62, (batch,), device=device)
        return masks_of_views(self.config, seeds, views)

    def encode(self, clips: Shaped[Tensor, "b c t h w"], visible_idx: Int[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
        """The visible tokens of clips in the decoders' width, without positions.

        Args:
            clips: pixels in [0, 1], or uint8.
        """
        return self.projector(self.encoder(clips, visible_idx))

    def decode_self(
        self, visible: Float[Tensor, "b k d"], visible_idx: Int[Tensor, "b k"], masked_idx: Int[Tensor, "b m"]
    ) -> Float[Tensor, "b m p"]:
        """Rebuild masked tokens from the visible ones of the same view.

        Args:
            visible: as `encode` gives them.

        Returns:
            The normalised pixels of each masked token.
        """
        tokens, idx = self._with_mask_tokens(visible, visible_idx, masked_idx)
        return self.self_decoder(tokens, masked_idx.shape[1], self._rotation(idx))

    def decode_cross(
        self,
        visible: Float[Tensor, "b k d"],
        visible_idx: Int[Tensor, "b k"],
        masked_idx: Int[Tensor, "b m"],
        sources: Float[Tensor, "b s l d"],
        source_idx: Int[Tensor, "b s l"],
        rays: Float[Tensor, "b v n d"] | None = None,
    ) -> Float[Tensor, "b m p"]:
        """Rebuild masked tokens of a view with the help of s others.

        Args:
            visible: the target's visible tokens, as `encode` gives them.
            sources: the tokens that the sources show, likewise; source_idx: which of each source's tokens they are.
            rays: what `embedded_rays` makes of the cameras, the target's first; None = unknown.

        Returns:
            The normalised pixels of each masked token.
        """
        assert self.cross_decoder is not None
        tokens, idx = self._with_mask_tokens(visible, visible_idx, masked_idx)
        memory = sources + self.decoder_positions[source_idx]
        if rays is not None:
            tokens = tokens + take_tokens(rays[:, 0], idx)
            memory = memory + take_tokens(rays[:, 1:].flatten(0, 1), source_idx.flatten(0, 1)).view_as(memory)
        return self.cross_decoder(
            tokens,
            memory.flatten(1, 2),
            masked_idx.shape[1],
            self._rotation(idx),
            self._rotation(source_idx.flatten(1)),
        )

    def embedded_rays(self, cameras: Float[Tensor, "b v 16"] | None) -> Float[Tensor, "b v n d"] | None:
        """What the tokens of a target (view 0) and its sources are told of their rays; 0 where a camera is unknown."""
        if self.ray_embedding is None or cameras is None:
            return None
        known = known_cameras(cameras)[:, None, None]
        rays = token_rays(torch.where(known, cameras, self.any_camera), self.config.grid)
        return self.ray_embedding(rays) * known[..., None]

    def target(self, clips: Shaped[Tensor, "b c t h w"], idx: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
        """What is to be predicted of some tokens of clips: their normalised pixels."""
        return token_targets(clips, idx, self.config.tubelet_size, self.config.target_floor)

    def _stack(self, source: Tensor, target: Tensor) -> Shaped[Tensor, "b v c t h w"]:
        config = self.config
        sources = source[:, None] if source.ndim == 5 else source
        wanted = (3, config.num_frames, config.image_size, config.image_size)
        for name, shape in (("source", sources.shape[2:]), ("target", target.shape[1:])):
            if tuple(shape) != wanted:
                raise InputError(f"a {name} clip has [c, t, h, w] = {list(shape)}, but the model takes {list(wanted)}")
        return torch.cat([target[:, None], sources], dim=1)

    def _encode(
        self, views: Shaped[Tensor, "i v c t h w"], masks: Masks
    ) -> tuple[Float[Tensor, "b u k d"], Float[Tensor, "b z l d"]]:
        """What the u views that are targets keep, and what the z views that are sources show.

        With `directions=one` view 0 alone is a target and is no source: u = 1, z = v - 1. Where there are several masks
        of an item, its sources are encoded once, and come as often as its target.
        """
        each = len(masks.visible_idx) // len(views)
        one = self.config.directions == "one"
        targets, sources = (slice(0, 1), slice(1, None)) if one else (slice(None), slice(None))

        def encoded(part: slice, idx: Tensor) -> Tensor:
            clips = repeated(views[:, part], len(idx) // len(views))
            return self.encode(clips.flatten(0, 1), idx[:, part].flatten(0, 1)).unflatten(0, clips.shape[:2])

        if masks.source_idx is None:  # a view shows what it keeps, and is encoded once
            every = encoded(slice(None), masks.visible_idx)
            return every[:, targets], every[:, sources]
        visible = encoded(targets, masks.visible_idx)
        return visible, repeated(encoded(sources, masks.source_idx[::each]), each) if self.cross_decoder else visible

    def _decode(
        self,
        visible: Float[Tensor, "b u k d"],
        masks: Masks,
        shown: Float[Tensor, "b z l d"] | None,
        rays: Float[Tensor, "b u v n d"] | None,
    ) -> Float[Tensor, "b u m p"]:
        """Rebuild all targets at once, from themselves, or each with the help of the other views' `shown` tokens."""
        num = visible.shape[1]
        tokens, visible_idx, masked_idx = (
            part.flatten(0, 1) for part in (visible, masks.visible_idx[:, :num], masks.masked_idx[:, :num])
        )
        if shown is None:
            out = self.decode_self(tokens, visible_idx, masked_idx)
        else:
            if self.config.directions == "one":
                sources, source_idx = shown[:, None], masks.shown_idx[:, None, 1:]
            else:
                sources, source_idx = other_views(shown), other_views(masks.shown_idx)
            known = None if rays is None else rays.flatten(0, 1)
            out = self.decode_cross(
                tokens, visible_idx, masked_idx, sources.flatten(0, 1), source_idx.flatten(0, 1), known
            )
        return out.unflatten(0, visible.shape[:2])

    def _rays(self, cameras: Tensor | None, seeds: Tensor) -> Float[Tensor, "b u v n d"] | None:
        """Of every target and its sources, in the target's frame; of some items withheld in training."""
        if self.ray_embedding is None or cameras is None:
            return None
        if self.training:
            withheld = token_noise(seeds ^ _AS_CAMERA, 1)[:, 0] < self.config.camera_drop * 2.0**63
            cameras = cameras.masked_fill(withheld[:, None, None], float("nan"))
        num_views = cameras.shape[1]
        num_targets = 1 if self.config.directions == "one" else num_views
        # not by a list of places, which a GPU would be waited for to take over
        orders = [[i, *(j for j in range(num_views) if j != i)] for i in range(num_targets)]
        each = torch.stack([torch.stack([cameras[:, j] for j in order], dim=1) for order in orders], dim=1)
        rays = self.embedded_rays(each.flatten(0, 1))
        assert rays is not None
        return rays.unflatten(0, (len(cameras), num_targets))

    def _with_mask_tokens(
        self, visible: Float[Tensor, "b k d"], visible_idx: Int[Tensor, "b k"], masked_idx: Int[Tensor, "b m"]
    ) -> tuple[Float[Tensor, "b n d"], Int[Tensor, "b n"]]:
        """Visible tokens, then mask tokens, positions added; and which tokens of the clip they are."""
        positions = self.decoder_positions
        masked = self.mask_token + positions[masked_idx]
        return torch.cat([visible + positions[visible_idx], masked], dim=1), torch.cat([visible_idx, masked_idx], dim=1)

    def _rotation(self, idx: Int[Tensor, "b n"]) -> Float[Tensor, "b n p 2"] | None:
        return None if self.rotations is None else self.rotations[idx]

    def _compare(
        self, views: Shaped[Tensor, "i v c t h w"], made: Reconstructions, with_reconstructions: bool
    ) -> PretrainOutput:
        config = self.config
        b, v = len(made.self_view), views.shape[1]
        clips, masked_idx = views.flatten(0, 1), made.masks.masked_idx[:, :v].flatten(0, 1)
        weights = configured_weights(clips, config)
        effective = effective_number(weights).mean()
        if not config.literal_loss_scale:
            # Equation 2 with weights that sum to 1 is 1/N of a mean squared error: too small for AdamW's eps and fp16.
            weights = weights * config.num_tokens
        if b > len(views):  # several masks of an item, whose only target is view 0
            weights, clips = (repeated(values, b // len(views)) for values in (weights, clips))
        weights = take_tokens(weights, masked_idx).unflatten(0, (b, v))
        target = self.target(clips, masked_idx).unflatten(0, (b, v))

        def both(loss: Callable[..., Tensor], *given: Tensor | None) -> tuple[Tensor, Tensor]:
            """Of what is given [b, v, ...] the loss of the target view (0) and the mean of the sources (1 and up)."""
            zero = target.new_zeros(())
            parts = [part for part in given if part is not None]
            if len(parts) < len(given):
                return zero, zero
            of_sources = loss(*(part[:, 1:].flatten(0, 1) for part in parts)) if v > 1 else zero
            return loss(*(part[:, 0] for part in parts)), of_sources

        self_target, self_source = both(reconstruction_loss, made.self_view, target, weights)
        cross_target, cross_source = both(reconstruction_loss, made.cross_view, target, weights)
        with torch.no_grad():
            baseline_target, baseline_source = both(mean_baseline, target, weights)
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


def other_views(parts: Shaped[Tensor, "b v *rest"]) -> Shaped[Tensor, "b v z *rest"]:
    """For each view what belongs to the z = v - 1 others."""
    each = [torch.cat([parts[:, :i], parts[:, i + 1 :]], dim=1) for i in range(parts.shape[1])]
    return torch.stack(each, dim=1)
