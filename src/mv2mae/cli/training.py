"""The verbs that train: recipes, pretrain, finetune."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import RecipeFile, Verb, config_from
from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.config.tasks import Task
from mv2mae.errors import InputError

_WIDE_ENOUGH = 160
"""Columns in which a recipe fits on a line."""


def _recipes_options(parser: ArgumentParser) -> None:
    parser.add_argument("show", type=str, nargs="*", help="`show NAME` prints all settings of a recipe or YAML file")


def _recipes(args: Any) -> None:
    from mv2mae.recipes import list_recipes, show_recipe

    if args.show:
        if len(args.show) != 2 or args.show[0] != "show":
            raise InputError(f"recipes {' '.join(args.show)}: give nothing, or `show` and the name of a recipe")
        print(show_recipe(args.show[1]), end="")
        return
    width = shutil.get_terminal_size((200, 24)).columns
    for name, first_line in list_recipes().items():
        if width < _WIDE_ENOUGH:
            print(textwrap.fill(first_line, width, initial_indent=f"  {name}: ", subsequent_indent="    "))
        else:
            print(f"  {name:28} {first_line}")


def _training_options(task: Task, parser: ArgumentParser) -> None:
    parser.add_argument("--recipe", action=RecipeFile, help="packaged recipe or YAML file (`mv2mae recipes`)")
    parser.add_argument("--run", type=str, default="", help="folder of the run; an unfinished one goes on")
    dry_run = "tell the whole plan, then make two small steps and keep nothing"
    parser.add_argument("--dry_run", type=bool, default=False, help=dry_run)
    parser.add_class_arguments(task)


def _pretrain(args: Any) -> None:
    from mv2mae.train.pretrain import pretrain

    _run(args, config_from(args, PretrainConfig), pretrain)


def _finetune(args: Any) -> None:
    from mv2mae.train.finetune import finetune

    _run(args, config_from(args, FinetuneConfig), finetune)


def _run(args: Any, config: Any, train: Callable[[Any, Path], object]) -> None:
    if args.dry_run:
        from mv2mae.train.rehearsal import rehearse

        rehearse(config)
    elif args.run:
        from mv2mae.ranks import first_only, say
        from mv2mae.reports.write import write_pages
        from mv2mae.weights import WEIGHTS_NAME

        train(config, Path(args.run))
        say(f"  wrote {Path(args.run) / WEIGHTS_NAME}")
        first_only(write_pages)(Path(args.run))
    else:
        raise InputError("no folder for the run; give --run FOLDER (or --dry_run to try two steps)")


VERBS = {
    "recipes": Verb("list the packaged recipes", "mv2mae recipes show paper-ntu60-xsub", _recipes_options, _recipes),
    "pretrain": Verb(
        "learn from several views, without labels",
        "mv2mae pretrain --recipe sample-pretrain --data manifest.parquet --run runs/pretrain",
        partial(_training_options, PretrainConfig),
        _pretrain,
        goes_on=True,
        in_all_processes=lambda args: not args.dry_run,
    ),
    "finetune": Verb(
        "train a classifier on top of a pre-trained encoder",
        "mv2mae finetune --recipe sample-finetune --from runs/pretrain --run runs/finetune",
        partial(_training_options, FinetuneConfig),
        _finetune,
        goes_on=True,
        in_all_processes=lambda args: not args.dry_run,
    ),
}
