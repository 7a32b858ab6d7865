"""What tests and studies find: frozen dataclasses that are stored as JSON. Each lies with what makes it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from itertools import repeat
from pathlib import Path
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from mv2mae.errors import InputError
from mv2mae.records import read_record, write_record

LEFT_OUT = {"left out": True}
"""Metadata of a field that stands in the file only where it is not None; other fields that are None are null there."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Base of all that is found: plain values, tuples, dicts and other results, by their annotations.

    A default stands for what files of earlier versions lack; names that are not known are not read.
    """

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure, as a notebook shows them: here what is a number, a text or an interval."""
        values = ((found.name.replace("_", " "), getattr(self, found.name)) for found in fields(self))
        return [(name, _shown(value)) for name, value in values if _is_shown(value)]

    def _repr_html_(self) -> str:
        return html_table(self.rows())

    def to_json(self) -> dict[str, Any]:
        """What goes to the file: lists, dicts with text as keys, numbers, text, None."""
        values = ((found, getattr(self, found.name)) for found in fields(self))
        return {found.name: _plain(value) for found, value in values if not (value is None and _is_left_out(found))}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The same from what a file holds.

        Raises:
            InputError: a value is missing, or of another type than expected.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"expected the values of a {cls.__name__}, got {type(values).__name__}")
        if missing := [found.name for found in fields(cls) if found.name not in values and _is_needed(found)]:
            raise InputError(f"{cls.__name__} without {', '.join(missing)}; written by another program?")
        known = {name: kind for name, kind in get_type_hints(cls).items() if name in values}
        return cls(**{name: _typed(kind, values[name], f"{cls.__name__}.{name}") for name, kind in known.items()})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a file that `write` made.

        Raises:
            InputError: it holds something else.
            OSError: it cannot be read.
        """
        path = Path(path)
        values = read_record(path)
        try:
            return cls.from_json(values)
        except InputError as error:
            raise InputError(f"{path.name} cannot be read: {error}") from error

    def write(self, path: str | Path) -> None:
        """As JSON, atomically, with a checksum."""
        write_record(Path(path), self.to_json())


def html_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text as a table of HTML."""
    lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A share with its interval: `0.500 (0.400 to 0.600)`."""
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _is_shown(value: Any) -> bool:
    is_interval = isinstance(value, tuple) and len(value) == 2 and all(isinstance(end, float) for end in value)
    return is_interval or isinstance(value, (int, float, str))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(_shown(end) for end in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_left_out(found: Field[Any]) -> bool:
    return bool(found.metadata.get("left out"))


def _is_needed(found: Field[Any]) -> bool:
    return found.default is MISSING and found.default_factory is MISSING


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _typed(kind: Any, value: Any, name: str) -> Any:
    """A value of a file as an annotation wants it: `float`, `dict[int, float]`, `tuple[str, ...]`, `Other | None`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):  # of a kind and None
        return None if value is None else _typed(parts[0], value, name)
    try:
        if isinstance(kind, type) and issubclass(kind, Result):
            return kind.from_json(value)
        if origin is tuple:
            length = len(value) if parts[-1] is Ellipsis else len(parts)
            kinds = repeat(parts[0], length) if parts[-1] is Ellipsis else parts
            return tuple(_typed(part, one, name) for part, one in zip(kinds, value, strict=True))
        if origin is dict:
            return {parts[0](key): _typed(parts[1], one, name) for key, one in value.items()}
        if kind is float and isinstance(value, int):
            return float(value)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{name}={value!r}; expected {kind}") from error
    if kind is not Any and not isinstance(value, kind):
        raise InputError(f"{name}={value!r}; expected {kind.__name__}")
    return value
