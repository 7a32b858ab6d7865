"""How well `mv2mae sync` lays together recordings of differing microphones in one room.

    python benchmarks/sync_microphones.py                # some minutes on one core

Somebody speaks in a room of 7 x 5 x 2.8 m: echoes of mirrored sources for 60 ms, then a tail that falls by 60 dB in
0.5 s. Each microphone stands elsewhere, has noise of its own, a clock that is
off by up to 50 ppm, and writes an MP4 file with AAC sound at 48 kbit/s, which is then read as `mv2mae sync` reads it:

- camera: 60 Hz to 7.5 kHz, the hiss of a preamplifier;
- phone: 300 Hz to 3.4 kHz, an automatic gain that swallows loud syllables and lifts pauses, 32 kbit/s;
- clipped: 12 dB beyond full scale;
- wind: gusts below 200 Hz, as loud as the speech;
- far: in the opposite corner, the echoes 10 dB above what comes straight, noise as loud as both;
- off: a clock that is wrong by 0.1 % (29.97 frames a second called 30).

`told`, `wrong`, `error` and `strangers` are those of sync_repair.py, against the moment at which the straight sound
reaches each microphone (3 ms a metre are no error here).
Strangers are the same devices hearing other speech, in the first row of each length with the same hum of the mains.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from sync_repair import MAX_OFFSET

from mv2mae.data.sync.by_sound import compare_sounds
from mv2mae.data.sync.sound import Sound, read_sound, whitened

RATE = 16_000
ROOM, KEPT = np.array([7.0, 5.0, 2.8]), 0.85
"""Metres; share of the pressure that a wall gives back."""
EARLY_SECONDS, FALL_SECONDS = 0.06, 0.5
WRONG_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Microphone:
    """What a device does to what reaches it; `noise` in dB against the sound, `bit_rate` of the file."""

    low: float = 60.0
    high: float = 7500.0
    noise: float = -15.0
    gain: bool = False
    clip: float = 0.0
    wind: bool = False
    far: bool = False
    drift: float = 0.0
    hum: bool = False
    bit_rate: int = 48_000


CAMERA = Microphone()
PHONE = Microphone(low=300, high=3400, gain=True, bit_rate=32_000, noise=-10)
ROWS = {
    "camera, camera": (CAMERA, CAMERA),
    "camera, phone": (CAMERA, PHONE),
    "camera, clipped": (CAMERA, Microphone(clip=12)),
    "camera, wind": (CAMERA, Microphone(wind=True)),
    "camera, far": (CAMERA, Microphone(far=True, noise=0)),
    "camera, off by 0.1 %": (CAMERA, Microphone(drift=0.001)),
    "phone, far and clipped": (PHONE, Microphone(far=True, noise=0, clip=12)),
}


def speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A voice: pulses of its pitch and breath through three formants, in syllables and pauses."""
    num = int(seconds * RATE)
    pitch = 110 * 2 ** (0.4 * np.repeat(rng.normal(size=num // 1600 + 1), 1600)[:num])
    pulses = (np.diff(np.floor(np.cumsum(pitch / RATE)), prepend=0) > 0).astype(float)
    parts = []
    for first in range(0, num, RATE // 6):  # six syllables a second
        piece = pulses[first : first + RATE // 6] + rng.uniform(0.02, 0.3) * rng.normal(size=RATE // 6)[: num - first]
        spectrum, hertz = np.fft.rfft(piece), np.fft.rfftfreq(len(piece), 1 / RATE)
        middles = rng.uniform((250, 900, 2300), (900, 2500, 3500))
        shape = sum(np.exp(-(((hertz - middles[n]) / (90, 150, 250)[n]) ** 2)) / (1 + n) for n in range(3))
        parts.append(np.fft.irfft(spectrum * (shape + 0.01), len(piece)) * rng.gamma(0.7) * np.hanning(len(piece)))
    return np.concatenate(parts)


def echoes(ear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The impulse response from the speaker to a place in the room."""
    source, order = np.array([1.5, 1.5, 1.6]), np.arange(-8, 9)
    counts = np.stack(np.meshgrid(order, order, order, indexing="ij"), -1).reshape(-1, 3)
    images = np.where(counts % 2 == 0, counts * ROOM + source, (counts + 1) * ROOM - source)
    ways = np.linalg.norm(images - ear, axis=1)
    heard, early = np.zeros(int(FALL_SECONDS * RATE)), int(EARLY_SECONDS * RATE)
    places = np.round(ways / 343 * RATE).astype(int)
    inside = places < early
    np.add.at(heard, places[inside], (KEPT ** np.abs(counts).sum(axis=1) / np.maximum(ways, 0.3))[inside])
    level = heard[early // 2 : early].std()
    num = np.arange(len(heard) - early)
    heard[early:] = level * rng.normal(size=len(num)) * np.exp(-6.9 * num / (FALL_SECONDS * RATE))
    return heard


def recorded(
    scene: np.ndarray, begin: float, seconds: float, device: Microphone, rng: np.random.Generator
) -> tuple[Sound, float]:
    """What a device writes from `begin` of the scene on, as `mv2mae sync` reads it; and how long sound goes to it."""
    ear = rng.uniform([0.5, 0.5, 1.0], ROOM - [0.5, 0.5, 0.5])
    response = echoes(ROOM - [0.3, 0.3, 0.4] if device.far else ear, rng)
    first = int(np.flatnonzero(response)[0])
    if device.far:  # behind furniture
        response[first] = np.sqrt(np.sum(response[first + 1 :] ** 2) / 10)
    size = len(scene) + len(response)
    wet = np.fft.irfft(np.fft.rfft(scene, size) * np.fft.rfft(response, size), size)
    times = begin + np.arange(int(seconds * RATE)) / RATE / (1 + device.drift)
    values = np.interp(times * RATE, np.arange(len(wet)), wet)
    level = values.std()
    values += level * 10 ** (device.noise / 20) * band(rng.normal(size=len(values)), 60, 7500)
    if device.wind:
        gusts = np.interp(np.arange(len(values)), np.arange(0, len(values), RATE), rng.gamma(1.0, size=int(seconds)))
        values += level * gusts * band(rng.normal(size=len(values)), 20, 200)
    if device.hum:
        values += sum(level / n * np.sin(100 * np.pi * n * np.arange(len(values)) / RATE) for n in range(1, 9))
    values = band(values, device.low, device.high)
    if device.gain:
        values = values / automatic(values)
    values = 0.1 * values / values.std() * 10 ** (device.clip / 20 + (0.6 if device.clip else 0))
    return written(values.clip(-1, 1), device.bit_rate), first / RATE


def automatic(values: np.ndarray) -> np.ndarray:
    """What an automatic gain divides by: follows a rise in 20 ms and a fall in 0.5 s, and lifts pauses by 20 dB."""
    blocks = np.sqrt(np.add.reduceat(values**2, np.arange(0, len(values), 160)) / 160)
    level, levels = float(blocks[0]), []
    for block in blocks:
        level += (block - level) * (0.5 if block > level else 0.02)
        levels.append(level)
    smooth = np.interp(np.arange(len(values)), 160 * np.arange(len(levels)) + 80, levels)
    return np.maximum(smooth, 0.1 * smooth.max())


def band(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """What lies between two frequencies, of unit deviation where it was noise."""
    hertz = np.fft.rfftfreq(len(values), 1 / RATE)
    passed = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1e-3)) ** 8) / np.sqrt(1 + (hertz / high) ** 8)
    kept = np.fft.irfft(np.fft.rfft(values) * passed, len(values))
    return kept * values.std() / kept.std()


def written(values: np.ndarray, bit_rate: int) -> Sound:
    """The sound of a file: H.264 pictures of nothing, AAC sound."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.mp4"
        with av.open(str(file), "w") as container:
            pictures = container.add_stream("libx264", rate=2)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
            sound = container.add_stream("aac", rate=RATE)
            sound.bit_rate, sound.layout = bit_rate, "mono"
            for number in range(2 * len(values) // RATE):
                frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 2)
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode(None))
            for first in range(0, len(values), 1024):
                part = av.AudioFrame.from_ndarray(
                    values[None, first : first + 1024].astype(np.float32), format="fltp", layout="mono"
                )
                part.sample_rate, part.pts, part.time_base = RATE, first, Fraction(1, RATE)
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
        heard = read_sound(file)
    assert heard is not None
    return whitened(heard)


def row(name: str, pair: tuple[Microphone, Microphone], seconds: float, num: int, *, hum: bool) -> str:
    """A row of the table."""
    rng = np.random.default_rng((int(seconds), len(name)))
    told, wrong, errors, strangers, sure = 0, 0, [], 0, []
    for _ in range(num):
        offset, drift = rng.uniform(-0.4, 0.4) * min(seconds, MAX_OFFSET), rng.uniform(-5e-5, 5e-5)
        scene = speech(seconds + 12, rng)
        one, two = pair[0], Microphone(**{**vars(pair[1]), "drift": pair[1].drift + drift})
        (first, way), (second, other_way) = (
            recorded(scene, begin, seconds, device, rng) for begin, device in ((6, one), (6 - offset, two))
        )
        found = compare_sounds(first, second, max_offset=MAX_OFFSET)
        humming = [Microphone(**{**vars(device), "hum": hum}) for device in (one, two)]
        others = [recorded(speech(seconds + 12, rng), 6, seconds, device, rng)[0] for device in humming]
        other = compare_sounds(*others, max_offset=MAX_OFFSET)
        strangers += other is not None and other.confidence >= 1
        sure.append(0.0 if found is None else found.confidence)
        if found is None or found.confidence < 1:
            continue
        ends = np.array([0.0, seconds])
        true = (ends + offset + other_way - way) * (1 + two.drift)
        miss = float(np.abs(found.offset + (1 + found.drift) * ends - true).max())
        told, wrong = told + 1, wrong + (miss > WRONG_SECONDS)
        errors += [miss] if miss <= WRONG_SECONDS else []
    error = f"{1000 * np.median(errors):.0f}" if errors else "-"
    shares = " | ".join(f"{100 * count / num:.0f}" for count in (told, wrong))
    return f"| {name} | {seconds:.0f} | {shares} | {error} | {100 * strangers / num:.0f} | {np.median(sure):.1f} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="a row")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 30.0], help="lengths of the recordings")
    args = parser.parse_args()
    print(
        "| microphones | seconds | told | wrong | error, ms | strangers | confidence |\n|---|---|---|---|---|---|---|"
    )
    for seconds in args.seconds:
        for number, (name, pair) in enumerate(ROWS.items()):
            print(row(name, pair, seconds, args.trials, hum=number == 0), flush=True)


if __name__ == "__main__":
    main()
