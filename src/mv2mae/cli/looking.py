"""The verbs that show what a model has learnt: visualize, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _visualize_options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="pre-training run, weights file or name of packaged weights")
    parser.add_argument("videos", type=str, nargs="+", help="two or more synchronised videos; the first is the target")
    parser.add_argument("--out", type=str, default="pictures", help="folder for the pictures")
    parser.add_argument("--frame_stride", type=float, default=4, help="frames between those of a clip")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")


def _visualize(args: Any) -> None:
    from mv2mae.visualize.visualize import visualize

    videos = [Path(video) for video in args.videos]
    for path in visualize(args.weights, videos, Path(args.out), frame_stride=args.frame_stride, seed=args.seed):
        print(f"  wrote {path}")


def _demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder for runs and report")
    parser.add_argument("--minutes", type=float, default=9, help="time to plan for on two cores; less = fewer steps")
    parser.add_argument("--fresh", type=bool, default=False, help="forget an earlier demo in this folder")


def _demo(args: Any) -> None:
    from mv2mae.demo import demo

    demo(Path(args.out), minutes=args.minutes, fresh=args.fresh)


VERBS = {
    "visualize": Verb(
        "pictures of motion weights, reconstructions and cross-attention",
        "mv2mae visualize runs/pretrain cam1.mp4 cam2.mp4 --out pictures",
        _visualize_options,
        _visualize,
    ),
    "demo": Verb("all of it on the packaged sample set, in minutes", "mv2mae demo", _demo_options, _demo, goes_on=True),
}
