"""What probe.json holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mv2mae.evaluate.results import Interval
from mv2mae.results import LEFT_OUT, Result, with_interval


@dataclass(frozen=True, kw_only=True)
class ProbeScore(Result):
    """What one probe of one encoder reached on the test videos, and the settings that it chose."""

    top1: float
    top1_interval: Interval
    num: int
    """Videos."""
    num_broken: int = 0
    """Of them could not be read; they count as errors."""
    mean_class: float
    per_class: dict[int, float] = field(default_factory=dict)
    """Top-1 by label."""
    fused_top1: float | None = field(default=None, metadata=LEFT_OUT)
    """Of performances, their views fused by the mean; where there are several views."""
    weight_decay: float | None = field(default=None, metadata=LEFT_OUT)
    """Of the linear probe, chosen on held-out groups."""
    k: int | None = field(default=None, metadata=LEFT_OUT)
    """Of the k-NN probe, and its temperature."""
    temperature: float | None = field(default=None, metadata=LEFT_OUT)
    epochs: int | None = field(default=None, metadata=LEFT_OUT)
    """Of the attentive probe, chosen on held-out groups."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Result):
    """Probes of an encoder and, as the floor, of the same encoder untrained."""

    run: str
    manifest: str
    split: str
    """Or the queries, or the test videos' own manifest."""
    classes: tuple[str, ...] = ()
    """Names of the classes that the probes learnt."""
    num_train: int
    num_test: int
    """Videos."""
    chance: float
    most_frequent_class: float
    """Top-1 of always saying the class that is most frequent in training."""
    num_untrained: int = 0
    """Test videos of classes that are not in training, which count as errors; and the names of these classes."""
    untrained: tuple[str, ...] = ()
    features: dict[str, Any] = field(default_factory=dict)
    """As `FeatureConfig`."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Probes that were not made, and why."""
    encoders: dict[str, dict[str, ProbeScore]]
    """By encoder and probe."""
    broken: tuple[tuple[str, str], ...] = ()
    """Path and reason of videos that could not be read."""

    def rows(self) -> list[tuple[str, str]]:
        """Top-1 of each encoder and probe, with its interval at 95 %, and chance."""
        shown = [
            (f"{encoder}, {probe}", with_interval(score.top1, score.top1_interval))
            for encoder, scores in self.encoders.items()
            for probe, score in scores.items()
        ]
        return [*shown, ("chance", f"{self.chance:.3f}")]
