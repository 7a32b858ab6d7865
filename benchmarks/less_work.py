"""Does less work a step learn the same sooner? Loss in rooms never trained on against computing time.

    python benchmarks/less_work.py --out runs/less-work [--seconds 25] [--only share] [--seeds 0,1] [--whole]
    python benchmarks/less_work.py --out runs/less-work --data crop/views.parquet --settings set.yaml \\
        --train_query "subject <= 22" --test_query "subject > 22" --seconds 45 --seeds 0,1,2

Candidates train on the sample set, or on videos of one's own, for the same computing time, each with as many steps as
fit into it by the time of its own step (process time, one thread, measured first), so that what else the machine does
counts nothing. They are judged by the loss of the target's masked tokens on performances of rooms that are not trained
on, all of them decoded, as a share of that of predicting each tubelet's mean: at the end, and the seconds until the
level of the first candidate of the same kind and seed at its end was reached. With a test query also by a linear probe
on frozen features. A finished run is not repeated. OUT/table.md has the table, OUT/table.csv every training.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mv2mae.config import FeatureConfig, PretrainConfig, ProbeConfig, VideosConfig
from mv2mae.files import write_json, write_text
from mv2mae.model.pretraining import MV2MAE
from mv2mae.recipes import load_recipe
from mv2mae.records import read_record
from mv2mae.runs import read_log
from mv2mae.studies.probes.measure import probe
from mv2mae.tables.options import settings_from
from mv2mae.tables.spec import merged
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


def config_of(name: str, steps: int, args: argparse.Namespace, seed: int, start: Path | None = None) -> PretrainConfig:
    """The training of a candidate; with larger tubelets first the first half of it, unless `start` has its weights."""
    small: dict[str, Any] = {} if args.whole or args.settings else {"model": SMALL, "data": {"cache_size": 36}}
    division = {"split": "", "train_query": args.train_query} if args.train_query else {}
    values = merged(
        small,
        {"data": {"manifest": args.data, **division}},
        settings_from(args.settings).get("pretrain", {}),
        {
            "seed": seed,
            "init": None if start is None else str(start),
            "model": CANDIDATES[name][1],
            "optim": {"steps": steps},
            "compute": {"num_threads": 1, "precision": "32-true", "accelerator": "cpu"},
            "log": {"check_every": max(1, steps // _LOOKS), "save_every": 10_000, "held_out_pairs": 16},
        },
    )
    config = load_recipe("sample-pretrain", PretrainConfig, **values)
    if name != LARGER_FIRST or start:
        return config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, tubelet_size=(8, 8, 8)))


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


def train(name: str, run: Path, args: argparse.Namespace, seed: int, each: float) -> dict[str, Any]:
    """Train a candidate for the time there is, with what a step of it takes; of two halves the second is looked at."""
    start: Path | None = None
    before = 0.0
    if name == LARGER_FIRST:
        before = args.seconds / 2
        first = config_of(name, max(_LOOKS, round(before / each)), args, seed)
        start = pretrain(first, run.with_name(f"{run.name}-first"))
        each = seconds_a_step(config_of(name, 100, args, seed, start))
    steps = max(_LOOKS, round((args.seconds - before) / each))
    config = config_of(name, steps, args, seed, start)
    pretrain(config, run)
    found = {"seconds_a_step": each, "steps": steps, "before": before}
    return {**found, "probe": probed(run, config.data.manifest, args)} if args.test_query else found


def probed(run: Path, manifest: str, args: argparse.Namespace) -> float:
    """Top-1 of a linear probe on the frozen encoder."""
    data = VideosConfig(
        manifest=manifest, train_query=args.train_query, test_query=args.test_query, frame_stride=args.stride
    )
    result = probe(run, data, FeatureConfig(), ProbeConfig(probes=("linear",)), run / "probe", floor=False)
    return next(iter(result.encoders.values()))["linear"].top1


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


def row_of(name: str, seed: int, found: dict[str, Any], losses: pd.DataFrame, level: float) -> dict[str, Any]:
    """One training: its losses at the end, and when the level was reached."""
    reached = first_below(losses["cross_target"], level)
    return {
        "candidate": name,
        "seed": seed,
        "ms a step": 1e3 * found["seconds_a_step"],
        "steps": found["steps"],
        "self": losses["self_target"].iloc[-1],
        "cross": losses["cross_target"].iloc[-1],
        "s to the first's cross": None if reached is None else found["before"] + reached * found["seconds_a_step"],
        "probe, %": 100 * found["probe"] if "probe" in found else None,
    }


def run_seed(names: Sequence[str], seed: int, each: dict[str, float], args: argparse.Namespace) -> list[dict[str, Any]]:
    """All candidates of a seed, against the first of their kind."""
    rows: list[dict[str, Any]] = []
    levels: dict[str, float] = {}
    for name in names:
        run = args.out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{seed}"
        note = run / "less-work.json"
        if note.exists():
            found = read_record(note)
        else:
            found = train(name, run, args, seed, each[name])
            write_json(note, found)
        losses = curve(run)
        level = levels.setdefault(CANDIDATES[name][0], float(losses["cross_target"].iloc[-1]))
        rows.append(row_of(name, seed, found, losses, level))
    return rows


def main() -> None:
    """Measure, train, and write the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seconds", type=float, default=25, help="computing time of each candidate")
    parser.add_argument("--only", default="", help="candidates whose name contains one of these words")
    parser.add_argument("--seeds", default="0", help="of the trainings, with commas between")
    parser.add_argument("--whole", action="store_true", help="the recipe `sample-pretrain` itself, not a smaller model")
    parser.add_argument("--data", default="sample", help="manifest")
    parser.add_argument("--settings", default="", help="YAML with `pretrain` settings over the recipe's, as of tables")
    parser.add_argument("--train_query", default="", help="videos to train on, and to fit the probe to")
    parser.add_argument("--test_query", default="", help="videos to test the probe on; empty = no probe")
    parser.add_argument("--stride", type=int, default=2, help="frame stride of the probe's clips")
    args = parser.parse_args()
    words = args.only.lower().split(",")
    names = [name for name in CANDIDATES if any(word in name for word in words)]
    seeds = [int(seed) for seed in args.seeds.split(",")]
    args.out.mkdir(parents=True, exist_ok=True)
    # one after the other in turns, so that a busy machine's slower clock falls on all of them
    turns = [{name: seconds_a_step(config_of(name, 100, args, 0), 3) for name in names} for _ in range(3)]
    each = {name: statistics.median(turn[name] for turn in turns) for name in names}
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        rows += run_seed(names, seed, each, args)
        done = pd.DataFrame(rows)
        write_text(args.out / "table.csv", done.to_csv(index=False))
        write_text(args.out / "table.md", table(done))
    print(table(pd.DataFrame(rows)))


def table(rows: pd.DataFrame) -> str:
    """Means over seeds as Markdown, behind them every seed."""
    columns = [name for name in rows.columns if name not in ("candidate", "seed") and rows[name].notna().any()]
    lines = [["candidate", *columns], ["---"] * (1 + len(columns))]
    for name, part in rows.groupby("candidate", sort=False):
        cells = [_cell(part[column], 3 if column in ("self", "cross") else 0) for column in columns]
        lines.append([str(name), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(values: pd.Series, digits: int) -> str:
    each = ["-" if pd.isna(value) else f"{value:.{digits}f}" for value in values]
    if len(set(each)) == 1:
        return each[0]
    return f"{values.mean():.{digits}f} ({', '.join(each)})"


if __name__ == "__main__":
    main()
