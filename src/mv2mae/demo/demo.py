"""The demo: the whole path on the packaged sample set, in minutes (`mv2mae demo`).

Goes on pre-training the packaged model without labels, fine-tunes it on the labels of two cameras, tests on people and
a camera that no training saw, and writes a page of pictures; beside it an encoder from scratch, if there is time. How
fast the machine is, is measured first, and the steps follow from the minutes.

The long form (`--full`) compares four encoders: from scratch, pre-trained here for a few minutes on single views and
on several views, and the packaged one.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import TypeVar

import pandas as pd
from rich.console import Console
from rich.table import Table

from mv2mae.config import FinetuneConfig, PretrainConfig, VideosConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.demo.budget import kept_budget, measure_speed
from mv2mae.demo.contender import Contender, Tested
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import RESULTS_NAME, evaluate
from mv2mae.evaluate.results import TestResult
from mv2mae.evaluate.scores import SCORES_NAME
from mv2mae.recipes import load_recipe
from mv2mae.records import read_record, write_record
from mv2mae.train.finetune import finetune
from mv2mae.train.pretrain import pretrain
from mv2mae.weights import read_weights

PACKAGED, LOOKER = "synthetic-small", "second-view"
"""The packaged encoder; and the model whose cross-view decoder looks at the right place, for the pictures."""
TEST_SPLIT = "synthetic/xsub"
"""Tested are the people of this split's test part, on all cameras; training saw neither them nor camera 1."""
MINUTES = 5.0
"""Time that the demo keeps to by itself."""
FULL_MINUTES = 12.0
"""Time of the long form on two quiet cores with bfloat16 (AVX-512), for which the recipes' steps are meant."""

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
BUDGET = "plan.json"  # the name that demos begun with an earlier version have
OWN = {MULTI_VIEW, SINGLE_VIEW, *FINETUNED.values(), REPORT, SECONDS, BUDGET}
"""All that a demo makes in its folder, and so all that it may remove."""

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


def demo(out: str | Path, *, minutes: float | None = None, full: bool = False, fresh: bool = False) -> Path:
    """Run the demo, or go on with one that was stopped; returns the report's path.

    Args:
        out: folder for the runs and `report.html`.
        minutes: time to keep to; None = 5. With `full` the steps are scaled to it, as if for two cores with bfloat16;
            None = 12.
        full: compare four encoders, two of them pre-trained from scratch.
        fresh: remove what an earlier demo left in the folder.

    Raises:
        InputError: if `minutes` is not positive, with `fresh` the folder holds something else, or it holds a demo of
            the other form.
    """
    out = Path(out)
    from mv2mae.demo.report import write_demo_report  # pictures need matplotlib, which is slow to load

    minutes = minutes if minutes is not None else FULL_MINUTES if full else MINUTES
    if minutes <= 0:
        raise InputError(f"minutes={minutes} must be positive")
    if fresh:
        _remove(out)
    _check_form(out, full)
    console, begin = Console(), time.perf_counter()
    try:
        if full:
            contenders, pretrained = _compare(out, minutes / FULL_MINUTES, console)
        else:
            contenders, pretrained = _go_on(out, minutes * 60, console)
    except KeyboardInterrupt:  # what was done stays done, so its time counts when the demo goes on
        _add_seconds(out, time.perf_counter() - begin)
        raise
    seconds = _add_seconds(out, time.perf_counter() - begin)
    report = write_demo_report(
        out / REPORT, contenders, pretrained, packaged=LOOKER, test_split=TEST_SPLIT, seconds=seconds
    )
    _print_summary(contenders, console)
    console.print(f"[bold]{seconds / 60:.1f} minutes.[/bold] Now open [bold]{report}[/bold]")
    return report


def _check_form(out: Path, full: bool) -> None:
    """Whether a demo in the folder is of the form that is asked for."""
    if (out / MULTI_VIEW).exists() and full == (out / BUDGET).exists():
        other = "the short form" if full else "the long form (--full)"
        raise InputError(f"{out} holds a demo of {other}; add --fresh true to forget it, or give another --out")


