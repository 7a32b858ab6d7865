"""The verbs that test a model, use it and take it out: evaluate, predict, export."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, out_folder
from mv2mae.config import EvalConfig, VideosConfig


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.evaluate.run_test import run_test

    parser.add_argument("weights", type=str, nargs="?", default="", help="fine-tuning run, or its model.safetensors")
    parser.add_function_arguments(run_test, skip={"run", "data", "test", "device"})
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(VideosConfig, "data")
    parser.add_class_arguments(EvalConfig, "test")


def _evaluate(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.evaluate.run_test import run_test
    from mv2mae.reports.write import write_pages

    options = {name: getattr(args, name) for name in ("scores", "out", "against", "fusion", "pictures")}
    out = run_test(args.weights, args.data, args.test, device=best_device(args.device), **options)
    write_pages(out)


def _predict_options(parser: ArgumentParser) -> None:
    from mv2mae.evaluate.predict import load_classifier
    from mv2mae.evaluate.predictions import predict_videos

    videos = "synchronised videos of one performance; or folders of videos, or a manifest: many performances"
    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument("videos", type=str, nargs="+", help=videos)
    parser.add_function_arguments(predict_videos, skip={"classifier", "videos"})
    parser.add_function_arguments(load_classifier, skip={"source", "device"})
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")


def _predict(args: Any) -> int:
    from mv2mae.devices import best_device
    from mv2mae.evaluate.predict import load_classifier
    from mv2mae.evaluate.predictions import predict_videos

    device = best_device(args.device)
    classifier = load_classifier(args.weights, device=device, fps=args.fps, frame_stride=args.frame_stride)
    options = {name: getattr(args, name) for name in ("each", "window", "hop", "num_clips", "num_crops", "out")}
    return 1 if predict_videos(classifier, args.videos, **options) else 0


def _export_options(parser: ArgumentParser) -> None:
    from mv2mae.interop.export import FORMATS, export

    parser.add_argument("weights", type=str, help="run, weights file, name of packaged weights, or hf:OWNER/NAME")
    parser.add_argument("--format", type=str, required=True, help=", ".join(FORMATS))
    parser.add_function_arguments(export, skip={"weights", "out", "kind"})
    parser.add_argument("--out", type=str, default="", help="folder to write; by default RUN/FORMAT")


def _export(args: Any) -> None:
    from mv2mae.interop.export import export

    out = out_folder(args, args.format)
    options = {name: getattr(args, name) for name in ("part", "half", "push", "private")}
    for note in export(args.weights, out, kind=args.format, **options):
        print(f"  {note}")
    print(f"  wrote {', '.join(sorted(file.name for file in out.iterdir() if file.is_file()))} to {out}")


VERBS = {
    "evaluate": Verb(
        "test a classifier, single views and fused; compare two tests",
        "mv2mae evaluate runs/finetune --data.split synthetic/xsub-xview",
        _evaluate_options,
        _evaluate,
        takes_settings=True,
    ),
    "predict": Verb(
        "name the action in videos, or find when it happens in long ones",
        "mv2mae predict runs/finetune cam1.mp4 cam2.mp4 --window 4 --hop 1",
        _predict_options,
        _predict,
    ),
    "export": Verb(
        "write a model for other software",
        "mv2mae export runs/finetune --format transformers",
        _export_options,
        _export,
    ),
}
