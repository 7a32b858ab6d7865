"""Votes of the nearest neighbours among features: no training, so what it finds lies in the features themselves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def knn_scores(
    queries: Float[Tensor, "q d"],
    gallery: Float[Tensor, "g d"],
    labels: Int[Tensor, " g"],
    num_classes: int,
    *,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> Float[Tensor, "q classes"]:
    """Share of the votes that each class gets; a neighbour's vote weighs exp(cosine / temperature) (DINO).

    The cosine is that of features less the gallery's mean: a clip's mean token holds a large part that all clips
    share, next to which their differences would not show.

    Args:
        queries: features to classify.
        gallery, labels: features of known class, from 0.
        k: neighbours that vote; the whole gallery if it is smaller.
        chunk: queries that are compared at a time.
    """
    mean = gallery.mean(dim=0)
    known = F.normalize(gallery - mean, dim=1)
    k = min(k, len(gallery))
    parts = []
    for part in queries.split(chunk):
        cosine, nearest = (F.normalize(part - mean, dim=1) @ known.T).topk(k, dim=1)
        votes = ((cosine - 1) / temperature).exp()  # exp(cosine / temperature) times a constant, which cancels
        scores = votes.new_zeros(len(part), num_classes).scatter_add_(1, labels[nearest], votes)
        parts.append(scores / scores.sum(dim=1, keepdim=True))
    return torch.cat(parts)
