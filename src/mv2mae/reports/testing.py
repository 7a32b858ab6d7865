"""The parts of a report about tests of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import top1_with_interval
from mv2mae.evaluate.results import Interval, TestResult
from mv2mae.evaluate.score_figures import confusion_of, reliability_of, views_figure
from mv2mae.evaluate.tables import number, span
from mv2mae.reports.folder import Tested
from mv2mae.reports.mistakes import mistake_clips, worst_mistakes
from mv2mae.text import counted
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure
from mv2mae.visualize.report import Cell, ReportFigure, Section, Table

_MANY_CLASSES = 24
"""Beyond so many the hardest are drawn, and all are in a table."""
_CONFUSIONS = 8
_MOST_LINES = 3
KINDS = {"single_view": "single views", "fused": "fused views", "late": "fused by the mean"}
"""What was scored, by the names in evaluation.json -> as text."""


def what_was_tested(result: TestResult) -> str:
    """The videos of a test, its clips and crops, as text."""
    clips = f"; {result.num_clips} clips x {result.num_crops} crops of each" if result.num_clips is not None else ""
    split = f" of the test part of {result.split}" if result.split else ""
    return f"{counted(result.single_view.num, 'video')}{split}{clips}"


def highlights_of_test(test: Tested) -> list[tuple[str, str]]:
    """Top-1 of single and of fused views."""
    found = []
    for kind, scored in test.result.kinds().items():
        if kind != "late":
            label = f"top-1, {KINDS[kind]}, {test.name}; 95 % interval {span(scored.top1_interval, '.2f')}"
            found.append((f"{scored.top1:.3f}", label))
    return [*found, (f"{test.result.chance:.3f}", "top-1 of guessing (chance)")]


def sections_of_test(test: Tested, config: Mapping[str, Any], *, most_clips: int) -> list[Section]:
    """Accuracy, by class, confusions, worst mistakes.

    Args:
        config: of the run that was tested; its manifest tells of which part of a video was tested.
        most_clips: moving pictures on the page.
    """
    sections = [_accuracy(test), _classes(test), _confusions(test)]
    if test.scores is not None:
        sections.append(_mistakes(test, config, most_clips))
    return [section for section in sections if section is not None]


def _accuracy(test: Tested) -> Section:
    result = test.result
    rows: list[list[Cell]] = []
    for kind, found in result.kinds().items():
        top5 = "-" if found.top5 is None else found.top5
        rows.append([KINDS[kind], found.top1, span(found.top1_interval), top5, found.mean_class, found.num])
    table = Table(
        header=["", "top-1", "95 % interval", "top-5", "mean class", "number"],
        rows=rows,
        caption=f"{what_was_tested(result)}. Share of right answers, 1 is best, chance is {result.chance:.3f}. "
        "Intervals: bootstrap over performances. Fused: one answer for all views of a performance. Mean class: every "
        "class counts the same.",
    )
    by_view = _by("view", "", result.per_view, result.per_view_interval, result.per_view_num)
    by_person = _by(
        "person", "Accuracy by person", result.per_subject, result.per_subject_interval, result.per_subject_num
    )
    return Section(
        title=f"Test {test.name}: accuracy",
        tables=[table, *by_view, *by_person],
        figures=_accuracy_pictures(test),
        notes=_warnings(result),
    )


def _accuracy_pictures(test: Tested) -> list[ReportFigure]:
    single = test.result.single_view
    return [
        ReportFigure(
            figure=views_figure(test.result),
            caption="Accuracy by view. The whiskers are 95 % intervals; a bar whose whisker reaches the dashed line is "
            "not told from guessing. Good are bars of like length: a short one is a camera that the model "
            "does not understand. Fused views should lie above single ones.",
            alt=f"{test.name}: accuracy by view",
        ),
        ReportFigure(
            figure=reliability_of(test.result),
            caption="Whether confidence can be believed: accuracy of the videos of like confidence, and how many there "
            "are. Good is on the dashed line; below it the model is surer than it should be, above it too modest. "
            f"Calibration error {number(single.ece)}, negative log-likelihood {number(single.nll)} on single views (0 "
            "is best).",
            alt=f"{test.name}: accuracy over confidence",
        ),
    ]


def _by(
    column: str, folded: str, top1: Mapping[str, float], interval: Mapping[str, Interval], num: Mapping[str, int]
) -> list[Table]:
    rows: list[list[Cell]] = [[f"{column} {name}", top1[name], span(interval[name]), num[name]] for name in top1]
    return [Table(header=[column, "top-1", "95 % interval", "videos"], rows=rows, folded=folded)] if rows else []


def _warnings(result: TestResult) -> list[str]:
    said = []
    if result.trained_on:
        said.append(f"{result.trained_on} of these videos were training videos: this is no test of new ones.")
    if result.untrained:
        said.append(f"Classes that were never trained ({', '.join(result.untrained)}) count as errors.")
    if result.broken:
        said.append(f"{counted(len(result.broken), 'video')} could not be read and count as errors:")
        said += [f"{path}: {reason}" for path, reason in result.broken[:_MOST_LINES]]
    if result.fused and result.fused.incomplete:
        incomplete = counted(result.fused.incomplete, "performance")
        said.append(f"{incomplete} fused without the views that could not be read.")
    return said


def _classes(test: Tested) -> Section:
    names = test.result.names
    rows = []
    for label, top1 in test.result.single_view.per_class.items():
        low, high, num = float("nan"), float("nan"), 0
        if test.scores is not None:
            _, low, high, num = top1_with_interval(test.scores[test.scores["label"] == label])
        rows.append(AccuracyRow(names.get(label, f"class {label}"), top1, low, high, num))
    rows.sort(key=lambda row: row.accuracy)
    drawn = rows if len(rows) <= _MANY_CLASSES else rows[: _MANY_CLASSES // 2]
    which = "all classes" if len(drawn) == len(rows) else f"the {len(drawn)} hardest of {len(rows)} classes"
    table = Table(
        header=["class", "top-1", "95 % interval", "videos"],
        rows=[[row.name, row.accuracy, span((row.low, row.high)), row.num or "-"] for row in rows],
        folded=f"All {len(rows)} classes",
    )
    figures = []
    if test.scores is not None:
        figures = [
            ReportFigure(
                figure=accuracy_figure(drawn, chance=1 / len(names)),
                caption=f"Single views, {which}, the hardest first. A class is hard only if its whisker ends below the "
                "others. A bar without a whisker has too few videos, or all alike, to tell.",
                alt=f"{test.name}: accuracy by class",
            )
        ]
    return Section(title=f"Test {test.name}: by class", figures=figures, tables=[table])


def _confusions(test: Tested) -> Section:
    counts, names = np.array(test.result.confusion), test.result.classes
    sums, wrong = counts.sum(axis=1), counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    places = [divmod(int(k), len(counts)) for k in order if wrong.flat[k]]
    rows: list[list[Cell]] = [
        [names[true], names[taken], int(wrong[true, taken]), f"{wrong[true, taken] / sums[true]:.0%}"]
        for true, taken in places
    ]
    table = Table(
        header=["true class", "taken for", "videos", "of the class"], rows=rows, caption="The most frequent confusions."
    )
    picture = ReportFigure(
        figure=confusion_of(test.result),
        caption="Single views: true class (rows) and predicted class (columns), in numbers of videos. Good is a bright "
        "diagonal and dark elsewhere; a bright column is a class that much is taken for.",
        alt=f"{test.name}: confusion matrix",
    )
    return Section(title=f"Test {test.name}: confusions", tables=[table] if rows else [], figures=[picture])


def _mistakes(test: Tested, config: Mapping[str, Any], most: int) -> Section:
    assert test.scores is not None
    made = worst_mistakes(test.scores)
    clips, missing = mistake_clips(made, test.result.names, _windows(test.scores, config), most)
    if len(missing) > _MOST_LINES:
        missing = [*missing[:_MOST_LINES], f"... and {counted(len(missing) - _MOST_LINES, 'other')}."]
    text = ["No video that could be read was told wrong."]
    if made:
        text = [
            "The videos of which the model was surest and wrong, the surest first; of a performance one view. "
            "Confidence is the probability of the class that it took them for. Look for wrong labels, cut-off actions "
            "and people out of sight before blaming the model."
        ]
    return Section(title=f"Test {test.name}: worst mistakes", text=text, clips=clips, notes=missing)


def _windows(
    scores: pd.DataFrame, config: Mapping[str, Any]
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """Start and end of videos that are cut out of longer ones, as far as the run's own manifest tells."""
    try:
        rows = read_manifest(config["data"]["manifest"])
    except (InputError, OSError, KeyError):
        return {}
    rows = rows[rows["path"].isin(set(scores["path"])) & (rows["start"].notna() | rows["end"].notna())]
    keys = zip(rows["group"].astype(str), rows["view"].astype(str), strict=True)
    times = zip(*(_or_none(rows[name]) for name in ("start", "end")), strict=True)
    return dict(zip(keys, times, strict=True))


def _or_none(seconds: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in seconds]
