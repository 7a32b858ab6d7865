"""Does less work a step learn the same sooner? Loss in rooms never trained on against computing time.

    python benchmarks/less_work.py --out runs/less-work [--seconds 25] [--only share] [--seed 0] [--whole]

Candidates train on the sample set for the same computing time, each with as many steps as fit into it by the time of
its own step (process time, one thread, measured first), so that what else the machine does counts nothing. They are
judged by the loss of the target's masked tokens on performances of rooms that are not trained on, all of them decoded,
as a share of that of predicting each tubelet's mean: at the end, and the seconds until the level of the first candidate
of the same kind at its end was reached. A finished run is not repeated. OUT/table.md has the table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mv2mae.config import PretrainConfig
from mv2mae.files import write_json, write_text
from mv2mae.model.pretraining import MV2MAE
from mv2mae.recipes import load_recipe
from mv2mae.runs import read_log
from mv2mae.train.optim import build_optimizer
from mv2mae.train.pretrain import pretrain

BOTH: dict[str, Any] = {"decoded_share": 1.0}
SHOWN: dict[str, Any] = {**BOTH, "source_mask_ratio": 0.0, "directions": "one"}
LARGER_FIRST = "both directions, share 1/2, larger tubelets first"
"""Half of the time with tubelets of 8x8x8, from whose weights the other half goes on with the recipe's."""
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {  # name -> kind, what it changes of the model
    "both directions": ("both", BOTH),
    "both directions, share 1/2": ("both", {**BOTH, "decoded_share": 0.5}),
    "both directions, cross-attention alone": ("both", {**BOTH, "self_view_attention": "cross"}),
    "both directions, cross-attention alone, share 1/2": (
        "both",
        {**BOTH, "self_view_attention": "cross", "decoded_share": 0.5},
    ),
    LARGER_FIRST: ("both", {**BOTH, "decoded_share": 0.5}),
    "source shown": ("shown", SHOWN),
    "source shown, share 1/2": ("shown", {**SHOWN, "decoded_share": 0.5}),
    "source shown, 2 masks": ("shown", {**SHOWN, "num_masks": 2}),
    "source shown, 4 masks": ("shown", {**SHOWN, "num_masks": 4}),
}
"""The first of each kind is what the others of it are held against."""
SMALL = {
    **{"image_size": 32, "encoder_width": 96, "encoder_depth": 3, "encoder_heads": 3, "decoder_width": 64},
    **{"decoder_depth": 2, "decoder_heads": 2, "mask_ratio": 0.8},
}
_LOOKS = 10


