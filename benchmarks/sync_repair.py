"""How well `mv2mae sync` tells when cameras began: sound and motion with known shifts, and pairs that share nothing.

    python benchmarks/sync_repair.py                      # some minutes on one core
    python benchmarks/sync_repair.py --footage FOLDER     # also four files cam*.mp4 of one take, 60 frames a second

Sound: steps and claps, or bursts coloured like speech, heard by two microphones with a room's echo each (a decay of
0.4 s, the tail half again as strong as what comes straight), noise of its own at a given level, and from 10 s on clocks
that differ by 50 ppm. Motion: takes of several actions one after the other, from the generator by way of H.264, each
piece brought to the same strength and height so that the joints give nothing away; or one action, repeated, of which
nothing should be told. The real take is cut at known places.

`told`: percent of the trials in which all views were placed; `wrong`: percent in which one of them was placed more than
50 ms (sound: 20 ms) from the truth; `error`: median of the others, in milliseconds; `strangers`: percent in which
recordings of different takes were laid together.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sync_offsets import scan_motion, synthetic

from mv2mae.data.check.motion import Motion
from mv2mae.data.sync.by_sound import compare_sounds
from mv2mae.data.sync.place import Place, add_motion
from mv2mae.data.sync.sound import RATE, Sound, whitened

MAX_OFFSET = 10.0
PIECE_FRAMES = 75
FPS = 30.0


def steps(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One burst of noise a second, at random moments."""
    heard = np.zeros(int(seconds * RATE))
    for begin in rng.uniform(0, seconds, int(seconds)):
        first = int(begin * RATE)
        burst = rng.normal(size=min(900, len(heard) - first))
        heard[first : first + len(burst)] += rng.uniform(0.3, 1) * burst * np.exp(-np.arange(len(burst)) / 80)
    return heard


def speech(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with two formants that change five times a second, and with pauses."""
    parts = []
    for _ in range(int(5 * seconds)):
        spectrum = np.fft.rfft(rng.normal(size=RATE // 5))
        hertz = np.fft.rfftfreq(RATE // 5, 1 / RATE)
        low, high = rng.uniform(250, 900), rng.uniform(900, 2500)
        spectrum *= np.exp(-(((hertz - low) / 120) ** 2)) + 0.4 * np.exp(-(((hertz - high) / 200) ** 2)) + 0.01
        parts.append(np.fft.irfft(spectrum, RATE // 5) * rng.gamma(0.6))
    return np.concatenate(parts)


def microphone(scene: np.ndarray, rng: np.random.Generator, begin: float, seconds: float, decibel: float,
               drift: float) -> Sound:  # fmt: skip
    """What is recorded from `begin` of the scene on, `decibel` louder than the microphone's own noise."""
    tail = 0.1 * rng.normal(size=int(0.4 * RATE)) * np.exp(-6.9 * np.arange(int(0.4 * RATE)) / (0.4 * RATE))
    tail[0] = rng.choice([-1.0, 1.0])
    size = len(scene) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(scene, size) * np.fft.rfft(tail, size), size)
    times = begin + np.arange(int(seconds * RATE)) / RATE / (1 + drift)
    values = np.interp(times * RATE, np.arange(len(wet)), wet)
    noise = np.convolve(rng.normal(size=len(values)), [0.5, 0.3, 0.2], "same")
    values += noise * values.std() / noise.std() * 10 ** (-decibel / 20)
    return whitened(Sound(0.0, (0.05 * values / values.std()).astype(np.float32)))


def sound_rows(num: int) -> None:
    """A row a kind of sound, length and level."""
    kinds: dict[str, Callable[[float, np.random.Generator], np.ndarray]] = {"steps": steps, "speech": speech}
    for name, kind in kinds.items():
        for seconds in (3.0, 10.0, 60.0):
            for decibel in (10.0, 0.0):
                rng = np.random.default_rng((int(seconds), int(decibel), len(name)))
                told, wrong, errors, strangers = 0, 0, [], 0
                for _ in range(num):
                    drift = rng.choice([-5e-5, 5e-5]) if seconds >= 10 else 0.0
                    offset = rng.uniform(-0.4, 0.4) * min(seconds, MAX_OFFSET)
                    scene = kind(seconds + 12, rng)
                    one = microphone(scene, rng, 5, seconds, decibel, 0.0)
                    pair = compare_sounds(
                        one, microphone(scene, rng, 5 - offset, seconds, decibel, drift), max_offset=MAX_OFFSET
                    )
                    stranger = microphone(kind(seconds + 12, rng), rng, 5, seconds, decibel, 0.0)
                    other = compare_sounds(one, stranger, max_offset=MAX_OFFSET)
                    strangers += other is not None and other.confidence >= 1
                    if pair is None or pair.confidence < 1:
                        continue
                    told += 1
                    ends = np.array([0.0, seconds])
                    miss = np.abs(pair.offset + (1 + pair.drift) * ends - (ends + offset) * (1 + drift)).max()
                    wrong += miss > 0.02
                    errors += [miss] if miss <= 0.02 else []
                row = (
                    f"| {name}, {decibel:.0f} dB | 2 | {seconds:.0f} | {100 * told / num:.0f} | {100 * wrong / num:.0f}"
                )
                print(
                    f"{row} | {1000 * np.median(errors) if errors else np.nan:.1f} | {100 * strangers / num:.0f} |",
                    flush=True,
                )


