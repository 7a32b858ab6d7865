"""What moves in a video, frame by frame: the signal by which the views of a group are laid together in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from mv2mae.data.windows import Span

PICTURE_SIDE = 48
"""Short side in pixels of the small grey pictures from which motion is measured."""
_NOISE_GREY_LEVELS = 0.5
_NOISE_MEDIANS = 3.0
_LITTLE_MOTION = 0.02
"""Mean grey levels a frame; less than this is as good as none."""
_TEXTURE_FLOOR = 4.0
_EDGE_PIXELS = 0.3
"""Edges may move by this much without counting as motion."""
_FIT_ROUNDS = 3


@dataclass(frozen=True)
class Motion:
    """Motion between each two frames of a video that follow each other.

    `times` lie halfway between the two frames, seconds on the file's clock. The columns of `moments`: strength (mean
    absolute change in grey levels, beyond noise and what the camera itself did), the same weighed with the height in
    the picture (0 top, 1 bottom), with its square, and the speed upwards (in pixels of the small picture).
    """

    times: Float64[np.ndarray, " t"]
    moments: Float32[np.ndarray, "t 4"]

    @property
    def strength(self) -> Float32[np.ndarray, " t"]:
        """Mean absolute change in grey levels, beyond noise."""
        return self.moments[:, 0]

    def channels(self) -> Float64[np.ndarray, "t 4"]:
        """How strong, how high in the picture, how spread in height, how fast upwards.

        All four are heights or sums, which cameras round a scene see alike; what is left and right differs.
        The strength is a logarithm, so that a near and a far camera differ by a constant.
        """
        moments = self.moments.astype(np.float64)
        strength, first, second, upwards = moments.T
        mean_height = first.sum() / max(strength.sum(), 1e-9)
        mass = strength + 0.3 * _LITTLE_MOTION  # little motion says little about where
        height = (first - mean_height * strength) / mass
        spread = (second - 2 * mean_height * first + mean_height**2 * strength).clip(0) / mass
        return np.stack([np.log(strength + _LITTLE_MOTION), height, np.sqrt(spread), upwards], axis=1)

    def within(self, span: Span) -> Motion:
        """The part that a span of the video has, on the clock of its group."""
        inside = (self.times >= span.first) & (self.times <= span.last)
        return Motion(span.shared(self.times[inside]), self.moments[inside])


class MotionTracker:
    """Takes the frames of a video one after the other, as small grey pictures, and gives their motion."""

    def __init__(self) -> None:
        self._before: tuple[float, np.ndarray] | None = None
        self._times: list[float] = []
        self._moments: list[tuple[float, float, float, float]] = []

    def add(self, time: float, picture: Float32[np.ndarray, "h w"]) -> None:
        """The next frame: its time stamp and its grey levels 0 to 255."""
        if self._before is not None and self._before[1].shape == picture.shape:
            self._times.append((self._before[0] + time) / 2)
            self._moments.append(_moments(self._before[1], picture))
        self._before = time, picture

    def motion(self) -> Motion:
        """The motion of the frames so far."""
        moments = np.array(self._moments, dtype=np.float32).reshape(-1, 4)
        return Motion(np.array(self._times, dtype=np.float64), moments)


def _moments(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float, float]:
    slope_y, slope_x = np.gradient((before + after) / 2)
    change = _beyond_camera(after - before, slope_y, slope_x)
    size = np.abs(change)
    # a shake, a turn or a change of blur that is left over shows at edges, in proportion to their slope
    floor = _NOISE_MEDIANS * np.median(size) + _NOISE_GREY_LEVELS + _EDGE_PIXELS * np.hypot(slope_y, slope_x)
    beyond = np.maximum(size - floor, 0)
    rows = beyond.mean(axis=1)
    height = np.linspace(0, 1, len(rows), dtype=np.float32)
    moves = beyond > 0
    speed = -(change * slope_y / (slope_x**2 + slope_y**2 + _TEXTURE_FLOOR))[moves].sum()
    # the +5 keeps a handful of noisy pixels from looking like speed; rows count from the top, so up is negative
    upwards = -speed / (moves.sum() + 5)
    strength = float(rows.mean())
    return strength, float((rows * height).mean()), float((rows * height**2).mean()), float(upwards)


def _beyond_camera(change: np.ndarray, slope_y: np.ndarray, slope_x: np.ndarray) -> np.ndarray:
    """A change of pixels without what the camera itself did: a shift of the whole picture, and its brightness.

    Least squares over the pixels that fit best, so that what moves in the scene does not pull.
    """
    causes = np.stack([np.ones(change.size), slope_x.ravel(), slope_y.ravel()], axis=1)
    wanted, fits = change.ravel().astype(np.float64), np.ones(change.size, dtype=bool)
    rest = wanted
    for _ in range(_FIT_ROUNDS):
        part = causes[fits]
        amounts = np.linalg.solve(part.T @ part + 1e-3 * np.eye(3), part.T @ wanted[fits])
        rest = wanted - causes @ amounts
        fits = np.abs(rest) <= 2.5 * np.median(np.abs(rest)) + _NOISE_GREY_LEVELS
    return rest.reshape(change.shape)
