"""The verbs about data: index, check, sync, prepare, join, synth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from mv2mae.cli.verb import Verb


def _index_options(parser: ArgumentParser) -> None:
    from mv2mae.data.protocols import PROTOCOLS

    parser.add_argument("name", type=str, help=f"data set: {', '.join(PROTOCOLS)}")
    parser.add_argument("root", type=str, help="folder that holds the videos; of lerobot also hf:OWNER/NAME")
    parser.add_argument("--out", type=str, required=True, help="manifest to write (.parquet or .csv)")
    parser.add_argument("--pattern", type=str, default="", help='of `folder`: "{group}/{view}.mp4", also {label} ...')
    parser.add_argument("--table", type=str, default="", help="of `folder`: a CSV of path, group, view, label ...")
    parser.add_argument("--group", type=str, default="", help="of `folder`: all videos are views of this one take")
    parser.add_argument(
        "--rate", type=float, default=0, help="of image sequences ({group}/{view}/{frame}.jpg): a second"
    )
    parser.add_argument("--drop", type=str, default="", help="text file: names of videos to leave out, one a line")
    parser.add_argument("--probe", type=bool, default=True, help="open each video for its rate, length and size")


def _index(args: Any) -> None:
    from mv2mae.data.indexing import index

    options = {option: getattr(args, option) for option in ("pattern", "table", "group", "rate", "drop", "probe")}
    root, out = args.root, Path(args.out)
    if args.name == "lerobot" and root.startswith("hf:"):
        from mv2mae.interop.hub import fetch_dataset

        root = str(fetch_dataset(root, out.parent))
    index(args.name, root, out, **options)


def _prepare_options(parser: ArgumentParser) -> None:
    from mv2mae.config import StoreConfig

    parser.add_argument("manifest", type=str, help="manifest of the originals, or `sample`")
    parser.add_argument("out", type=str, help="folder to write: manifest.parquet and store/")
    parser.add_argument("--processes", type=int, default=None, help="that decode and encode; one a core by default")
    parser.add_argument("--part", type=str, default="", help="3/16: the third of 16 parts, for as many machines")
    parser.add_argument("--merge", type=bool, default=False, help="join what the parts have made")
    parser.add_argument("--cameras", type=str, default="", help="known cameras, if not cameras.json beside MANIFEST")
    parser.add_class_arguments(StoreConfig)


def _prepare(args: Any) -> None:
    from mv2mae.config import StoreConfig
    from mv2mae.data.store.prepare import prepare

    config = StoreConfig(**{name: getattr(args, name) for name in StoreConfig.__dataclass_fields__})
    options = {option: getattr(args, option) for option in ("processes", "part", "merge", "cameras")}
    report = prepare(args.manifest, args.out, config, **options)
    print(report.summary())


def _check_options(parser: ArgumentParser) -> None:
    parser.add_argument("manifest", type=str, help="manifest to check (.parquet or .csv), or `sample`")
    parser.add_argument("--out", type=str, default="", help="report to write; by default MANIFEST.check.json")
    parser.add_argument("--fix", type=str, default="", help="manifest to write without the broken videos")
    parser.add_argument("--strict", type=bool, default=False, help="warnings count as errors, for --fix too")
    parser.add_argument("--quick", type=bool, default=False, help="open files, decode first and last frame only")
    parser.add_argument("--sync", type=bool, default=True, help="estimate time offsets between the views of a group")
    parser.add_argument("--tolerance", type=float, default=0.1, help="seconds that views may be apart")
    parser.add_argument("--max_offset", type=float, default=2.0, help="largest offset looked for, in seconds")
    parser.add_argument("--num_workers", type=int, default=None, help="processes; one a core by default")
    parser.add_argument("--time_limit", type=float, default=120.0, help="seconds for one file, and one a megabyte")
    parser.add_argument("--num_rows", type=int, default=20, help="findings to print")


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
    parser.add_argument("manifest", type=str, help="manifest whose groups are to be laid together in time")
    parser.add_argument(
        "--out", type=str, required=True, help="manifest to write; STEM.sync.json and .png go beside it"
    )
    parser.add_argument("--evidence", type=str, default="both", help="sound, motion or both: motion without sound")
    parser.add_argument(
        "--untold", type=str, default="mark", help="views that cannot be told: mark as not synchronised, keep or drop"
    )
    parser.add_argument("--tolerance", type=float, default=0.05, help="seconds that motion cannot tell apart")
    parser.add_argument("--max_offset", type=float, default=10.0, help="largest offset looked for, in seconds")
    parser.add_argument("--num_workers", type=int, default=None, help="processes that decode; one a core by default")
    parser.add_argument("--time_limit", type=float, default=600.0, help="seconds for one file, and one a megabyte")
    parser.add_argument("--num_rows", type=int, default=20, help="groups to print")


def _sync(args: Any) -> None:
    from mv2mae.data.sync.sync import sync_command
    from mv2mae.visualize.sync_curves import draw_sync

    report = sync_command(**vars(args))
    out = Path(args.out)
    if picture := draw_sync(report, out.with_name(f"{out.stem}.sync.png")):
        print(f"wrote {picture}")


def _synth_options(parser: ArgumentParser) -> None:
    from mv2mae.config import SynthConfig

    parser.add_argument("out", type=str, help="folder to write")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the settings below")
    parser.add_argument("--processes", type=int, default=1, help="processes that render; the bytes do not depend on it")
    parser.add_argument("--preview", type=str, default="", help="write a contact sheet, FILE.jpg, and nothing else")
    parser.add_argument("--dry_run", type=bool, default=False, help="say how much it will be, and write nothing")
    parser.add_class_arguments(SynthConfig)


def _synth(args: Any) -> None:
    from mv2mae.config import SynthConfig
    from mv2mae.synthetic.data_set import SyntheticSet
    from mv2mae.synthetic.generate import synth
    from mv2mae.synthetic.preview import estimate
    from mv2mae.visualize.preview import preview

    config = SyntheticSet(
        **{name: value for name, value in vars(args).items() if name in SynthConfig.__dataclass_fields__}
    )
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
