"""Settings of the measured worth of a second view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mv2mae.config.check import require


@dataclass(frozen=True, kw_only=True)
class SecondViewConfig:
    """Which pairs a model is asked to rebuild, and from what."""

    on: Literal["drawn", "videos"] = "drawn"
    """Fresh synthetic performances at given angles, each in a room of its own; or the videos of `--data`."""
    performances: int = 64
    """Performances that are drawn, or pairs that are taken of videos."""
    angles: tuple[float, ...] = (5.0, 10.0, 20.0, 45.0, 90.0)
    """Degrees between target and source: where drawn cameras stand; those of videos are counted with the nearest."""
    subjects: tuple[int, ...] = tuple(range(1, 11))
    """Drawn people; 1 to 10 are those that the packaged weights and their recipes never saw."""
    difficulty: str = "easy"
    """Of drawn video: easy, normal or hard."""
    known_cameras: bool = True
    """Whether a model with rays is told where cameras stand."""
    batch_size: int = 16
    """Pairs at a time (speed only)."""
    seed: int = 0
    """Of performances, masks and intervals."""

    def __post_init__(self) -> None:
        require(2 <= self.performances <= 9999, f"performances={self.performances}; expected 2 to 9999")
        require(self.on in ("drawn", "videos"), f"on={self.on!r} is unknown; choose drawn or videos")
        good = len(self.angles) > 0 and all(0 < angle <= 180 for angle in self.angles)
        require(good, f"angles={list(self.angles)}; expected degrees above 0 and up to 180")
        require(len(set(self.angles)) == len(self.angles), f"angles={list(self.angles)} repeats one; give each once")
        require(self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1")
        require(0 <= self.seed < 2**32, f"seed={self.seed}; expected 0 to {2**32 - 1}")
