"""A command's arguments as people type them, put into the form that the parser reads."""

from __future__ import annotations

import argparse
import difflib
import types
from collections.abc import Collection, Sequence
from typing import Any, Union, get_args, get_origin

from jsonargparse import ArgumentParser

from mv2mae.config.tasks import RETIRED, tasks_with
from mv2mae.errors import InputError

ALIASES = {
    "--data": "--data.manifest",
    "--from": "--init",
    "--profile": "--compute.profile_steps",
    "--labels_per_class": "--data.labels_per_class",
    "--label_fraction": "--data.label_fraction",
}
"""Short forms of the options that everyone types."""
RENAMED = {"--probe": "--media_info"}
"""Options that are called otherwise now."""


def normalised(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The arguments of a command with aliases, switches and lists written out.

    `--data x` becomes `--data.manifest=x`. A switch may stand alone or with its value: `--each` and `--each true`
    become `--each=true`. Hyphens may stand for underscores: `--dry-run` becomes `--dry_run=true`. A list may be written
    with commas: `--actions wave,clap` becomes `--actions=[wave,clap]`. Options come first, since argparse does not
    take up a row of videos again that an option interrupts.
    """
    known = {option: action for action in parser._actions for option in action.option_strings}
    arguments, places, rest = [], [], list(argv)
    while rest:
        if not rest[0].startswith("-"):
            places.append(rest.pop(0))
            continue
        option, equals, value = rest.pop(0).partition("=")
        option = _known_form(option, known)
        action = known.get(option)
        if action is None or action.nargs is not None:
            arguments.append(option + equals + value)
        elif getattr(action, "_typehint", None) is bool:
            stands_alone = not equals and not (rest and rest[0].lower() in ("true", "false"))
            arguments.append(f"{option}={value if equals else 'true' if stands_alone else rest.pop(0).lower()}")
        elif equals or (rest and not rest[0].startswith("--")):
            value = value if equals else rest.pop(0)
            arguments.append(f"{option}={_bracketed(value) if _is_list(getattr(action, '_typehint', None)) else value}")
        else:
            arguments.append(option)
    return arguments + places


def document_aliases(parser: ArgumentParser) -> None:
    """Name the short forms in the help of their options."""
    known = {option: action for action in parser._actions for option in action.option_strings}
    for alias, option in ALIASES.items():
        if option in known:
            known[option].help = f"{known[option].help} (short: {alias})"
            if alias in known:  # jsonargparse's own --data, a configuration file, gives way to the alias
                known[alias].help = argparse.SUPPRESS


def check_known(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Refuse options that the parser does not have, with what may have been meant.

    Args:
        arguments: as `normalised` wrote them.

    Raises:
        InputError: for the first of them.
    """
    known = {option: action for action in parser._actions for option in action.option_strings}
    for argument in arguments:
        option = argument.partition("=")[0]
        holder = getattr(known.get(option.rpartition(".")[0]), "_typehint", None)
        is_entry = get_origin(holder) is dict  # as `--data.camera_angles.left` is
        if not option.startswith("--") or option in known or is_entry:
            continue
        if (new := RENAMED.get(option)) in known:
            raise InputError(f"{option} is called {new} now")
        section, _, name = ALIASES.get(option, option).rpartition(".")
        if section == "--data" and (task := tasks_with(name.replace("-", "_"))):
            raise InputError(f"{option} is an option of {task}, not of `{parser.prog}`; leave it out")
        if told := RETIRED.get(option.lstrip("-").replace("-", "_")):
            raise InputError(f"{told}; leave it out")
        aliases = [alias for alias, meant in ALIASES.items() if meant in known]
        close = closest(option, [*(name for name in known if name.startswith("--")), *aliases])
        hint = f"did you mean {close}? " if close else ""
        raise InputError(f"{option} is no option; {hint}`{parser.prog} --help` lists all")


def closest(option: str, known: Collection[str]) -> str:
    """The option that is most like an argument, or that ends with it, as --optim.steps does with --steps; or empty."""
    ends = [name for name in known if name.rpartition(".")[2] == option.lstrip("-").rpartition(".")[2]]
    return next(iter([*ends, *difflib.get_close_matches(option, known, n=1, cutoff=0.75)]), "")


def _known_form(option: str, known: Collection[str]) -> str:
    """The option that is meant by an argument: itself, a short form, either with hyphens; an unknown one as it is."""
    for argument in (option, f"--{option[2:].replace('-', '_')}"):
        if ALIASES.get(argument) in known:
            return ALIASES[argument]
        if argument in known:
            return argument
    return option


def _is_list(kind: Any) -> bool:
    arms = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return any(get_origin(arm) in (tuple, list) for arm in arms) and str not in arms


def _bracketed(value: str) -> str:
    return value if not value or value == "null" or value[0] in "[(" else f"[{value}]"
