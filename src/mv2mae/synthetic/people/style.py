"""What every action shares: the style of a performance, its beat in time, and the person at rest into whom it is
written.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mv2mae.synthetic.people.targets import Motion

TAU = 2 * np.pi
_SEATED_SHARE = 0.25  # of the performances of actions that can be done on a chair


@dataclass(frozen=True, kw_only=True)
class Style:
    """What varies between two performances of one action.

    tempo: factor on the action's frequency. size: factor on its extent. side: 0 left, 1 right. phase: of the first
        cycle, in cycles.
    delay_s: when it begins. stop: whether the person returns to rest before the end.
    seated: on a chair, where the action allows it. free: eight numbers in [0, 1) for the action to use.
    idle: seed of sway, standing pose and place.
    """

    tempo: float
    size: float
    side: int
    phase: float
    delay_s: float
    stop: bool
    free: tuple[float, ...]
    idle: int
    seated: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Style":
        """A style at random."""
        return cls(
            tempo=float(rng.uniform(0.82, 1.22)),
            size=float(rng.uniform(0.85, 1.12)),
            side=int(rng.random() < 0.6),
            phase=float(rng.random()),
            delay_s=float(rng.uniform(0.0, 0.35)),
            stop=bool(rng.random() < 0.4),
            free=tuple(rng.random(8).tolist()),
            idle=int(rng.integers(1 << 31)),
            seated=bool(rng.random() < _SEATED_SHARE),
        )

    @property
    def turn(self) -> int:
        """-1 for the left side, 1 for the right: the sign of x, and of a lean to that side."""
        return 1 if self.side else -1


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Time as an action sees it: `on` [t] rises from 0 to 1 and perhaps falls again; `cycle` [t] counts repetitions
    from its start; `start` in seconds and `hertz` are what it counts by.
    """

    on: np.ndarray
    cycle: np.ndarray
    seconds: np.ndarray
    start: float
    hertz: float

    def bump(self, hold: float = 0.0) -> np.ndarray:
        """[t] 0 at the start of each cycle, 1 in its middle for the part `hold` of it, smooth between."""
        u = np.abs(2 * (self.cycle % 1.0) - 1)  # 1 at the ends, 0 in the middle
        return smooth((1 - u) / max(1 - hold, 1e-6)) * (self.cycle > 0)

    def wave(self, phase: float = 0.0) -> np.ndarray:
        """[t] a sine, one period per cycle."""
        return np.sin(TAU * (self.cycle + phase))

    def ramp(self, begin: float, end: float) -> np.ndarray:
        """[t] from 0 to 1 between two moments, counted in cycles from the start."""
        return smooth((self.cycle - begin) / (end - begin))

    def at(self, cycle: float) -> float:
        """The moment in seconds at which so many cycles have passed."""
        return self.start + cycle / self.hertz


Write = Callable[[Motion, Beat, Style], None]


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action of the registry.

    id: from 1. hertz: its usual frequency. ramp_s: how fast it takes over from standing. once: it has an end, and
    does not repeat. sits: may be done on a chair. hands: how many it needs (the rest may hold something).
    roams: the person leaves the place, or needs the floor around it.
    """

    id: int
    name: str
    write: Write
    hertz: float
    ramp_s: float
    once: bool = False
    sits: bool = False
    hands: int = 2
    roams: bool = False

    @property
    def label(self) -> int:
        """The class number, from 0."""
        return self.id - 1


def smooth(x: np.ndarray) -> np.ndarray:
    """Clamps to [0, 1], with level tangents at both ends."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def path(*columns: np.ndarray | float) -> np.ndarray:
    """[t, n] from columns, numbers repeated."""
    return np.stack(np.broadcast_arrays(*columns), -1).astype(float)


