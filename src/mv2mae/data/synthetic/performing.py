"""What every action shares: the style of a performance, its beat in time, and the person at rest into whom it
is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mv2mae.data.synthetic.motion import Motion

TAU = 2 * np.pi


@dataclass(frozen=True, kw_only=True)
class Style:
    """What varies between two performances of one action.

    tempo: factor on the action's frequency. size: factor on its extent. side: 0 left, 1 right. phase: of the
        first cycle, in cycles.
    delay_s: when it begins (negative: it is under way). stop: whether the person returns to rest before the end.
    free: eight numbers in [0, 1) for the action to use. idle: seed of sway and standing pose.
    """

    tempo: float
    size: float
    side: int
    phase: float
    delay_s: float
    stop: bool
    free: tuple[float, ...]
    idle: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Style":
        """A style at random."""
        return cls(
            tempo=float(rng.uniform(0.82, 1.22)),
            size=float(rng.uniform(0.85, 1.12)),
            side=int(rng.random() < 0.6),
            phase=float(rng.random()),
            delay_s=float(rng.uniform(-0.1, 0.35)),
            stop=bool(rng.random() < 0.4),
            free=tuple(rng.random(8).tolist()),
            idle=int(rng.integers(1 << 31)),
        )


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Time as an action sees it: `on` [t] rises from 0 to 1 and perhaps falls again; `cycle` [t] counts
    repetitions from its start.
    """

    on: np.ndarray
    cycle: np.ndarray
    seconds: np.ndarray

    def bump(self, hold: float = 0.0) -> np.ndarray:
        """[t] 0 at the start of each cycle, 1 in its middle for the part `hold` of it, smooth between."""
        u = np.abs(2 * (self.cycle % 1.0) - 1)  # 1 at the ends, 0 in the middle
        return smooth((1 - u) / max(1 - hold, 1e-6)) * (self.cycle > 0)

    def wave(self, phase: float = 0.0) -> np.ndarray:
        """[t] a sine, one period per cycle."""
        return np.sin(TAU * (self.cycle + phase))


Write = Callable[[Motion, Beat, Style], None]


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action of the registry: id from 1, `hertz` its usual frequency, `ramp_s` how fast it takes over from
    standing.
    """

    id: int
    name: str
    write: Write
    hertz: float
    ramp_s: float

    @property
    def label(self) -> int:
        """The class number, from 0."""
        return self.id - 1


def smooth(x: np.ndarray) -> np.ndarray:
    """Clamps to [0, 1], with level tangents at both ends."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def perform(act: Action, style: Style, num_frames: int, fps: float) -> Motion:
    """One performance, frame by frame."""
    seconds = np.arange(num_frames) / fps
    since = seconds - style.delay_s
    on = smooth(since / act.ramp_s)
    if style.stop:
        on = on * smooth((seconds[-1] - 0.05 - seconds) / act.ramp_s)
    motion = standing(seconds, style)
    act.write(motion, Beat(on=on, cycle=np.maximum(since, 0) * act.hertz * style.tempo, seconds=seconds), style)
    return motion


def standing(seconds: np.ndarray, style: Style) -> Motion:
    """A person at rest who sways, shifts weight, looks about, and holds the arms in one of a few ways."""
    rng = np.random.default_rng(style.idle)
    m = Motion(num_frames=len(seconds))

    def drift(scale: float, hertz: float = 0.5) -> np.ndarray:
        f, p, a = rng.uniform(0.5, 1.3, 2) * hertz, rng.random(2), rng.normal(size=2)
        return scale * (
            a[0] * np.sin(TAU * (f[0] * seconds + p[0])) + 0.5 * a[1] * np.sin(TAU * (2 * f[1] * seconds + p[1]))
        )

    m.yaw += rng.normal(0, 0.12)
    m.pelvis[:, 0] += rng.normal(0, 0.05) + drift(0.012)
    m.pelvis[:, 1] += rng.normal(0, 0.05) + drift(0.008)
    m.bend += np.stack([rng.normal(0.03, 0.04) + drift(0.012), drift(0.015), rng.normal(0, 0.05) + drift(0.03)], 1)
    m.head += np.stack([rng.normal(0.05, 0.06) + drift(0.04), drift(0.03), rng.normal(0, 0.15) + drift(0.12, 0.4)], 1)
    width, stagger = rng.uniform(-0.09, 0.05), rng.normal(0, 0.05)
    pose = rng.choice(["hang", "hang", "hang", "front", "hip"])
    for side in range(2):
        m.feet[side, :, :2] += np.array([width, stagger * (1 if side else -1)])
        m.hands[side] += rng.normal(0, [0.03, 0.05, 0.01]) + np.stack([drift(0.012), drift(0.02), drift(0.004)], 1)
        if pose == "front":
            m.reach(
                side, "hips", np.array([0.02 + 0.10, 0.42, 0.05]) + 0.01 * rng.normal(size=3), np.ones(len(seconds))
            )
        if pose == "hip" and side == style.idle % 2:
            m.reach(side, "hips", np.array([0.36, 0.02, 0.24]), np.ones(len(seconds)))
            m.point_elbow(side, (1.0, -0.35, 0.0), np.ones(1))
    return m
