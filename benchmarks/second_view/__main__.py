"""Does the second view count?

    python -m benchmarks.second_view trials --out runs/second-view [--steps 400] [--seeds 1] [--only rope,ntu]
    python -m benchmarks.second_view ceiling --out runs/second-view

`trials`: short trainings by positions, masks, cameras and rig, tested on rooms, people and cameras never seen, with the
ceiling beside them; about a quarter of an hour on two cores, the videos included, which are made once. What is finished
is not repeated. `ceiling`: what geometry allows, without training; some four minutes on a core. Both write JSON
and Markdown, `trials` a picture too.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from benchmarks.second_view.bank import TEST, TRAIN, make_bank
from benchmarks.second_view.ceiling import CeilingConfig, ceiling
from benchmarks.second_view.report import ceiling_table, headroom_table, trials_figure, trials_table
from benchmarks.second_view.trials import SMALL, TRIALS, Trial, run_quietly
from mv2mae.files import write_json, write_text
from mv2mae.visualize.outputs import write_picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print its tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    _trials_options(verbs.add_parser("trials", help="what short trainings reach"))
    _ceiling_options(verbs.add_parser("ceiling", help="what geometry allows"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    args.run(args)


def _trials_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_trials)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, trials.json, trials.md, trials.png")
    parser.add_argument("--data", type=Path, default=None, help="folder of the videos; by default OUT/data")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only",
        default="",
        help="trials whose name contains one of these words (`why`, `against`: not run unless named)",
    )
    parser.add_argument("--processes", type=int, default=2, help="trials at a time, a thread each")


def _run_trials(args: argparse.Namespace) -> None:
    words, data = args.only.lower().split(","), args.data or args.out / "data"
    chosen = [t for t in TRIALS if (any(word in t.name.lower() for word in words) if args.only else not t.extra)]
    if not chosen:
        raise SystemExit(f"--only {args.only} names none of the trials: {', '.join(trial.name for trial in TRIALS)}")
    for name in track(dict.fromkeys(trial.bank for trial in chosen), "videos"):
        for part in (TRAIN, TEST):
            make_bank(data, name, part, processes=args.processes)
    # the longest first, so that none is left alone at the end
    order = sorted(chosen, key=lambda trial: -trial.model.num_tokens)
    tasks = [(trial, args.out, data, args.steps, seed) for seed in range(args.seeds) for trial in order]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(args.processes, maxtasksperchild=1) as pool:
        results = list(track(pool.imap_unordered(run_quietly, tasks), "trials", total=len(tasks)))
    place = {trial.name: number for number, trial in enumerate(TRIALS)}
    results.sort(key=lambda result: (place[result["trial"]], result["seed"]))
    _write_trials(args.out, chosen, results, _ceiling_of_small())


def _ceiling_of_small() -> dict[float, float]:
    """By angle, the ceiling for the clips of the small trials."""
    config = CeilingConfig(
        performances=40,
        size=SMALL.image_size,
        num_frames=SMALL.num_frames,
        tubelet_size=SMALL.tubelet_size,
        source_ratios=(0.0,),
        target_ratios=(SMALL.mask_ratio,),
        maskings=("random",),
    )
    return {row["angle"]: row["source"] for row in ceiling(config)}


def _write_trials(
    out: Path, chosen: Sequence[Trial], results: Sequence[dict[str, Any]], highest: dict[float, float]
) -> None:
    configs = {trial.name: asdict(trial) for trial in chosen}
    write_json(out / "trials.json", {"trials": configs, "results": list(results), "ceiling": highest})
    text = trials_table(results, highest) + "\n"
    write_text(out / "trials.md", text)
    write_picture(trials_figure(results, highest), out / "trials.png")
    print(text)


def _ceiling_options(parser: argparse.ArgumentParser) -> None:
    usual = CeilingConfig()
    parser.set_defaults(run=_run_ceiling)
    parser.add_argument("--out", type=Path, required=True, help="folder to write ceiling.json and ceiling.md to")
    parser.add_argument("--performances", type=int, default=usual.performances)
    parser.add_argument("--size", type=int, default=usual.size, help="pixels")
    parser.add_argument("--num_frames", type=int, default=usual.num_frames)
    parser.add_argument("--tubelet_size", type=int, nargs=3, default=usual.tubelet_size, help="frames, rows, columns")
    parser.add_argument("--difficulty", default=usual.difficulty)
    parser.add_argument("--seed", type=int, default=usual.seed)


def _run_ceiling(args: argparse.Namespace) -> None:
    names = ("performances", "size", "num_frames", "difficulty", "seed")
    chosen = {name: getattr(args, name) for name in names}
    config = CeilingConfig(**chosen, tubelet_size=tuple(args.tubelet_size))
    rows = ceiling(config)
    text = f"{ceiling_table(rows)}\n\n{headroom_table(rows)}\n"
    write_json(args.out / "ceiling.json", {"config": asdict(config), "rows": rows})
    write_text(args.out / "ceiling.md", text)
    print(text)


if __name__ == "__main__":
    main()
