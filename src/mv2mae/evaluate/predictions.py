"""Predictions on the terminal and on disk: a line or a timeline for each performance. `mv2mae predict`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from mv2mae.config import EvalConfig
from mv2mae.evaluate.inputs import performances
from mv2mae.evaluate.predict import ActionClassifier, predictions_table, print_prediction
from mv2mae.evaluate.timeline import NothingReadableError, Timeline
from mv2mae.files import make_writable, write_csv, write_figure, write_json

DEFAULT_OUT = "predictions"
Broken = list[tuple[str, str]]
"""Paths of videos that could not be read, and why."""


def predict_videos(
    classifier: ActionClassifier,
    videos: Sequence[str],
    *,
    each: bool = False,
    window: float = 0,
    hop: float = 1,
    num_clips: int | None = None,
    num_crops: int | None = None,
    out: str = "",
) -> Broken:
    """Predict, print, and write what there is to keep; returns the broken files.

    Args:
        videos: the synchronised videos of one performance; or folders, or a manifest: many performances.
        each: take each file for a performance of its own.
        window: seconds of a sliding window: a timeline for each performance; 0 = one prediction for each.
        hop: seconds from one window to the next.
        num_clips: spread evenly; None = 5 of a video, 2 of a window.
        num_crops: of a clip, 10, 5, 2 or 1; None = 10, in a window 1.
        out: folder for tables and pictures; by default `predictions` if there is more than one prediction.
    """
    rows = performances(videos, each=each)
    chosen = {"num_clips": num_clips, "num_crops": num_crops}
    given = {name: value for name, value in chosen.items() if value is not None}
    test = EvalConfig(**given)
    if out or window or rows["group"].nunique() > 1:
        make_writable(Path(out or DEFAULT_OUT))
    if window:
        broken = _timelines(classifier, rows, given, window=window, hop=hop, out=Path(out or DEFAULT_OUT))
    else:
        broken = _predictions(classifier, rows, test, out)
    if broken:
        console = Console(stderr=True)
        console.print(f"  {len(broken)} of {len(rows)} videos could not be read:")
        for path, reason in broken:
            console.print(f"    {path}: {reason}", highlight=False, soft_wrap=True)
    return broken


def _predictions(classifier: ActionClassifier, rows: pd.DataFrame, test: EvalConfig, out: str) -> Broken:
    """One prediction a performance."""
    found, broken = classifier.predict_each(rows, test)
    several = rows["group"].nunique() > 1
    for prediction in found:
        if several:
            print(f"  {prediction.name}: {prediction.label} ({prediction.probabilities.max():.1%})")
        else:
            print_prediction(prediction)
    if found and (out or several):
        folder = Path(out or DEFAULT_OUT)
        write_csv(folder / "predictions.csv", predictions_table(found))
        write_json(folder / "predictions.json", [prediction.to_dict() for prediction in found])
        print(f"  wrote predictions.csv and predictions.json into {folder}")
    return broken


def _timelines(
    classifier: ActionClassifier, rows: pd.DataFrame, given: dict[str, int], *, window: float, hop: float, out: Path
) -> Broken:
    """A timeline a performance."""
    broken: Broken = []
    for name, group in rows.groupby("group", sort=False):
        try:
            timeline = classifier.timeline(group, window=window, hop=hop, progress=True, **given)
        except NothingReadableError as error:
            broken += error.broken
            continue
        broken += timeline.broken
        print(f"  {name}")
        for part in timeline.segments():
            label = part["label"] or "(no view)"
            print(f"    {part['start']:8.1f} to {part['end']:8.1f} s  {part['probability']:4.0%}  {label}")
        print(f"    wrote {', '.join(_write(timeline, out))} into {out}")
    return broken


def _write(timeline: Timeline, out: Path) -> list[str]:
    """Table, JSON and picture of a timeline; the names of the files."""
    from mv2mae.evaluate.timeline_figure import timeline_figure  # matplotlib is slow to load

    stem = timeline.name.replace(os.sep, "_").replace("/", "_").strip("._")
    names = [f"{stem}.timeline.{ending}" for ending in ("csv", "json", "png")]
    write_csv(out / names[0], timeline.to_frame())
    write_json(out / names[1], timeline.to_dict())
    figure = timeline_figure(
        timeline.starts,
        timeline.ends,
        timeline.probabilities,
        timeline.classes,
        timeline.segments(),
        title=timeline.name,
    )
    write_figure(out / names[2], figure, dpi=130, metadata={"Software": "mv2mae"})
    return names
