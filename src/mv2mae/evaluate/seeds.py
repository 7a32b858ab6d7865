"""Is one way of training better than another? Several trainings of each, on the same performances.

A test of two runs says nothing of two more runs with other seeds. Here trainings are drawn as well as performances: the
share of right answers of training s on performance g is

    y[s, g] = mean + training[s] + performance[g] + interaction[s, g]

with the last three random. The variance of a difference of means follows from the mean squares (a quasi-F test: Clark
1973; degrees of freedom by Satterthwaite 1946), and the difference over its deviation is compared with Student's t.
Performances are paired; trainings are not, unless both ways were measured on the very same ones. The variance between
trainings is pooled over all ways that were trained in one kind: two or three trainings alone tell too little of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from mv2mae.errors import InputError
from mv2mae.evaluate.compare import paired_hits

LEVEL = 0.95
"""Of intervals; below 1 - LEVEL a corrected p tells two ways apart."""


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Trainings of one way.

    rates: share of right answers of each training on each performance, weighted so that a row's mean is its top-1.
    weights: of the performances by their number of answers, mean 1. kind: trainings of one kind vary alike. names: what
    tells the trainings from each other; two ways with the same names were measured on the same trainings.
    hits: of a single training, whether each answer is right, and to which performance it belongs.
    """

    rates: Float[np.ndarray, "s g"]
    weights: Float[np.ndarray, " g"]
    kind: str
    names: tuple[str, ...]
    hits: tuple[np.ndarray, np.ndarray]

    @property
    def mean(self) -> float:
        """Top-1 over all trainings."""
        return float(self.rates.mean())

    @property
    def each(self) -> list[float]:
        """Top-1 of each training."""
        return [float(rate) for rate in self.rates.mean(axis=1)]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean or a difference of means. p: two-sided, of a difference from 0; NaN where none is asked for.

    counts_trainings: whether the interval covers other trainings too, or other performances alone.
    """

    value: float
    interval: tuple[float, float]
    p: float
    counts_trainings: bool


def trainings_of(tables: Sequence[Sequence[pd.DataFrame]], names: Sequence[str], kind: str = "") -> Trainings:
    """Trainings from their answers.

    Args:
        tables: for each training one or more tables of answers (`group`, `hit`), such as those of several fine-tunings
            of one pre-training, which are averaged.
        names: of the trainings.
        kind: of the trainings.

    Raises:
        InputError: they did not answer for the same performances.
    """
    first = tables[0][0]
    groups, codes = np.unique(first["group"].astype(str).to_numpy(), return_inverse=True)
    counts = np.bincount(codes)
    scale = len(groups) / counts.sum()
    rates = np.stack([np.mean([_sums(table, groups, counts) for table in of_one], axis=0) for of_one in tables])
    hits = first["hit"].to_numpy(dtype=bool), first["group"].astype(str).to_numpy()
    return Trainings(rates=rates * scale, weights=counts * scale, kind=kind, names=tuple(names), hits=hits)


def _sums(table: pd.DataFrame, groups: np.ndarray, counts: np.ndarray) -> Float[np.ndarray, " g"]:
    """Right answers by performance."""
    own, codes = np.unique(table["group"].astype(str).to_numpy(), return_inverse=True)
    if list(own) != list(groups) or list(np.bincount(codes)) != list(counts):
        raise InputError(
            f"not tested on the same videos: {len(table)} of {len(own)} groups in one test, {counts.sum()} of "
            f"{len(groups)} in another; test all on the same split"
        )
    return np.bincount(codes, weights=table["hit"].to_numpy(dtype=float))


@dataclass(frozen=True)
class Spread:
    """Variance between trainings of a kind, and that of their interaction with performances; degrees of freedom."""

    between: float
    interaction: float
    freedom: int


def spread_of(ways: Sequence[Trainings]) -> Spread | None:
    """The pooled spread of trainings of one kind; None where none was trained twice."""
    between = interaction = 0.0
    freedom = 0
    for way in ways:
        means = way.rates.mean(axis=1)
        rest = way.rates - np.outer(means - means.mean(), way.weights) - way.rates.mean(axis=0)
        between += float(((means - means.mean()) ** 2).sum())
        interaction += float((rest**2).sum()) / max(1, rest.shape[1] - 1)
        freedom += len(means) - 1
    return Spread(between / freedom, interaction / freedom, freedom) if freedom else None


def mean_estimate(way: Trainings, others: Sequence[Trainings] = ()) -> Estimate:
    """Top-1 of a way with its interval.

    Args:
        way: its trainings.
        others: further ways, those of its kind tell how much trainings vary.
    """
    terms, counts = _terms(way.rates.mean(axis=0) - way.mean * way.weights, [(way, _spread(way, others))])
    low, high = _interval(way.mean, terms)
    return Estimate(value=way.mean, interval=(max(0.0, low), min(1.0, high)), p=math.nan, counts_trainings=counts)


def compare_trainings(a: Trainings, b: Trainings, others: Sequence[Trainings] = ()) -> Estimate:
    """Top-1 of a less that of b, its interval, and whether it may be chance.

    With one training of each, and no others to tell how much trainings vary, it is `paired_hits`: the interval
    and p then speak of these two trainings on other performances, and say nothing of other trainings.

    Raises:
        InputError: the two did not answer for the same performances.
    """
    if a.rates.shape[1] != b.rates.shape[1]:
        raise InputError(
            f"not tested on the same videos: {a.rates.shape[1]} and {b.rates.shape[1]} groups; test both on one split"
        )
    if a.names == b.names:  # the same trainings, measured in two ways
        apart = Trainings(rates=a.rates - b.rates, weights=a.weights, kind="", names=a.names, hits=a.hits)
        spreads = [(apart, spread_of([apart]))]
    else:
        spreads = [(way, _spread(way, [*others, a, b])) for way in (a, b)]
    value = a.mean - b.mean
    if any(spread is None for _, spread in spreads) and len(a.hits[0]) == len(b.hits[0]):
        found = paired_hits(a.hits[0], b.hits[0], a.hits[1])
        return Estimate(value=found.difference, interval=found.interval, p=found.p, counts_trainings=False)
    residual = a.rates.mean(axis=0) - b.rates.mean(axis=0) - a.mean * a.weights + b.mean * b.weights
    terms, counts = _terms(residual, spreads)
    deviation, freedom = _deviation(terms)
    p = 1.0 if value == 0 else 2 * (1 - student_cdf(abs(value) / max(deviation, 1e-12), freedom))
    return Estimate(value=value, interval=_interval(value, terms), p=p, counts_trainings=counts)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for their number by Holm's step-down method (1979)."""
    order = sorted(p_values, key=lambda name: p_values[name])
    corrected, largest = {}, 0.0
    for place, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


