"""Testing a classifier: `mv2mae evaluate` (Section 3.4: 5 clips of 10 crops, averaged; Section D: fused views)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from mv2mae.config import DataConfig, EvalConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.datamodule import eval_data
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import Figures, confusion, summarise
from mv2mae.model.classifier import Classifier
from mv2mae.runs import write_json
from mv2mae.weights import load_classifier_model


@torch.inference_mode()
def clip_probabilities(model: Classifier, clips: Tensor, batch_size: int) -> Tensor:
    """Mean of the softmax over a video's clips and crops: [k, 3, t, h, w] -> [classes]."""
    device = next(model.parameters()).device
    parts = [model(part.to(device)).softmax(dim=1).cpu() for part in clips.split(batch_size)]
    return torch.cat(parts).mean(dim=0)


def score_videos(model: Classifier, dataset: EvalDataset, batch_size: int, *, progress: bool = True) -> pd.DataFrame:
    """A row for each video: what the manifest says of it, its probabilities p0, p1, ..., and `error` if it broke."""
    rows = []
    for index in track(range(len(dataset)), "  testing", disable=not progress, transient=True):
        item, about = dataset[index], dataset.frame.iloc[index]
        row: dict[str, Any] = {name: about[name] for name in ("path", "group", "view", "label", "subject", "setup")}
        row["error"] = item.get("error", "")
        if "clips" in item:
            probabilities = clip_probabilities(model, item["clips"], batch_size)
            row.update({f"p{i}": float(p) for i, p in enumerate(probabilities)})
        rows.append(row)
    scores = pd.DataFrame(rows)
    missing = {f"p{i}": float("nan") for i in range(model.num_classes) if f"p{i}" not in scores}
    return scores.assign(**missing)


def check_labels(dataset: EvalDataset, classes: list[str]) -> None:
    """Every video of a test needs a label that the classifier knows.

    Raises:
        InputError: naming the first that has none.
    """
    for path, label in zip(dataset.paths, dataset.labels, strict=True):
        if not 0 <= label < len(classes):
            what = "no label" if label < 0 else f"label {label}"
            raise InputError(f"{path} has {what}, but the classifier knows 0 to {len(classes) - 1}")


def evaluate(
    run: str | Path, data: DataConfig, test: EvalConfig, out: Path, *, device: str = "cpu", progress: bool = True
) -> Figures:
    """Test a fine-tuned run and write `scores.parquet` and `evaluation.json` into a folder.

    Args:
        run: run folder or weights file of a classifier.
        data: what to test on: its split's test part, or the videos of test_query.
        out: folder for the results.

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
    scores = score_videos(model.to(device), dataset, test.batch_size, progress=progress)
    figures = {
        "run": str(run),
        "split": data.split or data.test_query,
        "num_clips": test.num_clips,
        "num_crops": test.num_crops,
        "classes": classes,
        **summarise(scores),
        "confusion": confusion(scores).tolist(),
        "broken": scores.loc[scores["error"] != "", ["path", "error"]].values.tolist(),
    }
    out.mkdir(parents=True, exist_ok=True)
    scores.to_parquet(out / "scores.parquet", index=False)
    write_json(out / "evaluation.json", figures)
    return figures


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
    single, classes = figures["single_view"], figures["classes"]
    low, high = single["top1_interval"]
    table = Table(title=title, title_justify="left")
    for column in ("", "top-1", "top-5", "mean class", "videos"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {"single view": single, **({"fused views": figures["fused"]} if "fused" in figures else {})}
    for name, values in rows.items():
        top5 = "-" if values["top5"] is None else f"{values['top5']:.3f}"
        table.add_row(name, f"{values['top1']:.3f}", top5, f"{values['mean_class']:.3f}", str(values["num"]))
    for view, top1 in figures["per_view"].items():
        table.add_row(f"view {view}", f"{top1:.3f}", "", "", "")
    console = Console()
    console.print(table)
    console.print(f"  95 % interval of the single-view top-1: {low:.3f} to {high:.3f}; chance {1 / len(classes):.3f}")
    worst = sorted(single["per_class"].items(), key=lambda item: item[1])[:3]
    console.print("  hardest: " + ", ".join(f"{classes[label]} {value:.2f}" for label, value in worst))
    if figures["broken"]:
        console.print(f"  {len(figures['broken'])} broken videos counted as errors:")
        for path, reason in figures["broken"][:10]:
            console.print(f"    {path}: {reason}")
