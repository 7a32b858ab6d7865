"""The verb that uses a classifier: predict."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument(
        "videos",
        type=str,
        nargs="+",
        help="synchronised videos of one performance; or folders of videos, or a manifest: many performances",
    )
    parser.add_argument("--each", type=bool, default=False, help="take each file for a performance of its own")
    parser.add_argument("--window", type=float, default=0, help="seconds of a sliding window (long videos); 0 = none")
    parser.add_argument("--hop", type=float, default=1, help="seconds from one window to the next")
    parser.add_argument("--num_clips", type=int, help="clips, spread evenly; by default 5 of a video, 2 of a window")
    parser.add_argument("--num_crops", type=int, help="crops of a clip: 10, 5, 2 or 1; by default 10, in a window 1")
    parser.add_argument("--fps", type=float, help="rate at which frame_stride counts; by default that of the training")
    parser.add_argument("--frame_stride", type=float, help="between a clip's frames; by default that of the training")
    out = "folder for tables and pictures; by default `predictions` if there is more than one prediction"
    parser.add_argument("--out", type=str, default="", help=out)
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")


def _predict(args: Any) -> int:
    from mv2mae.devices import best_device
    from mv2mae.evaluate.predict import load_classifier
    from mv2mae.evaluate.predictions import predict_videos

    device = best_device(args.device)
    classifier = load_classifier(args.weights, device=device, fps=args.fps, frame_stride=args.frame_stride)
    options = {name: getattr(args, name) for name in ("each", "window", "hop", "num_clips", "num_crops", "out")}
    return 1 if predict_videos(classifier, args.videos, **options) else 0


VERBS = {
    "predict": Verb(
        "name the action in videos, or find when it happens in long ones",
        "mv2mae predict runs/finetune cam1.mp4 cam2.mp4 --window 4 --hop 1",
        _options,
        _predict,
    ),
}
