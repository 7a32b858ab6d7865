"""The verb that tests a classifier: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, data_options
from mv2mae.errors import InputError


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.config import EvalConfig

    parser.add_argument("weights", type=str, nargs="?", default="", help="fine-tuning run, or its model.safetensors")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/evaluation")
    parser.add_argument(
        "--scores", type=str, default="", help="instead of a run: its scores.parquet of an earlier test"
    )
    parser.add_argument(
        "--against", type=str, default="",
        help="another run that was tested, or its scores.parquet: is it better? (The same: is attention?)",
    )  # fmt: skip
    parser.add_argument(
        "--fusion", type=Literal["late", "attention"], default="late",
        help="of views: their mean, or learned on the training part (saved beside the run)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=bool, default=True, help="write confusion, reliability and views as PNG")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    data_options(parser, "cache", "cache_size")
    parser.add_class_arguments(EvalConfig, "test")


def _evaluate(args: Any) -> None:
    from mv2mae.cli.reporting import write_pages
    from mv2mae.evaluate.compare import compare, print_comparison
    from mv2mae.evaluate.evaluate import (
        RESULTS_NAME,
        best_device,
        evaluate,
        figures_from,
        fused_beside,
        print_figures,
    )
    from mv2mae.evaluate.scores import CROPS_NAME, FUSED_NAME, SCORES_NAME, find_scores, read_scores
    from mv2mae.runs import write_json

    if bool(args.weights) == bool(args.scores):
        raise InputError("give either a run to test, or --scores of an earlier test")
    against = fused_against = None
    if args.against:  # what is missing is told before the work, which may write over it
        against, fused_against = read_scores(args.against), fused_beside(find_scores(args.against))
    if args.scores:
        file = find_scores(args.scores)
        out = Path(args.out) if args.out else file.parent
        figures = figures_from(file)
        write_json(out / RESULTS_NAME, figures)
    else:
        where = Path(args.weights)
        out = Path(args.out) if args.out else (where if where.is_dir() else where.parent) / "evaluation"
        file = out / SCORES_NAME
        device = best_device(args.device)
        figures = evaluate(where, args.data, args.test, out, device=device, fusion=args.fusion)
    print_figures(figures, f"{figures.get('run', file)} on {figures.get('split') or args.data.manifest}")
    names = (RESULTS_NAME,) if args.scores else (RESULTS_NAME, SCORES_NAME, CROPS_NAME, FUSED_NAME)
    written = [out / name for name in names if (out / name).exists()]
    if args.pictures:
        from mv2mae.visualize.scores import write_score_figures

        written += write_score_figures(figures, out)
    if against is not None:
        found = compare(read_scores(file), against, fused_a=fused_beside(file), fused_b=fused_against)
        print_comparison(found, args.weights or args.scores, args.against)
        write_json(out / "comparison.json", {"a": str(file), "b": str(find_scores(args.against)), **found})
        written.append(out / "comparison.json")
    print(f"  wrote {', '.join(path.name for path in written)} into {out}")
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
