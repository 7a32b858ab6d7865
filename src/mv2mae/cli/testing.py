"""The verb that tests a classifier: evaluate."""

from __future__ import annotations

from typing import Any, Literal

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.config import EvalConfig, VideosConfig

    parser.add_argument("weights", type=str, nargs="?", default="", help="fine-tuning run, or its model.safetensors")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/evaluation")
    parser.add_argument(
        "--scores", type=str, default="", help="instead of a run: its scores.parquet of an earlier test"
    )
    parser.add_argument(
        "--against",
        type=str,
        default="",
        help="another run that was tested, or its scores.parquet: is it better? (The same: is attention?)",
    )
    parser.add_argument(
        "--fusion",
        type=Literal["late", "attention"],
        default="late",
        help="of views: their mean, or learned on the training part (saved beside the run)",
    )
    parser.add_argument("--pictures", type=bool, default=True, help="write confusion, reliability and views as PNG")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(VideosConfig, "data")
    parser.add_class_arguments(EvalConfig, "test")


def _evaluate(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.evaluate.run_test import run_test
    from mv2mae.reports.write import write_pages

    options = {name: getattr(args, name) for name in ("scores", "out", "against", "fusion", "pictures")}
    out = run_test(args.weights, args.data, args.test, device=best_device(args.device), **options)
    write_pages(out)


VERBS = {
    "evaluate": Verb(
        "test a classifier, single views and fused; compare two tests",
        "mv2mae evaluate runs/finetune --data.split synthetic/xsub-xview",
        _evaluate_options,
        _evaluate,
        takes_settings=True,
    ),
}
