"""The parts of a report about tests of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import top1_with_interval
from mv2mae.evaluate.score_figures import confusion_of, reliability_of, views_figure
from mv2mae.evaluate.tables import number, span
from mv2mae.reports.folder import Tested
from mv2mae.reports.mistakes import mistake_clips, worst_mistakes
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure
from mv2mae.visualize.report import ReportFigure, Section, Table
from mv2mae.wording import counted

_MANY_CLASSES = 24
"""Beyond so many the hardest are drawn, and all are in a table."""
_CONFUSIONS = 8
_MOST_LINES = 3
KINDS = {"single_view": "single views", "fused": "fused views", "late": "fused by the mean"}
"""Names in evaluation.json -> in words."""


def class_names_of(figures: Mapping[str, Any]) -> dict[int, str]:
    """Names of the trained classes by their number in the data set."""
    classes = figures["classes"]
    return dict(zip(figures.get("labels", range(len(classes))), classes, strict=True))


def what_was_tested(figures: Mapping[str, Any]) -> str:
    """The videos of a test, its clips and crops, in words."""
    single = figures["single_view"]
    clips = f"; {figures['num_clips']} clips x {figures['num_crops']} crops of each" if "num_clips" in figures else ""
    split = f" of the test part of {figures['split']}" if figures.get("split") else ""
    return f"{counted(single['num'], 'video')}{split}{clips}"


def highlights_of_test(test: Tested) -> list[tuple[str, str]]:
    """Top-1 of single and of fused views."""
    found = []
    for key in ("single_view", "fused"):
        if key in test.figures:
            values = test.figures[key]
            words = f"top-1, {KINDS[key]}, {test.name}; 95 % interval {span(values['top1_interval'], '.2f')}"
            found.append((f"{values['top1']:.3f}", words))
    chance = 1 / len(test.figures["classes"])
    return [*found, (f"{chance:.3f}", "top-1 of guessing (chance)")]


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
    figures = test.figures
    header = ["", "top-1", "95 % interval", "top-5", "mean class", "number"]
    rows = []
    for key, name in KINDS.items():
        if key in figures:
            found = figures[key]
            top5 = "-" if found["top5"] is None else found["top5"]
            rows.append([name, found["top1"], span(found["top1_interval"]), top5, found["mean_class"], found["num"]])
    chance = 1 / len(figures["classes"])
    table = Table(
        header=header,
        rows=rows,
        caption=f"{what_was_tested(figures)}. Share of right answers, 1 is best, chance is {chance:.3f}. Intervals: "
        "bootstrap over performances. Fused: one answer for all views of a performance. Mean class: every class counts "
        "the same.",
    )
    tables = [
        table,
        *_by(figures, "per_view", "view", ""),
        *_by(figures, "per_subject", "person", "Accuracy by person"),
    ]
    return Section(
        title=f"Test {test.name}: accuracy", tables=tables, figures=_accuracy_pictures(test), notes=_warnings(figures)
    )


def _accuracy_pictures(test: Tested) -> list[ReportFigure]:
    figures = test.figures
    return [
        ReportFigure(
            figure=views_figure(figures),
            caption="Accuracy by view. The whiskers are 95 % intervals; a bar whose whisker reaches the dashed line is "
            "not told from guessing. Good are bars of like length: a short one is a camera that the model "
            "does not understand. Fused views should lie above single ones.",
            alt=f"{test.name}: accuracy by view",
        ),
        ReportFigure(
            figure=reliability_of(figures),
            caption="Whether confidence can be believed: accuracy of the videos of like confidence, and how many there "
            "are. Good is on the dashed line; below it the model is surer than it should be, above it too modest. "
            f"Calibration error {number(figures['single_view'].get('ece'))}, negative log-likelihood "
            f"{number(figures['single_view'].get('nll'))} on single views (0 is best).",
            alt=f"{test.name}: accuracy over confidence",
        ),
    ]


def _by(figures: Mapping[str, Any], key: str, word: str, folded: str) -> list[Table]:
    rows = [
        [f"{word} {name}", top1, span(figures[f"{key}_interval"][name]), figures[f"{key}_num"][name]]
        for name, top1 in figures.get(key, {}).items()
    ]
    return [Table(header=[word, "top-1", "95 % interval", "videos"], rows=rows, folded=folded)] if rows else []


def _warnings(figures: Mapping[str, Any]) -> list[str]:
    said = []
    if known := figures.get("trained_on", 0):
        said.append(f"{known} of these videos were training videos: this is no test of new ones.")
    if other := figures.get("untrained"):
        said.append(f"Classes that were never trained ({', '.join(map(str, other))}) count as errors.")
    if broken := figures.get("broken"):
        said.append(f"{counted(len(broken), 'video')} could not be read and count as errors:")
        said += [f"{path}: {reason}" for path, reason in broken[:_MOST_LINES]]
    if incomplete := figures.get("fused", {}).get("incomplete"):
        said.append(f"{counted(incomplete, 'performance')} fused without the views that could not be read.")
    return said


def _classes(test: Tested) -> Section:
    names, per_class = class_names_of(test.figures), test.figures["single_view"]["per_class"]
    rows = []
    for label, top1 in ((int(label), value) for label, value in per_class.items()):
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
    counts, names = np.array(test.figures["confusion"]), list(test.figures["classes"])
    sums, wrong = counts.sum(axis=1), counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    places = [divmod(int(k), len(counts)) for k in order if wrong.flat[k]]
    rows = [[names[true], names[taken], int(wrong[true, taken]), f"{wrong[true, taken] / sums[true]:.0%}"]
            for true, taken in places]  # fmt: skip
    table = Table(
        header=["true class", "taken for", "videos", "of the class"], rows=rows, caption="The most frequent confusions."
    )
    picture = ReportFigure(
        figure=confusion_of(test.figures),
        caption="Single views: true class (rows) and predicted class (columns), in numbers of videos. Good is a bright "
        "diagonal and dark elsewhere; a bright column is a class that much is taken for.",
        alt=f"{test.name}: confusion matrix",
    )
    return Section(title=f"Test {test.name}: confusions", tables=[table] if rows else [], figures=[picture])


def _mistakes(test: Tested, config: Mapping[str, Any], most: int) -> Section:
    assert test.scores is not None
    made = worst_mistakes(test.scores)
    clips, missing = mistake_clips(made, class_names_of(test.figures), _windows(test.scores, config), most)
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
