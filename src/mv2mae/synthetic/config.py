"""What to generate: the configuration of a synthetic data set, and the performances it consists of."""

from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np

from mv2mae.config.rig import FreeRigConfig
from mv2mae.errors import InputError
from mv2mae.synthetic.capture.library import MotionLibrary, read_motions
from mv2mae.synthetic.difficulty import DIFFICULTIES
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import NUM_SUBJECTS
from mv2mae.synthetic.render.truth import check_truth
from mv2mae.synthetic.world.cameras import count_cameras
from mv2mae.synthetic.world.moving import check_motion

# What a draw is for: the second entry of every seed, so that no two purposes share random numbers.
ROOM, RIG, CAMERA, STYLE, FILM, CHOICE, DISTRACTOR, MOTION = range(1, 9)

_MOST_SETUPS = 9999


@dataclass(frozen=True, kw_only=True)
class Group:
    """One performance; all cameras of its setup film it. captured_id: of an action that is motion capture."""

    setup: int
    subject: int
    repetition: int
    action: str
    captured_id: int | None = None

    @property
    def action_id(self) -> int:
        """The number of the action, from 1."""
        return ACTIONS[self.action].id if self.captured_id is None else self.captured_id

    @property
    def label(self) -> int:
        """The class number, from 0."""
        return self.action_id - 1

    @property
    def name(self) -> str:
        """What the videos of the performance have in common, such as S001P001R001A001."""
        return f"S{self.setup:03d}P{self.subject:03d}R{self.repetition:03d}A{self.action_id:03d}"

    def file_name(self, view: int) -> str:
        """NTU's naming: setup, camera, person, repetition, action."""
        return self.name.replace("P", f"C{view:03d}P", 1) + "_rgb.mp4"

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The numbers that seed the draws of this performance."""
        return self.setup, self.subject, self.repetition, self.action_id


@dataclass(frozen=True, kw_only=True)
class SynthConfig(FreeRigConfig):
    """A synthetic data set: every combination of actions, subjects, setups and repetitions, or `num_groups` of them.

    Attributes:
        actions: names from `ACTIONS`, or of captured actions; by default all of `ACTIONS`, or all captured ones if
            there are any.
        motions: a folder of BVH files, each sub-folder an action (`docs/synthetic.md`); "" for none. A captured
            action takes the place of a built-in one of its name.
        subjects: ids of people, 1 to 40. The packaged sample set shows 1 to 10.
        setups: ids of setups; each is a room with its light and cameras, drawn from (seed, id).
        repetitions: how often each combination is performed.
        own_rooms: every performance has a room and cameras of its own, numbered from the one setup that `setups` gives;
            people and actions take turns, in shuffled order, and `num_groups` may be any number of rooms. Of a model
            that trains on them nothing can be known by heart of a room that is tested on.
        num_groups: draw this many of the combinations instead of making all.
        num_frames, fps: length of a video and its rate; actions take about two seconds, short ones repeat.
        size: side of the square frames in pixels, even.
        difficulty: "easy", "normal", "hard" or "crowded": noise, flicker, shake and compression of the videos, changes
            of light, things that move on their own, furniture before the person; crowded: three people more.
        crf: H.264 quality, 0 (lossless) to 51; the difficulty's own (23, 28, 33) if not given.
        truth: ground truth to write beside each video, any of "depth", "parts", "joints", "flow", "poses".
        seed: all draws follow from it.
    """

    actions: tuple[str, ...] = tuple(ACTIONS)
    motions: str = ""
    subjects: tuple[int, ...] = tuple(range(1, NUM_SUBJECTS + 1))
    setups: tuple[int, ...] = (1,)
    repetitions: int = 1
    own_rooms: bool = False
    num_groups: int | None = None
    num_frames: int = 64
    fps: float = 30
    size: int = 128
    difficulty: str = "normal"
    crf: int | None = None
    truth: tuple[str, ...] = ()
    seed: int = 0
    library: MotionLibrary | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.motions:
            library = read_motions(self.motions)
            object.__setattr__(self, "library", library)
            if tuple(self.actions) == tuple(ACTIONS):
                object.__setattr__(self, "actions", library.names)
        for name in ("actions", "subjects", "setups"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if not value or len(set(value)) != len(value):
                raise InputError(f"{name}={value}; give at least one, and each only once")
        object.__setattr__(self, "azimuth_ranges", tuple((float(a), float(b)) for a, b in self.azimuth_ranges))
        object.__setattr__(self, "azimuths", tuple(float(azimuth) for azimuth in self.azimuths))
        object.__setattr__(self, "truth", check_truth(self.truth))
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        known = (*self.captured, *ACTIONS)
        for name in self.actions:
            if name not in known:
                raise InputError(f"action {name!r} is unknown; choose from {', '.join(known)}")
        for subject in self.subjects:
            if not 1 <= subject <= NUM_SUBJECTS:
                raise InputError(f"subject {subject} does not exist; the baked people are 1 to {NUM_SUBJECTS}")
        if self.difficulty not in DIFFICULTIES:
            raise InputError(f"difficulty={self.difficulty!r} is unknown; choose from {', '.join(DIFFICULTIES)}")
        count_cameras(self.cameras, self.num_cameras, self.azimuth_ranges, self.azimuths)
        check_motion(self.camera_motion)

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
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}={value}; expected {low} to {high}")
        total = len(self.actions) * len(self.subjects) * len(self.setups) * self.repetitions
        first, last = min(self.setups), max(self.setups)
        if self.own_rooms:
            if len(self.setups) > 1:
                raise InputError(f"own_rooms with {len(self.setups)} setups; give one, the number of the first room")
            last = first + (total if self.num_groups is None else self.num_groups) - 1
            total = max(total, _MOST_SETUPS)
        if not 1 <= first <= last <= _MOST_SETUPS:
            raise InputError(f"setups {first} to {last}; setups are numbered from 1 to {_MOST_SETUPS}")
        if self.num_groups is not None and not 1 <= self.num_groups <= total:
            raise InputError(
                f"num_groups={self.num_groups}; actions x subjects x setups x repetitions give 1 to {total}"
            )

    @property
    def views(self) -> tuple[int, ...]:
        """The ids of the cameras, from 1."""
        return tuple(range(1, count_cameras(self.cameras, self.num_cameras, self.azimuth_ranges, self.azimuths) + 1))

    @property
    def quality(self) -> int:
        """H.264's crf: what was asked for, or what the difficulty has."""
        return DIFFICULTIES[self.difficulty].crf if self.crf is None else self.crf

    @property
    def captured(self) -> dict[str, int]:
        """Ids of the captured actions, after those of the built-in ones."""
        names = self.library.names if self.library else ()
        return {name: len(ACTIONS) + i for i, name in enumerate(names, 1)}

    @property
    def class_names(self) -> dict[int, str]:
        """The names of the actions by label."""
        captured = self.captured
        return {captured[name] - 1 if name in captured else ACTIONS[name].label: name for name in self.actions}

    def groups(self) -> list[Group]:
        """The performances, sorted by setup (so that a room is drawn once)."""
        if self.own_rooms:
            return self._groups_with_own_rooms()
        combinations = list(product(self.setups, self.subjects, range(1, self.repetitions + 1), self.actions))
        if self.num_groups is not None:
            chosen = self.rng(CHOICE).choice(len(combinations), self.num_groups, replace=False)
            combinations = [combinations[i] for i in sorted(chosen.tolist())]
        captured = self.captured
        return [
            Group(setup=s, subject=p, repetition=r, action=a, captured_id=captured.get(a))
            for s, p, r, a in combinations
        ]

    def _groups_with_own_rooms(self) -> list[Group]:
        """A room each. The first ones stay the same however many there are, so that a set can grow."""
        count = self.num_groups or len(self.actions) * len(self.subjects) * self.repetitions
        subjects, actions = (self._turns(len(names), count, k) for k, names in enumerate((self.subjects, self.actions)))
        captured = self.captured
        return [
            Group(
                setup=self.setups[0] + number,
                subject=self.subjects[subject],
                repetition=1,
                action=self.actions[action],
                captured_id=captured.get(self.actions[action]),
            )
            for number, (subject, action) in enumerate(zip(subjects, actions, strict=True))
        ]

    def _turns(self, choices: int, count: int, which: int) -> list[int]:
        """`count` indices below `choices`: one shuffled round after the other."""
        rounds = [self.rng(CHOICE, which, number).permutation(choices) for number in range(-(-count // choices))]
        return [int(index) for index in np.concatenate(rounds)[:count]]

    def rng(self, purpose: int, *key: int) -> np.random.Generator:
        """A generator that depends on (seed, purpose, key) and on nothing else."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, purpose, *key]))

    def to_json(self) -> dict[str, Any]:
        """All fields, for synth.json."""
        values = asdict(self)
        del values["library"]
        return values | {"motions_digest": self.library.digest if self.library else ""}
