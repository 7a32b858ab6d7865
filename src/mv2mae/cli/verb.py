"""What a verb is, and the options that several share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

_OF_VIDEOS = {"manifest", "split", "train_query", "test_query", "test_manifest", "frame_stride", "fps"}


@dataclass(frozen=True)
class Verb:
    """One command: how to read its arguments, and what to call with them."""

    summary: str
    example: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Any], int | None]
    """Returns the exit status, None meaning 0."""
    goes_on: bool = False
    """Whether the same command goes on where it was stopped."""
    takes_settings: bool = False
    """Whether the first positional argument, a run, brings its data and test settings along."""
    in_all_processes: Callable[[Any], bool] = lambda args: False
    """Whether, of several processes that torchrun or srun started, all are wanted, or the first one alone."""


def data_options(parser: ArgumentParser, *more: str) -> None:
    """`--data.*`: what of `DataConfig` says which videos and which clips, not how training goes; and `more` of it."""
    from mv2mae.config import DataConfig

    parser.add_class_arguments(DataConfig, "data", skip=set(DataConfig.__dataclass_fields__) - _OF_VIDEOS - {*more})


def out_folder(args: Any, name: str) -> Path:
    """What `--out` says, else a folder beside the weights, or below `runs` for packaged ones."""
    if args.out:
        return Path(args.out)
    where = Path(args.weights)
    if where.is_dir():
        return where / name
    return where.parent / name if where.is_file() else Path("runs") / args.weights / name


_HAS_BASE = re.compile("^base:", re.MULTILINE)


class RecipeFile(ActionConfigFile):
    """`--recipe` takes the name of a packaged recipe or the path of a YAML file."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: str | None = None) -> None:
        """Replace the name by its path, or by the text of the whole where it has a base."""
        import yaml

        from mv2mae.recipes import find_recipe, read_recipe

        path = find_recipe(value)
        text = yaml.safe_dump(read_recipe(value)) if _HAS_BASE.search(path.read_text(encoding="utf-8")) else str(path)
        super().__call__(parser, namespace, text, option_string)
