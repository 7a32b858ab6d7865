"""The verb that writes a page about runs: report; and the page that other verbs write at their end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def write_pages(folder: Path) -> None:
    """`report.html` of what was just done in a folder, and of the run in which it lies.

    A page that cannot be written is a warning: what it is about is safe on disk by then.
    """
    from mv2mae.reports.write import report
    from mv2mae.runs import CONFIG_NAME, ENVIRONMENT_NAME, environment, write_json

    try:
        if not (folder / CONFIG_NAME).exists():  # a test or probes; a training notes what it ran on itself
            write_json(folder / ENVIRONMENT_NAME, environment())
        print(f"  wrote {report([folder])}", flush=True)
        if (folder.resolve().parent / CONFIG_NAME).exists():
            print(f"  wrote {report([folder.resolve().parent])}, with all tests of the run", flush=True)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"  warning: no page was written ({reason}); try `mv2mae report {folder}`", file=sys.stderr)


def _report_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", type=str, nargs="+", help="a run, or several to compare; or tests (RUN/evaluation)")
    parser.add_argument(
        "--out", type=str, default="", help="file to write; by default report.html in the run, or comparison.html "
        "in the folder that the runs have in common",
    )  # fmt: skip


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
