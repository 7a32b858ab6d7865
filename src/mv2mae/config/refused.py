"""Why a parser refused a value, in the words of the one who typed it."""

from __future__ import annotations

import argparse
import difflib
import re
import types
from typing import Any, Literal, Union, get_args, get_origin

_KEY = re.compile(r'Parser key "(?P<key>[^"]+)":.*?(?:Got value|Given value): (?P<value>.*)', re.DOTALL)
_SCALARS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
}
_SEVERAL = {int: "whole numbers", float: "numbers", str: "names"}


def why_refused(parser: argparse.ArgumentParser, error: Exception) -> str:
    """One line: the option, what came, what was expected; the parser's own words where it does not say which value.

    Args:
        parser: of jsonargparse, whose options know the type of their values.
        error: what it raised.
    """
    told = str(error)
    match = _KEY.search(told)
    kind = next((getattr(a, "_typehint", None) for a in parser._actions if match and a.dest == match["key"]), None)
    if match is None or kind is None or not (expected := _in_words(kind)):
        return " ".join(part.strip(" -") for part in told.splitlines() if part.strip())
    value = " ".join(match["value"].split())
    close = difflib.get_close_matches(value, _choices(kind), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"--{match['key']} {value}: expected {expected}{hint}"


def _arms(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _choices(kind: Any) -> list[str]:
    return [str(name) for arm in _arms(kind) if get_origin(arm) is Literal for name in get_args(arm)]


def _in_words(kind: Any) -> str:
    """`a, b or c`, `a whole number or null`, `3 numbers with commas between`; empty for what has no short name."""
    words: list[str] = []
    for arm in _arms(kind):
        found = _choices(arm) if get_origin(arm) is Literal else [_several(arm) or _SCALARS.get(arm, "")]
        words += [word or "nothing" for word in found] if get_origin(arm) is Literal else found
    return "" if "" in words else " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _several(kind: Any) -> str:
    if get_origin(kind) is not tuple:
        return ""
    first, *rest = get_args(kind)
    if get_origin(first) is Literal:
        noun = f"any of {', '.join(map(str, get_args(first)))}"
    else:
        noun = _SEVERAL.get(next(iter(_arms(first))), "values") if len(_arms(first)) == 1 else "values"
    return f"{noun if rest == [Ellipsis] else f'{1 + len(rest)} {noun}'} with commas between"
