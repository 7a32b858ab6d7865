"""What second_view.json holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mv2mae.evaluate.results import Interval
from mv2mae.results import LEFT_OUT, Result

SECOND_VIEW_NAME = "second_view.json"


@dataclass(frozen=True, kw_only=True)
class Change(Result):
    """By how much one loss lies above or below another, as a share of it."""

    value: float
    interval: Interval | None
    """At 95 %, over performances; None for a single one."""


@dataclass(frozen=True, kw_only=True)
class AngleResult(Result):
    """What the source is worth at one angle, on one kind of tokens."""

    angle: str
    """Degrees, or `not known`."""
    tokens: str
    """`all` masked ones, those `seen` by the source, or `hidden` from it."""
    performances: int
    mean_angle: float | None
    share: float
    """Of the weight of all masked tokens."""
    self: float
    """Self-view loss over the mean baseline; `cross` is the cross-view loss."""
    cross: float
    gain: Change | None
    """The share by which cross lies below self on the same tokens."""
    empty: Change | None
    """Rise of the cross-view loss with no source, another room's, the same room's; None where there was none."""
    other_room: Change | None
    same_room: Change | None
    mask_tokens: Change | None = field(default=None, metadata=LEFT_OUT)
    """The same with mask tokens in place of the source's: places, and nothing at them."""

    def with_source(self, name: str) -> float | None:
        """The cross-view loss over the mean baseline with another source (`measure.RISES`)."""
        rise: Change | None = getattr(self, name)
        return None if rise is None else self.cross * (1 + rise.value)


@dataclass(frozen=True, kw_only=True)
class SecondViewResult(Result):
    """What a source view is worth to a model, by angle."""

    weights: str
    on: str
    """Of what, as text."""
    known_cameras: bool
    trained_on: Any
    """What the weights say of the rows that they were trained on."""
    angles: tuple[AngleResult, ...]
