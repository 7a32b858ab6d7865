"""What a study's folder was begun with, so that nothing with other settings mixes into it."""

from __future__ import annotations

from typing import Any

from mv2mae.errors import InputError
from mv2mae.records import read_record
from mv2mae.runs import differences, plain, write_once
from mv2mae.tables.plan import Plan
from mv2mae.tables.spec import Column

RECORD_NAME = "study.json"


def record_of(plan: Plan) -> dict[str, Any]:
    """All that must stay as it is while a study goes on; rows, columns and seeds may be added to."""
    options = plan.options
    return {
        "table": plan.table.name,
        "size": plan.size,
        "scale": options.scale,
        "data": {name: data.digest for name, data in plan.sets.items()},
        "manifests": {name: data.manifest for name, data in plan.sets.items()},
        "chosen": options.chosen,
        "settings": {
            stage: {key: value for key, value in block.items() if key not in ("compute", "log")}
            for stage, block in options.settings.items()
        },
        "rows": {
            row.name: plain({"pretrain": row.pretrain, "finetune": row.finetune, "small": row.small})
            for row in plan.table.rows
        },
        "columns": {column.name: plain(_column(column)) for column in plan.table.columns},
    }


def _column(column: Column) -> dict[str, Any]:
    values = {"measure": column.measure, "pretrain": column.pretrain, "finetune": column.finetune}
    return values | {name: value for name in ("test_on", "test_query") if (value := getattr(column, name))}


def check_record(plan: Plan) -> None:
    """Raises InputError where the folder holds a study with other settings."""
    file = plan.options.out / RECORD_NAME
    if not file.is_file():
        return
    changed = [
        name for name in differences(read_record(file), plain(record_of(plan))) if not name.startswith("manifests.")
    ]
    if changed:
        raise InputError(
            f"{plan.options.out} holds a table made with other settings ({', '.join(changed[:5])}); "
            "give the same ones to go on with it, or another folder as --out"
        )


def keep_record(plan: Plan) -> None:
    """Check the folder's record, and write it where there is none.

    Raises:
        InputError: as `check_record`.
    """
    check_record(plan)
    write_once(plan.options.out / RECORD_NAME, record_of(plan))
