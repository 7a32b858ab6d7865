"""What the demo compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mv2mae.evaluate.metrics import fuse_views, top1_with_interval
from mv2mae.evaluate.results import TestResult

UNSEEN_VIEW = 1
"""The camera that no training saw."""


@dataclass(frozen=True)
class Contender:
    """One encoder of the comparison."""

    name: str
    about: str
    init: str | None
    run: Path
    """Where it is fine-tuned."""


@dataclass(frozen=True)
class Tested(Contender):
    """How it fared."""

    result: TestResult
    scores: pd.DataFrame

    def on_unseen_view(self) -> tuple[float, float, float, int]:
        """Top-1 on the camera that no training saw, its 95 % interval and the number of test clips."""
        return top1_with_interval(self.scores[self.scores["view"] == UNSEEN_VIEW])

    def fused(self) -> tuple[float, float, float, int]:
        """The same for the fused views."""
        return top1_with_interval(fuse_views(self.scores))
