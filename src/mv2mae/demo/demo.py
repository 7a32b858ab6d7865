"""The demo: the whole path on the packaged sample set, in minutes (`mv2mae demo`).

Pre-trains without labels, fine-tunes on the labels of two cameras, tests on people and a camera that no training saw,
and writes a page of pictures. Four encoders are compared: from scratch, pre-trained here for a few minutes on single
views and on several views, and the packaged one, prepared on much more synthetic video.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from mv2mae.config import DataConfig, FinetuneConfig, PretrainConfig
from mv2mae.demo.contender import Contender
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate
from mv2mae.recipes import load_recipe
from mv2mae.runs import write_json
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.weights import read_weights

PACKAGED = "synthetic-small"
"""The packaged encoder."""
TEST_SPLIT = "synthetic/xsub"
"""Tested are the people of this split's test part, on all cameras; training saw neither them nor camera 1."""
FULL_MINUTES = 12.0
"""Time on two quiet cores for which the recipes' steps are meant."""

MULTI_VIEW, SINGLE_VIEW = "pretrain-multi-view", "pretrain-single-view"
"""Folders of the pre-training runs."""
FINETUNED = {
    "from scratch": "finetune-from-scratch",
    "single-view, minutes": "finetune-single-view-minutes",
    "multi-view, minutes": "finetune-multi-view-minutes",
    "multi-view, packaged": "finetune-multi-view-packaged",
}
"""Folder of each contender's run."""
REPORT, SECONDS = "report.html", "report.json"
OWN = {MULTI_VIEW, SINGLE_VIEW, *FINETUNED.values(), REPORT, SECONDS}
"""All that a demo makes in its folder, and so all that it may remove."""


def demo(out: Path, *, minutes: float = FULL_MINUTES, fresh: bool = False) -> Path:
    """Run the demo, or go on with one that was stopped; returns the report's path.

    Args:
        out: folder for the runs and `report.html`.
        minutes: time to plan for on two cores; the steps are scaled to it.
        fresh: remove what an earlier demo left in the folder.

    Raises:
        InputError: if `minutes` is not positive, or with `fresh` the folder holds something else.
    """
    from mv2mae.demo.report import write_demo_report  # pictures need matplotlib, which is slow to load

    if minutes <= 0:
        raise InputError(f"minutes={minutes} must be positive")
    if fresh:
        _remove(out)
    console, begin = Console(), time.perf_counter()
    try:
        contenders, pretrained = _compare(out, minutes / FULL_MINUTES, console)
    except KeyboardInterrupt:  # what was done stays done, so its time counts when the demo goes on
        _add_seconds(out, time.perf_counter() - begin)
        raise
    seconds = _add_seconds(out, time.perf_counter() - begin)
    report = write_demo_report(
        out / REPORT, contenders, pretrained, packaged=PACKAGED, test_split=TEST_SPLIT, seconds=seconds
    )
    _print_summary(contenders, console)
    console.print(f"[bold]{seconds / 60:.1f} minutes.[/bold] Now open [bold]{report}[/bold]")
    return report


def _compare(out: Path, scale: float, console: Console) -> tuple[list[Contender], dict[str, Path]]:
    """Pre-train, fine-tune and test, or what is left of it: the contenders and the pre-training runs by name."""
    pretrained = {
        "multi-view": _pretrain("sample-pretrain", out / MULTI_VIEW, scale, console),
        "single-view": _pretrain("sample-videomae", out / SINGLE_VIEW, scale, console),
    }
    starts = {
        "from scratch": ("no pre-training", None),
        "single-view, minutes": ("VideoMAE's task, pre-trained in this demo", str(pretrained["single-view"])),
        "multi-view, minutes": ("MV2MAE, pre-trained in this demo", str(pretrained["multi-view"])),
        "multi-view, packaged": (f"MV2MAE, prepared beforehand: {read_weights(PACKAGED).about['summary']}", PACKAGED),
    }
    contenders = [Contender(name, about, init, out / FINETUNED[name]) for name, (about, init) in starts.items()]
    for contender in contenders:
        console.rule(contender.name, align="left")
        console.print(f"  {contender.about}", highlight=False)
        _finetune_and_test(contender, scale)
    return contenders, pretrained


def _remove(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if not out.exists():
        return
    strangers = sorted({path.name for path in out.iterdir()} - OWN)
    if strangers:
        raise InputError(f"{out} holds {strangers[0]}, which no demo wrote; give another folder")
    shutil.rmtree(out)


def _scaled(config: PretrainConfig | FinetuneConfig, scale: float) -> dict[str, dict[str, float]]:
    """Overrides for a recipe that make it longer or shorter."""
    steps = max(4, round((config.optim.steps or 0) * scale))
    warmup = max(1, min(steps // 2, round((config.optim.warmup_steps or 0) * scale)))
    every = min(config.log.log_every, max(1, steps // 4))  # a short run has a curve too
    return {"optim": {"steps": steps, "warmup_steps": warmup}, "log": {"log_every": every}}


def _pretrain(recipe: str, run: Path, scale: float, console: Console) -> Path:
    console.rule(f"{recipe}: no labels, training people on cameras 2 and 3 only", align="left")
    config = load_recipe(recipe, PretrainConfig)
    return pretrain(load_recipe(recipe, PretrainConfig, **_scaled(config, scale)), run)


def _finetune_and_test(contender: Contender, scale: float) -> None:
    config = load_recipe("sample-finetune", FinetuneConfig)
    scaled = _scaled(config, scale)
    if contender.init is None:
        scaled["optim"]["layer_decay"] = 1.0  # nothing was learnt before that slow first layers would keep
    config = load_recipe("sample-finetune", FinetuneConfig, init=contender.init, **scaled)
    results = contender.run / "evaluation"
    if (results / "evaluation.json").exists():
        contender.figures = json.loads((results / "evaluation.json").read_text(encoding="utf-8"))
    else:
        finetune(config, contender.run)
        data = DataConfig(split=TEST_SPLIT, frame_stride=config.data.frame_stride, cache="memory")
        contender.figures = evaluate(contender.run, data, config.test, results)
    contender.scores = pd.read_parquet(results / "scores.parquet")


def _print_summary(contenders: list[Contender], console: Console) -> None:
    classes = len(contenders[0].figures["classes"])
    table = Table(title=f"Top-1 on people that no training saw ({classes} actions, chance {1 / classes:.2f})")
    for column in ("encoder", "unseen camera", "95 % interval", "all cameras", "fused", "clips"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for contender in contenders:
        top1, low, high, num = contender.on_unseen_view()
        single, fused = contender.figures["single_view"]["top1"], contender.fused()[0]
        figures = (f"{top1:.2f}", f"{low:.2f} to {high:.2f}", f"{single:.2f}", f"{fused:.2f}", str(num))
        table.add_row(contender.name, *figures)
    console.print(table)


def _add_seconds(out: Path, seconds: float) -> float:
    """Time that the demo took, the parts before it was stopped among it."""
    file = out / SECONDS
    before = json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.exists() else 0.0
    write_json(file, {"seconds": before + seconds})
    return before + seconds
