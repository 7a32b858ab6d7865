"""Testing a classifier: `mv2mae evaluate` (Section 3.4: 5 clips of 10 crops, averaged; Section D: fused views)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from rich.console import Console

from mv2mae.config import EvalConfig, VideosConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import eval_data
from mv2mae.data.labels import count_untrained
from mv2mae.data.selection import rows_of_part
from mv2mae.errors import InputError
from mv2mae.evaluate.fusion import (
    TRAINING_CROPS,
    GroupFuser,
    GroupTokens,
    ViewAttention,
    WithTokens,
    by_group,
    digest_of,
    fit_view_attention,
    load_fusion,
    save_fusion,
)
from mv2mae.evaluate.metrics import summarise
from mv2mae.evaluate.results import Scored, TestResult
from mv2mae.evaluate.scores import (
    CROPS_NAME,
    FUSED_NAME,
    SCORES_NAME,
    CropWriter,
    read_scores,
    write_table,
)
from mv2mae.evaluate.scoring import score_videos
from mv2mae.evaluate.tables import interval, number, print_table, print_untrained
from mv2mae.files import make_writable, sweep
from mv2mae.model.classifier import Classifier
from mv2mae.records import read_record
from mv2mae.runs import TRAINING_VIDEOS_NAME
from mv2mae.text import counted
from mv2mae.weights import find_weights, load_classifier_model

RESULTS_NAME = "evaluation.json"
Fusion = Literal["late", "attention"]


def training_videos(run: str | Path) -> list[str] | None:
    """Paths that a run was fine-tuned on; None where no list lies beside its weights (a weights file alone).

    Raises:
        InputError: the list is damaged.
    """
    file = find_weights(run).with_name(TRAINING_VIDEOS_NAME)
    if not file.is_file():
        return None
    if file.read_bytes()[:1] == b"[":  # of version 0.1: a list without a checksum
        return [str(path) for path in json.loads(file.read_text(encoding="utf-8"))]
    return [str(path) for path in read_record(file).get("paths", ())]


def trained_on(run: str | Path, paths: list[str]) -> int:
    """How many of these videos the run was fine-tuned on; 0 where it did not keep a list."""
    return len(set(paths) & set(training_videos(run) or []))


def evaluate(
    run: str | Path,
    data: VideosConfig,
    test: EvalConfig,
    out: str | Path,
    *,
    device: str = "cpu",
    progress: bool = True,
    fusion: Fusion = "late",
) -> TestResult:
    """Test a fine-tuned run; write `scores.parquet`, `crops.parquet` and `evaluation.json` into a folder.

    Args:
        run: run folder or weights file of a classifier.
        data: what to test on: its split's test part, or the videos of test_query.
        test: clips, crops, batches.
        out: folder for the results.
        device: cpu, cuda, ...
        progress: show a bar.
        fusion: of views: `late` is the mean of their probabilities; `attention` is learned (`mv2mae.evaluate.fusion`),
            on the training part of `data` unless that was done before, and writes `fused.parquet` too. Of that part,
            it takes the groups that the run itself was fine-tuned on, where a list of them lies beside its weights.

    Raises:
        InputError: if the run holds no classifier, a video has no label, no video shows a class that was trained,
            there is nothing to test on, or a class has a name on one side and but a number on the other.
    """
    out = Path(out)
    model, about = load_classifier_model(run)
    labels: list[int] = about["labels"]
    classes = dict(zip(labels, about["classes"], strict=True))
    _check_choice(run, data)
    size, frames = model.config.image_size, model.config.num_frames
    dataset = eval_data(data, num_frames=frames, size=size, test=test, classes=classes, progress=progress)
    count_untrained(dataset.frame, labels, {**dataset.class_names, **classes})
    make_writable(out)
    sweep(out, *(f".{name}.*.tmp" for name in (CROPS_NAME, SCORES_NAME, FUSED_NAME, RESULTS_NAME)))
    model = model.to(device)
    attention = fusion_of(run, model, classes, data, progress=progress) if fusion == "attention" else None
    untrained = sorted(set(dataset.labels) - set(labels))
    scores, fused = _scored(model, labels, dataset, test, out, attention, progress)
    scores.attrs = {
        "run": str(run),
        "split": data.split or data.test_query or data.test_manifest or "",
        "num_clips": test.num_clips,
        "num_crops": test.num_crops,
        "fusion": fusion,
        "classes": about["classes"],
        "untrained": [dataset.class_names[label] for label in untrained],
        "untrained_labels": untrained,
        "trained_on": trained_on(run, dataset.paths),
    }
    write_table(scores, out / SCORES_NAME)
    if fused is not None:
        write_table(fused, out / FUSED_NAME)
    else:
        (out / FUSED_NAME).unlink(missing_ok=True)  # of an earlier test
    result = summarise(scores, fused)
    result.write(out / RESULTS_NAME)
    return result


def _check_choice(run: str | Path, data: VideosConfig) -> None:
    """Raises InputError where nothing says which videos to test on, and training ones may be among them."""
    if data.split or data.test_query or data.test_manifest:
        return
    learnt = training_videos(run)
    if learnt is None or set(learnt) & set(rows_of_part(data, "test")["path"]):
        raise InputError(
            "nothing says which videos to test on, and training ones must not be among them; give data.split, "
            'data.test_query ("view == view" takes all of a manifest) or another manifest (data.test_manifest)'
        )


def _scored(
    model: Classifier,
    labels: list[int],
    dataset: EvalDataset,
    test: EvalConfig,
    out: Path,
    attention: ViewAttention | None,
    progress: bool,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Scores of videos, and of groups where the views are fused by attention."""
    names = [column for column in ("subject", "setup") if not pd.api.types.is_numeric_dtype(dataset.frame[column])]
    options: dict[str, Any] = {"num_workers": test.num_workers, "progress": progress, "labels": labels}
    with CropWriter(out / CROPS_NAME, test.num_crops, labels, names) as crops:
        options["crops"] = crops
        if attention is None:
            return score_videos(model, dataset, test.batch_size, **options), None
        fuser = GroupFuser(attention, labels, model.config.encoder_width)
        options |= {"outputs": fuser, "order": by_group(dataset)}
        return score_videos(WithTokens(model), dataset, test.batch_size, **options), fuser.table()


