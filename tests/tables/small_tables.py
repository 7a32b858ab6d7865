"""A table of one's own that runs in seconds: a model of 32 tokens on a few videos of the sample set."""

import dataclasses
import json
from pathlib import Path

import yaml
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.config import EvalConfig, TableConfig
from mv2mae.data.manifest import read_manifest, write_manifest
from mv2mae.data.protocols import PROTOCOLS
from mv2mae.runs import plain
from mv2mae.tables.plan import Plan, plan_table
from mv2mae.tables.spec import load_table

STEPS = 3


def few_videos(folder: Path) -> Path:
    """Two actions of four people, two of whom train; three cameras."""
    rows = read_manifest("sample").query("subject in [1, 2, 3, 4] and label in [5, 7] and setup == 1")
    return write_manifest(rows, folder / "few.csv")


def tiny_recipe(folder: Path, name: str, config: object) -> str:
    """A recipe file of a configuration that takes `STEPS` steps."""
    values = plain(config)
    values["data"].update(train_query="", cache="none")
    if "held_out_groups" in values["data"]:
        values["data"]["held_out_groups"] = 0
    values["optim"].update(steps=STEPS, warmup_steps=1)
    values["log"].update(check_every=STEPS, save_every=STEPS)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(values))
    return str(file)


def recipes(folder: Path) -> dict[str, str]:
    """Of pre-training and fine-tuning."""
    finetuning = dataclasses.replace(
        FINETUNING, ema_decay=0.0, num_repeats=1, test=EvalConfig(num_clips=1, num_crops=1, num_workers=0)
    )
    return {
        "pretrain": tiny_recipe(folder, "pretraining", PRETRAINING),
        "finetune": tiny_recipe(folder, "finetuning", finetuning),
    }


def table_file(folder: Path, **changes: object) -> Path:
    """A table with two ways of pre-training and one without, single views, fused views, and frozen features."""
    of = recipes(folder)
    values = {
        "title": "Two masking ratios",
        "columns": {
            "single": {"title": "single view", "pretrain": {"recipe": of["pretrain"]},
                       "finetune": {"recipe": of["finetune"]}},
            "fused": {"title": "fused", "measure": "fused", "pretrain": {"recipe": of["pretrain"]},
                      "finetune": {"recipe": of["finetune"]}},
        },
        "rows": [
            {"name": "0.5", "x": 0.5, "paper": {"single": 60.0}, "pretrain": {"model": {"mask_ratio": 0.5}}},
            {"name": "0.9", "x": 0.9, "paper": {"single": 50.0}, "pretrain": {"model": {"mask_ratio": 0.9}}},
            {"name": "from scratch", "x": 1.0, "pretrain": None, "finetune": {"optim": {"layer_decay": 1.0}}},
        ],
        "compare": [["0.5", "0.9"], ["0.5", "from scratch"]],
        "x_title": "masking ratio",
        **changes,
    }  # fmt: skip
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def planned(file: Path | str, manifest: Path | str, out: Path, **options: object) -> Plan:
    """The plan of a table on one manifest, divided by people."""
    given = {"split": "synthetic/xsub", **options}
    return plan_table(load_table(file), TableConfig(data=(str(manifest),), out=out, **given))


def public_manifest(protocol: str, rows: object, folder: Path) -> str:
    """The manifest of a public data set from its rows (`public_names.indexed`), without any video."""
    file = write_manifest(rows, folder / f"{protocol}.parquet")
    names = list(PROTOCOLS[protocol].class_names)
    file.with_name(f"{protocol}.classes.json").write_text(json.dumps(names))
    return str(file)
