"""Recipes: YAML files that fill a configuration. Each says in its head what it is, what it costs and what to expect."""

from __future__ import annotations

import argparse
import difflib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse
import yaml
from jsonargparse import ArgumentParser

from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.errors import InputError

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


def _files() -> dict[str, Path]:
    folder = Path(str(resources.files(__name__)))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def list_recipes() -> dict[str, str]:
    """Packaged recipes by name, each with the first line of its head."""
    return {name: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, path in _files().items()}


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
    raise InputError(f"{name} is neither a recipe nor a file; {hint}recipes: {', '.join(files)}")


def load_recipe(name: str | Path, kind: type[Config], **overrides: Any) -> Config:
    """A recipe as a configuration object.

    Args:
        name: packaged recipe or YAML file.
        kind: `PretrainConfig` or `FinetuneConfig`.
        overrides: values to set over the recipe's; nested dictionaries for the sections, `optim={"steps": 10}`.

    Raises:
        InputError: for an unknown recipe or key, or a value that does not fit.
    """
    values = yaml.safe_load(find_recipe(name).read_text(encoding="utf-8")) or {}
    for key, value in overrides.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        made = parser.instantiate(parser.parse_object(values))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise InputError(f"recipe {name}: {' '.join(str(error).split())}") from error
    return kind(**{field: made[field] for field in kind.__dataclass_fields__})
