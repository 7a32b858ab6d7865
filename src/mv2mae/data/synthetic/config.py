"""What to generate: the configuration of a synthetic data set, and the performances it consists of."""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.bodies import NUM_SUBJECTS
from mv2mae.data.synthetic.cameras import NTU_AZIMUTHS, check_free
from mv2mae.data.synthetic.difficulty import DIFFICULTIES
from mv2mae.errors import InputError

CAMERA_PRESETS = ("ntu", "free")
# What a draw is for: the second word of every seed, so that no two purposes share random numbers.
ROOM, AZIMUTH, CAMERA, STYLE, FILM, CHOICE = range(1, 7)


@dataclass(frozen=True, kw_only=True)
class Group:
    """One performance; all cameras of its setup film it."""

    setup: int
    subject: int
    repetition: int
    action: str

    @property
    def name(self) -> str:
        """What the videos of the performance have in common, such as S001P001R001A001."""
        return f"S{self.setup:03d}P{self.subject:03d}R{self.repetition:03d}A{ACTIONS[self.action].id:03d}"

    def file_name(self, view: int) -> str:
        """NTU's naming: setup, camera, person, repetition, action."""
        return self.name.replace("P", f"C{view:03d}P", 1) + "_rgb.mp4"

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The numbers that seed the draws of this performance."""
        return self.setup, self.subject, self.repetition, ACTIONS[self.action].id


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """A synthetic data set: every combination of actions, subjects, setups and repetitions, or `num_groups` of them.

    Attributes:
        actions: names from `ACTIONS`.
        subjects: ids of people, 1 to 40. The packaged sample set shows 1 to 10.
        setups: ids of setups; each is a room with its light and cameras, drawn from (seed, id).
        repetitions: how often each combination is performed.
        cameras: "ntu" (views 1, 2, 3 at +45, 0, -45 degrees) or "free" (`num_cameras` drawn from `azimuth_ranges`).
        num_cameras, azimuth_ranges: for "free"; ranges in degrees, 0 in front of the subject, positive on the
            subject's left.
        num_groups: draw this many of the combinations instead of making all.
        num_frames, fps: length of a video and its rate; actions take about two seconds, short ones repeat.
        size: side of the square frames in pixels, even.
        difficulty: "easy", "normal" or "hard": noise, flicker and shake of the cameras.
        crf: H.264 quality, 0 (lossless) to 51.
        seed: all draws follow from it.
    """

    actions: tuple[str, ...] = tuple(ACTIONS)
    subjects: tuple[int, ...] = tuple(range(1, NUM_SUBJECTS + 1))
    setups: tuple[int, ...] = (1,)
    repetitions: int = 1
    cameras: str = "ntu"
    num_cameras: int = 3
    azimuth_ranges: tuple[tuple[float, float], ...] = ((-90.0, 90.0),)
    num_groups: int | None = None
    num_frames: int = 64
    fps: int = 30
    size: int = 128
    difficulty: str = "normal"
    crf: int = 28
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("actions", "subjects", "setups"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if not value or len(set(value)) != len(value):
                raise InputError(f"{name}={value}; give at least one, and each only once")
        object.__setattr__(self, "azimuth_ranges", tuple((float(a), float(b)) for a, b in self.azimuth_ranges))
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        for name in self.actions:
            if name not in ACTIONS:
                raise InputError(f"action {name!r} is unknown; choose from {', '.join(ACTIONS)}")
        for subject in self.subjects:
            if not 1 <= subject <= NUM_SUBJECTS:
                raise InputError(f"subject {subject} does not exist; the baked people are 1 to {NUM_SUBJECTS}")
        if self.difficulty not in DIFFICULTIES:
            raise InputError(f"difficulty={self.difficulty!r} is unknown; choose from {', '.join(DIFFICULTIES)}")
        if self.cameras not in CAMERA_PRESETS:
            raise InputError(f"cameras={self.cameras!r} is not a preset; choose from {', '.join(CAMERA_PRESETS)}")
        if self.cameras == "free":
            check_free(self.num_cameras, self.azimuth_ranges)

    def _check_numbers(self) -> None:
        if self.size % 2 or not 32 <= self.size <= 480:
            near = min(max(self.size // 2 * 2, 32), 480)
            raise InputError(f"size={self.size}; expected an even number (H.264) from 32 to 480; try {near}")
        bounds = {
            "num_frames": (2, 100_000),
            "fps": (1, 240),
            "repetitions": (1, 999),
            "crf": (0, 51),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name}={getattr(self, name)}; expected {low} to {high}")
        if min(self.setups) < 1:
            raise InputError(f"setup {min(self.setups)}; setups are numbered from 1")
        total = len(self.actions) * len(self.subjects) * len(self.setups) * self.repetitions
        if self.num_groups is not None and not 1 <= self.num_groups <= total:
            raise InputError(
                f"num_groups={self.num_groups}; actions x subjects x setups x repetitions give 1 to {total}"
            )

    @property
    def views(self) -> tuple[int, ...]:
        """The ids of the cameras, from 1."""
        return tuple(range(1, (len(NTU_AZIMUTHS) if self.cameras == "ntu" else self.num_cameras) + 1))

    def groups(self) -> list[Group]:
        """The performances, sorted by setup (so that a room is drawn once)."""
        combinations = list(product(self.setups, self.subjects, range(1, self.repetitions + 1), self.actions))
        if self.num_groups is not None:
            chosen = self.rng(CHOICE).choice(len(combinations), self.num_groups, replace=False)
            combinations = [combinations[i] for i in sorted(chosen.tolist())]
        return [Group(setup=s, subject=p, repetition=r, action=a) for s, p, r, a in combinations]

    def rng(self, purpose: int, *key: int) -> np.random.Generator:
        """A generator that depends on (seed, purpose, key) and on nothing else."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, purpose, *key]))

    def to_json(self) -> dict[str, Any]:
        """All fields, for synth.json."""
        return asdict(self)
