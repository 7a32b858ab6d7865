"""The verb that uses a classifier: predict."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser
from rich.console import Console

from mv2mae.cli.verb import Verb

if TYPE_CHECKING:
    import pandas as pd

    from mv2mae.evaluate.predict import ActionClassifier
    from mv2mae.evaluate.timeline import Timeline

DEFAULT_OUT = "predictions"


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument(
        "videos", type=str, nargs="+",
        help="synchronised videos of one performance; or folders of videos, or a manifest: many performances",
    )  # fmt: skip
    parser.add_argument("--each", type=bool, default=False, help="take each file for a performance of its own")
    parser.add_argument("--window", type=float, default=0, help="seconds of a sliding window (long videos); 0 = none")
    parser.add_argument("--hop", type=float, default=1, help="seconds from one window to the next")
    parser.add_argument("--num_clips", type=int, help="clips, spread evenly; by default 5 of a video, 2 of a window")
    parser.add_argument("--num_crops", type=int, help="crops of a clip: 10, 5, 2 or 1; by default 10, in a window 1")
    parser.add_argument("--fps", type=float, help="rate at which frame_stride counts; by default that of the training")
    parser.add_argument("--frame_stride", type=float, help="between a clip's frames; by default that of the training")
    out = f"folder for tables and pictures; by default `{DEFAULT_OUT}` if there is more than one prediction"
    parser.add_argument("--out", type=str, default="", help=out)
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")


def _predict(args: Any) -> int:
    from mv2mae.evaluate.evaluate import best_device
    from mv2mae.evaluate.inputs import performances
    from mv2mae.evaluate.predict import load_classifier

    device = best_device(args.device)
    classifier = load_classifier(args.weights, device=device, fps=args.fps, frame_stride=args.frame_stride)
    rows = performances(args.videos, each=args.each)
    broken = (_timelines if args.window else _predictions)(classifier, rows, args)
    if broken:
        console = Console(stderr=True)
        console.print(f"  {len(broken)} of {len(rows)} videos could not be read:")
        for path, reason in broken:
            console.print(f"    {path}: {reason}", highlight=False, soft_wrap=True)
    return 1 if broken else 0


def _predictions(classifier: ActionClassifier, rows: pd.DataFrame, args: Any) -> list[tuple[str, str]]:
    """One prediction a performance; returns the broken files."""
    from mv2mae.config import EvalConfig
    from mv2mae.evaluate.predict import predictions_table, print_prediction
    from mv2mae.runs import write_json

    test = EvalConfig(**_chosen(args))
    found, broken = classifier.predict_each(rows, test)
    several = rows["group"].nunique() > 1
    for prediction in found:
        if several:
            print(f"  {prediction.name}: {prediction.label} ({prediction.probabilities.max():.1%})")
        else:
            print_prediction(prediction)
    if found and (args.out or several):
        out = Path(args.out or DEFAULT_OUT)
        out.mkdir(parents=True, exist_ok=True)
        predictions_table(found).to_csv(out / "predictions.csv", index=False)
        write_json(out / "predictions.json", [prediction.to_dict() for prediction in found])
        print(f"  wrote predictions.csv and predictions.json into {out}")
    return broken


def _timelines(classifier: ActionClassifier, rows: pd.DataFrame, args: Any) -> list[tuple[str, str]]:
    """A timeline a performance; returns the broken files."""
    from mv2mae.evaluate.timeline import NothingReadableError

    out = Path(args.out or DEFAULT_OUT)
    broken: list[tuple[str, str]] = []
    for name, group in rows.groupby("group", sort=False):
        try:
            timeline = classifier.timeline(group, window=args.window, hop=args.hop, progress=True, **_chosen(args))
        except NothingReadableError as error:
            broken += error.broken
            continue
        broken += timeline.broken
        print(f"  {name}")
        for part in timeline.segments():
            label = part["label"] or "(no view)"
            print(f"    {part['start']:8.1f} to {part['end']:8.1f} s  {part['probability']:4.0%}  {label}")
        written = _write(timeline, out)
        print(f"    wrote {', '.join(written)} into {out}")
    return broken


def _chosen(args: Any) -> dict[str, Any]:
    """The numbers of clips and crops that the user gave."""
    found = {"num_clips": args.num_clips, "num_crops": args.num_crops}
    return {name: value for name, value in found.items() if value is not None}


def _write(timeline: Timeline, out: Path) -> list[str]:
    """Table, JSON and picture of a timeline; the names of the files."""
    from mv2mae.runs import write_json
    from mv2mae.visualize.timeline import timeline_figure

    out.mkdir(parents=True, exist_ok=True)
    stem = timeline.name.replace(os.sep, "_").replace("/", "_").strip("._")
    names = [f"{stem}.timeline.{ending}" for ending in ("csv", "json", "png")]
    timeline.to_frame().to_csv(out / names[0], index=False)
    write_json(out / names[1], timeline.to_dict())
    figure = timeline_figure(
        timeline.starts, timeline.ends, timeline.probabilities, timeline.classes, timeline.segments(),
        title=timeline.name,
    )  # fmt: skip
    figure.savefig(out / names[2], dpi=130, metadata={"Software": "mv2mae"})
    return names


VERBS = {
    "predict": Verb(
        "name the action in videos, or find when it happens in long ones",
        "mv2mae predict runs/finetune cam1.mp4 cam2.mp4 --window 4 --hop 1",
        _options,
        _predict,
    ),
}
