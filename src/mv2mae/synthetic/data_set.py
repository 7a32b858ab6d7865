"""What to generate: the settings of a synthetic data set, and the performances it consists of."""

from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np

from mv2mae.config import SynthConfig
from mv2mae.config.check import require
from mv2mae.synthetic.capture.library import MotionLibrary, read_motions
from mv2mae.synthetic.difficulty import DIFFICULTIES
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import NUM_SUBJECTS
from mv2mae.synthetic.render.truth import check_truth
from mv2mae.synthetic.world.cameras import count_cameras
from mv2mae.synthetic.world.moving import check_motion

# What a draw is for: the second entry of every seed, so that no two purposes share random numbers.
ROOM, RIG, CAMERA, STYLE, FILM, CHOICE, DISTRACTOR, MOTION = range(1, 9)


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
class SyntheticSet(SynthConfig):
    """Settings of a data set, with what the generator makes of them: performances, cameras, captured actions, draws.

    Raises:
        InputError: settings that cannot be, or names that the generator does not know.
    """

    library: MotionLibrary | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        built_in = tuple(ACTIONS)
        if self.motions:
            object.__setattr__(self, "library", read_motions(self.motions))
        if tuple(self.actions) in ((), built_in):
            object.__setattr__(self, "actions", self.library.names if self.library else built_in)
        super().__post_init__()
        object.__setattr__(self, "truth", check_truth(self.truth))
        known = (*self.captured, *ACTIONS)
        for name in self.actions:
            require(name in known, f"action {name!r} is unknown; choose from {', '.join(known)}")
        for subject in self.subjects:
            exists = 1 <= subject <= NUM_SUBJECTS
            require(exists, f"subject {subject} does not exist; the baked people are 1 to {NUM_SUBJECTS}")
        level, levels = self.difficulty, ", ".join(DIFFICULTIES)
        require(level in DIFFICULTIES, f"difficulty={level!r} is unknown; choose from {levels}")
        count_cameras(self.cameras, self.num_cameras, self.azimuth_ranges, self.azimuths)
        check_motion(self.camera_motion)

    @property
    def views(self) -> tuple[int, ...]:
        """The ids of the cameras, from 1."""
        return tuple(range(1, count_cameras(self.cameras, self.num_cameras, self.azimuth_ranges, self.azimuths) + 1))

    @property
    def quality(self) -> int:
        """H.264's crf: the one that is set, or what the difficulty has."""
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
