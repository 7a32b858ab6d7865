"""The verb that runs whole tables: table."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb
from mv2mae.errors import InputError


def _options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("table", type=str, nargs="?", default="", help="7, fig4, second-camera, ..., or a YAML file of one's own")
    add("--list", type=bool, default=False, help="list the tables")
    add("--data", type=str, default="", help="manifest; of several data sets NAME=MANIFEST,NAME=MANIFEST")
    add("--out", type=str, default="", help="folder of the study; the same command goes on there")
    add("--store", type=str, default="", help="folder of the runs, which tables may share; by default OUT/parts")
    add("--seeds", type=str, default="", help="pre-trainings of each row (3), or with their fine-tunings (2x5)")
    add("--rows", type=str, default="", help="names of rows, with commas or semicolons between; others are left out")
    add("--columns", type=str, default="", help="names of columns, likewise")
    add("--scale", type=float, default=1.0, help="share of the steps and performances, to rehearse the whole")
    add("--size", type=Literal["", "paper", "small"], default="", help="the paper's recipes, or those for a few cores")
    add("--split", type=str, default="", help="PROTOCOL/SPLIT in place of the table's, on other videos")
    add("--train_query", type=str, default="", help="the same by a query, with --test_query")
    tests = "query that picks the test videos; several tests as NAME: QUERY; NAME: QUERY"
    add("--test_query", type=str, default="", help=tests)
    add("--settings", type=str, default="", help="YAML with pretrain and finetune settings over those of all rows")
    add("--dry_run", type=bool, default=False, help="tell the plan: parts, operations, hours, disk")
    add("--collect", type=bool, default=False, help="only write the table of what is done")
    add("--submit", type=Literal["", "slurm"], default="", help="submit array jobs instead of running")
    add("--sbatch", type=str, default="", help="further options of sbatch, in one string")
    add("--part", type=str, default="", help="do one part of the plan alone, as jobs do")
    add("--device", type=str, default="auto", help="of tests: auto, cpu or cuda")


def _names(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Names with commas between, or with semicolons where names hold commas; a name alone may hold them too."""
    separator = ";" if ";" in text else ","
    parts = [text] if text in known else text.split(separator)
    return tuple(part.strip() for part in parts if part.strip())


def _table(args: Any) -> None:
    from mv2mae.config import TableConfig
    from mv2mae.tables.cost import describe_plan
    from mv2mae.tables.measure import results_of
    from mv2mae.tables.options import seeds_from, settings_from
    from mv2mae.tables.plan import plan_table
    from mv2mae.tables.record import check_record
    from mv2mae.tables.slurm import submit
    from mv2mae.tables.spec import list_tables, load_table
    from mv2mae.tables.work import work
    from mv2mae.tables.write import print_results, write_results

    if args.list:
        print("\n".join(f"  {name:14} {title}" for name, title in list_tables().items()))
        return
    if not args.table:
        raise InputError("which table? give one (7, fig4, second-camera, my.yaml); `mv2mae table --list` lists them")
    table = load_table(args.table)
    if not (args.data and args.out):
        raise InputError(f"table {args.table} needs {'--out FOLDER' if args.data else '--data MANIFEST'}")
    options = TableConfig(
        data=tuple(args.data.split(",")), out=Path(args.out), store=Path(args.store) if args.store else None,
        seeds=seeds_from(args.seeds), rows=_names(args.rows, [row.name for row in table.rows]),
        columns=_names(args.columns, [column.name for column in table.columns]), scale=args.scale,
        size=args.size, split=args.split, train_query=args.train_query, test_query=args.test_query,
        settings=settings_from(args.settings),
    )  # fmt: skip
    plan = plan_table(table, options)
    check_record(plan)
    if args.dry_run:
        print(plan.table.title, *describe_plan(plan), sep="\n  ")
    elif args.submit:
        print(*submit(plan, _command(args), extra=args.sbatch), sep="\n")
    else:
        if not args.collect:
            work(plan, device=args.device, only=args.part)
        if not args.part:
            results = results_of(plan)
            print_results(results)
            print(f"  wrote {', '.join(map(str, write_results(results, options.out)))}")


def _command(args: Any) -> list[str]:
    """The words with which a job does a part of what this command asks for."""
    names = ("data", "out", "store", "seeds", "rows", "columns", "scale", "size", "split", "train_query", "test_query",
             "settings", "device")  # fmt: skip
    options = [
        word for name in names if (value := getattr(args, name)) for word in (f"--{name}", _absolute(name, value))
    ]
    return [sys.executable, "-m", "mv2mae.cli", "table", _absolute("table", args.table), *options]


def _absolute(name: str, value: Any) -> str:
    """Jobs may start in another folder: files get their whole path."""
    text = str(value)
    if name == "data":
        return ",".join(_absolute_pair(pair) for pair in text.split(","))
    if name in ("out", "store", "settings") or (name == "table" and Path(text).is_file()):
        return str(Path(text).absolute())
    return text


def _absolute_pair(pair: str) -> str:
    name, equals, path = pair.rpartition("=")
    return name + equals + (str(Path(path).absolute()) if Path(path).exists() else path)


VERBS = {
    "table": Verb(
        "run a table or figure of the paper, or a study of one's own",
        "mv2mae table 7 --data ntu120.parquet --out runs/table7 --dry_run",
        _options,
        _table,
        goes_on=True,
        in_all_processes=lambda args: bool(args.part),
    ),
}
