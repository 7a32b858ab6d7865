"""Recipes: YAML files that fill a configuration. Each says in its head what it is, what it costs and what to expect.

One may name another as its `base` and say only what differs: section by section, its values take the place of the
base's. `mv2mae recipes show NAME` prints the whole. A base that is no recipe by itself begins with an underscore.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
from collections.abc import Mapping, Sequence
from functools import reduce
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse
import yaml
from jsonargparse import ArgumentParser

from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.config.refused import why_refused
from mv2mae.config.tasks import Task, of_own_task
from mv2mae.errors import InputError

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


def _files() -> dict[str, Path]:
    folder = Path(str(resources.files(__name__)))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def list_recipes() -> dict[str, str]:
    """Packaged recipes by name, each with the first line of its head."""
    named = {name: path for name, path in _files().items() if not name.startswith("_")}
    return {name: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, path in named.items()}


def find_recipe(name: str | Path) -> Path:
    """The file of a packaged recipe, or `name` itself if it is one.

    Raises:
        InputError: if there is neither.
    """
    files = _files()
    if str(name) in files:
        return files[str(name)]
    if Path(name).is_file():
        return Path(name)
    close = difflib.get_close_matches(str(name), files, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise InputError(f"{name} is neither a recipe nor a file; {hint}recipes: {', '.join(list_recipes())}")


def read_recipe(name: str | Path) -> dict[str, Any]:
    """All settings of a recipe, those of its base among them; nested dictionaries for the sections.

    Args:
        name: packaged recipe or YAML file; a base is a packaged recipe, or a path from the file's own folder.

    Raises:
        InputError: there is no such recipe or base, it is no table of settings, or bases go round in a circle.
    """
    return _read(name, ())


def of_kind(values: Mapping[str, Any], kind: Task, name: str | Path) -> dict[str, Any]:
    """Settings of a recipe without those of the other task at their default, as older files have them.

    Raises:
        InputError: one of them is not at its default.
    """
    own, foreign = of_own_task(values, kind)
    if foreign:
        raise InputError(f"recipe {name}: {foreign[0]}; leave it out")
    return own


def _read(name: str | Path, above: tuple[Path, ...]) -> dict[str, Any]:
    path = find_recipe(name).resolve()
    if path in above:
        raise InputError(f"recipe {above[0]}: base {name} goes round in a circle; name another base")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {name}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"recipe {name} is no table of settings; expected `section:` and lines `name: value` below it")
    if "base" not in values:
        return values
    base = str(values.pop("base"))
    beside = path.parent / base
    return laid_over(_read(beside if beside.is_file() else base, (*above, path)), values)


def laid_over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others in their place, section by section."""
    made = dict(base)
    for key, value in values.items():
        made[key] = {**(made.get(key) or {}), **value} if isinstance(value, Mapping) else value
    return made


def show_recipe(name: str | Path) -> str:
    """The head of a recipe and all its settings, as one YAML file."""
    lines = find_recipe(name).read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join([*head, yaml.safe_dump(read_recipe(name), sort_keys=False, default_flow_style=None)])


def load_recipe(name: str | Path | Sequence[str | Path], kind: type[Config], **overrides: Any) -> Config:
    """A recipe as a configuration object.

    Args:
        name: packaged recipe or YAML file; of several each is laid over those before, as `--recipe a --recipe b` does.
        kind: `PretrainConfig` or `FinetuneConfig`.
        overrides: values to set over the recipe's; nested dictionaries for the sections, `optim={"steps": 10}`.

    Raises:
        InputError: for an unknown recipe or key, or a value that does not fit.
    """
    names: list[str | Path] = [name] if isinstance(name, (str, Path)) else list(name)
    called = ", ".join(map(str, names))
    values = of_kind(reduce(laid_over, [*(read_recipe(each) for each in names), overrides]), kind, called)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        made = parser.instantiate(parser.parse_object(values))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise InputError(f"recipe {called}: {why_refused(parser, error)}") from error
    return kind(**{field: made[field] for field in kind.__dataclass_fields__})
