"""The verb that tests a classifier: evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb
from mv2mae.errors import InputError


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.config import DataConfig, EvalConfig

    parser.add_argument("weights", type=str, nargs="?", default="", help="fine-tuning run, or its model.safetensors")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/evaluation")
    parser.add_argument(
        "--scores", type=str, default="", help="instead of a run: its scores.parquet of an earlier test"
    )
    parser.add_argument(
        "--against", type=str, default="", help="another run that was tested, or its scores.parquet: is it better?"
    )
    parser.add_argument(
        "--fusion", type=Literal["late", "attention"], default="late",
        help="of views: their mean, or learned on the training part (saved beside the run)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=bool, default=True, help="write confusion, reliability and views as PNG")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(EvalConfig, "test")


def evaluate_defaults(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """A run is tested on the test part of what it was fine-tuned on, and as its recipe says, unless told otherwise."""
    chosen = {word.split("=")[0] for word in argv}
    for word in _positional(argv):
        for path in (Path(word) / "config.yaml", Path(word).parent / "config.yaml"):
            if Path(word).exists() and path.exists():
                values = yaml.safe_load(path.read_text(encoding="utf-8"))
                defaults = {f"{part}.{k}": v for part in ("data", "test") for k, v in values.get(part, {}).items()}
                if "--data.split" in chosen:
                    defaults.update({"data.train_query": "", "data.test_query": ""})
                elif "--data.test_query" in chosen:
                    defaults["data.split"] = ""
                parser.set_defaults(defaults)
                return


def _positional(argv: Sequence[str]) -> list[str]:
    """The words that are neither an option nor its value; every option takes one value."""
    before = ["", *argv]
    return [
        word
        for word, last in zip(argv, before, strict=False)
        if not word.startswith("-") and not (last.startswith("--") and "=" not in last)
    ]


def _evaluate(args: Any) -> None:
    from mv2mae.evaluate.compare import compare, print_comparison
    from mv2mae.evaluate.evaluate import RESULTS_NAME, best_device, evaluate, figures_from, print_figures
    from mv2mae.evaluate.scores import CROPS_NAME, FUSED_NAME, SCORES_NAME, find_scores, read_scores
    from mv2mae.runs import write_json

    if bool(args.weights) == bool(args.scores):
        raise InputError("give either a run to test, or --scores of an earlier test")
    against = read_scores(args.against) if args.against else None  # what is missing is told before the work
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
        found = compare(read_scores(file), against)
        print_comparison(found, args.weights or args.scores, args.against)
        write_json(out / "comparison.json", {"a": str(file), "b": str(find_scores(args.against)), **found})
        written.append(out / "comparison.json")
    print(f"  wrote {', '.join(path.name for path in written)} into {out}")


VERBS = {
    "evaluate": Verb(
        "test a classifier, single views and fused; make figures again from scores; compare two runs",
        "mv2mae evaluate runs/finetune --data.split synthetic/xsub-xview",
        _evaluate_options,
        _evaluate,
    ),
}