def evened(moments: np.ndarray) -> np.ndarray:
    """The moments of a piece with the mean strength 0.5, around the middle of the picture."""
    out = moments.astype(float)
    shift = 0.5 - out[:, 1].sum() / max(out[:, 0].sum(), 1e-9)
    out[:, 2] += 2 * shift * out[:, 1] + shift**2 * out[:, 0]
    out[:, 1] += shift * out[:, 0]
    out[:, :3] *= 0.5 / max(out[:, 0].mean(), 1e-3)
    return out.astype(np.float32)


def takes_of(groups: list[list[Motion]], rng: np.random.Generator, num_frames: int) -> list[list[np.ndarray]]:
    """Moments of three views of two takes of several actions, which have no action in common."""
    num = -(-num_frames // PIECE_FRAMES)
    order = rng.permutation(len(groups))
    return [
        [np.concatenate([evened(groups[g][v].moments[:PIECE_FRAMES]) for g in chosen]) for v in range(3)]
        for chosen in (order[:num], order[num : 2 * num])
    ]


def placed(views: list[np.ndarray], begins: list[int], length: int, fps: float) -> list[Place]:
    """The places that motion gives views that begin at these frames."""
    motions = [
        Motion(np.arange(length) / fps, view[begin : begin + length]) for view, begin in zip(views, begins, strict=True)
    ]
    return add_motion([Place()] * len(motions), motions, tolerance=0.05, max_offset=MAX_OFFSET)[0]


def tally(
    name: str, length: int, fps: float, trials: list[tuple[list[Place], list[int]]], strangers: list[bool]
) -> None:
    """A row of motion: places, and the frames at which the views truly began."""
    told, wrong, errors = 0, 0, []
    for places, begins in trials:
        if not all(place.evidence for place in places):
            continue
        told += 1
        miss = max(
            abs(place.offset - places[0].offset - (begins[0] - begin) / fps)
            for place, begin in zip(places, begins, strict=True)
        )
        wrong += miss > 0.05
        errors += [miss] if miss <= 0.05 else []
    error = f"{1000 * np.median(errors):.0f}" if errors else "-"
    lost = f"{100 * np.mean(strangers):.0f}" if strangers else "-"
    shares = " | ".join(f"{100 * count / len(trials):.0f}" for count in (told, wrong))
    row = f"| {name} | {len(trials[0][1])} | {length / fps:.1f} | {shares} | {error} | {lost} |"
    print(row, flush=True)


def motion_rows(groups: list[list[Motion]], num: int) -> None:
    """A row a length and number of views, of takes of several actions and of repeated ones."""
    rng = np.random.default_rng(1)
    for num_views in (2, 3):
        for length in (150, 300, 600, 1200):
            most = min(int(2 * FPS), length // 2)  # as far apart as half of the shortest, or two seconds
            trials, strangers = [], []
            for _ in range(num):
                views, other = takes_of(groups, rng, length + most)
                begins = rng.integers(0, most, num_views).tolist()
                order = rng.permutation(3)[:num_views]
                trials.append((placed([views[v] for v in order], begins, length, FPS), begins))
                mixed = placed([views[order[0]], other[order[1]]], begins[:2], length, FPS)
                strangers.append(all(place.evidence for place in mixed))
            tally("several actions", length, FPS, trials, strangers)
    for num_views in (2, 3):
        trials = []
        for motions in groups:
            begins = rng.integers(0, 40, num_views).tolist()
            trials.append((placed([motion.moments for motion in motions[:num_views]], begins, 118, FPS), begins))
        tally("one action, repeated", 118, FPS, trials, [])


def footage_rows(folder: Path, num: int) -> None:
    """Rows of the real take, where it is at hand."""
    views = [scan_motion(file).moments for file in sorted(folder.glob("cam*.mp4"))]
    rng = np.random.default_rng(2)
    for num_views in (2, 4) if views else ():
        trials = []
        for _ in range(num):
            begins = rng.integers(0, 20, num_views).tolist()
            order = rng.permutation(len(views))[:num_views]
            trials.append((placed([views[v] for v in order], begins, 79, 60.0), begins))
        tally("real take", 79, 60.0, trials, [])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40, help="a row")
    parser.add_argument("--seed", type=int, default=11, help="of the generator; thresholds were chosen on another")
    parser.add_argument("--footage", type=Path, default=os.environ.get("MV2MAE_FOOTAGE"), help="folder of cam*.mp4")
    args = parser.parse_args()
    print("| material | views | seconds | told | wrong | error, ms | strangers |\n|---|---|---|---|---|---|---|")
    sound_rows(args.trials)
    motion_rows(synthetic("normal", args.seed), args.trials)
    if args.footage:
        footage_rows(args.footage, args.trials)


if __name__ == "__main__":
    main()
