"""The parts of a report about several runs: what differs, curves over each other, accuracies side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pandas as pd

from mv2mae.errors import InputError
from mv2mae.evaluate.compare import NAMES, compare
from mv2mae.evaluate.results import Scored, TestResult
from mv2mae.evaluate.score_figures import accuracy_row
from mv2mae.evaluate.tables import span
from mv2mae.reports.folder import RunFolder, Tested
from mv2mae.reports.testing import what_was_tested
from mv2mae.reports.training import cross_gain, curve_section, facts, flat, loss_share, shown, source_gain, state
from mv2mae.visualize.charts import accuracy_figure
from mv2mae.visualize.report import Cell, ReportFigure, Section, Table

Runs = Mapping[str, RunFolder]
"""Folders by the names under which the page speaks of them."""

_MOST_PAIRED = 4
"""Runs up to which each is tested against each; beyond, each against the first."""
_TOLD = {
    "self-view loss": "Losses on held-out performances over the mean baseline: 1 = nothing learnt, less is better; of "
    "runs with different mask ratios, weights or data they are not comparable: a task may simply be easier.",
    "cross below self": "Cross below self: share by which the cross-view loss lies below the self-view loss on "
    "the same tokens, unseen rooms or people first; 0 = the other camera is not used.",
    "source gain": "Source gain: rise of the cross-view loss with a wrong source.",
    "training top-1": "Training top-1: on augmented training clips; how new videos fare is told by a test alone.",
}
"""Columns -> how to read them."""
_GAINS = ("cross below self", "source gain")
_KINDS = _SINGLE, _MEAN, _ATTENTION = "single views", "fused by the mean", "fused by attention"
"""What is scored, as text."""
_EXPECTED = ("folder", "command")
"""Facts that differ between any two runs."""


def overview_section(runs: Runs) -> Section:
    """A row a run: what it is, how far it came, its main figures."""
    rows: list[list[Cell]] = []
    for name, run in runs.items():
        self_view, cross_view = (loss_share(run.log, name) for name in ("self_target", "cross_target"))
        gains = [cross_gain(run.log), source_gain(run.log)]
        top1 = run.log["train/top1"].dropna() if "train/top1" in run.log else pd.Series(dtype=float)
        rows.append(
            [
                name,
                run.kind,
                _steps(run),
                _or_dash(self_view),
                _or_dash(cross_view),
                *("-" if gain is None else f"{gain:+.2%}" for gain in gains),
                _or_dash(float(top1.iloc[-10:].mean()) if len(top1) else None),
            ]
        )
    header = ["run", "kind", "steps", "self-view loss", "cross-view loss", *_GAINS, "training top-1"]
    told = [k for k in range(len(header)) if any(row[k] != "-" for row in rows)]
    table = Table(
        header=[header[k] for k in told],
        rows=[[row[k] for k in told] for row in rows],
        caption=" ".join(_TOLD[header[k]] for k in told if header[k] in _TOLD),
    )
    going = [f"{name}: {state(run)}" for name, run in runs.items() if run.config and run.summary is None]
    return Section(title="The runs", tables=[table], notes=going)


def _steps(run: RunFolder) -> str:
    if not run.config:
        return "-"
    return f"{run.last_step:,}" if run.summary is not None else f"{run.last_step:,}, not ended"


def _or_dash(value: float | None) -> Cell:
    return "-" if value is None else value


def differences_section(runs: Runs) -> Section:
    """Settings, and then machine, versions and source, in which the runs differ."""
    configs = {name: flat(run.config) for name, run in runs.items() if run.config}
    tables, text = [], []
    if len(configs) > 1:
        keys = list(dict.fromkeys(key for config in configs.values() for key in config))
        rows = [[key, *(shown(config.get(key)) for config in configs.values())] for key in keys]
        rows = [row for row in rows if len(set(row[1:])) > 1]
        tables.append(
            Table(
                header=["setting", *configs],
                rows=rows,
                caption=f"{len(rows)} of {len(keys)} settings differ; `-` = not set, or not a setting of that run.",
            )
        )
        if not rows:
            text.append("All settings are the same.")
    found = {name: facts(run) for name, run in runs.items()}
    names = list(dict.fromkeys(key for values in found.values() for key in values))
    others = [[key, *(values.get(key, "-") for values in found.values())] for key in names]
    others = [row for row in others if len(set(row[1:])) > 1 and row[0] not in _EXPECTED]
    if others:
        tables.append(Table(header=["made with", *found], rows=others, caption="What else differs."))
    commands = [f"{name}: {values['folder']}; {values.get('command', '')}" for name, values in found.items()]
    return Section(title="What differs", text=text, tables=tables, notes=commands)


def curve_sections(runs: Runs) -> list[Section]:
    """Curves of all pre-trainings in one set of axes, of all fine-tunings in another."""
    sections = []
    for kind in ("pre-training", "fine-tuning"):
        drawn = {name: run for name, run in runs.items() if run.kind == kind and len(run.log)}
        if drawn:
            logs = {name: run.log for name, run in drawn.items()}
            sections += curve_section(logs, title=f"How they learnt: {kind}", runs=list(drawn.values()))
    return sections


def accuracy_sections(runs: Runs) -> list[Section]:
    """For each set of videos on which any run was tested: accuracies, and whether differences may be chance."""
    return [_accuracy(tests) for tests in _same_videos(runs)]


def highlights(runs: Runs) -> list[tuple[str, str]]:
    """Top-1 of every run on the videos on which most of them were tested; nothing without tests."""
    tests = max(_same_videos(runs), key=len, default={})
    found = {name: test.result.single_view for name, test in tests.items()}
    return [
        (f"{scored.top1:.3f}", f"{name}: top-1, single views; 95 % interval {span(scored.top1_interval, '.2f')}")
        for name, scored in found.items()
    ]


def _same_videos(runs: Runs) -> list[dict[str, Tested]]:
    """Tests that go together: same videos, or where the scores are gone the same name of the folder."""
    sets: dict[object, dict[str, Tested]] = {}
    for name, run in runs.items():
        for test in run.tests:
            key: object = test.name
            if test.scores is not None:
                key = frozenset(zip(test.scores["group"].astype(str), test.scores["view"].astype(str), strict=True))
            together = sets.setdefault(key, {})
            # a run may have been tested twice on the same videos, in two ways
            together[name if name not in together else f"{name}/{test.name}"] = test
    return list(sets.values())


def _accuracy(tests: dict[str, Tested]) -> Section:
    by_kind = {name: _by_kind(test.result) for name, test in tests.items()}
    kinds = [kind for kind in _KINDS if any(kind in found for found in by_kind.values())]
    bars, rows = [], []
    for name, found in by_kind.items():
        row: list[Cell] = [name]
        for kind in kinds:
            row += [found[kind].top1, span(found[kind].top1_interval)] if kind in found else ["-", "-"]
            bars += [accuracy_row(name, found[kind], kind)] if kind in found else []
        rows.append(row)
    first = next(iter(tests.values()))
    chance = first.result.chance
    ways = {name: what_was_tested(test.result) for name, test in tests.items()}
    table = Table(
        header=["run", *(column for kind in kinds for column in (kind, "95 % interval"))],
        rows=rows,
        caption=f"Top-1: share of right answers; chance is {chance:.3f}. Intervals: bootstrap over performances.",
    )
    alike = len(set(ways.values())) == 1
    notes = list(ways.values())[:1] if alike else [f"{name}: {way}" for name, way in ways.items()]
    return Section(
        title=f"Accuracy: {' and '.join(dict.fromkeys(test.name for test in tests.values()))}",
        tables=[table, *_paired(tests)],
        figures=[
            ReportFigure(
                figure=accuracy_figure(bars, chance=chance),
                caption="Good is a bar whose whisker ends beyond those of the others and beyond the dashed line. Two "
                "whiskers may overlap and the runs still differ, since they were tested on the same videos: for that "
                "see the paired test.",
                alt="accuracy of the runs with intervals",
            )
        ],
        notes=notes,
    )


def _by_kind(result: TestResult) -> dict[str, Scored]:
    """A test by what was scored, so that runs that were fused in different ways are told apart."""
    found: dict[str, Scored | None] = {_SINGLE: result.single_view, _MEAN: result.fused}
    if result.late:  # then `fused` is by attention
        found |= {_MEAN: result.late, _ATTENTION: result.fused}
    return {kind: scored for kind, scored in found.items() if scored is not None}


def _paired(tests: dict[str, Tested]) -> list[Table]:
    scores = {name: test.scores for name, test in tests.items() if test.scores is not None}
    names = list(scores)
    pairs = (
        itertools.combinations(names, 2) if len(names) <= _MOST_PAIRED else ((names[0], other) for other in names[1:])
    )
    rows: list[list[Cell]] = []
    for before, after in pairs:
        try:
            found = compare(
                scores[after],
                scores[before],
                fused_a=tests[after].attention,
                fused_b=tests[before].attention,
            )
        except InputError:  # same videos with other labels: nothing to pair
            continue
        rows += [
            [f"{after} - {before}", NAMES[kind], f"{row.difference:+.3f}", span(row.interval, "+.3f"), f"{row.p:.4f}",
             row.only_a, row.only_b]
            for kind, row in found.items()
        ]  # fmt: skip
    if not rows:
        return []
    header = ["difference", "", "top-1", "95 % interval", "p", "first only", "second only"]
    caption = (
        "Paired test on the same videos: whole performances are drawn for the interval, answers exchanged for p "
        "(two-sided permutation test). An interval that leaves 0 out, or p below 0.05, says that the difference is "
        "hardly chance; among many comparisons some p are small by chance (no correction is made). It says nothing of "
        "another training with another seed. First only: right in the first of the two alone."
    )
    if any(row[1] in (NAMES["attention_late"], NAMES["late_attention"]) for row in rows):
        caption += " Attention, mean: views fused by attention in the first, by the mean in the second; and so on."
    return [Table(header=header, rows=rows, caption=caption)]
