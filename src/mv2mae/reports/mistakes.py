"""The worst mistakes of a test: videos that a classifier was surest of and wrong about, as moving pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from mv2mae.data.video import VideoError, read_frames, read_info
from mv2mae.evaluate.metrics import score_matrix
from mv2mae.evaluate.scores import numbered
from mv2mae.visualize.report import Clip

_SIDE, _FPS, _SECONDS = 128, 8, 4.0
_QUALITY = 60
_MOST_TRIED = 3
"""Times as many videos are tried as are wanted: data that is gone should not take long to be missed."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A video that was taken for something else."""

    path: str
    group: str
    view: str
    subject: str
    """Empty where the test does not know."""
    label: int
    predicted: int
    confidence: float
    """Probability of the predicted class."""
    of_label: float
    """Probability of the true class; 0 for one that was never trained."""


def worst_mistakes(scores: pd.DataFrame) -> list[Mistake]:
    """Videos that were told wrong, the surest first; of a group only the surest of its views."""
    probabilities, labels = score_matrix(scores), [int(name[1:]) for name in numbered(scores, "p")]
    made = []
    for row, values in zip(scores.to_dict("records"), probabilities, strict=True):
        if np.isnan(values).any() or labels[values.argmax()] == row["label"]:
            continue
        made.append(
            Mistake(
                path=str(row["path"]),
                group=str(row["group"]),
                view=str(row["view"]),
                subject="" if pd.isna(row.get("subject")) else str(row["subject"]),
                label=int(row["label"]),
                predicted=labels[values.argmax()],
                confidence=float(values.max()),
                of_label=float(values[labels.index(row["label"])]) if row["label"] in labels else 0.0,
            )
        )
    surest: dict[str, Mistake] = {}
    for mistake in sorted(made, key=lambda mistake: -mistake.confidence):
        surest.setdefault(mistake.group, mistake)
    return list(surest.values())


def mistake_clips(
    mistakes: list[Mistake],
    names: Mapping[int, str],
    windows: Mapping[tuple[str, str], tuple[float | None, float | None]],
    most: int,
) -> tuple[list[Clip], list[str]]:
    """The first `most` mistakes whose videos can be read, and a line for each that cannot.

    Args:
        names: of the classes by number.
        windows: start and end in seconds, by group and view, of videos of which only a part was tested.
    """
    clips: list[Clip] = []
    missing: list[str] = []
    for mistake in mistakes[: _MOST_TRIED * most]:
        if len(clips) == most:
            break
        start, end = windows.get((mistake.group, mistake.view), (None, None))
        try:
            clips.append(_clip(mistake, names, *moving_picture(mistake.path, start, end)))
        except (VideoError, OSError) as error:
            missing.append(f"Not shown, since it cannot be read: {error}")
    return clips, missing


def _clip(mistake: Mistake, names: Mapping[int, str], webp: bytes, still: bytes, size: tuple[int, int]) -> Clip:
    person = f"person {mistake.subject}, " if mistake.subject else ""
    true, taken = (names.get(label, f"class {label}") for label in (mistake.label, mistake.predicted))
    return Clip(
        webp=webp,
        still=still,
        size=size,
        title=f"{true}, taken for {taken}",
        caption=f"confidence {mistake.confidence:.2f}, true class {mistake.of_label:.2f}; view {mistake.view}, {person}"
        f"group {mistake.group}",
    )


def moving_picture(path: str, start: float | None, end: float | None) -> tuple[bytes, bytes, tuple[int, int]]:
    """The middle seconds of a video, small, as animated WebP; one frame of it; and its size in pixels.

    Raises:
        VideoError: the file cannot be decoded.
    """
    info = read_info(path)
    first = info.start if start is None else start
    last = info.end - 1 / info.fps if end is None else end
    middle, length = (first + last) / 2, min(_SECONDS, max(last - first, 0))
    count = max(1, round(length * _FPS))
    times = middle - length / 2 + (np.arange(count) + 0.5) * length / count
    frames = read_frames(path, times, short_side=min(_SIDE, info.short_side))
    pictures = [Image.fromarray(frame) for frame in frames.numpy()]
    still = pictures[len(pictures) // 2]
    return _webp(pictures), _webp([still]), still.size


def _webp(frames: list[Image.Image]) -> bytes:
    file = io.BytesIO()
    frames[0].save(
        file,
        format="webp",
        quality=_QUALITY,
        method=4,
        save_all=len(frames) > 1,
        append_images=frames[1:],
        duration=round(1000 / _FPS),
        loop=0,
    )
    return file.getvalue()
