"""Nearest neighbours against the obvious way."""

import math

import numpy as np
import pytest
import torch

from mv2mae.model.knn import knn_scores


def slow_scores(queries, gallery, labels, num_classes, k, temperature):
    """One query and one neighbour at a time, in float64."""
    mean = gallery.mean(axis=0)
    rows = []
    for query in queries - mean:
        cosines = [float(query @ g / (np.linalg.norm(query) * np.linalg.norm(g))) for g in gallery - mean]
        votes = [0.0] * num_classes
        for place in sorted(range(len(gallery)), key=lambda i: -cosines[i])[:k]:
            votes[labels[place]] += math.exp(cosines[place] / temperature)
        rows.append([vote / sum(votes) for vote in votes])
    return np.array(rows)


@pytest.mark.parametrize(("k", "chunk"), [(1, 1024), (5, 7), (500, 1024)])
def test_it_equals_the_slow_reference(k, chunk):
    rng = np.random.default_rng(k)
    queries, gallery = rng.normal(3, 1, (20, 6)), rng.normal(3, 1, (50, 6))
    labels = rng.integers(4, size=50)
    found = knn_scores(*map(torch.from_numpy, (queries, gallery, labels)), 4, k=k, temperature=0.1, chunk=chunk)
    np.testing.assert_allclose(found.numpy(), slow_scores(queries, gallery, labels, 4, k, 0.1), rtol=1e-9, atol=1e-12)


def test_a_part_that_all_features_share_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    gallery, queries = torch.randn(60, 8, generator=generator), torch.randn(10, 8, generator=generator)
    labels = torch.arange(60) % 3
    torch.testing.assert_close(
        knn_scores(queries, gallery, labels, 3), knn_scores(queries + 30, gallery + 30, labels, 3), rtol=1e-3, atol=1e-4
    )
