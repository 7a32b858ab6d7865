"""The verb that measures: bench, with what is measured as a second word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import RecipeFile, Verb, config_from
from mv2mae.config import ModelConfig, PretrainConfig


def _data_options(parser: ArgumentParser) -> None:
    parser.add_argument("--recipe", action=RecipeFile, help="the recipe whose loader is measured (`mv2mae recipes`)")
    parser.add_argument("--num_clips", type=int, default=500, help="clips to read; 10000 shows whether memory is flat")
    parser.add_argument("--num_workers", type=int, default=None, help="reading processes; else compute.num_workers")
    parser.add_argument("--want", type=float, default=0.0, help="clips a second that a model takes; how many cores?")
    parser.add_argument("--out", type=str, default="", help="JSON file to write")
    parser.add_class_arguments(PretrainConfig)


def _data(args: Any) -> None:
    from mv2mae.bench.loading import bench_data, print_figures, write_figures

    figures = bench_data(config_from(args, PretrainConfig), num_clips=args.num_clips, num_workers=args.num_workers)
    print_figures(figures, args.want)
    if args.out:
        write_figures(figures, Path(args.out))
        print(f"wrote {args.out}")


def _model_options(parser: ArgumentParser) -> None:
    parser.add_argument("--recipe", action=RecipeFile, help="the recipe whose step is measured (`mv2mae recipes`)")
    parser.add_argument("--size", type=str, default="", help="of the encoder: tiny, small, base or large")
    parser.add_argument("--pairs", type=int, default=4, help="pairs in a step")
    parser.add_argument("--num_steps", type=int, default=10, help="steps to measure")
    parser.add_argument("--out", type=str, default="", help="JSON file to write")
    parser.add_class_arguments(PretrainConfig)


def _model(args: Any) -> None:
    from mv2mae.bench.model import bench_model, print_figures, write_figures

    config = config_from(args, PretrainConfig)
    if args.size:
        sized = ModelConfig.of_size(args.size)
        encoder = {name: getattr(sized, name) for name in ("encoder_width", "encoder_depth", "encoder_heads")}
        config = replace(config, model=replace(config.model, **encoder))
    figures = bench_model(config, pairs=args.pairs, num_steps=args.num_steps)
    print_figures(figures)
    if args.out:
        write_figures(figures, Path(args.out))
        print(f"wrote {args.out}")


VERBS = {
    "bench data": Verb(
        "measure how fast clips are read, and where the time goes",
        "mv2mae bench data --recipe sample-pretrain --data manifest.parquet --want 1000",
        _data_options,
        _data,
    ),
    "bench model": Verb(
        "measure how fast a pre-training step is, and where the time goes",
        "mv2mae bench model --size small --pairs 8 --compute.precision bf16-mixed --compute.compile true",
        _model_options,
        _model,
    ),
}
