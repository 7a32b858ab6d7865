"""A pair of clips as the model rebuilds it: arrays for pictures (Figure 5).

The model predicts *normalised* tubelets: their pattern, without mean and contrast. To show a prediction as a picture
something must stand in for these. With `statistics="true"` it is the true mean and deviation of every tubelet, as in
VideoMAE's and the paper's pictures, which makes any prediction look better than it is: brightness and colour are
then given, not predicted. With `statistics="visible"` nothing of a masked tubelet is used: all get the mean colour
and the mean deviation of the clip's visible tubelets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mv2mae.model.calling import check_finite
from mv2mae.model.losses import token_errors
from mv2mae.model.masking import Masks
from mv2mae.model.pictures import Statistics, filled, greyed
from mv2mae.model.pretraining import MV2MAE, PretrainOutput, Reconstructions
from mv2mae.model.tubelets import token_targets

STATISTICS_NOTES: dict[Statistics, str] = {
    "true": "Visible tubelets are shown as they are. Predicted ones are shown with the true mean and contrast of each "
    "tubelet: only the pattern within a tubelet is predicted.",
    "visible": "Visible tubelets are shown as they are. Predicted ones are shown as patterns around one grey, the mean "
    "colour of the visible tubelets: nothing of a masked tubelet was used.",
}
"""What a caption has to say beside a reconstruction."""


@dataclass(frozen=True)
class RebuiltClip:
    """One decoder's picture of the target and how far it is off."""

    clip: UInt8[Tensor, "c t h w"]
    error: float
    """Mean squared error over the masked tokens, each counting the same, in the normalised scale of the target."""


@dataclass(frozen=True)
class Reconstruction:
    """What the model was given and what it made of it. Clips are uint8 [c, t, h, w]."""

    target: UInt8[Tensor, "c t h w"]
    source: UInt8[Tensor, "c t h w"] | None
    """None where the target is the only view."""
    masked_target: UInt8[Tensor, "c t h w"]
    """The target's visible tubelets on grey: all that the self-view decoder knows."""
    masked_source: UInt8[Tensor, "c t h w"] | None
    """The source's visible tubelets on grey: what the cross-view decoder knows beside them."""
    predictions: dict[str, RebuiltClip]
    """`self-view`, `cross-view` and, if a wrong source was given, `wrong source`."""
    baseline: float
    """The error of predicting each tubelet's mean."""
    statistics: Statistics
    wrong_source: UInt8[Tensor, "c t h w"] | None = None
    wrong_kind: str = ""
    """What the wrong source shows: `another performance`, `another moment, 0.4 s later`."""


def reconstruct(
    model: MV2MAE,
    source: UInt8[Tensor, "c t h w"] | None,
    target: UInt8[Tensor, "c t h w"],
    *,
    seed: int,
    wrong_source: UInt8[Tensor, "c t h w"] | None = None,
    wrong_kind: str = "another performance",
    statistics: Statistics = "true",
    cameras: Float[Tensor, "1 v 16"] | None = None,
) -> Reconstruction:
    """Run the model once on a pair, and once more on a wrong source with the same masks.

    Args:
        source: the other view of the same moment; None = there is none, and only the self-view is made.
        seed: of the masks.
        wrong_source: a clip of another performance or moment. A model that uses its source does worse with it.
        wrong_kind: which of them, as text.
        statistics: what the predictions are shown with; see the module's head.
        cameras: of target and source, where they are known (`model.cameras`).

    Raises:
        InputError: if the clips are not of the model's size.
    """
    size = model.config.tubelet_size
    # the model takes pairs; without a source the target stands in for it, which its self-view does not notice
    self_view, cross_view, masks = _run(model, target if source is None else source, target, seed, cameras)
    made = {"self-view": self_view[:, 0]}
    if cross_view is not None and source is not None:
        made["cross-view"] = cross_view[:, 0]
        if wrong_source is not None:
            swapped = _run(model, wrong_source, target, seed, cameras).cross_view  # the same seed: the same masks
            assert swapped is not None
            made["wrong source"] = swapped[:, 0]
    visible, masked = masks.visible_idx[0], masks.masked_idx[0]
    floor = model.config.target_floor
    truth = token_targets(target[None], masked[:1], size, floor)
    predictions = {}
    for name, prediction in made.items():
        clip = filled(target, masked[0], prediction[0], size, statistics, floor=floor)
        predictions[name] = RebuiltClip(clip, float(token_errors(prediction, truth).mean()))
    return Reconstruction(
        target=target,
        source=source,
        masked_target=greyed(target, visible[0], size),
        masked_source=None if source is None else greyed(source, masks.shown_idx[0, 1], size),
        predictions=predictions,
        baseline=float(truth.square().mean()),
        statistics=statistics,
        wrong_source=wrong_source if "wrong source" in predictions else None,
        wrong_kind=wrong_kind,
    )


@torch.no_grad()
def _run(model: MV2MAE, source: Tensor, target: Tensor, seed: int, cameras: Tensor | None) -> Reconstructions:
    """The model's predictions for a batch of one pair, on the CPU."""
    device = next(model.parameters()).device
    out: PretrainOutput = model(
        source[None].to(device),
        target[None].to(device),
        seeds=torch.tensor([seed], device=device),
        cameras=None if cameras is None else cameras.to(device),
        with_reconstructions=True,
    )
    assert out.reconstructions is not None
    self_view, cross_view, masks = out.reconstructions
    check_finite("the predictions", self_view, cross_view)
    return Reconstructions(
        self_view.cpu(),
        None if cross_view is None else cross_view.cpu(),
        Masks(masks.visible_idx.cpu(), masks.masked_idx.cpu(), masks.shown_idx.cpu()),
    )
