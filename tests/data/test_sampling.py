"""The order of training: every item once an epoch, the same whatever the ranks, exact continuation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mv2mae.data.sampling import StepSampler
from mv2mae.errors import InputError


@given(
    num_items=st.integers(1, 23),
    world_size=st.integers(1, 4),
    rank_batch=st.integers(1, 7),
    steps=st.integers(0, 9),
    seed=st.integers(0, 5),
    start=st.integers(0, 9),
    num_strata=st.integers(0, 4),
)
def test_ranks_and_restarts_share_one_line(
    num_items: int, world_size: int, rank_batch: int, steps: int, seed: int, start: int, num_strata: int
) -> None:
    batch = rank_batch * world_size
    strata = np.arange(num_items) % num_strata if num_strata else None
    line = list(StepSampler(num_items, batch, steps, seed, strata=strata))
    assert len(line) == steps * batch == len(StepSampler(num_items, batch, steps, seed))
    for epoch in range(len(line) // num_items):
        part = line[epoch * num_items : (epoch + 1) * num_items]
        assert sorted(part) == [(epoch, i) for i in range(num_items)]
    ranks = [
        list(StepSampler(num_items, batch, steps, seed, strata=strata, start_step=start, rank=r, world_size=world_size))
        for r in range(world_size)
    ]
    merged = [
        key
        for step in range(max(0, steps - start))
        for rank in ranks
        for key in rank[step * rank_batch : (step + 1) * rank_batch]
    ]
    assert merged == line[start * batch :]
    sampler = StepSampler(num_items, batch, steps, seed, start_step=start, world_size=world_size)
    assert len(sampler) == steps * rank_batch


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    line = list(StepSampler(50, 50, 2, seed=0))
    first, second = [i for _, i in line[:50]], [i for _, i in line[50:]]
    assert first != second != sorted(second)
    assert [i for _, i in StepSampler(50, 50, 1, seed=1)] != first


def test_strata_share_batches_and_leftovers_come_last() -> None:
    strata = np.repeat([7, 3, 5], [9, 8, 4])  # two, two and one batches of 4, and one item over
    sampler = StepSampler(21, 4, 5, seed=0, strata=strata)
    first, second = sampler.order(0), sampler.order(1)
    for order in (first, second):
        assert sorted(order) == list(range(21))
        assert all(len(set(strata[order[i : i + 4]])) == 1 for i in range(0, 20, 4))
        assert strata[order[20]] == 7
    assert list(first) != list(second)
    assert list(strata[first[::4]]) != sorted(strata[first[::4]])


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="no items"):
        StepSampler(0, 4, 1, 0)
    with pytest.raises(InputError, match="does not divide by 3 processes"):
        StepSampler(10, 4, 1, 0, world_size=3)
