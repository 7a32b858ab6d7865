"""What a model makes of a pair of clips under masks of any kind: predictions, losses, attention.

A person paints masks, so target and source may have different numbers of masked tokens, which a training batch never
has. The model's own parts are therefore called view by view, as `MV2MAE.forward` calls them for a batch; a test holds
the two together. What does not depend on the request is cached: the encoded views, and the attention of all tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.attention_maps import caught_inputs
from mv2mae.model.calling import check_finite
from mv2mae.model.layers import CrossAttention
from mv2mae.model.losses import mean_baseline, reconstruction_loss, token_errors
from mv2mae.model.motion import effective_number, motion_energy, motion_weights, solve_temperature
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import token_targets
from mv2mae.viewer.requests import Weighting

SELF, CROSS, WRONG = "self-view", "cross-view", "wrong source"


@dataclass(frozen=True)
class EncodedView:
    """The visible tokens of a view as the decoders take them."""

    tokens: Float[Tensor, "1 k d"]
    visible_idx: Int[Tensor, " k"]
    masked_idx: Int[Tensor, " m"]


@dataclass(frozen=True)
class PairPrediction:
    """The model's answers to one pair under one pair of masks."""

    masked_idx: Int[Tensor, " m"]
    predictions: dict[str, Float[Tensor, "m d"]]
    """`self-view`, `cross-view`, `wrong source`, as far as there are such; in the normalised scale of the target."""
    attention: Float[Tensor, "layers heads n k"] | None
    """Weights of each target token over the source's k visible tokens, in every block of the cross-view decoder."""
    source_idx: Int[Tensor, " k"] | None

    @property
    def num_bytes(self) -> int:
        """Memory of the predictions and of the attention."""
        tensors = [*self.predictions.values(), *([] if self.attention is None else [self.attention])]
        return sum(tensor.nbytes for tensor in tensors)

    def looks_at(self, token: int, num_tokens: int) -> Float[Tensor, "layers heads n"]:
        """Where the cross-view decoder looks for one target token: weights over all n source tokens, NaN at masked."""
        assert self.attention is not None
        assert self.source_idx is not None
        row = self.attention[:, :, token]
        full = row.new_full((*row.shape[:2], num_tokens), float("nan"))
        full[:, :, self.source_idx] = row
        return full


@dataclass(frozen=True)
class Losses:
    """How far the predictions of a pair are off, against that of each tubelet's mean."""

    weighted: dict[str, float]
    """Equation 2 with the chosen weights, by prediction; `mean` is the baseline."""
    plain: dict[str, float]
    """Equation 1: every masked token the same."""
    weights: Float[Tensor, " n"]
    """Motion weights of the target; they sum to 1."""
    temperature: float | None
    effective: float
    """How many of the n tokens the weights are worth."""


@torch.no_grad()
def encode(model: MV2MAE, clip: UInt8[Tensor, "c t h w"], masked: tuple[int, ...]) -> EncodedView:
    """Encode a view's visible tokens."""
    device = model.mask_token.device
    is_masked = torch.zeros(model.config.num_tokens, dtype=torch.bool, device=device)
    is_masked[torch.tensor(masked, dtype=torch.long, device=device)] = True
    visible_idx, masked_idx = (~is_masked).nonzero()[:, 0], is_masked.nonzero()[:, 0]
    return EncodedView(model.encode(clip[None].to(device), visible_idx[None]), visible_idx, masked_idx)


