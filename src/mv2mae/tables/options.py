"""Options of `mv2mae table` from what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mv2mae.config.check import require
from mv2mae.errors import InputError
from mv2mae.tables.spec import Block, check_block


def seeds_from(text: str) -> tuple[int, int] | None:
    """`3`: three pre-trainings, each fine-tuned once; `2x5`: two, each fine-tuned five times; empty: None.

    Raises:
        InputError: it is neither.
    """
    if not text:
        return None
    pretrain, _, finetune = text.partition("x")
    if not (pretrain.isdigit() and (finetune or "1").isdigit()):
        raise InputError(f"seeds={text!r}; give a number of pre-trainings (3), or with their fine-tunings (2x5)")
    return int(pretrain), int(finetune or 1)


def settings_from(file: str) -> dict[str, Block]:
    """`pretrain` and `finetune` of a YAML file that is laid over all rows; nothing without a file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    if not file:
        return {}
    try:
        values: Any = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    good = isinstance(values, dict) and set(values) <= {"pretrain", "finetune"}
    require(good, f"{file}: give pretrain and finetune, each a mapping of settings")
    for stage, block in values.items():
        check_block(block, f"{file}, {stage}")
    return values
