"""The command line: verbs to functions, and errors to one line. No logic lives here."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

import jsonargparse
from jsonargparse import ArgumentParser

from mv2mae.cli import bench, data, looking, studies, tables, training, using
from mv2mae.cli.argv import check_known, document_aliases, normalised
from mv2mae.cli.fonts import keep_fonts
from mv2mae.cli.verb import Verb
from mv2mae.config.refused import why_refused
from mv2mae.errors import InputError, RunStopped
from mv2mae.ranks import alone, is_first

VERBS = data.VERBS | training.VERBS | using.VERBS | studies.VERBS | tables.VERBS | looking.VERBS | bench.VERBS


GROUPS = {
    "to begin with": ("demo",),
    "data": ("index", "check", "sync", "prepare", "join", "synth"),
    "train": ("recipes", "pretrain", "finetune"),
    "test and use": ("evaluate", "predict", "extract", "export"),
    "what an encoder has learnt": ("probe", "robustness", "geometry", "second-view"),
    "the paper's tables": ("table",),
    "look": ("visualize", "view", "report"),
    "measure speed": ("bench data", "bench model"),
}
"""The order in which verbs are listed."""
RENAMED = {"views": "robustness"}
"""Verbs that had another name."""


def usage(first_word: str = "") -> str:
    """The list of verbs in groups, or of those that begin with a word."""
    lines = [f"usage: mv2mae {first_word or 'VERB'}{' WHAT' * bool(first_word)} [options]    (--help tells more)"]
    for heading, names in GROUPS.items():
        found = [f"  {name:12} {VERBS[name].summary}" for name in names if name in VERBS and _begins(name, first_word)]
        lines += ["", heading, *found] if found else []
    return "\n".join(lines)


def _begins(name: str, word: str) -> bool:
    return not word or name.split()[0] == word


def parse(name: str, argv: Sequence[str]) -> Any:
    """The arguments of a verb as configuration objects.

    Raises:
        InputError: for an unknown option or a value that does not fit.
    """
    parser = _parser(name)
    arguments = normalised(parser, argv)
    check_known(parser, arguments)
    if VERBS[name].takes_settings:
        _take_settings(parser, arguments)
    try:
        return parser.instantiate(parser.parse_args(arguments))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise InputError(why_refused(parser, error)) from error


def _parser(name: str) -> ArgumentParser:
    """The parser of a verb, whose help begins with an example."""
    verb = VERBS[name]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    summary = f"{verb.summary[0].upper()}{verb.summary[1:]}."
    parser = ArgumentParser(prog=f"mv2mae {name}", description=summary, exit_on_error=False)
    verb.options(parser)
    document_aliases(parser)
    places = [
        f"[{a.dest.upper()}]" if a.nargs in ("?", "*") else f"{a.dest.upper()}{' ...' * (a.nargs == '+')}"
        for a in parser._actions
        if not a.option_strings
    ]
    example = verb.example.replace("%", "%%")
    parser.usage = f"{' '.join(['mv2mae', name, *places])} [options]\n\nexample: {example}"
    return parser


def _take_settings(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """What a run was trained and tested on becomes the default of what is done with it."""
    if places := [argument for argument in arguments if not argument.startswith("-")]:
        from mv2mae.settings import stored_settings

        given = {argument.partition("=")[0].lstrip("-") for argument in arguments if argument.startswith("-")}
        found = stored_settings(places[0], given)
        known = {action.dest for action in parser._actions}
        parser.set_defaults({name: value for name, value in found.items() if name in known})


def _list_verbs(arguments: Sequence[str]) -> int:
    """What `mv2mae bench` and an unknown verb get; the exit status."""
    several = any(_begins(name, arguments[0]) for name in VERBS)
    if several and arguments[1:] in ([], ["-h"], ["--help"]):
        print(usage(arguments[0]))
        return 0
    given = " ".join(arguments[: 2 if several else 1])
    if arguments[0] in RENAMED:
        new = RENAMED[arguments[0]]
        print(f"mv2mae: {arguments[0]} is called {new} now: `mv2mae {new}`, with the same options", file=sys.stderr)
        return 1
    close = difflib.get_close_matches(given, VERBS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    print(f"mv2mae: {given} is not a verb; {hint}`mv2mae --help` lists all", file=sys.stderr)
    return 1


def _carry_out(verb: Verb, args: Any) -> int:
    """Run a verb; where torchrun or srun started several processes and it wants one, in the first of them."""
    if verb.in_all_processes(args):
        return verb.run(args) or 0
    if not is_first():
        return 0
    with alone():
        return verb.run(args) or 0


def _said(error: InputError | OSError) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else error.filename
        return f"{name}: {error.strerror[0].lower()}{error.strerror[1:]}"
    # from a loader's worker torch brings the whole traceback as the message; its last line is ours
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return lines[-1].removeprefix("mv2mae.errors.InputError: ")


def _of_device(error: RuntimeError) -> str | None:
    """What a GPU refuses in the middle of the work, in a line; None for any other error."""
    kind, first = type(error).__name__, (str(error).splitlines() or [""])[0]
    if kind == "OutOfMemoryError":  # by name: most verbs do not need torch to say what is wrong
        return f"the device's memory is too small: {first.split('. ')[0]}; take smaller batches, or --device cpu"
    if kind == "AcceleratorError":
        return f"PyTorch cannot compute on this device: {first}; see `nvidia-smi`, or take --device cpu"
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 for bad input, 130 when stopped by hand, 128 + n by signal n."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"mv2mae {version('mv2mae')}")
        return 0
    count = 2 if " ".join(arguments[:2]) in VERBS else 1
    verb, options = " ".join(arguments[:count]), arguments[count:]
    if verb not in VERBS:
        return _list_verbs(arguments)
    keep_fonts()
    try:
        return _carry_out(VERBS[verb], parse(verb, options))
    except (InputError, OSError) as error:
        print(f"mv2mae {verb}: error: {_said(error)}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if (reason := _of_device(error)) is None:
            raise
        print(f"mv2mae {verb}: error: {reason}", file=sys.stderr)
        return 1
    except RunStopped as stop:
        print(f"\nmv2mae {verb}: {stop}; the same command goes on from there", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        more = "; the same command goes on where it stopped" if VERBS[verb].goes_on else ""
        print(f"\nmv2mae {verb}: stopped{more}", file=sys.stderr)
        return 130
