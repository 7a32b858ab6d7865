"""What geometry.json holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mv2mae.evaluate.results import Interval
from mv2mae.results import LEFT_OUT, Result


@dataclass(frozen=True, kw_only=True)
class Mean(Result):
    """Of a measure over the tokens that count; None where none does."""

    value: float | None
    interval: Interval | None
    """At 95 %, over performances."""
    num: int
    """Tokens that count."""

    @property
    def drawn(self) -> float:
        """The value for a figure, NaN where there is none."""
        return float("nan") if self.value is None else self.value


NOTHING = Mean(value=None, interval=None, num=0)
"""Of what earlier versions did not measure."""


@dataclass(frozen=True, kw_only=True)
class Measures(Result):
    """Each as `geometry.measure.MEASURES` says."""

    part_hit: Mean
    person_hit: Mean
    part_mass: Mean
    distance: Mean
    near_hit: Mean
    moment_hit: Mean
    exact_hit: Mean | None = field(default=None, metadata=LEFT_OUT)
    """Not in files of earlier versions, as the next."""
    moved_hit: Mean | None = field(default=None, metadata=LEFT_OUT)

    def mean(self, measure: str) -> Mean:
        """One of them, by its name in `MEASURES`."""
        found: Mean | None = getattr(self, measure)
        return NOTHING if found is None else found


@dataclass(frozen=True, kw_only=True)
class AngleMeasures(Measures):
    """Of cameras that are so many degrees apart."""

    angle: float
    performances: int
    against: dict[str, Measures] | None = field(default=None, metadata=LEFT_OUT)
    """Of a model's best head: its measures less those of others on the same tokens."""


@dataclass(frozen=True, kw_only=True)
class HeadMeasures(Measures):
    """Of one head."""

    looker: str
    block: int
    """From 1, as the head."""
    head: int


@dataclass(frozen=True, kw_only=True)
class LookerResult(Result):
    """A model with one of its maps, or a baseline."""

    looker: str
    map: str
    """`best head`, `mean of heads`, or "" of a baseline."""
    block: int | None
    """From 1, of the mean of its heads."""
    title: str
    overall: Measures
    by_angle: tuple[AngleMeasures, ...]
    by_part: dict[str, Measures]
    """By part of the body."""
    against: dict[str, Measures] | None = field(default=None, metadata=LEFT_OUT)
    """Of a model: its measures less those of others on the same tokens."""


@dataclass(frozen=True, kw_only=True)
class Summary(Result):
    """Means with 95 % bootstrap intervals over performances."""

    tokens: int
    performances: int
    measures: dict[str, str]
    """What each means."""
    lookers: tuple[LookerResult, ...]
    heads: tuple[HeadMeasures, ...]
    best_head: tuple[tuple[int, int], ...]
    """(block, head) from 1 that was chosen on the even performances, and on the odd ones."""

    def of(self, looker: str, map: str) -> LookerResult:
        """What one of `lookers` scored, by its names; of a model's blocks none."""
        return next(one for one in self.lookers if (one.looker, one.map, one.block) == (looker, map, None))


@dataclass(frozen=True, kw_only=True)
class GeometryResult(Summary):
    """Where the cross-attention of a model looks."""

    weights: str
    drawn: dict[str, Any]
    """The settings of `GeometryConfig`, and frames, frames_per_second and size of the clips."""
    model: dict[str, Any]
    """Its grid, token_pixels and mask_ratio."""
