"""How hard is the synthetic data? A small 3-D CNN on the video, on frame differences, and on the first frame repeated.

    python benchmarks/synthetic_difficulty.py [--levels easy,normal,hard] [--cache FOLDER] ...

Trained on some people and tested on others (the split synthetic/xsub). If the first frame alone gave the action away,
or if frame differences were perfect, then the data would teach little. Rendered clips are kept in the cache folder; a
change of the generator asks for a new folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mv2mae.synthetic import SyntheticSet, generate_frames
from mv2mae.synthetic.people.actions import ACTIONS

SIZE, NUM_FRAMES, FPS = 64, 16, 7
TWELVE = "drink,phone_call,clap,rub_hands,wave,salute,squat,sit_down,bow,kick,throw,turn_around"
INPUTS = ("video", "differences", "first frame")


def is_test_subject(subject: int) -> bool:
    """As in the split synthetic/xsub."""
    return subject % 5 in (4, 0)


def build_config(args: argparse.Namespace, level: str) -> SyntheticSet:
    """The performances of one level: people and rooms drawn at random."""
    names = tuple(args.actions.split(",")) if args.actions else tuple(ACTIONS)
    return SyntheticSet(
        actions=names,
        subjects=tuple(range(1, args.subjects + 1)),
        setups=tuple(range(1, args.setups + 1)),
        repetitions=args.repetitions,
        num_groups=len(names) * args.subjects * args.repetitions,
        num_frames=NUM_FRAMES,
        fps=FPS,
        size=SIZE,
        difficulty=level,
        seed=args.seed,
    )


def load_clips(args: argparse.Namespace, level: str, cache: Path) -> dict[str, np.ndarray]:
    """clips [n, t, h, w, 3] uint8 of all cameras, labels [n], subjects [n]; rendered if they are not in the cache."""
    path = (
        cache
        / f"{level}-{args.subjects}-{args.repetitions}-{args.setups}-{args.actions.replace(',', '+')}-{args.seed}.npz"
    )
    if path.exists():
        with np.load(path) as stored:
            return dict(stored)
    config = build_config(args, level)
    groups, start = config.groups(), time.perf_counter()
    clips = [video for group in groups for video in generate_frames(config, group).values()]
    each = np.repeat(np.arange(len(groups)), len(config.views))
    out = {
        "clips": np.stack(clips),
        "labels": np.array([config.actions.index(group.action) for group in groups])[each],
        "subjects": np.array([group.subject for group in groups])[each],
    }
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **out)
    print(f"  rendered {len(clips)} clips of level {level} in {time.perf_counter() - start:.0f} s", flush=True)
    return out


def as_input(clips: Tensor, kind: str) -> Tensor:
    """Clips [n, t, h, w, 3] uint8 as the network's input [n, c, t, h, w]."""
    video = clips.permute(0, 4, 1, 2, 3).float() / 255 - 0.45
    if kind == "video":
        return video
    if kind == "differences":
        return (video[:, :, 1:] - video[:, :, :-1]) * 4
    return video[:, :, :1].expand_as(video)


class SmallNet(nn.Module):
    """Four 3-D convolutions, a mean over everything, a linear classifier: 0.29 million weights."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        layers: list[nn.Module] = []
        for k, (a, b) in enumerate(pairwise(widths)):
            stride = (1, 4, 4) if k == 0 else (2, 2, 2)
            kernel = (3, 5, 5) if k == 0 else (3, 3, 3)
            padding = tuple(s // 2 for s in kernel)
            layers += [nn.Conv3d(a, b, kernel, stride, padding, bias=False), nn.BatchNorm3d(b), nn.ReLU()]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, t, h, w] to [n, classes]."""
        return self.head(F.dropout(self.features(x).mean((2, 3, 4)), 0.3, self.training))


def shaken(clips: Tensor, generator: torch.Generator) -> Tensor:
    """Training clips [n, t, h, w, 3], each shifted by up to 5 pixels."""
    shifts = torch.randint(-5, 6, (len(clips), 2), generator=generator).tolist()
    return torch.stack([clip.roll((dy, dx), (1, 2)) for clip, (dy, dx) in zip(clips, shifts, strict=True)])


def score(data: dict[str, np.ndarray], kind: str, epochs: int, seed: int, device: str) -> tuple[int, int]:
    """Trains on the training people; how many clips of the others it names rightly, and how many there are."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    clips, labels = torch.from_numpy(data["clips"]), torch.from_numpy(data["labels"])
    is_test = torch.tensor([is_test_subject(int(s)) for s in data["subjects"]])
    train, test = torch.nonzero(~is_test).flatten(), torch.nonzero(is_test).flatten()
    net = SmallNet(int(labels.max()) + 1).to(device)
    steps = epochs * (len(train) // 32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        order = train[torch.randperm(len(train), generator=generator)]
        for part in order[: len(order) // 32 * 32].split(32):
            batch = as_input(shaken(clips[part], generator), kind).to(device)
            loss = F.cross_entropy(net(batch), labels[part].to(device), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        guesses = torch.cat([net(as_input(clips[part], kind).to(device)).argmax(1).cpu() for part in test.split(64)])
    return int((guesses == labels[test]).sum()), len(test)


def interval(share: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many."""
    z = 1.96
    middle, half = share + z**2 / (2 * total), z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return (middle - half) / (1 + z**2 / total), (middle + half) / (1 + z**2 / total)


def main() -> None:
    """Prints a table: level, input, accuracy and its interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", default="easy,normal,hard")
    parser.add_argument("--inputs", default=",".join(INPUTS))
    parser.add_argument("--actions", default=TWELVE, help='names; "" for all')
    parser.add_argument("--subjects", type=int, default=25)
    parser.add_argument("--setups", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mv2mae-difficulty")
    args = parser.parse_args()
    print("| level | input | top-1 on unseen people | 95 % interval | chance | clips |\n|---|---|---|---|---|---|")
    for level in args.levels.split(","):
        data = load_clips(args, level, args.cache)
        chance = 1 / (int(data["labels"].max()) + 1)
        for kind in args.inputs.split(","):
            right, total = score(data, kind, args.epochs, args.seed, args.device)
            # The three views of a performance are right or wrong together: the interval counts performances.
            low, high = interval(right / total, total / 3)
            print(
                f"| {level} | {kind} | {right / total:.3f} | {low:.3f} to {high:.3f} | {chance:.3f} | {total} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