def config_of(name: str, steps: int, args: argparse.Namespace, start: Path | None = None) -> PretrainConfig:
    """The training of a candidate; with larger tubelets first the first half of it, unless `start` has its weights."""
    small, size = ({}, 64) if args.whole else (SMALL, SMALL["image_size"])
    changes = CANDIDATES[name][1]
    if name == LARGER_FIRST:
        half = {"position_grid": [2, size // 8, size // 8]} if start else {"tubelet_size": [8, 8, 8]}
        changes = {**changes, **half}
    return load_recipe(
        "sample-pretrain",
        PretrainConfig,
        seed=args.seed,
        init=None if start is None else str(start),
        model={**small, **changes},
        data={"cache_size": size * 9 // 8},
        optim={"steps": steps},
        compute={"num_threads": 1, "precision": "32-true", "accelerator": "cpu"},
        log={"check_every": max(1, steps // _LOOKS), "save_every": 10_000, "held_out_pairs": 16},
    )


def seconds_a_step(config: PretrainConfig, repeats: int = 7) -> float:
    """Computing time of a step, the median; on random clips in memory."""
    torch.set_num_threads(1)
    model = MV2MAE(config.model).train()
    optimizer, _ = build_optimizer(model, config.optim, depth=config.model.encoder_depth, num_items=100)
    pairs, size = config.optim.batch_size, config.model.image_size
    clip = (pairs, 3, config.model.num_frames, size, size)
    source, target = (torch.randint(256, clip, dtype=torch.uint8) for _ in range(2))
    taken = []
    for step in range(repeats + 1):
        begin = time.process_time()
        optimizer.zero_grad()
        model(source, target, seeds=torch.arange(pairs) + step).loss.backward()
        optimizer.step()
        taken.append(time.process_time() - begin)
    return statistics.median(taken[1:])


def train(name: str, run: Path, args: argparse.Namespace, each: float) -> dict[str, Any]:
    """Train a candidate for the time there is, with what a step of it takes; of two halves the second is looked at."""
    start: Path | None = None
    before = 0.0
    if name == LARGER_FIRST:
        before = args.seconds / 2
        start = pretrain(config_of(name, max(_LOOKS, round(before / each)), args), run.with_name(f"{run.name}-first"))
        each = seconds_a_step(config_of(name, 100, args, start))
    steps = max(_LOOKS, round((args.seconds - before) / each))
    pretrain(config_of(name, steps, args, start), run)
    return {"seconds_a_step": each, "steps": steps, "before": before}


def curve(run: Path) -> pd.DataFrame:
    """Losses on unseen rooms by step, as shares of the mean baseline."""
    log = read_log(run).dropna(subset=["unseen/loss"])
    names = ("self_target", "cross_target")
    return pd.DataFrame({name: log[f"unseen/{name}"] / log["unseen/baseline_target"] for name in names})


def first_below(values: pd.Series, level: float) -> float | None:
    """The step at which a falling curve reaches a level, between two looks in a straight line."""
    before: tuple[float, float] | None = None
    for step, value in values.items():
        if value <= level:
            if before is None or before[1] == value:
                return float(step)
            share = (before[1] - level) / (before[1] - value)
            return before[0] + share * (float(step) - before[0])
        before = float(step), float(value)
    return None


def row_of(name: str, found: dict[str, dict[str, Any]], curves: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """A line of the table."""
    kind = CANDIDATES[name][0]
    first = next(other for other in CANDIDATES if CANDIDATES[other][0] == kind and other in found)
    level = float(curves[first]["cross_target"].iloc[-1])
    reached = first_below(curves[name]["cross_target"], level)
    each = found[name]["seconds_a_step"]
    return {
        "candidate": name,
        "ms a step": f"{1e3 * each:.0f}",
        "steps": found[name]["steps"],
        "self, end": f"{curves[name]['self_target'].iloc[-1]:.4f}",
        "cross, end": f"{curves[name]['cross_target'].iloc[-1]:.4f}",
        "s to the first's cross": "-" if reached is None else f"{found[name]['before'] + reached * each:.0f}",
    }


def main() -> None:
    """Measure, train, and write the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seconds", type=float, default=25, help="computing time of each candidate")
    parser.add_argument("--only", default="", help="candidates whose name contains one of these words")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="the recipe `sample-pretrain` itself, not a smaller model")
    args = parser.parse_args()
    words = args.only.lower().split(",")
    names = [name for name in CANDIDATES if any(word in name for word in words)]
    args.out.mkdir(parents=True, exist_ok=True)
    # one after the other in turns, so that a busy machine's slower clock falls on all of them
    turns = [{name: seconds_a_step(config_of(name, 100, args), 3) for name in names} for _ in range(3)]
    found: dict[str, dict[str, Any]] = {}
    curves: dict[str, pd.DataFrame] = {}
    for name in names:
        run = args.out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{args.seed}"
        if (run / "less-work.json").exists():
            found[name] = pd.read_json(run / "less-work.json", typ="series").to_dict()
        else:
            found[name] = train(name, run, args, statistics.median(turn[name] for turn in turns))
            write_json(run / "less-work.json", found[name])
        curves[name] = curve(run)
        rows = [row_of(done, found, curves) for done in found]
        write_text(args.out / "table.md", table(rows))
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


if __name__ == "__main__":
    main()
