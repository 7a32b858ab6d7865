"""The verbs that show what a model has learnt: visualize, view, report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, config_from


def _visualize_options(parser: ArgumentParser) -> None:
    from mv2mae.config.pictures import PICTURES, PictureConfig

    parser.add_argument("weights", type=str, help="run, weights file or name of packaged weights")
    parser.add_argument("videos", type=str, nargs="*", help="synchronised videos of one performance, the target first")
    parser.add_argument("--data.manifest", type=str, default="", help="instead of videos: a manifest, or `sample`")
    cameras = (
        "known cameras, for a model with rays: a file or folder in which views, or files by their names, are found; "
        "by default cameras.json beside the manifest"
    )
    parser.add_argument("--data.cameras", type=str, default="", help=cameras)
    parser.add_argument("--group", type=str, default="", help="its group to look at; by default the first")
    parser.add_argument("--query", type=str, default="", help="its videos to use, for instance 'view != 1'")
    parser.add_argument("--out", type=str, default="pictures", help="folder for the pictures")
    parser.add_argument("--max_groups", type=int, default=400, help="most performances in the embedding map")
    some = f"some of {', '.join(PICTURES)}, with commas; by default all"
    parser.add_argument("--pictures", type=str, default="", help=some)
    token = "T,Y,X of the token that looks, counted from 1; by default the masked one that moves most"
    parser.add_argument("--token", type=str, default="", help=token)
    parser.add_class_arguments(PictureConfig, skip={"pictures", "token"})


def _visualize(args: Any) -> None:
    from mv2mae.config.pictures import PictureConfig, token_of
    from mv2mae.visualize.visualize import visualize

    names = tuple(name.strip() for name in args.pictures.split(",") if name.strip())
    args.pictures, args.token = names, token_of(args.token)
    config = config_from(args, PictureConfig)
    manifest, out = args.data.manifest, Path(args.out)
    if set(names) != {"embedding"}:
        chosen = {"group": args.group, "query": args.query, "cameras": args.data.cameras}
        for path in visualize(args.weights, args.videos, out, manifest=manifest, **chosen, **vars(config)):
            print(f"  wrote {path}")
    if "embedding" in names or (manifest and not names):
        from mv2mae.studies.embedding.run import map_of_clips

        written = map_of_clips(args.weights, manifest, out, config, query=args.query, max_groups=args.max_groups)
        print(f"  wrote {written}")


def _view_options(parser: ArgumentParser) -> None:
    from mv2mae.viewer.view import view

    weights = "pre-training run, weights file or name of packaged weights; by default second-view"
    manifest = "table of videos; by default that of the run, or else the sample set"
    cameras = "known cameras, a file or folder; by default cameras.json beside the manifest, if there is one"
    parser.add_argument("weights", type=str, nargs="?", default="second-view", help=weights)
    parser.add_argument("--data.manifest", type=str, default="", help=manifest)
    parser.add_argument("--data.cameras", type=str, default="", help=cameras)
    parser.add_function_arguments(view, skip={"weights", "manifest", "cameras"})


def _view(args: Any) -> None:
    from mv2mae.viewer.view import view

    options = {name: getattr(args, name) for name in ("host", "port", "frame_stride", "max_upload_mb")}
    view(args.weights, args.data.manifest, cameras=args.data.cameras, **options)


def _report_options(parser: ArgumentParser) -> None:
    out = "file to write; by default report.html in the run, or comparison.html in the folder that all runs share"
    parser.add_argument("runs", type=str, nargs="+", help="a run, or several to compare; or tests (RUN/evaluation)")
    parser.add_argument("--out", type=str, default="", help=out)


def _report(args: Any) -> None:
    from mv2mae.reports.write import report

    print(f"  wrote {report(args.runs, args.out)}")


def _demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder for runs and report")
    parser.add_argument("--minutes", type=float, default=None, help="time to keep to, 5 if not given (with --full 12)")
    parser.add_argument("--full", type=bool, default=False, help="the long comparison of four encoders")
    parser.add_argument("--fresh", type=bool, default=False, help="forget an earlier demo in this folder")


def _demo(args: Any) -> None:
    from mv2mae.demo.demo import demo

    demo(**vars(args))


VERBS = {
    "visualize": Verb(
        "pictures of what a model sees, rebuilds and attends to",
        "mv2mae visualize runs/pretrain cam1.mp4 cam2.mp4 --out pictures",
        _visualize_options,
        _visualize,
    ),
    "view": Verb(
        "a local page on which to explore what a model has learnt",
        "mv2mae view runs/pretrain --data manifest.parquet",
        _view_options,
        _view,
    ),
    "report": Verb(
        "write a page about a run, or one that compares several",
        "mv2mae report runs/finetune runs/scratch --out comparison.html",
        _report_options,
        _report,
    ),
    "demo": Verb("all of it on the packaged sample set, in minutes", "mv2mae demo", _demo_options, _demo, goes_on=True),
}
