"""The verbs that test a classifier and use it: evaluate, predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.config import DataConfig, EvalConfig

    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/evaluation")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(EvalConfig, "test")


def evaluate_defaults(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """A run is tested on the test part of what it was fine-tuned on, and as its recipe says, unless told otherwise."""
    chosen = {word.split("=")[0] for word in argv}
    for word in argv:
        for path in (Path(word) / "config.yaml", Path(word).parent / "config.yaml"):
            if not word.startswith("-") and Path(word).exists() and path.exists():
                values = yaml.safe_load(path.read_text(encoding="utf-8"))
                defaults = {f"{part}.{k}": v for part in ("data", "test") for k, v in values.get(part, {}).items()}
                if "--data.split" in chosen:
                    defaults.update({"data.train_query": "", "data.test_query": ""})
                elif "--data.test_query" in chosen:
                    defaults["data.split"] = ""
                parser.set_defaults(defaults)
                return


def _evaluate(args: Any) -> None:
    from mv2mae.evaluate.evaluate import best_device, evaluate, print_figures

    where = Path(args.weights)
    out = Path(args.out) if args.out else (where if where.is_dir() else where.parent) / "evaluation"
    figures = evaluate(where, args.data, args.test, out, device=best_device(args.device))
    print_figures(figures, f"{where} on {args.data.split or args.data.manifest}")
    print(f"  wrote {out / 'evaluation.json'} and {out / 'scores.parquet'}")


def _predict_options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument("videos", type=str, nargs="+", help="synchronised videos of one performance")
    parser.add_argument("--num_clips", type=int, default=5, help="clips spread evenly over the videos")


def _predict(args: Any) -> None:
    from mv2mae.evaluate.predict import load_classifier, print_prediction

    print_prediction(load_classifier(args.weights).predict(args.videos, num_clips=args.num_clips))


VERBS = {
    "evaluate": Verb(
        "test a classifier, single views and fused",
        "mv2mae evaluate runs/finetune --data.split synthetic/xsub-xview",
        _evaluate_options,
        _evaluate,
    ),
    "predict": Verb(
        "name the action in one performance, seen by one camera or several",
        "mv2mae predict runs/finetune cam1.mp4 cam2.mp4",
        _predict_options,
        _predict,
    ),
}
