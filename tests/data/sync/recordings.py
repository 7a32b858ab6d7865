"""Takes that several cameras film and hear, with known shifts and drifts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mv2mae.data.sync.sound import RATE, Sound

FPS = 20.0


def noises(seconds: float, seed: int) -> np.ndarray:
    """What is to be heard, `RATE` samples a second: bursts of noise at random moments, like steps and claps."""
    rng = np.random.default_rng(seed)
    heard = np.zeros(int(seconds * RATE))
    for begin in rng.uniform(0, seconds, int(3 * seconds)):
        first = int(begin * RATE)
        burst = rng.normal(size=min(1200, len(heard) - first))
        heard[first : first + len(burst)] += burst * np.exp(-np.arange(len(burst)) / rng.uniform(60, 300))
    return heard / heard.std()


def recorded(
    scene: np.ndarray, begin: float, seconds: float, *, seed: int = 0, noise: float = 0.2, drift: float = 0.0
) -> Sound:
    """A microphone that starts at `begin` of the scene, with echoes, noise and a clock too fast by `drift`."""
    rng = np.random.default_rng((seed, 7))
    echo = np.zeros(800)
    echo[0], echo[rng.integers(100, 800, 6)] = rng.choice([-1, 1]), rng.uniform(-0.4, 0.4, 6)
    wet = np.convolve(scene, echo)[: len(scene)]
    times = begin + np.arange(int(seconds * RATE)) / RATE / (1 + drift)
    values = np.interp(times * RATE, np.arange(len(wet)), wet)
    values += noise * values.std() * rng.normal(size=len(values))
    return Sound(0.0, (0.1 * values / values.std()).astype(np.float32))


def walker(seed: int) -> Callable[[float], float]:
    """How high something stands at a time, 0 to 1: a random walk with rests."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 4, 400) * (rng.random(400) < 0.7)
    walk = np.abs((np.convolve(np.cumsum(steps), np.ones(3) / 3, "same") + 30) % 60 - 30) / 30
    return lambda time: float(np.interp(time * 10, np.arange(400), walk))


def film(
    path: Path,
    begin: float,
    seconds: float,
    *,
    height: Callable[[float], float] = lambda time: 0.5,
    view: int = 0,
    sound: Sound | None = None,
    drift: float = 0.0,
    shade: Callable[[float], float] = lambda time: 60.0,
) -> Path:
    """Films from `begin` of the scene on: a block at a height, before a shade of grey, and what is heard."""
    rows, columns = np.arange(48)[:, None], np.arange(64)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=int(FPS), options={"crf": "8", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=RATE) if sound is not None else None
        for index in range(int(seconds * FPS)):
            time = begin + index / FPS / (1 + drift)
            inside = np.clip(8 - np.abs(rows - 8 - 30 * height(time)), 0, 1) * (np.abs(columns - 20 - 8 * view) < 8)
            pixels = (shade(time) + 100 * inside).clip(0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.repeat(pixels[:, :, None], 3, 2), format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound.samples[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path
