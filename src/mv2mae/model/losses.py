"""The reconstruction loss (Equations 1 and 2) and the baseline to hold it against."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def token_errors(prediction: Float[Tensor, "b m d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, "b m"]:
    """Mean squared error of each token, over its d values."""
    return (prediction - target).square().mean(dim=-1)


def reconstruction_loss(
    prediction: Float[Tensor, "b m d"], target: Float[Tensor, "b m d"], weights: Float[Tensor, "b m"]
) -> Float[Tensor, ""]:
    """Weighted error of the m masked tokens of each clip, over m, averaged over clips (Equation 2).

    With weights of 1 it is Equation 1. The paper divides by rho N; m is that number as it really is, in whole tokens.
    """
    return (weights * token_errors(prediction, target)).mean()


def mean_baseline(target: Float[Tensor, "b m d"], weights: Float[Tensor, "b m"]) -> Float[Tensor, ""]:
    """The same loss for a model that predicts each tubelet's mean, which is 0 in the normalised target.

    A model whose loss stays here has learnt nothing yet.
    """
    return (weights * target.square().mean(dim=-1)).mean()
