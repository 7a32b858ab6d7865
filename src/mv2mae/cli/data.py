"""The verbs about data: index, check, sync, prepare, join, synth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from mv2mae.cli.verb import Verb, config_from
from mv2mae.config import StoreConfig, SynthConfig


def _index_options(parser: ArgumentParser) -> None:
    from mv2mae.data.indexing import index
    from mv2mae.data.protocols import PROTOCOLS

    parser.add_argument("name", type=str, help=f"data set: {', '.join(PROTOCOLS)}")
    parser.add_argument("--out", type=str, required=True, help="manifest to write (.parquet or .csv)")
    parser.add_function_arguments(index, as_positional=True, skip={"name", "out"})


def _index(args: Any) -> None:
    from mv2mae.data.indexing import index

    if args.name == "lerobot" and args.root.startswith("hf:"):
        from mv2mae.interop.hub import fetch_dataset

        args.root = fetch_dataset(args.root, Path(args.out).parent)
    index(**vars(args))


def _prepare_options(parser: ArgumentParser) -> None:
    from mv2mae.data.store.prepare import prepare

    parser.add_function_arguments(prepare, as_positional=True, skip={"config", "progress"})
    parser.set_defaults(processes=None)
    parser.add_class_arguments(StoreConfig)


def _prepare(args: Any) -> None:
    from mv2mae.data.store.prepare import prepare

    options = {option: getattr(args, option) for option in ("processes", "part", "merge", "cameras")}
    print(prepare(args.manifest, args.out, config_from(args, StoreConfig), **options).summary())


def _check_options(parser: ArgumentParser) -> None:
    from mv2mae.data.check.check import check_command

    parser.add_function_arguments(check_command, as_positional=True, skip={"progress"})


def _check(args: Any) -> int:
    from mv2mae.data.check.check import check_command

    return check_command(**vars(args))


def _join_options(parser: ArgumentParser) -> None:
    parser.add_argument("manifests", type=str, nargs="+", help="two or more manifests of originals")
    parser.add_argument("--out", type=str, required=True, help="manifest to write (.parquet or .csv)")
    parser.add_argument("--names", type=str, default="", help="a,b: short names of the sets; by default their folders'")
    parser.add_argument("--same_people", type=bool, default=False, help="subjects of one name are one person in all")


def _join(args: Any) -> None:
    from mv2mae.data.joining import join

    names = [name.strip() for name in args.names.split(",")] if args.names else []
    print(join(args.manifests, args.out, names=names, same_people=args.same_people).summary())


def _sync_options(parser: ArgumentParser) -> None:
    from mv2mae.data.sync.sync import sync_command

    parser.add_argument(
        "--out", type=str, required=True, help="manifest to write; STEM.sync.json and .png go beside it"
    )
    parser.add_function_arguments(sync_command, as_positional=True, skip={"out", "progress"})


def _sync(args: Any) -> None:
    from mv2mae.data.sync.sync import sync_command
    from mv2mae.visualize.sync_curves import draw_sync

    report = sync_command(**vars(args))
    out = Path(args.out)
    if picture := draw_sync(report, out.with_name(f"{out.stem}.sync.png")):
        print(f"wrote {picture}")


def _synth_options(parser: ArgumentParser) -> None:
    parser.add_argument("out", type=str, help="folder to write")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the settings below")
    parser.add_argument("--processes", type=int, default=1, help="processes that render; the bytes do not depend on it")
    parser.add_argument("--preview", type=str, default="", help="write a contact sheet, FILE.jpg, and nothing else")
    parser.add_argument("--dry_run", type=bool, default=False, help="say how much it will be, and write nothing")
    parser.add_class_arguments(SynthConfig)


def _synth(args: Any) -> None:
    from mv2mae.synthetic.data_set import SyntheticSet
    from mv2mae.synthetic.generate import synth
    from mv2mae.synthetic.preview import estimate
    from mv2mae.visualize.preview import preview

    config = config_from(args, SyntheticSet)
    if args.preview:
        print(f"wrote {preview(Path(args.preview), config)}")
    elif args.dry_run:
        print(estimate(config))
    else:
        synth(Path(args.out), config, num_processes=args.processes)


VERBS = {
    "index": Verb(
        "find the videos of a data set and write a manifest",
        'mv2mae index folder takes --pattern "{group}/{view}.mp4" --out manifest.parquet',
        _index_options,
        _index,
    ),
    "check": Verb(
        "open every video of a manifest and say what is wrong",
        "mv2mae check manifest.parquet --fix checked.parquet",
        _check_options,
        _check,
    ),
    "sync": Verb(
        "find when each camera began, from sound or motion",
        "mv2mae sync manifest.parquet --out synced.parquet",
        _sync_options,
        _sync,
    ),
    "prepare": Verb(
        "scale videos once, into a store from which clips are read fast",
        "mv2mae prepare manifest.parquet prepared --short_side 160 --processes 8",
        _prepare_options,
        _prepare,
        goes_on=True,
    ),
    "join": Verb(
        "put several data sets into one manifest",
        "mv2mae join kitchen/manifest.csv hall/manifest.csv --out both/manifest.csv",
        _join_options,
        _join,
    ),
    "synth": Verb(
        "make synthetic multi-view actions",
        "mv2mae synth data/synthetic --num_groups 200 --processes 2",
        _synth_options,
        _synth,
        goes_on=True,
    ),
}