def _go_on(out: Path, seconds: float, console: Console) -> tuple[list[Tested], dict[str, Path]]:
    """The short form: the packaged model trained on, fine-tuned, and perhaps an encoder from scratch beside it."""
    packaged = read_weights(PACKAGED)
    pretraining = dataclasses.replace(
        load_recipe("sample-pretrain", PretrainConfig, optim={"muon_lr": 0.005, "lr": 5e-4}),
        model=packaged.config,
        init=PACKAGED,
    )
    finetuning = load_recipe("sample-finetune", FinetuneConfig)
    num_test = len(select(read_manifest("sample"), split=TEST_SPLIT, part="test"))
    num_test *= finetuning.test.num_clips * finetuning.test.num_crops
    budget = kept_budget(
        out / BUDGET, seconds, lambda: measure_speed(pretraining, finetuning, num_test), finetuning.optim.steps or 0
    )
    console.print(budget.describe(), highlight=False)
    console.rule("pre-training goes on: no labels, training people on cameras 2 and 3 only", align="left")
    run = pretrain(_of_length(pretraining, budget.pretrain_steps), out / MULTI_VIEW)
    scratch = Contender("from scratch", "no pre-training", None, out / FINETUNED["from scratch"])
    about = f"MV2MAE, prepared beforehand ({packaged.about['summary']}) and trained on here without labels"
    name = "multi-view, packaged"
    contenders = [*([scratch] if budget.scratch else []), Contender(name, about, str(run), out / FINETUNED[name])]
    return _train_and_test(contenders, budget.finetune_steps, console), {"multi-view": run}


def _train_and_test(contenders: list[Contender], steps: int, console: Console) -> list[Tested]:
    tested = []
    for contender in contenders:
        console.rule(contender.name, align="left")
        console.print(f"  {contender.about}", highlight=False)
        tested.append(_finetune_and_test(contender, steps))
    return tested


def _compare(out: Path, scale: float, console: Console) -> tuple[list[Tested], dict[str, Path]]:
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
    steps = round((load_recipe("sample-finetune", FinetuneConfig).optim.steps or 0) * scale)
    return _train_and_test(contenders, steps, console), pretrained


def _remove(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if not out.exists():
        return
    strangers = sorted({path.name for path in out.iterdir()} - OWN)
    if strangers:
        raise InputError(f"{out} holds {strangers[0]}, which no demo wrote; give another folder")
    shutil.rmtree(out)


def _of_length(config: Config, steps: int) -> Config:
    """A configuration made longer or shorter; its warm-up goes along, and a short run has a curve too."""
    steps = max(4, steps)
    warmup = max(1, min(steps // 2, round((config.optim.warmup_steps or 0) * steps / (config.optim.steps or steps))))
    optim = dataclasses.replace(config.optim, steps=steps, warmup_steps=warmup)
    log = dataclasses.replace(config.log, log_every=min(config.log.log_every, max(1, steps // 4)))
    return dataclasses.replace(config, optim=optim, log=log)


def _pretrain(recipe: str, run: Path, scale: float, console: Console) -> Path:
    console.rule(f"{recipe}: no labels, training people on cameras 2 and 3 only", align="left")
    config = load_recipe(recipe, PretrainConfig)
    return pretrain(_of_length(config, round((config.optim.steps or 0) * scale)), run)


def _finetune_and_test(contender: Contender, steps: int) -> Tested:
    # from scratch nothing was learnt before that slow first layers would keep
    optim = {"layer_decay": 1.0} if contender.init is None else {}
    config = _of_length(load_recipe("sample-finetune", FinetuneConfig, init=contender.init, optim=optim), steps)
    results = contender.run / "evaluation"
    if (results / RESULTS_NAME).exists():
        result = TestResult.read(results / RESULTS_NAME)
    else:
        finetune(config, contender.run)
        data = VideosConfig(split=TEST_SPLIT, frame_stride=config.data.frame_stride, cache="memory")
        result = evaluate(contender.run, data, config.test, results)
    scores = pd.read_parquet(results / SCORES_NAME)
    return Tested(**vars(contender), result=result, scores=scores)


def _print_summary(contenders: list[Tested], console: Console) -> None:
    first = contenders[0].result
    actions = f"{len(first.classes)} actions, chance {first.chance:.2f}"
    table = Table(title=f"Top-1 on people that no training saw ({actions})")
    for column in ("encoder", "unseen camera", "95 % interval", "all cameras", "fused", "clips"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for contender in contenders:
        top1, low, high, num = contender.on_unseen_view()
        single, fused = contender.result.single_view.top1, contender.fused()[0]
        cells = (f"{top1:.2f}", f"{low:.2f} to {high:.2f}", f"{single:.2f}", f"{fused:.2f}", str(num))
        table.add_row(contender.name, *cells)
    console.print(table)


def _add_seconds(out: Path, seconds: float) -> float:
    """Time that the demo took, the parts before it was stopped among it."""
    file = out / SECONDS
    before = read_record(file)["seconds"] if file.exists() else 0.0
    write_record(file, {"seconds": before + seconds})
    return before + seconds