# ---------------------------------------------------------------------------------------------------------

_Term = tuple[float, float]
"""A part of a variance and its degrees of freedom; negative where it is counted twice in the others."""


def _spread(way: Trainings, others: Sequence[Trainings]) -> Spread | None:
    alike = {id(other): other for other in (way, *others) if other.kind == way.kind}
    return spread_of(list(alike.values()))


def _terms(
    residual: Float[np.ndarray, " g"], spreads: Sequence[tuple[Trainings, Spread | None]]
) -> tuple[list[_Term], bool]:
    """The parts of the variance: performances, then for each way its trainings and the interaction they share."""
    num = len(residual)
    terms = [(float((residual**2).sum()) / max(1, num - 1) / num, float(max(1, num - 1)))]
    for way, spread in spreads:
        if spread is not None:
            shared = min(spread.interaction / num, spread.between) / len(way.rates)
            terms += [(spread.between / len(way.rates), spread.freedom), (-shared, spread.freedom * max(1, num - 1))]
    return terms, all(spread is not None for _, spread in spreads)


def _deviation(terms: Sequence[_Term]) -> tuple[float, float]:
    """Standard deviation and degrees of freedom (Satterthwaite)."""
    largest = max(terms[0][0], sum(part for part, _ in terms[1:] if part > 0))
    variance = max(sum(part for part, _ in terms), largest)
    below = sum(part**2 / freedom for part, freedom in terms)
    return math.sqrt(variance), max(1.0, variance**2 / below) if below > 0 else 1.0


def _interval(value: float, terms: Sequence[_Term]) -> tuple[float, float]:
    deviation, freedom = _deviation(terms)
    reach = student_quantile((1 + LEVEL) / 2, freedom) * deviation
    return value - reach, value + reach


def student_cdf(t: float, freedom: float) -> float:
    """Distribution function of Student's t at t >= 0, by the substitution t = sqrt(freedom) tan(angle)."""
    angles = np.linspace(0.0, math.atan(t / math.sqrt(freedom)), 2001)
    values = np.cos(angles) ** (freedom - 1)
    log_factor = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    return min(1.0, 0.5 + math.exp(log_factor) * float(np.trapezoid(values, angles)))


def student_quantile(share: float, freedom: float) -> float:
    """The t below which a share (0.5 to 1) of Student's distribution lies."""
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < share else (low, middle)
    return high
