"""Settings of studies: where cross-attention looks, and what a second view is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mv2mae.config.check import require
from mv2mae.config.rig import RigConfig


@dataclass(frozen=True, kw_only=True)
class GeometryConfig(RigConfig):
    """What is drawn, and which tokens count."""

    performances: int = 64
    """Performances, each before two cameras in a room of its own; both directions are measured."""
    angles: tuple[float, ...] = ()
    """Of free cameras: where the other ones stand, in degrees from the first, for instance [5,10,20,45,90]; each
    performance is then measured at all of them. Empty = two of the preset's cameras film each performance."""
    known_cameras: bool = True
    """Whether a model with rays is told where cameras stand."""
    difficulty: str = "easy"
    """easy, normal or hard: noise, shake, changes of light, things before and beside the person."""
    frame_stride: float | None = None
    """Distance between a clip's frames at 30 frames a second; null = what the model was trained with."""
    min_share: float = 0.2
    """How much of a token's pixels a part of the body must cover, 0 to 1, for the token to show it."""
    untrained: int = 3
    """Models with first weights that are measured beside it; one alone may look anywhere by luck."""
    seed: int = 0
    """Of people, actions, rooms, cameras, masks and first weights."""

    def __post_init__(self) -> None:
        require(2 <= self.performances <= 9999, f"performances={self.performances}; expected 2 to 9999")
        if self.angles:
            free = self.cameras == "free" and self.num_cameras is None
            require(free, f"angles={list(self.angles)} are those of free cameras; give cameras=free and no num_cameras")
            good = all(0 < angle <= 180 for angle in self.angles) and len(set(self.angles)) == len(self.angles)
            require(good, f"angles={list(self.angles)}; expected degrees above 0 and up to 180, each once")
        require(0 < self.min_share <= 1, f"min_share={self.min_share}; expected more than 0 and at most 1")
        require(self.untrained >= 1, f"untrained={self.untrained}; expected at least 1")
        require(0 <= self.seed < 2**32, f"seed={self.seed}; expected 0 to {2**32 - 1}")
        stride = self.frame_stride
        require(stride is None or stride > 0, f"frame_stride={stride}; expected more than 0")


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
