"""Settings of a synthetic data set: `mv2mae synth`."""

from __future__ import annotations

from dataclasses import dataclass

from mv2mae.config.check import require
from mv2mae.config.rig import FreeRigConfig

_MOST_SETUPS = 9999
_BOUNDS = {
    "num_frames": (2, 100_000),
    "fps": (1, 240),
    "repetitions": (1, 999),
    "crf": (0, 51),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, kw_only=True)
class SynthConfig(FreeRigConfig):
    """Every combination of actions, subjects, setups and repetitions, or `num_groups` of them.

    Names that only the generator knows (of actions, of levels, of cameras' places) are checked by
    `synthetic.data_set.SyntheticSet`.
    """

    actions: tuple[str, ...] = ()
    """Names of built-in or captured actions; empty = all captured ones, or without any all built-in ones."""
    motions: str = ""
    """A folder of BVH files, each sub-folder an action (docs/synthetic.md); empty = none. A captured action takes the
    place of a built-in one of its name."""
    subjects: tuple[int, ...] = tuple(range(1, 41))
    """Ids of people, 1 to 40. The packaged sample set shows 1 to 10."""
    setups: tuple[int, ...] = (1,)
    """Ids of setups; each is a room with its light and cameras, drawn from (seed, id)."""
    repetitions: int = 1
    """How often each combination is performed."""
    own_rooms: bool = False
    """Every performance has a room and cameras of its own, numbered from the one setup that `setups` gives; people and
    actions take turns, in shuffled order, and `num_groups` may be any number of rooms. Of a model that trains on them
    nothing can be known by heart of a room that is tested on."""
    num_groups: int | None = None
    """Draw this many of the combinations instead of making all."""
    num_frames: int = 64
    """Frames of a video; actions take about two seconds, short ones repeat."""
    fps: float = 30
    """Frames a second."""
    size: int = 128
    """Side of the square frames in pixels, even."""
    difficulty: str = "normal"
    """easy, normal, hard or crowded: noise, flicker, shake and compression of the videos, changes of light, things
    that move on their own, furniture before the person; crowded: three people more."""
    crf: int | None = None
    """H.264 quality, 0 (lossless) to 51; null = the difficulty's own (23, 28, 33)."""
    truth: tuple[str, ...] = ()
    """Ground truth to write beside each video, any of depth, parts, joints, flow, poses."""
    seed: int = 0
    """All draws follow from it."""

    def __post_init__(self) -> None:
        for name in ("actions", "subjects", "setups"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            good = (len(value) > 0 or name == "actions") and len(set(value)) == len(value)
            require(good, f"{name}={value}; give at least one, and each only once")
        object.__setattr__(self, "azimuth_ranges", tuple((float(a), float(b)) for a, b in self.azimuth_ranges))
        object.__setattr__(self, "azimuths", tuple(float(azimuth) for azimuth in self.azimuths))
        near = min(max(self.size // 2 * 2, 32), 480)
        good = self.size % 2 == 0 and 32 <= self.size <= 480
        require(good, f"size={self.size}; expected an even number (H.264) from 32 to 480; try {near}")
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            require(value is None or low <= value <= high, f"{name}={value}; expected {low} to {high}")
        total = max(1, len(self.actions)) * len(self.subjects) * len(self.setups) * self.repetitions
        first, last = min(self.setups), max(self.setups)
        if self.own_rooms:
            one = len(self.setups) == 1
            require(one, f"own_rooms with {len(self.setups)} setups; give one, the number of the first room")
            last = first + (total if self.num_groups is None else self.num_groups) - 1
            total = max(total, _MOST_SETUPS)
        inside = 1 <= first <= last <= _MOST_SETUPS
        require(inside, f"setups {first} to {last}; setups are numbered from 1 to {_MOST_SETUPS}")
        require(
            self.num_groups is None or 1 <= self.num_groups <= total or not self.actions,
            f"num_groups={self.num_groups}; actions x subjects x setups x repetitions give 1 to {total}",
        )
