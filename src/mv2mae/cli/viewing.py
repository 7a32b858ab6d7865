"""The verb that opens a page to explore a model on: view."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _view_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "weights",
        type=str,
        nargs="?",
        default="second-view",
        help="pre-training run, weights file or name of packaged weights; by default second-view",
    )
    parser.add_argument(
        "--data.manifest",
        type=str,
        default="",
        help="table of videos; by default that of the run, or else the sample set",
    )
    parser.add_argument(
        "--data.cameras",
        type=str,
        default="",
        help="known cameras, a file or folder; by default cameras.json beside the manifest, if there is one",
    )
    parser.add_argument("--port", type=int, default=8712, help="where to listen; 0 = any that is free")
    parser.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        help="address to listen on; any but a loopback address opens the viewer to the network, without password",
    )
    parser.add_argument(
        "--frame_stride", type=float, default=None, help="frames between those of a clip; null = as in the training"
    )
    parser.add_argument("--max_upload_mb", type=float, default=200, help="largest file that the page takes, in MB")


def _view(args: Any) -> None:
    from mv2mae.viewer.view import view

    view(
        args.weights,
        args.data.manifest,
        host=args.host,
        port=args.port,
        frame_stride=args.frame_stride,
        max_upload_mb=args.max_upload_mb,
        cameras=args.data.cameras,
    )


VERBS = {
    "view": Verb(
        "a local page on which to explore what a model has learnt",
        "mv2mae view runs/pretrain --data manifest.parquet",
        _view_options,
        _view,
    ),
}
