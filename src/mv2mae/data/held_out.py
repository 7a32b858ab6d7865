"""Which performances a pre-training is looked at with: some of rooms and people that it trains on, and some of others.

With few rooms everything in them is learnt by heart, and losses on performances held out of the same rooms say more of
the rooms than of the model. So there are two checks: `held_out`, drawn from all training groups, and `unseen`, whose
setups and subjects are not trained on, as far as the manifest tells them and has enough of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from mv2mae.text import counted

APART = {"setup": "rooms", "subject": "people"}
"""Columns of a manifest that can be kept apart, in words; a setup is a room with its cameras."""
_ENOUGH = 4
"""Groups that make a check, or as many as are wanted where that is less."""
_TRIED = 64
"""Cells that are weighed at a time."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Names of groups. held_out: of rooms and people that may be trained on. unseen: of those that are not.
    given_up: trained on by nobody, since they share a room or a person with an unseen one.
    """

    held_out: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


def draw_held_out(train: pd.DataFrame, rest: pd.DataFrame, *, number: int | None, share: float, seed: int) -> HeldOut:
    """The groups to look at.

    Unseen are taken from what is not trained on anyway where that is possible, else from training, so that as few
    groups as possible are lost: both setups and subjects apart if enough groups can be, else setups, else subjects.

    Args:
        train: rows that may be trained on, in pairs. rest: rows of other groups, in pairs.
        number: groups of each check; None = one training group in twenty, 2 at least and 32 at most; 0 = train on all.
        share: of the training groups that unseen ones may cost at most.
        seed: of the draw.
    """
    groups = _groups(train)
    usual = min(32, max(2, round(len(groups) / 20)))
    wanted = usual if number is None else number
    given_up = int(share * len(groups)) if wanted else 0
    unseen, lost = _unseen(groups, _groups(rest), wanted or usual, given_up, seed)
    left = sorted(set(groups.index) - unseen - lost)
    order = np.random.default_rng((seed, len(left))).permutation(len(left))
    held = tuple(left[i] for i in order[: min(wanted, len(left) - 1)])
    return HeldOut(held_out=held, unseen=tuple(sorted(unseen)), given_up=tuple(sorted(lost - unseen)))


def kept_apart(train: pd.DataFrame, looked_at: pd.DataFrame) -> tuple[str, ...]:
    """Which of `APART` no row looked at shares with a training row; a column that is not filled in tells nothing."""
    return tuple(
        name
        for name in APART
        if not (train[name].isna().any() or looked_at[name].isna().any())
        and set(train[name]).isdisjoint(looked_at[name])
    )


def apart_in_words(apart: Sequence[str]) -> str:
    """`rooms and people not trained on`, `people not trained on, rooms trained on or not known`."""
    new = " and ".join(words for name, words in APART.items() if name in apart)
    old = " and ".join(words for name, words in APART.items() if name not in apart)
    return ", ".join(
        [*([f"{new} not trained on"] if new else []), *([f"{old} trained on or not known"] if old else [])]
    )


def describe_held_out(summary: Mapping[str, int], apart: Mapping[str, Sequence[str]]) -> list[str]:
    """The checks in words: `10 groups held out, rooms and people trained on`.

    Args:
        summary: `held_out_groups`, `unseen_groups`, `given_up_groups`.
        apart: of each check what is kept apart.
    """
    said = [
        f"{counted(summary[f'{name}_groups'], 'group')} {name.replace('_', ' ')}, {apart_in_words(apart[name])}"
        if summary[f"{name}_groups"]
        else "pairs of the training itself, of which no group is held out"
        for name in apart
    ]
    if not any(apart.values()):
        said.append("too few rooms and people, or none told, to keep some apart: a gain may be rooms learnt by heart")
    if summary.get("given_up_groups"):
        said.append(f"{counted(summary['given_up_groups'], 'group')} not trained on for it")
    return said


def other_performances(
    groups: Sequence[str], setups: Sequence[str], seed: int
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """For each item the index of one of another performance: in another room, and in the same room.

    Where no other room is known any other performance does for the first; -1 where there is none.
    """
    rng = np.random.default_rng(seed)
    names, rooms = np.array(groups), np.array(setups)
    other, same = [], []
    for name, room in zip(names, rooms, strict=True):
        others = names != name
        elsewhere, here = others & (rooms != room), others & (rooms == room) & (room != "")
        candidates = np.flatnonzero(elsewhere if elsewhere.any() else others)
        other.append(int(rng.choice(candidates)) if len(candidates) else -1)
        neighbours = np.flatnonzero(here)
        same.append(int(rng.choice(neighbours)) if len(neighbours) else -1)
    return np.array(other, np.int64), np.array(same, np.int64)


def _groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Setup and subject by group; NaN where rows of a group differ, which makes the column useless."""
    named = frame.groupby("group")[list(APART)]
    return named.first().where(named.nunique(dropna=False) == 1)


def _unseen(train: pd.DataFrame, rest: pd.DataFrame, wanted: int, budget: int, seed: int) -> tuple[set[str], set[str]]:
    """Groups to look at, and the training groups that are lost for it (some of them are looked at)."""
    usable = [name for name in APART if not (train[name].isna().any() or rest[name].isna().any())]
    for columns in ([usable] if usable else []) + ([[name] for name in usable] if len(usable) > 1 else []):
        if all(train[name].is_unique for name in columns):
            return set(), set()  # any draw is apart, as where each performance has a room of its own
        found, lost = _greedy(train[columns], rest[columns], wanted, budget, np.random.default_rng((seed, len(train))))
        if len(found) >= min(wanted, _ENOUGH):
            return found, lost
    return set(), set()


def _greedy(
    train: pd.DataFrame, rest: pd.DataFrame, wanted: int, budget: int, rng: np.random.Generator
) -> tuple[set[str], set[str]]:
    """Values are taken out of training one combination at a time, that which loses fewest groups for each one won."""
    everything = pd.concat([train, rest])
    names = everything.index.to_numpy()
    codes = np.stack([pd.factorize(everything[name])[0] for name in everything], axis=1)
    of_train = np.arange(len(everything)) < len(train)
    # what only the rest has is not trained on anyway
    out = [np.array(sorted(set(column) - set(column[of_train])), dtype=int) for column in codes.T]

    def outcome(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        inside = np.stack([np.isin(column, chosen) for column, chosen in zip(codes.T, values, strict=True)], axis=1)
        return np.asarray(inside.all(axis=1)), np.asarray(inside.any(axis=1)) & of_train

    found, lost = outcome(out)
    while found.sum() < wanted:
        cells = rng.permutation(np.unique(codes[~found], axis=0))[:_TRIED]
        best: tuple[float, list[np.ndarray]] | None = None
        for cell in cells:
            tried = [np.union1d(chosen, value) for chosen, value in zip(out, cell[:, None], strict=True)]
            more, less = outcome(tried)
            ratio = (less.sum() - lost.sum()) / max(1, more.sum() - found.sum())
            if less.sum() <= budget and (best is None or ratio < best[0]):
                best = ratio, tried
        if best is None:
            break
        out = best[1]
        found, lost = outcome(out)
    chosen = rng.permutation(np.flatnonzero(found))[:wanted]
    return set(names[chosen]), set(names[lost])
