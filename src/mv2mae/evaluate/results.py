"""What evaluation.json and comparison.json hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from mv2mae.results import LEFT_OUT, Result, with_interval

Interval = tuple[float, float]
"""Lower and upper end, at 95 %."""


@dataclass(frozen=True, kw_only=True)
class Accuracy(Result):
    """Shares of right answers. A broken video counts as an error, and so does one of a class that was never trained."""

    num: int
    """Videos, or groups where views are fused."""
    num_broken: int = 0
    num_untrained: int = 0
    """Of classes that were never trained."""
    top1: float
    top5: float | None = None
    """None for fewer than 6 trained classes."""
    mean_class: float
    per_class: dict[int, float]
    """Top-1 by label."""


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin(Result):
    """Videos whose likeliest class has a probability between two bounds."""

    low: float
    high: float
    num: int
    confidence: float
    """Mean probability of the likeliest class."""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration(Result):
    """Whether probabilities mean what they say, over the videos that could be read; None where none could."""

    nll: float | None = None
    """Mean of -log p(label) over the videos of trained classes."""
    ece: float | None = None
    """Expected calibration error: mean of |accuracy - confidence| over the bins, weighted by their videos."""
    reliability: tuple[ReliabilityBin, ...] = ()
    """Bins that are not empty."""


@dataclass(frozen=True, kw_only=True)
class Scored(Calibration, Accuracy):
    """All that some answers reached."""

    top1_interval: Interval


@dataclass(frozen=True, kw_only=True)
class FusedScored(Scored):
    """The same of groups, whose views were fused."""

    confusion: tuple[tuple[int, ...], ...] = ()
    """Counts [true, predicted]."""
    incomplete: int = 0
    """Groups that were fused without some of their views, since these could not be read."""


@dataclass(frozen=True, kw_only=True)
class TestResult(Result):
    """A test of a classifier: what evaluation.json holds."""

    __test__ = False  # no test, says pytest

    classes: tuple[str, ...]
    """Names of the classes that were trained."""
    untrained: tuple[str, ...] = ()
    """Names of the test's other classes, whose videos count as errors."""
    untrained_labels: tuple[int, ...] = ()
    """Their numbers."""
    run: str | None = field(default=None, metadata=LEFT_OUT)
    """This and the next five: what was tested and how; None where a table of scores does not tell."""
    split: str | None = field(default=None, metadata=LEFT_OUT)
    num_clips: int | None = field(default=None, metadata=LEFT_OUT)
    num_crops: int | None = field(default=None, metadata=LEFT_OUT)
    fusion: str | None = field(default=None, metadata=LEFT_OUT)
    trained_on: int | None = field(default=None, metadata=LEFT_OUT)
    """How many of the tested videos were training videos of the run."""
    labels: tuple[int, ...] = ()
    """Numbers of `classes` in training; the scores' labels count as they do, whatever the number in the manifest:
    classes are matched by name. Files of old versions have none."""
    single_view: Scored
    """Over all videos."""
    per_view: dict[str, float] = field(default_factory=dict)
    """Top-1 of single views by view, its interval and the number of videos."""
    per_view_interval: dict[str, Interval] = field(default_factory=dict)
    per_view_num: dict[str, int] = field(default_factory=dict)
    per_subject: dict[str, float] = field(default_factory=dict)
    """The same by person."""
    per_subject_interval: dict[str, Interval] = field(default_factory=dict)
    per_subject_num: dict[str, int] = field(default_factory=dict)
    late: Scored | None = field(default=None, metadata=LEFT_OUT)
    """Fusion by the mean, where `fused` is another."""
    fused: FusedScored | None = field(default=None, metadata=LEFT_OUT)
    """A row a group; where there are several views."""
    confusion: tuple[tuple[int, ...], ...]
    """Counts [true, predicted] of single views."""
    broken: tuple[tuple[str, str], ...] = ()
    """Path and reason of every video that could not be read."""

    @property
    def chance(self) -> float:
        """Top-1 of guessing."""
        return 1 / len(self.classes)

    @property
    def names(self) -> dict[int, str]:
        """Names of the trained classes by their number in the data set."""
        return dict(zip(self.labels or range(len(self.classes)), self.classes, strict=True))

    def kinds(self) -> dict[str, Scored]:
        """What was scored, of `single_view`, `fused` and `late`."""
        found = {"single_view": self.single_view, "fused": self.fused, "late": self.late}
        return {name: scored for name, scored in found.items() if scored is not None}

    def rows(self) -> list[tuple[str, str]]:
        """Top-1 of what was scored, with its interval at 95 %, and chance."""
        scored = {f"top-1, {name.replace('_', ' ')}": found for name, found in self.kinds().items()}
        shown = [(name, with_interval(found.top1, found.top1_interval)) for name, found in scored.items()]
        return [*shown, ("chance", f"{self.chance:.3f}")]


@dataclass(frozen=True, kw_only=True)
class PairedTest(Result):
    """Top-1 of two tests, a and b, on the same videos, and whether their difference may be chance."""

    a: float
    b: float
    difference: float
    """a - b."""
    interval: Interval
    """Of the difference."""
    p: float
    num: int
    """Videos or groups."""
    groups: int
    only_a: int
    """Rows that a alone got right."""
    only_b: int
