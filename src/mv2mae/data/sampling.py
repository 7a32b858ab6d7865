"""The order in which training visits its items: a function of (seed, step) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Sampler

from mv2mae.errors import InputError

ItemKey = tuple[int, int]
"""(epoch, index): together with the seed, all that an item's draws depend on."""


class TrainingItems(Protocol):
    """What a training draws its batches from."""

    @property
    def fingerprint(self) -> str:
        """Tells whether the items are those with which a run began."""

    @property
    def shuffled(self) -> bool:
        """Whether an epoch visits them in random order; a stream of fresh items has no need to."""

    @property
    def strata(self) -> np.ndarray | None:
        """For each item a number; neighbours in an epoch share it (`data.batch_by`). None: all in one order."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: ItemKey) -> Any: ...


def fingerprint_of(names: Iterable[str]) -> str:
    """A hash of names; the folders that hold them do not count."""
    return hashlib.sha256("\n".join(Path(name).name for name in names).encode()).hexdigest()


class StepSampler(Sampler[ItemKey]):
    """Keys (epoch, index) for a given number of steps, on one of several ranks.

    The items of all epochs stand in one line: a new permutation for each epoch, one after the other. Step k
    takes the k-th stretch of `batch_size` of it, rank r the r-th equal part of that stretch. So the line is
    the same whatever the number of ranks and workers, every item comes once an epoch, and a run that
    continues at step k sees what it would have seen.

    Args:
        num_items: items of the data set.
        batch_size: items a step over all ranks.
        total_steps: steps of the whole run.
        seed: of the permutations.
        shuffle: whether an epoch is permuted.
        strata: for each item a number; an epoch then goes by blocks of a batch's length whose items share it, the
            blocks in random order and what is left over at the end. Batches that lie across two blocks show two.
        start_step: steps already done.
        rank, world_size: which part of each batch.

    Raises:
        InputError: no items, or a batch that does not divide by the ranks.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        total_steps: int,
        seed: int,
        *,
        shuffle: bool = True,
        strata: np.ndarray | None = None,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if num_items < 1:
            raise InputError("the training set has no items; look at the manifest, the split and the query")
        if batch_size < 1 or batch_size % world_size:
            raise InputError(f"batch_size={batch_size} does not divide by {world_size} processes; change one of them")
        self.num_items, self.batch_size, self.total_steps, self.seed = num_items, batch_size, total_steps, seed
        self.shuffle, self.strata = shuffle, strata
        self.start_step, self.rank, self.world_size = start_step, rank, world_size

    def __len__(self) -> int:
        """Items of the whole run, those of the steps already done among them, as Lightning counts its batches."""
        return self.total_steps * self.rank_batch_size

    @property
    def rank_batch_size(self) -> int:
        """Items a step on this rank."""
        return self.batch_size // self.world_size

    def order(self, epoch: int) -> np.ndarray:
        """The items of an epoch, one after the other."""
        if not self.shuffle:
            return np.arange(self.num_items)
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(self.num_items)
        if self.strata is None:
            return order
        members = [order[self.strata[order] == value] for value in np.unique(self.strata)]
        size = self.batch_size
        blocks = [part[i : i + size] for part in members for i in range(0, len(part), size)]
        drawn = [blocks[i] for i in rng.permutation(len(blocks))]
        return np.concatenate(sorted(drawn, key=lambda block: len(block) < size))

    def __iter__(self) -> Iterator[ItemKey]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start_step, self.total_steps):
            first = step * self.batch_size + self.rank * self.rank_batch_size
            for position in range(first, first + self.rank_batch_size):
                if position // self.num_items != epoch:
                    epoch = position // self.num_items
                    order = self.order(epoch)
                yield epoch, int(order[position % self.num_items])
