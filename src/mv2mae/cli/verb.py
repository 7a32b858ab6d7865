"""What a verb is, and the options that several share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ActionConfigFile, ArgumentParser

from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.config.tasks import Task

Config = TypeVar("Config")


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


def config_from(args: Any, kind: type[Config]) -> Config:
    """The configuration of a class (`PretrainConfig`, ...) from parsed options; as usual where a verb has none."""
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind) if field.name in args})  # type: ignore[arg-type]


def out_folder(args: Any, name: str) -> Path:
    """What `--out` says, else a folder beside the weights, or below `runs` for packaged ones."""
    if args.out:
        return Path(args.out)
    where = Path(args.weights)
    if where.is_dir():
        return where / name
    return where.parent / name if where.is_file() else Path("runs") / args.weights / name


class RecipeFile(ActionConfigFile):
    """`--recipe` takes the name of a packaged recipe or the path of a YAML file."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: str | None = None) -> None:
        """Replace the name by the text of the whole, base and all, without settings of the other task."""
        import yaml

        from mv2mae.recipes import of_kind, read_recipe

        kind: Task = FinetuneConfig if parser.prog.endswith(" finetune") else PretrainConfig
        super().__call__(parser, namespace, yaml.safe_dump(of_kind(read_recipe(value), kind, value)), option_string)