def perform(act: Action, style: Style, num_frames: int, fps: float) -> Motion:
    """One performance, frame by frame."""
    seconds = np.arange(num_frames) / fps
    since = seconds - style.delay_s
    on = smooth(since / act.ramp_s)
    if style.stop and not act.once:
        on = on * smooth((seconds[-1] - 0.05 - seconds) / act.ramp_s)
    hertz = act.hertz * style.tempo
    seated = style.seated and act.sits
    motion = standing(seconds, style, seated)
    beat = Beat(on=on, cycle=np.maximum(since, 0) * hertz, seconds=seconds, start=style.delay_s, hertz=hertz)
    act.write(motion, beat, style)
    return motion


def standing(seconds: np.ndarray, style: Style, seated: bool = False) -> Motion:
    """A person at rest who sways, shifts weight, looks about, and holds the arms in one of a few ways."""
    rng = np.random.default_rng(style.idle)
    m = Motion(num_frames=len(seconds))

    def drift(scale: float, hertz: float = 0.5) -> np.ndarray:
        f, p, a = rng.uniform(0.5, 1.3, 2) * hertz, rng.random(2), rng.normal(size=2)
        return scale * (
            a[0] * np.sin(TAU * (f[0] * seconds + p[0])) + 0.5 * a[1] * np.sin(TAU * (2 * f[1] * seconds + p[1]))
        )

    # Now and then somebody faces the wall: so do those who will walk away.
    yaw = rng.uniform(-np.pi, np.pi) if rng.random() < 0.1 else rng.normal(0, 0.2)
    m.stand(rng.uniform((-0.3, -0.4), (0.3, 0.4)), float(yaw))
    m.pelvis[:, 0] += rng.normal(0, 0.05) + drift(0.012)
    m.pelvis[:, 1] += rng.normal(0, 0.05) + drift(0.008)
    m.bend += np.stack([rng.normal(0.03, 0.04) + drift(0.012), drift(0.015), rng.normal(0, 0.05) + drift(0.03)], 1)
    m.head += np.stack([rng.normal(0.05, 0.06) + drift(0.04), drift(0.03), rng.normal(0, 0.15) + drift(0.12, 0.4)], 1)
    width, stagger = rng.uniform(-0.09, 0.05), rng.normal(0, 0.05)
    pose = rng.choice(["hang", "hang", "hang", "front", "hip"])
    for side in range(2):
        m.feet[side, :, :2] += np.array([width, stagger * (1 if side else -1)])
        m.hands[side] += rng.normal(0, [0.03, 0.05, 0.01]) + np.stack([drift(0.012), drift(0.02), drift(0.004)], 1)
        if pose == "front" and not seated:
            m.reach(side, "hips", np.array([0.12, 0.42, 0.05]) + 0.01 * rng.normal(size=3), np.ones(len(seconds)))
        if pose == "hip" and side == style.idle % 2 and not seated:
            m.reach(side, "hips", np.array([0.36, 0.02, 0.24]), np.ones(len(seconds)))
            m.point_elbow(side, (1.0, -0.35, 0.0), np.ones(1))
    if seated:
        sit(m, np.ones(len(seconds)))
    return m


def sit(m: Motion, down: np.ndarray) -> None:
    """Seats the person: `down` [t] from 0 (standing) to 1 (on the chair behind, hands on the thighs)."""
    m.seat[:] = down
    m.hips_share = 0.55
    middle = 4 * down * (1 - down)
    m.pelvis *= 1 - 0.8 * down[:, None]
    # The pelvis goes back before it goes down, and the trunk comes forward to keep the balance.
    m.pelvis += path(0.0, -0.46 * smooth(down * 1.25), -0.455 * down)
    m.bend[:, 0] += 0.75 * middle + 0.02 * down
    m.head[:, 0] -= 0.25 * middle
    for side in range(2):
        m.reach(side, "knee", path(-0.05, -0.24, 0.20), down, at="palm")
        m.aim(side, (-0.25, 1.0, -0.05), (0.0, 0.05, -1.0), down)
        m.point_elbow(side, (0.75, -0.7, -0.4), down)
