"""The verb that measures: bench, with what is measured as a second word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.training import config_from
from mv2mae.cli.verb import RecipeFile, Verb


def _data_options(parser: ArgumentParser) -> None:
    from mv2mae.config import PretrainConfig

    parser.add_argument("--recipe", action=RecipeFile, help="the recipe whose loader is measured (`mv2mae recipes`)")
    parser.add_argument("--num_clips", type=int, default=500, help="clips to read; 10000 shows whether memory is flat")
    parser.add_argument("--num_workers", type=int, default=None, help="reading processes; else compute.num_workers")
    parser.add_argument("--want", type=float, default=0.0, help="clips a second that a model takes; how many cores?")
    parser.add_argument("--out", type=str, default="", help="JSON file to write")
    parser.add_class_arguments(PretrainConfig)


def _data(args: Any) -> None:
    from mv2mae.benchmark.loading import bench_data, print_figures, write_figures

    figures = bench_data(config_from(args, "PretrainConfig"), num_clips=args.num_clips, num_workers=args.num_workers)
    print_figures(figures, args.want)
    if args.out:
        write_figures(figures, Path(args.out))
        print(f"wrote {args.out}")


VERBS = {
    "bench data": Verb(
        "measure how fast pre-training reads its clips, and where the time goes",
        "mv2mae bench data --recipe sample-pretrain --data manifest.parquet --want 1000",
        _data_options,
        _data,
    ),
}
