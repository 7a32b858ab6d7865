"""What an action asks of a body: targets for pelvis, trunk, head, hands and feet over time. `skeleton` solves them.

Sides are indexed 0 = left, 1 = right. Limb coordinates are (out, front, up): `out` points away from the body's
middle, so that an action written for one hand serves the other. Lengths are in arm lengths (hands) and leg lengths
(feet, pelvis, places), so that one action fits a child and a tall man.
"""

from dataclasses import dataclass, field

import numpy as np

OUT_SIGN = (-1.0, 1.0)  # x of "out" for left, right
Vectors = np.ndarray | tuple[float, float, float]
LEVERS = {"wrist": 0.0, "palm": 0.5, "tips": 0.95}


@dataclass(kw_only=True)
class Reach:
    """Where a hand is wanted: `offset` [t, 3] from an anchor, and how much it counts (`weight` [t], 0 to 1)
    against what was set before. `lever` [hand lengths] from the wrist is the point of the hand that goes there.
    """

    anchor: str
    offset: np.ndarray
    weight: np.ndarray
    lever: float


@dataclass(kw_only=True)
class Aim:
    """How a hand is turned: directions [t, 3] (out, front, up) of the fingers and of what the palm faces, as seen
    from an anchor, with a weight [t].
    """

    anchor: str
    fingers: np.ndarray
    palm: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Hold:
    """From `since` (seconds) a prop is with `carrier`: "floor", "left", "right" (a hand), "both" (hands), "head" or
    "air" (thrown).
    """

    since: float
    carrier: str


@dataclass(frozen=True, kw_only=True)
class Use:
    """A prop that an action needs: its kind (see `props.KINDS`) and who has it when."""

    kind: str
    holds: tuple[Hold, ...]


@dataclass(kw_only=True)
class Motion:
    """What an action asks of a body over t moments; the defaults are a person standing still.

    place [t, 2] and yaw [t]: where the person is (leg lengths) and heads (radians, left positive).
    pelvis [t, 3]: (right, front, up) from standing there, in leg lengths.
    lean [t, 3]: (forward, right, left turn) of the pelvis and everything above it, as when falling.
    bend [t, 3] and head [t, 3]: (forward, right, left turn) of the whole trunk and of the head against it, radians.
    hips_share: the part of the forward bend that happens in the hips.
    hands [2, t, 3]: wrists from the middle of the shoulders, arm lengths; `reaches` then pull them elsewhere.
    elbow [2, t, 3]: direction (out, front, up) in which the elbow points. palm [2, t]: twist of the hand, radians;
        `aims` turn it to a direction.
    feet [2, t, 3]: (out, front, up) from the standing place, leg lengths. toes [2, t]: foot pitch, radians,
        toes down positive. foot_place [2, t, 2], foot_yaw [2, t]: the standing place of each foot.
    planted [2, t]: 1 where the foot must reach its place (the pelvis sinks if the leg is too short).
    seat [t]: how far the person sits on the chair (0 or 1 at rest; all 0: there need be none).
    uses: props.
    """

    num_frames: int
    place: np.ndarray = field(init=False)
    yaw: np.ndarray = field(init=False)
    pelvis: np.ndarray = field(init=False)
    lean: np.ndarray = field(init=False)
    bend: np.ndarray = field(init=False)
    head: np.ndarray = field(init=False)
    hands: np.ndarray = field(init=False)
    elbow: np.ndarray = field(init=False)
    palm: np.ndarray = field(init=False)
    feet: np.ndarray = field(init=False)
    foot_place: np.ndarray = field(init=False)
    foot_yaw: np.ndarray = field(init=False)
    toes: np.ndarray = field(init=False)
    planted: np.ndarray = field(init=False)
    seat: np.ndarray = field(init=False)
    hips_share: float = 0.3
    reaches: tuple[list[Reach], list[Reach]] = field(init=False)
    aims: tuple[list[Aim], list[Aim]] = field(init=False)
    uses: list[Use] = field(init=False)

    def __post_init__(self) -> None:
        t = self.num_frames
        self.pelvis, self.lean, self.bend, self.head = (np.zeros((t, 3)) for _ in range(4))
        self.place, self.yaw, self.seat = np.zeros((t, 2)), np.zeros(t), np.zeros(t)
        self.hands = np.tile([0.50, 0.10, -0.93], (2, t, 1))
        self.elbow = np.tile([0.5, -0.75, -0.5], (2, t, 1))
        self.feet, self.foot_place = np.zeros((2, t, 3)), np.zeros((2, t, 2))
        self.palm, self.toes, self.foot_yaw = (np.zeros((2, t)) for _ in range(3))
        self.planted = np.ones((2, t))
        self.reaches, self.aims, self.uses = ([], []), ([], []), []

    def stand(self, place: np.ndarray, yaw: float) -> None:
        """Stands the person at `place` [2] (leg lengths), heading for `yaw`, all the time."""
        self.place[:], self.yaw[:], self.foot_place[:], self.foot_yaw[:] = place, yaw, place, yaw

    def reach(self, side: int, anchor: str, offset: np.ndarray, weight: np.ndarray, at: str = "wrist") -> None:
        """Pulls a hand towards a place: `offset` [3] or [t, 3] in (out, front, up) arm lengths from the anchor.

        `at` says which point of the hand goes there: "wrist", "palm" or "tips".
        """
        offset = np.broadcast_to(np.asarray(offset, float), (self.num_frames, 3))
        weight = np.broadcast_to(weight, (self.num_frames,))
        self.reaches[side].append(Reach(anchor=anchor, offset=offset, weight=weight, lever=LEVERS[at]))

    def aim(self, side: int, fingers: Vectors, palm: Vectors, weight: np.ndarray, anchor: str = "chest") -> None:
        """Turns a hand: its fingers point along `fingers`, its palm faces `palm`, both (out, front, up)."""
        t = self.num_frames
        first, second = (np.broadcast_to(np.asarray(v, float), (t, 3)) for v in (fingers, palm))
        weight = np.broadcast_to(weight, (t,))
        self.aims[side].append(Aim(anchor=anchor, fingers=first, palm=second, weight=weight))

    def point_elbow(self, side: int, direction: tuple[float, float, float], weight: np.ndarray) -> None:
        """Turns the elbow towards (out, front, up)."""
        w = np.broadcast_to(weight, (self.num_frames,))[:, None]
        self.elbow[side] = (1 - w) * self.elbow[side] + w * np.array(direction)

    def free_hands(self, sides: tuple[int, ...], on: np.ndarray) -> None:
        """Lets go of the standing pose's grip (hands folded, hand on hip) while an action uses the hand."""
        for side in sides:
            for reach in self.reaches[side]:
                reach.weight = reach.weight * (1 - on)

    def use(self, kind: str, *holds: tuple[float, str]) -> None:
        """Asks for a prop; holds are (since in seconds, carrier)."""
        self.uses.append(Use(kind=kind, holds=tuple(Hold(since=s, carrier=c) for s, c in holds)))
