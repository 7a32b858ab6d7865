"""What a real camera adds to a picture, and how much of it each level of difficulty has."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What a real camera adds, per difficulty. Noise in grey levels, flicker as a part of brightness, shake in
    pixels.
    """

    noise: float
    flicker: float
    shake: float


DIFFICULTIES = {
    "easy": Disturbance(noise=0.0, flicker=0.0, shake=0.0),
    "normal": Disturbance(noise=2.0, flicker=0.008, shake=0.6),
    "hard": Disturbance(noise=5.0, flicker=0.03, shake=1.6),
}
