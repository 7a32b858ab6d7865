"""How well `mv2mae check` tells time offsets: synthetic groups with known offsets, and the real take.

    python benchmarks/sync_offsets.py                      # eleven minutes on a busy core
    python benchmarks/sync_offsets.py --footage FOLDER     # also four files cam*.mp4 of one take, 60 frames a second

Every video is encoded as `mv2mae synth` does it and read back as `mv2mae check` does; offsets come from cutting the
motion signals, dropped frames from leaving samples out and closing the gap. A cell of the table, about the last view:

- `right`: the best estimate lies within one frame of the truth, whether it is believed or not;
- `flagged`: called unsynchronised (a false alarm where the truth lies within the tolerance of 0.1 s);
- `error`: flagged so clearly that `mv2mae check` makes it an error rather than a warning;
- `called synchronised`: a miss where the truth is beyond the tolerance.

A second table: in how many groups, one view of which lost frames in its middle, any view is said to have an offset that
changes, or is flagged; without lost frames these are all false alarms.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mv2mae.data.check.findings import SURE_GAIN
from mv2mae.data.check.motion import Motion
from mv2mae.data.check.scan import scan
from mv2mae.data.check.sync import estimate_offsets
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.synthetic.encode import write_video
from mv2mae.synthetic.generate import generate_frames

OFFSETS = (0, 1, 2, 5, 10, 20)
LOST = (0, 5, 10, 20)
NUM_FRAMES = 160
Group = list[Motion]


def synthetic(difficulty: str, seed: int) -> list[Group]:
    """Motions of the three views of one performance of every action, by way of H.264."""
    config = SyntheticSet(setups=(1, 2, 3, 4), num_frames=NUM_FRAMES, size=96, difficulty=difficulty, seed=seed)
    performances = np.random.default_rng(seed).permutation(np.array(config.groups(), dtype=object))
    chosen = {performance.action: performance for performance in performances}
    groups = []
    with tempfile.TemporaryDirectory() as folder:
        for action in config.actions:
            motions = []
            for view, frames in generate_frames(config, chosen[action]).items():
                path = Path(folder) / f"{action}_{view}.mp4"
                write_video(path, frames, fps=config.fps, crf=config.quality)
                motions.append(scan_motion(path))
            groups.append(motions)
    return groups


def scan_motion(path: Path) -> Motion:
    """Motion of a video that is known to be good."""
    motion = scan(str(path)).motion
    assert motion is not None, path
    return motion


def cut(motion: Motion, first: int, length: int, dropped: int) -> Motion:
    """`length` samples from `first` on, `dropped` of them missing in the middle, on a clock that begins at 0."""
    middle = first + length // 2
    index = np.r_[first:middle, middle + dropped : first + length + dropped]
    index = index[index < len(motion.times)]
    return Motion(motion.times[: len(index)], motion.moments[index])


def trials(groups: list[Group], num_views: int, length: int, offset: int, dropped: int) -> Iterator[list[Motion]]:
    """Each group once, cut at random; the last view begins `offset` frames later than the others."""
    rng = np.random.default_rng((num_views, length, offset, dropped))
    for motions in groups:
        views = rng.permutation(len(motions))[:num_views]
        room = len(motions[0].times) - length - offset - dropped
        start = int(rng.integers(max(1, room + 1)))
        shifts = [0] * (num_views - 1) + [offset]
        yield [
            cut(motions[view], start + shift, length, dropped * (shift == shifts[-1] and index == num_views - 1))
            for index, (view, shift) in enumerate(zip(views, shifts, strict=True))
        ]


def measure(
    groups: list[Group], num_views: int, length: int, offset: int, dropped: int, fps: float
) -> tuple[float, ...]:
    """Shares of the last view's estimates that are right, flagged, errors, and called synchronised."""
    right = flagged = error = synchronised = count = 0
    for motions in trials(groups, num_views, length, offset, dropped):
        best = estimate_offsets(motions, always=True)
        if best[-1].seconds is not None and best[0].seconds is not None:
            # dropped frames add to the offset of the second half: anything between is right
            miss = (best[-1].seconds - best[0].seconds) * fps + offset
            right += -dropped - 1.2 <= miss <= 1.2
        view = estimate_offsets(motions)[-1]
        flagged += view.verdict == "unsynchronised"
        error += view.verdict == "unsynchronised" and view.gain >= SURE_GAIN
        synchronised += view.verdict == "synchronised"
        count += 1
    return right / count, flagged / count, error / count, synchronised / count


def print_rows(name: str, groups: list[Group], num_views: int, length: int, dropped: int, fps: float) -> None:
    """A row of the table: one cell an offset, `right / flagged / error / called synchronised` in percent."""
    cells = []
    for offset in OFFSETS:
        shares = measure(groups, num_views, length, offset, dropped, fps)
        cells.append(" / ".join(f"{100 * share:.0f}" for share in shares))
    print(f"| {name} | {num_views} | {length / fps:.1f} | {dropped} | " + " | ".join(cells) + " |", flush=True)


def print_changes(name: str, groups: list[Group], num_views: int, length: int, fps: float) -> None:
    """A row of the second table: groups with `offset changes / a view flagged` in percent, by lost frames."""
    cells = []
    for lost in LOST:
        found = [estimate_offsets(motions) for motions in trials(groups, num_views, length, 0, lost)]
        flagged = [any(view.verdict == "unsynchronised" for view in views) for views in found]
        changes = [any(view.steps and view.verdict != "unsynchronised" for view in views) for views in found]
        cells.append(f"{100 * np.mean(changes):.0f} / {100 * np.mean(flagged):.0f}")
    print(f"| {name} | {num_views} | {length / fps:.1f} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--difficulties", nargs="+", default=["easy", "normal"], metavar="LEVEL")
    parser.add_argument("--seed", type=int, default=11, help="of the generator; thresholds were chosen on another")
    parser.add_argument("--footage", type=Path, default=os.environ.get("MV2MAE_FOOTAGE"), help="folder of cam*.mp4")
    args = parser.parse_args()
    levels = {f"synthetic, {level}": synthetic(level, args.seed) for level in args.difficulties}
    print("| material | views | seconds | dropped | " + " | ".join(f"{n} frames" for n in OFFSETS) + " |")
    print("|---" * (4 + len(OFFSETS)) + "|")
    for name, groups in levels.items():
        for num_views in (2, 3):
            for length, dropped in ((64, 0), (130, 0), (130, 3)):
                print_rows(name, groups, num_views, length, dropped, 30)
    files = sorted(args.footage.glob("cam*.mp4")) if args.footage else []
    if files:
        take = [scan_motion(path) for path in files]
        for num_views in (2, 3, 4):
            print_rows("real take, 12 draws", [take] * 12, num_views, 79, 0, 60)
    print("\n| material | views | seconds | " + " | ".join(f"{n} lost" for n in LOST) + " |")
    print("|---" * (3 + len(LOST)) + "|")
    for name, groups in levels.items():
        for num_views in (2, 3):
            print_changes(name, groups, num_views, 130, 30)


if __name__ == "__main__":
    main()
