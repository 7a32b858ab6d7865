"""Weights for tubelets of one size made into weights for another (FlexiViT; Beyer et al., 2023, Section 3.4).

Tokens keep their width, so that only what touches pixels changes: the embedding and the heads of the decoders.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mv2mae.model.tubelets import Size3

EMBEDDING = "encoder.embed.weight"
HEADS = ("self_decoder.head.", "cross_decoder.head.")


def resampling_matrix(old: Size3, new: Size3) -> Float[Tensor, "q p"]:
    """B, which resamples a tubelet's p pixels to q, axis by axis: means where it shrinks, linear where it grows."""
    t, h, w = (_of_axis(one, other) for one, other in zip(old, new, strict=True))
    return torch.kron(torch.kron(t, h), w)


def _of_axis(old: int, new: int) -> Float[Tensor, "new old"]:
    unit = torch.eye(old, dtype=torch.float64)[None]
    return F.interpolate(unit, size=new, mode="area" if new < old else "linear")[0].T


def resampled_embedding(weight: Float[Tensor, "d pc"], old: Size3, new: Size3) -> Float[Tensor, "d qc"]:
    """The embedding whose tokens are nearest to those of the old one: its filters times the pseudo-inverse of B.

    A tubelet x of the new size becomes the token that the old embedding makes of B^+ x. Where the new size is larger,
    B^+ B = 1: a clip made larger by B gives exactly the old tokens. Where it is a whole number of times smaller, B^+ x
    repeats each pixel.
    """
    inverse = torch.linalg.pinv(resampling_matrix(old, new))
    pixels = weight.double().unflatten(1, (-1, 3))
    return torch.einsum("dpc,pq->dqc", pixels, inverse).flatten(1).to(weight.dtype)


def resampled_head(values: Float[Tensor, "pc *d"], old: Size3, new: Size3) -> Float[Tensor, "qc *d"]:
    """Weight or bias of a head that predicts what the old one does, resampled by B."""
    pixels = values.double().unflatten(0, (-1, 3))
    return torch.einsum("qp,pc...->qc...", resampling_matrix(old, new), pixels).flatten(0, 1).to(values.dtype)


def resampled_tubelets(tensors: Mapping[str, Tensor], old: Size3, new: Size3) -> dict[str, Tensor]:
    """The tensors of a pre-training model for another size of tubelets; the same where the size is."""
    if old == new:
        return dict(tensors)
    made = {}
    for name, tensor in tensors.items():
        if name == EMBEDDING:
            tensor = resampled_embedding(tensor, old, new)
        elif name.startswith(HEADS):
            tensor = resampled_head(tensor, old, new)
        made[name] = tensor
    return made
