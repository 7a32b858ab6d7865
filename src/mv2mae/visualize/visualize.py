"""Files in, pictures out: `mv2mae visualize` (Figures 2 and 5 of the paper, and more, for videos of one's own)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import Progress

from mv2mae.config import ModelConfig, PictureConfig
from mv2mae.data.calibration import read_calibration, told_cameras
from mv2mae.data.cameras import Cameras
from mv2mae.errors import InputError
from mv2mae.synthetic.views import View
from mv2mae.visualize.inputs import (
    Footage,
    Views,
    footage_of_files,
    footage_of_group,
    manifest_rows,
    other_performance,
    read_views,
    views_of,
)
from mv2mae.visualize.outputs import write_picture
from mv2mae.visualize.pictures import OF_PAIRS, Subject, applicable, draw, load_subject, shown_temperatures
from mv2mae.visualize.truth import filmed_again

__all__ = ["read_views", "shown_temperatures", "visualize"]

DEFAULT_STRIDE = 4.0
"""Frames between those of a clip, where a weights file does not say (Section 4.2)."""


def visualize(
    weights: str | Path,
    videos: Sequence[str | Path],
    out: str | Path,
    *,
    manifest: str = "",
    group: str = "",
    query: str = "",
    cameras: str = "",
    **settings: Any,
) -> list[Path]:
    """Draw what a model makes of synchronised videos of one performance.

    The first video is the target, the second the source; for each further one the pictures of the pair are drawn
    again and get its number (`reconstruction-3.png`). What a model or a single video cannot give is left out and
    said, unless it was asked for by name.

    Args:
        weights: run, weights file, or the name of packaged weights. A fine-tuned run has no decoders, and gives the
            pictures of the encoder alone.
        videos: files, one from each camera; empty with a manifest.
        out: folder for the pictures.
        manifest: take the videos of a group of this manifest instead, and the wrong source from another group.
        group: its name; empty = the first with several views.
        query: a pandas query that picks among the manifest's videos, for instance `view != 1`.
        cameras: file or folder of known cameras, for a model with rays; empty = cameras.json beside the manifest, if
            there is one. Videos are found in it by view, files by their names.
        settings: fields of `PictureConfig` by name.

    Returns:
        the files written.

    Raises:
        InputError: no video, one that cannot be read, weights that are missing or incomplete, a picture that this
            model cannot give, a token, layer or head that does not exist, cameras that cannot be.
    """
    out = Path(out)
    config = PictureConfig(**settings)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for the pictures")
    subject = load_subject(weights)
    known = known_cameras(subject.config, manifest, cameras)
    footage, rows = _footage(videos, manifest, group, query, known)
    chosen = [name for name in config.pictures if name != "embedding"]
    if config.pictures and not chosen:
        raise InputError("embedding: a map is of features, not of one performance; see `studies.embedding`")
    names, notes = applicable(subject, len(footage.paths), chosen)
    for note in [*notes, *_said_of_cameras(subject, footage, names)]:
        print(f"  note: {note}")
    stride, fps = clip_rate(subject.about, config.frame_stride)
    wrong = other_performance(rows, footage, seed=config.seed) if rows is not None else None
    views = views_of(footage, subject.config, frame_stride=stride, fps=fps, offset=config.offset, wrong=wrong)
    if views.frame_seconds < 0.99 * views.wanted_seconds:
        print(
            f"  note: the videos are shorter than a clip of {subject.config.num_frames} frames "
            f"{views.wanted_seconds:.3g} s apart; shown: {views.frame_seconds:.3g} s apart"
        )
    written = []
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("  pictures", total=None)
        truth = _truth(manifest, footage, views) if "attention" in names else []
        for name, picture in draw(subject, views, names, config, truth):
            bar.update(task, description=f"  drawing {name}")
            written.append(write_picture(picture, out / f"{name}.{config.format}", frame_seconds=views.frame_seconds))
    return written


def clip_rate(about: Mapping[str, Any], frame_stride: float | None) -> tuple[float, float | None]:
    """Distance between a clip's frames, and the rate at which it counts (None = the video's own).

    Args:
        about: what a weights file says beside its model.
        frame_stride: in the video's own frames; None = as the model was trained.
    """
    if frame_stride is not None:
        return frame_stride, None
    return float(about.get("frame_stride") or DEFAULT_STRIDE), about.get("fps")


def known_cameras(config: ModelConfig, manifest: str, file: str) -> Cameras | None:
    """What is known of the cameras of a manifest's videos, or of others, for a model that asks for it; None for one
    that does not.

    Args:
        file: where they are written down; empty = cameras.json beside the manifest, if there is one.

    Raises:
        InputError: as `cameras_of`, or a file was given to a model without rays.
    """
    if config.cameras == "none":
        if file:
            raise InputError(f"cameras={file}: this model was trained without known cameras (model.cameras none)")
        return None
    if not manifest:
        return read_calibration(file) if file else None
    return told_cameras(manifest, file)


def _footage(
    videos: Sequence[str | Path], manifest: str, group: str, query: str, cameras: Cameras | None
) -> tuple[Footage, pd.DataFrame | None]:
    if not manifest:
        if group or query:
            raise InputError("a group or a query picks from a manifest: give one (--data MANIFEST)")
        return footage_of_files([Path(v) if "://" not in str(v) else v for v in videos], cameras), None
    if videos:
        raise InputError("give either videos or a manifest, not both")
    rows = manifest_rows(manifest, query)
    return footage_of_group(rows, group, cameras), rows


def _said_of_cameras(subject: Subject, footage: Footage, names: Sequence[str]) -> list[str]:
    """What a model with rays is not told."""
    if subject.config.cameras == "none" or not {*OF_PAIRS, "reconstruction"}.intersection(names):
        return []
    known = footage.cameras
    lacking = [name for k, name in enumerate(footage.names) if known is None or np.isnan(known[k]).any()]
    if not lacking or len(footage.names) < 2:
        return []
    return [f"no camera is known of {', '.join(lacking)}, so that the model works without it there (--data.cameras)"]


def _truth(manifest: str, footage: Footage, views: Views) -> list[View | None]:
    """Of each view's clip, if the generator made it."""
    filmed = filmed_again(manifest, footage.group)
    if filmed is None:
        return []
    return [
        filmed.at(name, times, clip)
        for name, times, clip in zip(footage.views, views.moments, views.clips, strict=True)
    ]