def fusion_of(
    run: str | Path, model: Classifier, classes: Mapping[int, str], data: VideosConfig, *, progress: bool = True
) -> ViewAttention:
    """The learned fusion of a run: the one saved beside it, or else one that is trained now and saved.

    It learns from the groups of the training part that the classifier was fine-tuned on, so that of a run with few
    labels it sees no more of them; and anew where these are not the groups that the saved one learned from.

    Args:
        classes: the model's, names by number.

    Raises:
        InputError: if nothing says on what to train it, or the training videos do not serve.
    """
    if not (data.split or data.train_query or data.test_manifest):
        raise InputError(
            "nothing says on which videos to learn the fusion; give data.split or data.train_query, or --fusion late"
        )
    config, labels = model.config, list(classes)

    def training_part(data: VideosConfig) -> EvalDataset:
        return eval_data(
            data,
            num_frames=config.num_frames,
            size=config.image_size,
            test=TRAINING_CROPS,
            part="train",
            groups_of=training_videos(run),
            classes=classes,
            progress=progress,
        )

    learned_from = digest_of(training_part(replace(data, cache="none")).frame, data)  # before anything is decoded
    if (module := load_fusion(run, learned_from)) is not None:
        return module
    dataset = training_part(data)
    count_untrained(dataset.frame, labels)
    groups = GroupTokens(labels, config.encoder_width, torch.float16)
    score_videos(
        WithTokens(model),
        dataset,
        TRAINING_CROPS.batch_size,
        progress=progress,
        outputs=groups,
        order=by_group(dataset),
    )
    module, found = fit_view_attention(groups, config)
    path = save_fusion(run, module, config, found, learned_from)
    if progress:
        best = f"epoch {found['epoch']} was best" if found["epoch"] else "late fusion was better and stays,"
        print(
            f"  learned a fusion on {found['groups']} training groups: {best} on {found['held_out']} others (negative "
            f"log-likelihood {found['nll']:.3f}, late fusion {found['nll_late']:.3f}); wrote {path}"
        )
    return module


def result_from(file: Path) -> TestResult:
    """The result of an earlier test made again from its score file, and from fused.parquet where it lies beside.

    Raises:
        InputError: the file holds no scores.
    """
    return summarise(read_scores(file), fused_beside(file))


def fused_beside(file: Path) -> pd.DataFrame | None:
    """The scores of groups fused by attention that belong to a test's score file; None where there are none.

    Raises:
        InputError: fused.parquet holds no scores.
    """
    beside = file.with_name(FUSED_NAME)
    return read_scores(beside) if file.name == SCORES_NAME and beside.exists() else None


def print_result(result: TestResult, title: str) -> None:
    """A test as a table on the terminal."""
    console, single = Console(), result.single_view
    fused = "fused by attention" if result.late else "fused views"
    names = {"single_view": "single view", "fused": fused, "late": "fused by the mean"}
    rows = [_row(names[kind], scored) for kind, scored in result.kinds().items()]
    views = [
        (
            f"view {view}",
            number(top1),
            interval(result.per_view_interval[view]),
            "",
            "",
            f"{result.per_view_num[view]:,}",
        )
        for view, top1 in result.per_view.items()
    ]
    print_table(console, title, ("", "top-1", "95 % interval", "top-5", "mean class", "number"), (rows, views))
    console.print(
        f"  chance {result.chance:.3f}; single views: calibration error {number(single.ece)}, negative log-likelihood "
        f"{number(single.nll)}",
        highlight=False,
        soft_wrap=True,
    )
    if result.trained_on:
        said = counted(
            result.trained_on, "of these videos was a training video", "of these videos were training videos"
        )
        console.print(f"  [bold red]{said}[/bold red]: this is no test of new ones", soft_wrap=True)
    worst = sorted((value, label) for label, value in single.per_class.items() if label in result.names)[:3]
    hardest = ", ".join(f"{result.names[label]} {value:.2f}" for value, label in worst)
    console.print("  hardest: " + hardest, soft_wrap=True)
    print_untrained(console, single.num_untrained, result.untrained)
    _print_broken(console, result)


def _row(name: str, found: Scored) -> tuple[str, ...]:
    span = interval(found.top1_interval)
    return name, number(found.top1), span, number(found.top5), number(found.mean_class), f"{found.num:,}"


def _print_broken(console: Console, result: TestResult) -> None:
    if not result.broken:
        return
    console.print(f"  {counted(len(result.broken), 'broken video')} counted as errors:")
    for path, reason in result.broken[:10]:
        console.print(f"    {path}: {reason}", highlight=False, soft_wrap=True)
    if result.fused and result.fused.incomplete:
        console.print(f"  {counted(result.fused.incomplete, 'group')} fused without the broken views")
