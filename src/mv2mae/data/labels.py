"""Labels: their names, and the numbers that a model gives them; training sets with few labels.

A number means a class in its own manifest only: one class more, and all behind it have another number. So wherever a
model, or a table of scores, meets a manifest, classes are told by their names.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mv2mae.config import ClipConfig
from mv2mae.data.manifest import find_class_names
from mv2mae.errors import InputError
from mv2mae.text import listed


def read_class_names(manifest: str | Path) -> dict[int, str]:
    """Names of a manifest's classes by number, from the file beside it; empty where there is none.

    Args:
        manifest: its path or URL, or `sample`.

    Raises:
        InputError: a file with something else in it.
    """
    file = find_class_names(manifest)
    if file is None:
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        pairs = enumerate(values) if isinstance(values, list) else values.items()
        return {int(label): str(name) for label, name in pairs}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{file} must hold the classes' names: a JSON list, or an object by label") from error


def class_names(manifest: str | Path, labels: Iterable[int]) -> list[str]:
    """Names of classes of a manifest: from the file beside it, or else the numbers themselves.

    Args:
        manifest: its path or URL, or `sample`.
        labels: the classes' numbers.

    Raises:
        InputError: a file with something else in it.
    """
    known = read_class_names(manifest)
    return [known.get(label, str(label)) for label in labels]


def class_key(name: object) -> str:
    """What a class is told by: its name whatever the case, the way of writing an umlaut, or leading zeros."""
    text = unicodedata.normalize("NFC", str(name)).strip().casefold()
    return str(int(text)) if re.fullmatch(r"-?[0-9]+", text) else text


def alike(names: Iterable[str]) -> list[str]:
    """Of names of classes the first two that count as the same; empty where there are none."""
    first: dict[str, str] = {}
    return next(([other, name] for name in names if (other := first.setdefault(class_key(name), name)) != name), [])


def match_labels(
    rows: pd.DataFrame, manifest: str | Path, known: Mapping[int, str]
) -> tuple[pd.DataFrame, dict[int, str]]:
    """The rows of a manifest with their classes numbered as a model numbers them, matched by name.

    Classes that the model does not know get numbers that it does not use.

    Args:
        rows: of the manifest.
        manifest: where they are from: the names of its classes lie beside it.
        known: names of the model's classes by number; a class without a name has its number for one.

    Returns:
        the rows, and the names of their classes by the new numbers.

    Raises:
        InputError: one side has a name for a class where the other has only its number, so that nothing tells
            whether they are the same; a name stands for several classes of the model; or several classes of the
            manifest (`jump`, `Jump`) stand for one of the model.
    """
    names = read_class_names(manifest)
    found = [int(label) for label in sorted(rows["label"].dropna().unique())]
    number = {label: _number_in(known, label, names.get(label), manifest) for label in found}
    _check_apart(number, names, manifest)
    taken = {*known, *(label for label in number.values() if label is not None)}
    free = max((*taken, *found, -1)) + 1
    new: dict[int, int] = {}
    for label, own in number.items():
        if own is None:
            own, free = (label, free) if label not in taken else (free, free + 1)
            taken.add(own)
        new[label] = own
    said = {new[label]: names.get(label, str(label)) for label in found}
    return rows.assign(label=rows["label"].map(new, na_action="ignore").astype("Int64")), {
        label: known.get(label, name) for label, name in said.items()
    }


def _check_apart(number: Mapping[int, int | None], names: Mapping[int, str], manifest: str | Path) -> None:
    """Raises InputError where several classes of a manifest would become one of the model."""
    first: dict[int, int] = {}
    for label, own in number.items():
        if own is not None and (other := first.setdefault(own, label)) != label:
            a, b = (f"{k} ({names.get(k, str(k))!r})" for k in (other, label))
            raise InputError(
                f"{manifest}: classes {a} and {b} are one class of the model, which tells names whatever their case; "
                "give these videos one label, or the classes names of their own"
            )


def _number_in(known: Mapping[int, str], label: int, name: str | None, manifest: str | Path) -> int | None:
    """The model's number of a manifest's class; None for one that it does not know."""
    key = class_key(label if name is None else name)
    same = [number for number, other in known.items() if class_key(other) == key]
    same = [number for number in same if known[number] == name] or same
    if label in same:
        return label
    is_number = key == str(label)
    if is_number and label in known:
        clash = label
    elif is_number and name is None and same:
        clash = same[0]
    elif not same and class_key(known.get(label, "")) == str(label):
        clash = label
    else:
        if len(same) > 1:
            raise InputError(f"{manifest}: the model has {len(same)} classes {name!r}; which one is class {label}?")
        return same[0] if same else None
    raise InputError(
        f"{manifest}: class {label} is {'a number without a name' if is_number else repr(name)}, and the model's class "
        f"{clash} is {known[clash]!r}; classes are matched by name. {_advice(manifest, is_number=is_number)}"
    )


def _advice(manifest: str | Path, *, is_number: bool) -> str:
    file = f"{Path(str(manifest)).stem}.classes.json"
    if is_number:
        return f"Write the names of its classes into {file} beside it (a JSON list, or an object by label)"
    return f"Where both count alike, take {file} away, and they are matched by number"


def count_untrained(rows: pd.DataFrame, classes: Collection[int], names: Mapping[int, str] | None = None) -> int:
    """How many videos of a test show a class that was never trained. They count as errors: nobody can name it.

    Args:
        rows: of a manifest.
        classes: labels of the classes that were trained.
        names: of classes by label, where they have some.

    Raises:
        InputError: a video has no label, or none shows a class that was trained.
    """
    bare = rows[rows["label"].isna()]
    if len(bare):
        raise InputError(
            f"{len(bare)} of {len(rows)} videos have no label (first: {bare['path'].iloc[0]}); fill the manifest's "
            "column `label` with classes from 0, or leave them out by a query (data.test_query)"
        )
    unknown = ~rows["label"].isin(list(classes))
    if unknown.all():
        known = names or {}
        shown, trained = ([known.get(k, k) for k in sorted(labels)] for labels in (set(rows["label"]), classes))
        raise InputError(
            f"none of the {len(rows)} test videos shows a class that was trained (they have the labels "
            f"{listed(shown)}, trained were {listed(trained)}); is it the manifest of another data set?"
        )
    return int(unknown.sum())


def few_labels(frame: pd.DataFrame, config: ClipConfig, seed: int) -> pd.DataFrame:
    """The rows of the groups whose labels are used; all views of a group stay together.

    The draw follows from the seed and the groups' names alone. Smaller draws are part of larger ones: the groups
    of `labels_per_class: 5` are among those of 10.

    Args:
        frame: rows of a manifest.
        config: `labels_per_class` groups, or a `label_fraction` of the groups of each class, at least one.
        seed: of the draw.

    Raises:
        InputError: a class has fewer groups than asked for.
    """
    wanted, share = config.labels_per_class, config.label_fraction
    if wanted is None and share is None:
        return frame
    labels, groups = frame["label"].to_numpy(dtype=float, na_value=np.nan), frame["group"].astype(str).to_numpy()
    chosen = np.isnan(labels)  # rows without a label stay, for those who need labels to complain of
    short = {}
    for label in np.unique(labels[~chosen]):
        names = sorted(set(groups[labels == label]), key=lambda name: _place(seed, name))
        number = wanted if wanted is not None else max(1, round((share or 1) * len(names)))
        if number > len(names):
            short[int(label)] = len(names)
        chosen |= (labels == label) & np.isin(groups, names[:number])
    if short:
        label, fewest = min(short.items(), key=lambda item: item[1])
        raise InputError(
            f"data.labels_per_class={wanted}, but {len(short)} classes have fewer training groups "
            f"(class {label} has {fewest}); choose at most {fewest}"
        )
    return frame[chosen].reset_index(drop=True)


def draw_validation(frame: pd.DataFrame, number: int, seed: int) -> list[str]:
    """Names of groups to validate on: a group of each class in turn, for as long as a class keeps another to train on.

    Args:
        frame: the training rows. number: groups. seed: of the draw.

    Raises:
        InputError: there are not so many.
    """
    if not number:
        return []
    label_of = frame.dropna(subset=["label"]).groupby(frame["group"].astype(str))["label"].first()
    members = label_of.groupby(label_of).groups.values()
    by_class = [sorted(names, key=lambda name: _place(seed, name)) for names in members]
    by_class.sort(key=lambda names: _place(seed, names[0]))  # which classes come first where there are fewer groups
    turns = max(map(len, by_class), default=0)
    drawn = [names[turn] for turn in range(turns) for names in by_class if turn < len(names) - 1]
    if len(drawn) < number:
        raise InputError(
            f"data.validation_groups={number}, but only {len(drawn)} groups can be spared, one of each class "
            "being left to train on; choose at most so many"
        )
    return drawn[:number]


def _place(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()
