"""`report.html` of a run, and a page that compares several: `mv2mae report`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mv2mae.errors import InputError
from mv2mae.files import make_writable, write_json
from mv2mae.reports import comparison, training
from mv2mae.reports.folder import RunFolder, read_folder, short_names
from mv2mae.reports.testing import highlights_of_test, sections_of_test, what_was_tested
from mv2mae.runs import CONFIG_NAME, ENVIRONMENT_NAME, REPORT_NAME, environment, read_config
from mv2mae.studies.geometry.page import geometry_highlight, geometry_section
from mv2mae.studies.probes.page import probe_section
from mv2mae.studies.second_view.page import second_view_highlight, second_view_section
from mv2mae.visualize.report import ReportPage, Section, write_report

COMPARISON_NAME = "comparison.html"
_MOST_HIGHLIGHTS = 6
_CLIPS, _FEW_CLIPS = 8, 4
"""Mistakes shown of each test: of up to two, and of more tests on a page."""


def report(runs: Sequence[str | Path], out: str | Path = "") -> Path:
    """Write the page of a run, or one that compares several; returns its path.

    Args:
        runs: folders of runs (with the tests and probes in them), or of tests or probes alone. Runs that are still
            going or were killed do too.
        out: file to write; by default `report.html` in the run's folder, or `comparison.html` in the folder that the
            runs have in common.

    Raises:
        InputError: a folder holds no run, or one is given twice.
    """
    paths = [Path(run) for run in runs]
    wanted = Path(out) if str(out) else None
    if wanted is not None and wanted.is_dir():
        raise InputError(f"{wanted} is a folder; give the page a name (--out {wanted / REPORT_NAME})")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a run is given twice; give each once")
    if wanted is not None:
        make_writable(wanted.parent)
    folders = [read_folder(path) for path in paths]
    if len(folders) == 1:
        return write_report(wanted or folders[0].path / REPORT_NAME, run_report(folders[0]))
    common = Path(os.path.commonpath([path.resolve() for path in paths]))
    together = dict(zip(short_names(paths), folders, strict=True))
    return write_report(wanted or common / COMPARISON_NAME, comparison_report(together))


def write_pages(folder: Path) -> None:
    """`report.html` of what was just done in a folder, and of the run in which it lies.

    A page that cannot be written is a warning: what it is about is safe on disk by then.
    """
    try:
        if not (folder / CONFIG_NAME).exists():  # a test or probes; a training notes what it ran on itself
            write_json(folder / ENVIRONMENT_NAME, environment())
        print(f"  wrote {report([folder])}", flush=True)
        if (folder.resolve().parent / CONFIG_NAME).exists():
            print(f"  wrote {report([folder.resolve().parent])}, with all tests of the run", flush=True)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"  warning: no page was written ({reason}); try `mv2mae report {folder}`", file=sys.stderr)


def run_report(run: RunFolder) -> ReportPage:
    """The page of one run."""
    is_training = bool(run.config)
    sections: list[Section] = []
    if is_training:
        sections += training.curve_section({run.path.resolve().name: run.log}, runs=[run])
        sections += training.snapshot_section(run)
    most = _CLIPS if len(run.tests) <= 2 else _FEW_CLIPS
    config = run.config or _config_above(run.path)
    for test in run.tests:
        sections += sections_of_test(test, config, most_clips=most)
    sections += [probe_section(probed.name, probed.result) for probed in run.probes]
    sections += map(second_view_section, run.second_views)
    sections += map(geometry_section, run.geometry)
    sections += training.settings_section(run)
    if said := training.notes(run):
        sections.append(Section(title="What went wrong", notes=said))
    tests = [f"Tested on {what_was_tested(test.result)} ({test.name})." for test in run.tests]
    tested = [pair for test in run.tests for pair in highlights_of_test(test)]
    studied = [*map(second_view_highlight, run.second_views), *map(geometry_highlight, run.geometry)]
    return ReportPage(
        title=f"{run.kind.capitalize()}: {run.path.resolve().name}",
        lead=[*(training.lead(run) if is_training else _about(run)), *tests],
        highlights=[*tested, *training.highlights(run), *studied][:_MOST_HIGHLIGHTS],
        sections=sections,
        facts=training.facts(run),
    )


def _config_above(folder: Path) -> dict[str, Any]:
    """Of a test's folder that lies in the run's."""
    try:
        return read_config(folder.resolve().parent)
    except InputError:
        return {}


def _about(run: RunFolder) -> list[str]:
    of = [test.result.run for test in run.tests if test.result.run]
    of += [probed.result.run for probed in run.probes]
    of += [study.weights for study in run.second_views] + [study.weights for study in run.geometry]
    return [f"Of the run {', '.join(dict.fromkeys(of))}."] if of else []


def comparison_report(runs: comparison.Runs) -> ReportPage:
    """The page of several runs."""
    overview = [comparison.overview_section(runs)] if any(run.config for run in runs.values()) else []
    sections = [
        *overview,
        *comparison.accuracy_sections(runs),
        *comparison.curve_sections(runs),
        comparison.differences_section(runs),
    ]
    problems = [f"{name}: {problem}" for name, run in runs.items() for problem in training.notes(run)]
    if problems:
        sections.append(Section(title="What went wrong", notes=problems))
    return ReportPage(
        title=f"{len(runs)} runs compared",
        lead=[f"Runs: {', '.join(runs)}. A run has the same colour in all curves of a kind."],
        highlights=comparison.highlights(runs)[:_MOST_HIGHLIGHTS],
        sections=sections,
    )
