"""Testing a classifier: `mv2mae evaluate` (Section 3.4: 5 clips of 10 crops, averaged; Section D: fused views)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from mv2mae.config import DataConfig, EvalConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import eval_data
from mv2mae.errors import InputError
from mv2mae.evaluate.fusion import (
    TRAINING_CROPS,
    GroupFuser,
    GroupTokens,
    ViewAttention,
    WithTokens,
    by_group,
    fit_view_attention,
    load_fusion,
    save_fusion,
)
from mv2mae.evaluate.metrics import Figures, summarise
from mv2mae.evaluate.scores import (
    CROPS_NAME,
    FUSED_NAME,
    SCORES_NAME,
    CropWriter,
    numbered,
    read_scores,
    write_table,
)
from mv2mae.evaluate.scoring import score_videos
from mv2mae.model.classifier import Classifier
from mv2mae.runs import TRAINING_VIDEOS_NAME, write_json
from mv2mae.weights import load_classifier_model

RESULTS_NAME = "evaluation.json"
Fusion = Literal["late", "attention"]


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


def trained_on(run: str | Path, paths: list[str]) -> int:
    """How many of these videos the run was fine-tuned on; 0 where it did not keep a list (a weights file alone)."""
    file = Path(run) / TRAINING_VIDEOS_NAME
    return len(set(paths) & set(json.loads(file.read_text(encoding="utf-8")))) if file.is_file() else 0


def evaluate(
    run: str | Path,
    data: DataConfig,
    test: EvalConfig,
    out: Path,
    *,
    device: str = "cpu",
    progress: bool = True,
    fusion: Fusion = "late",
) -> Figures:
    """Test a fine-tuned run; write `scores.parquet`, `crops.parquet` and `evaluation.json` into a folder.

    Args:
        run: run folder or weights file of a classifier.
        data: what to test on: its split's test part, or the videos of test_query.
        test: clips, crops, batches.
        out: folder for the results.
        device: cpu, cuda, ...
        progress: show a bar.
        fusion: of views: `late` is the mean of their probabilities; `attention` is learned (`mv2mae.evaluate.fusion`),
            on the training part of `data` unless that was done before, and writes `fused.parquet` too.

    Returns:
        the figures of `summarise`, with `run`, `split`, `num_clips`, `num_crops`, `fusion`, `classes` (names) and
        `trained_on` (how many of the tested videos were training videos of the run).

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
    model = model.to(device)
    attention = fusion_of(run, model, data, progress=progress) if fusion == "attention" else None
    out.mkdir(parents=True, exist_ok=True)
    scores, fused = _scored(model, dataset, test, out, attention, progress)
    scores.attrs = {
        "run": str(run),
        "split": data.split or data.test_query,
        "num_clips": test.num_clips,
        "num_crops": test.num_crops,
        "fusion": fusion,
        "classes": classes,
        "trained_on": trained_on(run, dataset.paths),
    }
    write_table(scores, out / SCORES_NAME)
    if fused is not None:
        write_table(fused, out / FUSED_NAME)
    else:
        (out / FUSED_NAME).unlink(missing_ok=True)  # of an earlier test
    figures = figures_of(scores, fused)
    write_json(out / RESULTS_NAME, figures)
    return figures


def _scored(
    model: Classifier,
    dataset: EvalDataset,
    test: EvalConfig,
    out: Path,
    attention: ViewAttention | None,
    progress: bool,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Scores of videos, and of groups where the views are fused by attention."""
    with CropWriter(out / CROPS_NAME, test.num_crops) as crops:
        if attention is None:
            return score_videos(
                model, dataset, test.batch_size, num_workers=test.num_workers, progress=progress, crops=crops
            ), None
        fuser = GroupFuser(attention, model.num_classes, model.config.encoder_width)
        scores = score_videos(
            WithTokens(model), dataset, test.batch_size, num_workers=test.num_workers, progress=progress, crops=crops,
            outputs=fuser, order=by_group(dataset),
        )  # fmt: skip
        return scores, fuser.table()


def fusion_of(run: str | Path, model: Classifier, data: DataConfig, *, progress: bool = True) -> ViewAttention:
    """The learned fusion of a run: the one saved beside it, or else one that is trained now and saved.

    Raises:
        InputError: if it has to be trained and nothing says on what, or the training videos do not serve.
    """
    if (module := load_fusion(run)) is not None:
        return module
    if not (data.split or data.train_query):
        raise InputError(
            "nothing says on which videos to learn the fusion; give data.split or data.train_query, or --fusion late"
        )
    config = model.config
    dataset = eval_data(
        data, num_frames=config.num_frames, size=config.image_size, test=TRAINING_CROPS, part="train", progress=progress
    )
    check_labels(dataset, [str(k) for k in range(model.num_classes)])
    groups = GroupTokens(model.num_classes, config.encoder_width, torch.float16)
    score_videos(
        WithTokens(model),
        dataset,
        TRAINING_CROPS.batch_size,
        progress=progress,
        outputs=groups,
        order=by_group(dataset),
    )
    module, found = fit_view_attention(groups, config)
    path = save_fusion(run, module, config, found)
    if progress:
        best = f"epoch {found['epoch']} was best" if found["epoch"] else "late fusion was better and stays,"
        print(
            f"  learned a fusion on {found['groups']} training groups: {best} on {found['held_out']} others (negative "
            f"log-likelihood {found['nll']:.3f}, late fusion {found['nll_late']:.3f}); wrote {path}"
        )
    return module


def figures_of(scores: pd.DataFrame, fused: pd.DataFrame | None = None) -> Figures:
    """All figures of a table of scores, and what it was made with; what evaluation.json holds."""
    numbers = [str(i) for i in range(len(numbered(scores, "p")))]
    made_with = {str(name): value for name, value in scores.attrs.items()}
    return {"classes": numbers, **made_with, **summarise(scores, fused)}


def figures_from(file: Path) -> Figures:
    """The figures of an earlier test made again from its score file, and from fused.parquet where it lies beside.

    Raises:
        InputError: the file holds no scores.
    """
    beside = file.with_name(FUSED_NAME)
    has_fused = file.name == SCORES_NAME and beside.exists()
    return figures_of(read_scores(file), read_scores(beside) if has_fused else None)


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
    fused = "fused by attention" if "late" in figures else "fused views"
    rows = {"single_view": "single view", "fused": fused, "late": "fused by the mean"}
    for values, name in ((figures[key], name) for key, name in rows.items() if key in figures):
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
    if known := figures.get("trained_on", 0):
        console.print(
            f"  [bold red]{known} of these videos were training videos[/bold red]: this is no test of new ones"
        )
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
