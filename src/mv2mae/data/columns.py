"""Columns of a manifest from what a table holds: numbers, names, words of a list, whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from mv2mae.errors import InputError

_NOTHING = ("", "na", "n/a", "nan", "none", "null", "-")


def as_text(value: object) -> str:
    """A group or view as text; 3.0, which is what a whole number may have become on its way, is 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def views_column(views: pd.Series) -> pd.Series:
    """Views as integers if every one is written as an integer is (01 is a name), as text otherwise."""
    names = views.unique()
    if all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", view) for view in names):
        return views.map({view: int(view) for view in names}).astype("Int64")
    return views


def own_column(values: pd.Series) -> pd.Series:
    """A column of the user's own: numbers where all of it are, so that queries can compare them."""
    try:
        return pd.to_numeric(values)
    except (TypeError, ValueError):
        return values


def numbers_or_names(values: pd.Series) -> pd.Series:
    """Whole numbers if all that is filled in is written as one and no two ways of writing mean the same (1 and 01)."""
    texts = values.map(lambda value: None if pd.isna(value) or str(value) == "" else as_text(value)).astype(object)
    names = texts.dropna().unique()
    numbers = {name: int(re.sub(r"\.0*$", "", name)) for name in names if re.fullmatch(r"-?[0-9]{1,15}(\.0*)?", name)}
    if len(numbers) == len(names) == len(set(numbers.values())):
        return texts.map(numbers).astype("Int64")
    return texts.where(texts.notna(), None)


def numbers_column(values: pd.Series, column: str, name: str, dtype: str) -> pd.Series:
    """Numbers of a type (`Int64` or `float64`), empty where nothing is said."""
    try:
        numbers = pd.to_numeric(values.map(_as_number)).astype("Float64")
        if not (numbers.dropna().abs() < 2**53).all():
            raise ValueError("a value is not finite or too large")
        if dtype == "Int64" and not (numbers.dropna() % 1 == 0).all():
            raise ValueError("a value has a fraction")
        return numbers.astype("Int64") if dtype == "Int64" else numbers.astype("float64")
    except (TypeError, ValueError) as error:
        kind = "whole numbers" if dtype == "Int64" else "numbers"
        hint = "; `mv2mae index folder --table` makes numbers of names" if column == "label" else ""
        raise InputError(f"{name}: column {column} must hold {kind} or nothing ({error}){hint}") from error


def _as_number(value: object) -> object:
    """A text as `to_numeric` reads it: nothing may be written NA, and a decimal point is a comma in half of Europe."""
    if not isinstance(value, str):
        return value
    if value.lower() in _NOTHING:
        return None
    return value.replace(",", ".") if re.fullmatch(r"-?[0-9]*,[0-9]+", value) else value


def words_of(values: pd.Series, column: str, name: str, meaning: Mapping[str, object]) -> pd.Series:
    """The meaning of each word of a column, in any case; empty values stay empty."""
    words = values.dropna().astype(object).map(lambda word: str(word).strip().lower())
    odd = sorted(set(words) - meaning.keys())
    if odd:
        choices = ", ".join(word for word in meaning if word.isalpha())
        raise InputError(f"{name}: column {column} must hold one of {choices} or nothing, not {odd[0][:40]!r}")
    return words.map(dict(meaning)).reindex(values.index).astype(object)
