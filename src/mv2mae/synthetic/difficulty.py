"""Levels of difficulty: what a real camera adds to a picture, and what else is going on in the room."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What a camera and the light add.

    noise: standard deviation in grey levels; flicker: from frame to frame, as a part of brightness; shake: in pixels
    of a frame; drift: slow change of brightness and warmth over a clip, as a part.
    """

    noise: float
    flicker: float
    shake: float
    drift: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """A level.

    disturbance: of every frame; crf: H.264 quality where the configuration gives none; distractors: how likely 0, 1,
    2 ... things are that move on their own beside the person; occluders: the share of setups in which furniture stands
    between some camera and a part of the body; crowd: people more, who walk by or stand about.
    """

    disturbance: Disturbance
    crf: int
    distractors: tuple[float, ...]
    occluders: float
    crowd: int = 0


DIFFICULTIES = {
    "easy": Difficulty(
        disturbance=Disturbance(noise=0.0, flicker=0.0, shake=0.0),
        crf=23,
        distractors=(1.0,),
        occluders=0.0,
    ),
    "normal": Difficulty(
        disturbance=Disturbance(noise=2.0, flicker=0.008, shake=0.6, drift=0.04),
        crf=28,
        distractors=(0.3, 0.5, 0.2),
        occluders=0.5,
    ),
    "hard": Difficulty(
        disturbance=Disturbance(noise=5.0, flicker=0.03, shake=1.6, drift=0.1),
        crf=33,
        distractors=(0.0, 0.4, 0.4, 0.2),
        occluders=0.8,
    ),
    "crowded": Difficulty(
        disturbance=Disturbance(noise=2.0, flicker=0.008, shake=1.6, drift=0.04),
        crf=28,
        distractors=(0.3, 0.5, 0.2),
        occluders=0.5,
        crowd=3,
    ),
}
