"""The sound of a video as one channel on the file's clock, whitened so that its peaks of correlation are sharp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32

from mv2mae.data.media import VideoError, opened

RATE = 8000
"""Samples a second. Speech, steps and claps lie below 4 kHz; an eighth of a millisecond is far below a frame."""
MAX_SECONDS = 2 * 3600
"""Of a file that are read; what comes later says little more."""
MIN_SECONDS = 1.0
_SILENCE = 1e-4
"""Root mean square, of full scale 1, below which there is nothing to compare."""
_WINDOW = 2048
_WHITENING = 0.8
"""0 leaves the spectrum as it is, 1 keeps phases alone (the phase transform of GCC-PHAT), noise of quiet bands too."""
_LOWEST_HERTZ = 100.0


@dataclass(frozen=True)
class Sound:
    """Samples from -1 to 1, `RATE` a second; the first is heard at `start`, in seconds of some clock."""

    start: float
    samples: Float32[np.ndarray, " s"]

    @property
    def end(self) -> float:
        """When the last sample has been heard."""
        return self.start + len(self.samples) / RATE

    def on_clock(self, zero: float, speed: float) -> Sound:
        """The same on a clock that reads 0 at `zero` of this one and on which a second takes `speed` seconds of it."""
        if speed == 1:
            return Sound(self.start - zero, self.samples)
        num = int(len(self.samples) / speed)
        wanted = np.arange(num) * speed
        values = np.interp(wanted, np.arange(len(self.samples)), self.samples).astype(np.float32)
        return Sound((self.start - zero) / speed, values)

    def between(self, first: float, last: float) -> Sound:
        """The part between two times."""
        low = max(0, round((first - self.start) * RATE))
        high = max(low, round((last - self.start) * RATE))
        return Sound(self.start + low / RATE, self.samples[low:high])


def read_sound(path: str | Path) -> Sound | None:
    """The main sound track of a file, its channels mixed; None where there is none that can be heard and read.

    Gaps between its time stamps become silence.
    """
    parts: list[tuple[float, np.ndarray]] = []
    try:
        with opened(path) as (container, _):
            stream = container.streams.best("audio")
            if not isinstance(stream, av.AudioStream):
                return None
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in container.decode(stream):
                parts += [_part(piece) for piece in resampler.resample(frame) if piece.pts is not None]
                if parts and parts[-1][0] - parts[0][0] > MAX_SECONDS:
                    break
    except VideoError:  # damaged sound: what was read before is as good as ever
        pass
    return _joined(parts)


def _part(frame: av.AudioFrame) -> tuple[float, np.ndarray]:
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base), frame.to_ndarray().reshape(-1).astype(np.float32)


def _joined(parts: list[tuple[float, np.ndarray]]) -> Sound | None:
    if not parts:
        return None
    start = parts[0][0]
    num = max(round((time - start) * RATE) + len(values) for time, values in parts)
    if not MIN_SECONDS * RATE <= num <= (MAX_SECONDS + 60) * RATE:
        return None  # too short, or time stamps that are none
    samples = np.zeros(num, np.float32)
    for time, values in parts:
        first = round((time - start) * RATE)
        if first >= 0:
            samples[first : first + len(values)] = values
    samples = np.nan_to_num(samples, posinf=0, neginf=0).clip(-1, 1)
    return Sound(start, samples) if np.sqrt(np.mean(samples**2, dtype=np.float64)) > _SILENCE else None


def whitened(sound: Sound) -> Sound:
    """A sound with the spectrum of each quarter second flattened, of unit mean square.

    What is steady (hum, a fan) then counts no more than what is not, and a room's echo does not smear the peak.
    """
    samples, hop = sound.samples, _WINDOW // 2
    window = np.sin(np.pi * (np.arange(_WINDOW) + 0.5) / _WINDOW)
    num = -(-len(samples) // hop) + 1
    padded = np.zeros((num + 1) * hop)
    padded[hop : hop + len(samples)] = samples
    out = np.zeros_like(padded)
    kept = np.fft.rfftfreq(_WINDOW, 1 / RATE) >= _LOWEST_HERTZ
    floor = 1e-3 * np.sqrt(np.mean(np.square(samples, dtype=np.float64)) * _WINDOW)
    for index in range(num):
        place = slice(index * hop, index * hop + _WINDOW)
        spectrum = np.fft.rfft(padded[place] * window) * kept
        out[place] += np.fft.irfft(spectrum / (np.abs(spectrum) + floor) ** _WHITENING, _WINDOW) * window
    out = out[hop : hop + len(samples)]
    out /= max(float(np.sqrt(np.mean(out**2))), 1e-12)
    return Sound(sound.start, out.astype(np.float32))