@torch.no_grad()
def predict_pair(
    model: MV2MAE,
    target: EncodedView,
    source: EncodedView | None,
    wrong: EncodedView | None,
    cameras: Float[Tensor, "2 16"] | None = None,
) -> PairPrediction:
    """Rebuild the target from itself and, where model and source allow, with the help of a source and of a wrong one.

    Args:
        source: None where there is no other view.
        wrong: what else the cross-view decoder may be given as its source, before the same camera.
        cameras: of target and source, if the model is to be told; NaN = unknown.
    """
    given = target.tokens, target.visible_idx[None], target.masked_idx[None]
    predictions = {SELF: model.decode_self(*given)[0].cpu()}
    attention = None
    if source is not None and model.cross_decoder is not None:
        layers = [layer for layer in model.cross_decoder.modules() if isinstance(layer, CrossAttention)]
        rays = model.embedded_rays(None if cameras is None else cameras[None].to(model.mask_token.device))
        with caught_inputs(layers) as inputs:
            predictions[CROSS] = model.decode_cross(*given, *_as_source(source), rays)[0].cpu()
        maps = torch.stack([layer.maps(*given)[0] for layer, given in zip(layers, inputs, strict=True)])
        attention = _in_clip_order(maps, torch.cat([target.visible_idx, target.masked_idx]))
        if wrong is not None:
            predictions[WRONG] = model.decode_cross(*given, *_as_source(wrong), rays)[0].cpu()
    check_finite("the predictions", *predictions.values(), attention)
    source_idx = None if attention is None or source is None else source.visible_idx.cpu()
    return PairPrediction(target.masked_idx.cpu(), predictions, attention, source_idx)


def _as_source(view: EncodedView) -> tuple[Float[Tensor, "1 1 k d"], Int[Tensor, "1 1 k"]]:
    return view.tokens[None], view.visible_idx[None, None]


def losses(made: PairPrediction, target: UInt8[Tensor, "c t h w"], config: ModelConfig, weighting: Weighting) -> Losses:
    """The target's losses, by the same functions as in training.

    Args:
        target: the clip that was rebuilt.
        weighting: of the tokens; it changes no prediction.
    """
    weights, temperature = _weights(target, config, weighting)
    truth = _truth(made, target, config)
    of_masked = weights[:, made.masked_idx] * (1 if config.literal_loss_scale else config.num_tokens)
    weighted: dict[str, float] = {}
    plain: dict[str, float] = {}
    for how, factor in ((weighted, of_masked), (plain, torch.ones_like(of_masked))):
        how["mean"] = float(mean_baseline(truth, factor))
        for name, prediction in made.predictions.items():
            how[name] = float(reconstruction_loss(prediction[None], truth, factor))
    return Losses(weighted, plain, weights[0], temperature, float(effective_number(weights)[0]))


def errors(
    made: PairPrediction, target: UInt8[Tensor, "c t h w"], config: ModelConfig
) -> dict[str, Float[Tensor, " m"]]:
    """Mean squared error of each masked token, by prediction; 1 is about that of the tubelet's mean."""
    truth = _truth(made, target, config)
    return {name: token_errors(prediction[None], truth)[0] for name, prediction in made.predictions.items()}


def _truth(made: PairPrediction, target: UInt8[Tensor, "c t h w"], config: ModelConfig) -> Float[Tensor, "1 m d"]:
    return token_targets(target[None], made.masked_idx[None], config.tubelet_size, config.target_floor)


def _weights(
    target: UInt8[Tensor, "c t h w"], config: ModelConfig, weighting: Weighting
) -> tuple[Float[Tensor, "1 n"], float | None]:
    """The motion weights of a clip, and their temperature (None = uniform)."""
    temperature = config.motion_temperature if weighting.as_trained else weighting.temperature
    if weighting.as_trained and config.effective_tokens is not None:
        energy = motion_energy(target[None], config.tubelet_size)
        temperature = float(solve_temperature(energy, config.effective_tokens))
    return motion_weights(target[None], config.tubelet_size, temperature, scale=config.motion_scale), temperature


def _in_clip_order(maps: Float[Tensor, "layers heads n k"], order: Int[Tensor, " n"]) -> Tensor:
    """Rows of tokens in the decoder's order, put where they belong in the clip."""
    ordered = torch.empty_like(maps)
    ordered[:, :, order] = maps
    return ordered.cpu()
