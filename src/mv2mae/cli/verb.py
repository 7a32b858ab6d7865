"""What a verb is, and the options that several share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser


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


class RecipeFile(ActionConfigFile):
    """`--recipe` takes the name of a packaged recipe or the path of a YAML file."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: str | None = None) -> None:
        """Replace the name by its path."""
        from mv2mae.recipes import find_recipe

        super().__call__(parser, namespace, str(find_recipe(value)), option_string)
