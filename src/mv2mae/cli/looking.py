"""The verbs that show what a model has learnt: visualize, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _visualize_options(parser: ArgumentParser) -> None:
    from mv2mae.visualize.options import PICTURES

    choices = ", ".join(PICTURES)
    parser.add_argument("weights", type=str, help="run, weights file or name of packaged weights")
    parser.add_argument("videos", type=str, nargs="*", help="synchronised videos of one performance, the target first")
    parser.add_argument("--data.manifest", type=str, default="", help="instead of videos: a manifest, or `sample`")
    parser.add_argument(
        "--data.cameras",
        type=str,
        default="",
        help="known cameras, for a model with rays: a file or folder in which views, or files by their names, are "
        "found; by default cameras.json beside the manifest",
    )
    parser.add_argument("--group", type=str, default="", help="its group to look at; by default the first")
    parser.add_argument("--query", type=str, default="", help="its videos to use, for instance 'view != 1'")
    parser.add_argument("--out", type=str, default="pictures", help="folder for the pictures")
    parser.add_argument("--pictures", type=str, default="", help=f"some of {choices}, with commas; by default all")
    parser.add_argument("--format", type=str, default="png", help="png or svg; mp4 or gif move")
    parser.add_argument("--frame_stride", type=float, default=None, help="frames between those of a clip; by default "
                        "as the model was trained")  # fmt: skip
    parser.add_argument("--offset", type=float, default=0.5, help="where in the videos the clip lies, 0 to 1")
    parser.add_argument("--token", type=str, default="", help="T,Y,X of the token that looks; by default the masked "
                        "one that moves most")  # fmt: skip
    parser.add_argument(
        "--layer",
        type=str,
        default="-1",
        help="block of the cross-view decoder (1 is the first, -1 the last), mean or all",
    )
    parser.add_argument("--encoder_layer", type=str, default="-1", help="block of the encoder, likewise")
    parser.add_argument("--heads", type=str, default="mean", help="a head's number from 1, mean or all")
    parser.add_argument("--method", type=str, default="pca", help="of the embedding map: pca, tsne or umap")
    parser.add_argument("--max_groups", type=int, default=400, help="most performances in the embedding map")
    parser.add_argument("--seed", type=int, default=0, help="of the masks and whatever else is drawn")


def _visualize(args: Any) -> None:
    from mv2mae.visualize.options import PictureConfig, choice, token_of
    from mv2mae.visualize.visualize import visualize

    names = tuple(name.strip() for name in args.pictures.split(",") if name.strip())
    config = PictureConfig(
        pictures=names, format=args.format, frame_stride=args.frame_stride, offset=args.offset, seed=args.seed,
        token=token_of(args.token), layer=choice("layer", args.layer),
        encoder_layer=choice("encoder_layer", args.encoder_layer), heads=choice("heads", args.heads),
        method=args.method,
    )  # fmt: skip
    manifest, out = args.data.manifest, Path(args.out)
    if set(names) != {"embedding"}:
        for path in visualize(
            args.weights, args.videos, out, manifest=manifest, group=args.group, query=args.query,
            cameras=args.data.cameras, **vars(config),
        ):  # fmt: skip
            print(f"  wrote {path}")
    if "embedding" in names or (manifest and not names):
        from mv2mae.studies.embedding.run import map_of_clips

        written = map_of_clips(args.weights, manifest, out, config, query=args.query, max_groups=args.max_groups)
        print(f"  wrote {written}")


def _demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder for runs and report")
    parser.add_argument("--minutes", type=float, default=None, help="time to keep to, 5 if not given (with --full 12)")
    parser.add_argument("--full", type=bool, default=False, help="the long comparison of four encoders")
    parser.add_argument("--fresh", type=bool, default=False, help="forget an earlier demo in this folder")


def _demo(args: Any) -> None:
    from mv2mae.demo.demo import demo

    demo(Path(args.out), minutes=args.minutes, full=args.full, fresh=args.fresh)


VERBS = {
    "visualize": Verb(
        "pictures of what a model sees, rebuilds and attends to",
        "mv2mae visualize runs/pretrain cam1.mp4 cam2.mp4 --out pictures",
        _visualize_options,
        _visualize,
    ),
    "demo": Verb("all of it on the packaged sample set, in minutes", "mv2mae demo", _demo_options, _demo, goes_on=True),
}
