"""The command line: verbs to functions, and errors to one line. No logic lives here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import jsonargparse
from jsonargparse import ArgumentParser

from mv2mae.cli import bench, data, features, looking, predicting, testing, training
from mv2mae.cli.testing import evaluate_defaults
from mv2mae.errors import InputError

ALIASES = {"--data": "--data.manifest", "--from": "--init"}
"""Short forms of the options that everyone types."""

_KINDS = (data, training, testing, predicting, features, looking, bench)
VERBS = {name: verb for kind in _KINDS for name, verb in kind.VERBS.items()}


def usage() -> str:
    """The list of verbs."""
    lines = ["usage: mv2mae VERB [options]    (mv2mae VERB --help tells more)", ""]
    return "\n".join(lines + [f"  {name:12} {verb.summary}" for name, verb in VERBS.items()])


def parse(name: str, argv: Sequence[str]) -> Any:
    """The arguments of a verb as configuration objects.

    Raises:
        InputError: for an unknown option or a value that does not fit.
    """
    verb = VERBS[name]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=f"mv2mae {name}", description=f"{verb.summary[0].upper()}{verb.summary[1:]}. Example: {verb.example}",
        exit_on_error=False,
    )  # fmt: skip
    verb.options(parser)
    argv = [_spelled_out(word) for word in argv]
    if name == "evaluate":
        evaluate_defaults(parser, argv)
    elif name in features.VERBS:
        features.data_defaults(parser, argv)
    try:
        return parser.instantiate(parser.parse_args(argv))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise InputError(_one_line(str(error))) from error


def _spelled_out(word: str) -> str:
    """`--data x` and `--data=x` as the options that the parser knows."""
    option, equals, value = word.partition("=")
    return ALIASES.get(option, option) + equals + value


def _one_line(message: str) -> str:
    """jsonargparse indents what belongs to a key over several lines."""
    return " ".join(part.strip(" -") for part in message.splitlines() if part.strip())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 for bad input, 130 when stopped by hand."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"mv2mae {version('mv2mae')}")
        return 0
    count = 2 if " ".join(words[:2]) in VERBS else 1
    verb, options = " ".join(words[:count]), words[count:]
    if verb not in VERBS:
        print(f"mv2mae: {verb} is not a verb\n{usage()}", file=sys.stderr)
        return 1
    try:
        return VERBS[verb].run(parse(verb, options)) or 0
    except (InputError, OSError) as error:
        # from a loader's worker torch brings the whole traceback as the message; its last line is ours
        message = str(error).strip().splitlines()[-1].removeprefix("mv2mae.errors.InputError: ")
        print(f"mv2mae {verb}: error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        more = "; the same command goes on where it stopped" if VERBS[verb].goes_on else ""
        print(f"\nmv2mae {verb}: stopped{more}", file=sys.stderr)
        return 130
