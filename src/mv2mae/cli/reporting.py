"""The verb that writes a page about runs: report."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _report_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", type=str, nargs="+", help="a run, or several to compare; or tests (RUN/evaluation)")
    parser.add_argument(
        "--out",
        type=str,
        default="",
        help="file to write; by default report.html in the run, or comparison.html "
        "in the folder that the runs have in common",
    )


def _report(args: Any) -> None:
    from mv2mae.reports.write import report

    print(f"  wrote {report(args.runs, args.out)}")


VERBS = {
    "report": Verb(
        "write a page about a run, or one that compares several",
        "mv2mae report runs/finetune runs/scratch --out comparison.html",
        _report_options,
        _report,
    ),
}
