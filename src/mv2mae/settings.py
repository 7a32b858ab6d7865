"""What a run brings along: its data and test settings, so that what is done with it later need not repeat them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mv2mae.errors import InputError
from mv2mae.runs import CONFIG_NAME, read_config
from mv2mae.weights import find_weights, read_weights

_QUERIES = {"data.train_query", "data.test_query"}


def stored_settings(source: str | Path, given: Collection[str] = ()) -> dict[str, Any]:
    """Settings by their dotted names: `data.*` and `test.*` of a run; of weights without a run those of their clips.

    A split and queries exclude each other, so that one which is given puts the other of the run out of force.

    Args:
        source: run folder, a file in it, a weights file or the name of packaged weights.
        given: names of settings that were chosen for the occasion.

    Returns:
        nothing, where the source is none of these.

    Raises:
        InputError: the run's configuration is damaged.
    """
    where = Path(source)
    config = next((file for file in (where / CONFIG_NAME, where.parent / CONFIG_NAME) if file.is_file()), None)
    if config is None or not where.exists():
        return _of_weights(source)
    values = read_config(config.parent)
    found = {f"{part}.{name}": value for part in ("data", "test") for name, value in values.get(part, {}).items()}
    if "data.split" in given:
        found |= dict.fromkeys(_QUERIES, "")
    elif _QUERIES & set(given):
        found["data.split"] = ""
    if "data.manifest" in given:  # of other videos than the run's test
        found["data.test_manifest"] = None
    return found


def _of_weights(source: str | Path) -> dict[str, Any]:
    try:
        file = find_weights(source)
        about = read_weights(file).about
    except (InputError, OSError):  # the verb itself will say what is wrong with it
        return {}
    return {f"data.{name}": about[name] for name in ("frame_stride", "fps") if about.get(name) is not None}
