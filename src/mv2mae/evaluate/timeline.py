"""Long videos by a sliding window: which action when, seen by one camera or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from rich.progress import Progress
from torch import Tensor

from mv2mae.config import EvalConfig
from mv2mae.data.augment import cut_eval_crops, eval_short_side
from mv2mae.data.manifest import parts_of
from mv2mae.data.media import GapError
from mv2mae.data.video import VideoError
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.windows import (
    ClipSpec,
    Span,
    even_offsets,
    first_on_grid,
    shared_clock,
    unbroken,
    video_span,
    window_times,
)
from mv2mae.errors import InputError
from mv2mae.evaluate.scoring import crop_logits
from mv2mae.model.classifier import Classifier

_WINDOWS_AT_ONCE, _CROPS_AT_ONCE = 32, 128
"""Windows of a view that are read together: overlapping ones share their decoding, and memory stays small."""


class NothingReadableError(InputError):
    """None of a performance's videos can be read; `broken` has path and reason of each."""

    def __init__(self, broken: Sequence[tuple[str, str]]) -> None:
        path, reason = broken[0]
        others = f" (nor {len(broken) - 1} others)" if len(broken) > 1 else ""
        super().__init__(f"{path} cannot be read: {reason}{others}")
        self.broken = list(broken)


@dataclass(frozen=True)
class Timeline:
    """Probabilities of all classes in each window of a performance."""

    classes: list[str]
    starts: Float64[np.ndarray, " windows"]
    """Seconds on the clock that the views share (a single file's own time stamps)."""
    ends: Float64[np.ndarray, " windows"]
    per_view: Float64[np.ndarray, "views windows classes"]
    """NaN where a view does not show at least half of a window."""
    files: list[str] = field(default_factory=list)
    """The file of each view."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Files that could not be read, wholly, in places or from some moment on, and why."""
    name: str = ""

    @property
    def probabilities(self) -> Float64[np.ndarray, "windows classes"]:
        """The mean over the views that show a window; NaN where none does."""
        num = self.num_views[:, None].astype(float)
        return np.nansum(self.per_view, axis=0) / np.where(num > 0, num, np.nan)

    @property
    def num_views(self) -> np.ndarray:
        """How many views show each window."""
        return (~np.isnan(self.per_view[..., 0])).sum(axis=0)

    def labels(self) -> list[str]:
        """The likeliest class of each window; empty where no view shows it."""
        best = np.nan_to_num(self.probabilities, nan=-1.0).argmax(axis=1)
        return [self.classes[k] if seen else "" for k, seen in zip(best, self.num_views, strict=True)]

    def segments(self) -> list[dict[str, Any]]:
        """Runs of windows with the same likeliest class: start, end, label, mean probability.

        Where windows overlap, one segment gives way to the next in the middle of the overlap.
        """
        labels, probabilities = self.labels(), np.nan_to_num(self.probabilities).max(axis=1)
        changes = [k for k in range(1, len(labels)) if labels[k] != labels[k - 1]]
        cuts = [float(self.starts[0]), *(float(self.ends[k - 1] + self.starts[k]) / 2 for k in changes)]
        runs = zip([0, *changes], [*changes, len(labels)], cuts, [*cuts[1:], float(self.ends[-1])], strict=True)
        return [
            {"start": start, "end": end, "label": labels[a], "probability": float(probabilities[a:b].mean())}
            for a, b, start, end in runs
        ]

    def to_frame(self) -> pd.DataFrame:
        """A row a window: start, end, label, probability, num_views, then a column for each class."""
        fixed = {
            "start": self.starts,
            "end": self.ends,
            "label": self.labels(),
            "probability": self.probabilities.max(axis=1),
            "num_views": self.num_views,
        }
        return pd.concat([pd.DataFrame(fixed), pd.DataFrame(self.probabilities, columns=self.classes)], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, as JSON has them; null where no view shows a window."""
        rows = zip(self.starts, self.ends, self.labels(), self.probabilities.tolist(), self.num_views, strict=True)
        return {
            "name": self.name,
            "files": self.files,
            "classes": self.classes,
            "segments": self.segments(),
            "windows": [
                {
                    "start": float(start),
                    "end": float(end),
                    "label": label,
                    "probabilities": values if num else None,
                    "num_views": int(num),
                }
                for start, end, label, values, num in rows
            ],
            "broken": [list(entry) for entry in self.broken],
        }


def place_windows(first: float, end: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows of `window` seconds from `first` on, `hop` apart; the last one ends at `end`. A shorter video is one."""
    tolerance = 1e-6
    room = end - first - window
    if room <= tolerance:
        return [(first, end)]
    starts = [first + k * hop for k in range(int(room / hop + tolerance) + 1)]
    if end - window - starts[-1] > tolerance:
        starts.append(end - window)
    return [(start, start + window) for start in starts]


def slide_over(
    model: Classifier,
    classes: list[str],
    rows: pd.DataFrame,
    clip: ClipSpec,
    *,
    window: float,
    hop: float,
    test: EvalConfig,
    progress: bool = True,
) -> Timeline:
    """Probabilities in a window that slides over one performance.

    Args:
        model: in evaluation mode.
        classes: names of its classes.
        rows: the group's videos, a manifest's table.
        clip: what the model takes.
        window: seconds of a window. Its clips (`test.num_clips`, spread evenly) lie within it; where they are longer,
            their frames are spread over the window.
        hop: seconds from one window to the next.
        test: clips and crops of each window and view.
        progress: show a bar.

    Raises:
        InputError: window or hop are not positive.
        NothingReadableError: no video can be read.
    """
    for name, value in (("window", window), ("hop", hop)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name}={value} must be positive; give seconds, for instance --window 4 --hop 1")
    videos, name = Videos(problems=ProblemLog(warns=False)), str(rows["group"].iloc[0])
    views, broken = _open(rows, videos)
    if not views:
        raise NothingReadableError(broken)
    first = min(span.shared(span.first) for _, span in views)
    end = max(span.shared(span.last) + 1 / span.fps for _, span in views)
    windows = place_windows(first, end, window, hop)
    per_view = np.full((len(views), len(windows), len(classes)), np.nan)
    with Progress(transient=True, disable=not progress) as bar:
        task = bar.add_task(f"  {name}", total=len(windows) * len(views))
        for (path, span), into in zip(views, per_view, strict=True):
            lost: list[GapError] = []
            try:
                for done in _fill(into, model, path, span, windows, clip, test, videos, lost):
                    bar.advance(task, done)
                if lost:
                    missing = f"{len(lost)} of {len(windows)} windows are left out: {lost[0].reason}"
                    broken.append((path, missing))
            except VideoError as error:
                videos.problems.add(path, error.reason)
                broken.append((path, error.reason))
    if np.isnan(per_view).all():
        raise NothingReadableError(broken)
    starts, ends = np.array(windows, dtype=np.float64).T
    return Timeline(classes, starts, ends, per_view, [path for path, _ in views], broken, name)


def _open(rows: pd.DataFrame, videos: Videos) -> tuple[list[tuple[str, Span]], list[tuple[str, str]]]:
    """Path and span, on the clock that all share, of the videos that can be opened; and the broken ones."""
    spans, starts, paths, broken = [], [], [], []
    for path, (begin, stop, rate) in zip(rows["path"], parts_of(rows), strict=True):
        try:
            spans.append(video_span(videos.info(path), begin, stop, rate))
        except VideoError as error:
            videos.problems.add(path, error.reason)
            broken.append((path, error.reason))
            continue
        starts.append(begin)
        paths.append(path)
    return (list(zip(paths, shared_clock(spans, starts), strict=True)) if spans else []), broken


def _fill(
    into: Float64[np.ndarray, "windows classes"],
    model: Classifier,
    path: str,
    span: Span,
    windows: Sequence[tuple[float, float]],
    clip: ClipSpec,
    test: EvalConfig,
    videos: Videos,
    lost: list[GapError],
) -> Iterator[int]:
    """Fills in one view's probabilities; tells how many windows are done, part by part.

    Windows of which frames are missing or damaged stay empty; `lost` gets the reason of each.
    """
    at_once = max(1, min(_WINDOWS_AT_ONCE, _CROPS_AT_ONCE // (test.num_clips * test.num_crops)))
    for begin in range(0, len(windows), at_once):
        part = range(begin, min(begin + at_once, len(windows)))
        times = {k: clip_times(*windows[k], span, clip, test.num_clips) for k in part}
        seen = [k for k in part if len(times[k])]
        frames, seen = _frames(path, times, seen, videos, eval_short_side(clip.size), lost)
        if frames is not None:
            clips = frames.unflatten(0, (-1, clip.num_frames))
            crops = torch.cat([cut_eval_crops(frames, clip.size, test.num_crops) for frames in clips])
            probabilities = crop_logits(model, crops, test.batch_size).softmax(dim=1)
            into[seen] = probabilities.unflatten(0, (len(seen), -1)).mean(dim=1).numpy()
        yield len(part)


def _frames(
    path: str,
    times: dict[int, np.ndarray],
    windows: list[int],
    videos: Videos,
    short_side: int,
    lost: list[GapError],
) -> tuple[Tensor | None, list[int]]:
    """The frames of windows that can be read, one after the other, and which these are."""
    if not windows:
        return None, []
    try:
        wanted = np.concatenate([times[k] for k in windows])
        return videos.read(path, wanted, short_side=short_side, exact=True), windows
    except GapError as error:
        if len(windows) == 1:
            lost.append(error)
            return None, []
    halves = (windows[: len(windows) // 2], windows[len(windows) // 2 :])
    found = [_frames(path, times, half, videos, short_side, lost) for half in halves]
    read = [frames for frames, _ in found if frames is not None]
    return (torch.cat(read) if read else None), [k for _, half in found for k in half]


def clip_times(start: float, end: float, span: Span, clip: ClipSpec, num_clips: int) -> Float64[np.ndarray, " frames"]:
    """Times, on the file's clock, of the frames of all clips of a window; none where the view shows less than half."""
    grid = 1 / span.fps
    first, last = span.shared(span.first), span.shared(span.last)
    low, high = max(start, first), min(end, last + grid)
    if span.holes:
        low, high = max(unbroken([span], low, max(low, high)), key=lambda part: part[1] - part[0])
    if high - low < (end - start) / 2:
        return np.empty(0)
    low, high = first_on_grid(low, high - grid, first, grid), max(low, high - grid)
    clips = [
        window_times(
            low, max(low, high), num_frames=clip.num_frames, step=clip.step(span.fps), offset=offset, grid=grid
        )
        for offset in even_offsets(num_clips)
    ]
    return span.own(np.concatenate(clips))
