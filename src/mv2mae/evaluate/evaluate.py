"""Testing a classifier: `mv2mae evaluate` (Section 3.4: 5 clips of 10 crops, averaged; Section D: fused views)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from mv2mae.config import DataConfig, EvalConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import eval_data
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import Figures, summarise
from mv2mae.evaluate.scores import CROPS_NAME, SCORES_NAME, CropWriter, numbered, write_table
from mv2mae.evaluate.scoring import score_videos
from mv2mae.runs import write_json
from mv2mae.weights import load_classifier_model

RESULTS_NAME = "evaluation.json"


def check_labels(dataset: EvalDataset, classes: list[str]) -> None:
    """Every video of a test needs a label that the classifier knows.

    Raises:
        InputError: naming the first that has none.
    """
    wrong = [(path, label) for path, label in zip(dataset.paths, dataset.labels, strict=True)
             if not 0 <= label < len(classes)]  # fmt: skip
    if wrong:
        path, label = wrong[0]
        what = "no label" if label < 0 else f"label {label}"
        raise InputError(
            f"{path} has {what} ({len(wrong)} such videos of {len(dataset)}), but the classifier knows 0 to "
            f"{len(classes) - 1}; correct the manifest's column `label`, or leave them out with data.test_query"
        )


def evaluate(
    run: str | Path, data: DataConfig, test: EvalConfig, out: Path, *, device: str = "cpu", progress: bool = True
) -> Figures:
    """Test a fine-tuned run; write `scores.parquet`, `crops.parquet` and `evaluation.json` into a folder.

    Args:
        run: run folder or weights file of a classifier.
        data: what to test on: its split's test part, or the videos of test_query.
        test: clips, crops, batches.
        out: folder for the results.
        device: cpu, cuda, ...
        progress: show a bar.

    Returns:
        the figures of `summarise`, with `run`, `split`, `num_clips`, `num_crops` and `classes` (names).

    Raises:
        InputError: if the run holds no classifier, the labels do not fit it, or there is nothing to test on.
    """
    model, about = load_classifier_model(run)
    if not (data.split or data.test_query):
        raise InputError(
            "nothing says which videos to test on, and training ones must not be among them; "
            'give data.split or data.test_query ("view == view" takes all of a manifest)'
        )
    classes = about["classes"]
    size, frames = model.config.image_size, model.config.num_frames
    dataset = eval_data(data, num_frames=frames, size=size, test=test, progress=progress)
    check_labels(dataset, classes)
    out.mkdir(parents=True, exist_ok=True)
    with CropWriter(out / CROPS_NAME, test.num_crops) as crops:
        scores = score_videos(
            model.to(device), dataset, test.batch_size, num_workers=test.num_workers, progress=progress, crops=crops
        )
    scores.attrs = {
        "run": str(run),
        "split": data.split or data.test_query,
        "num_clips": test.num_clips,
        "num_crops": test.num_crops,
        "classes": classes,
    }
    write_table(scores, out / SCORES_NAME)
    figures = figures_of(scores)
    write_json(out / RESULTS_NAME, figures)
    return figures


def figures_of(scores: pd.DataFrame, fused: pd.DataFrame | None = None) -> Figures:
    """All figures of a table of scores, and what it was made with; what evaluation.json holds."""
    numbers = [str(i) for i in range(len(numbered(scores, "p")))]
    made_with = {str(name): value for name, value in scores.attrs.items()}
    return {"classes": numbers, **made_with, **summarise(scores, fused)}


def best_device(name: str) -> str:
    """`auto` becomes cuda where there is one, else cpu.

    Raises:
        InputError: for a device that is not there.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    if name != "cpu" and not (name.split(":")[0] == "cuda" and has_cuda):
        raise InputError(f"device {name!r} is not there; give cpu" + (" or cuda" if has_cuda else ""))
    return name


def print_figures(figures: Figures, title: str) -> None:
    """The figures of a test as a table on the terminal."""
    classes, single = figures["classes"], figures["single_view"]
    table = Table(title=title, title_justify="left")
    for column in ("", "top-1", "95 % interval", "top-5", "mean class", "number"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {"single view": single, **({"fused views": figures["fused"]} if "fused" in figures else {})}
    for name, values in rows.items():
        shares = [_share(values[key]) for key in ("top5", "mean_class")]
        table.add_row(name, _share(values["top1"]), _range(values["top1_interval"]), *shares, str(values["num"]))
    for view, top1 in figures["per_view"].items():
        interval, num = _range(figures["per_view_interval"][view]), str(figures["per_view_num"][view])
        table.add_row(f"view {view}", _share(top1), interval, "", "", num)
    console = Console()
    console.print(table)
    console.print(
        f"  chance {1 / len(classes):.3f}; single views: calibration error {_share(single['ece'])}, negative "
        f"log-likelihood {_share(single['nll'])}",
        highlight=False,
    )
    worst = sorted(single["per_class"].items(), key=lambda item: item[1])[:3]
    console.print("  hardest: " + ", ".join(f"{classes[label]} {value:.2f}" for label, value in worst))
    _print_broken(console, figures)


def _print_broken(console: Console, figures: dict[str, Any]) -> None:
    if not figures["broken"]:
        return
    console.print(f"  {len(figures['broken'])} broken videos counted as errors:")
    for path, reason in figures["broken"][:10]:
        console.print(f"    {path}: {reason}", highlight=False)
    if incomplete := figures.get("fused", {}).get("incomplete"):
        console.print(f"  {incomplete} groups fused without their broken views")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
