"""What is happening in these videos? One performance, one camera or several (Section D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from mv2mae.config import EvalConfig, VideosConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.windows import ClipSpec
from mv2mae.evaluate.inputs import one_performance
from mv2mae.evaluate.scores import numbered
from mv2mae.evaluate.scoring import score_videos
from mv2mae.evaluate.timeline import NothingReadableError, Timeline, slide_over
from mv2mae.model.classifier import Classifier
from mv2mae.weights import load_classifier_model


@dataclass(frozen=True)
class Prediction:
    """Probabilities of all classes for one performance, fused over the views, and of each view alone."""

    classes: list[str]
    probabilities: Tensor
    """[classes], the mean over the views."""
    per_view: Tensor
    """[views, classes], of the views that could be read."""
    files: list[str] = field(default_factory=list)
    """The file of each of these views."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Files of the performance that could not be read, and why."""
    name: str = ""
    """Of the performance: its group, file or folder."""

    @property
    def label(self) -> str:
        """The name of the likeliest class."""
        return self.classes[int(self.probabilities.argmax())]

    def ranked(self) -> list[tuple[str, float]]:
        """Classes by falling probability."""
        order = self.probabilities.argsort(descending=True).tolist()
        return [(self.classes[i], float(self.probabilities[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, as JSON has them."""
        return {
            "name": self.name,
            "label": self.label,
            "probability": float(self.probabilities.max()),
            "probabilities": dict(self.ranked()),
            "views": [
                {"file": file, "label": self.classes[int(row.argmax())], "probability": float(row.max())}
                for file, row in zip(self.files, self.per_view, strict=True)
            ],
            "broken": [list(entry) for entry in self.broken],
        }


class ActionClassifier:
    """A fine-tuned model with the names of its classes."""

    def __init__(
        self, model: Classifier, classes: list[str], *, frame_stride: float = 4, fps: float | None = None
    ) -> None:
        """Clips are drawn as in fine-tuning: every `frame_stride`-th frame, at `fps` or else at a video's own rate."""
        self.model, self.classes, self.frame_stride, self.fps = model, classes, frame_stride, fps

    @property
    def clip(self) -> ClipSpec:
        """What the model takes."""
        shape, data = self.model.config, VideosConfig(frame_stride=self.frame_stride, fps=self.fps)
        return ClipSpec.of(data, shape.num_frames, shape.image_size)

    def predict(self, videos: Sequence[str | Path], *, num_clips: int = 5, num_crops: int = 10) -> Prediction:
        """The action in synchronised videos of one performance (or in a single one).

        Videos that cannot be read are left out and listed in the prediction's `broken`.

        Raises:
            InputError: if there is no video, or none that can be read (`NothingReadableError`).
        """
        test = EvalConfig(num_clips=num_clips, num_crops=num_crops)
        found, broken = self.predict_each(one_performance(videos), test, progress=False)
        if not found:
            raise NothingReadableError(broken)
        return found[0]

    def predict_each(
        self, rows: pd.DataFrame, test: EvalConfig | None = None, *, progress: bool = True
    ) -> tuple[list[Prediction], list[tuple[str, str]]]:
        """The action in each of several performances.

        Args:
            rows: a manifest's table (`performances` makes one from files or a folder); labels are not looked at.
            test: clips and crops; 5 x 10 unless given.
            progress: show a bar.

        Returns:
            a prediction for each group of which a video could be read, in the order of the rows; path and reason of
            every video that could not.
        """
        test = test or EvalConfig()
        dataset = EvalDataset(
            rows,
            self.clip,
            test=test,
            videos=Videos(problems=ProblemLog(warns=False)),
        )
        scores = score_videos(
            self.model,
            dataset,
            test.batch_size,
            num_workers=test.num_workers,
            progress=progress and len(dataset) > 1,
        )
        groups = [group for _, group in scores.groupby("group", sort=False)]
        found = [self._fused(group) for group in groups if (group["error"] == "").any()]
        return found, _broken(scores)

    def _fused(self, group: pd.DataFrame) -> Prediction:
        good = group[group["error"] == ""]
        per_view = torch.tensor(good[numbered(good, "p")].to_numpy(), dtype=torch.float32)
        name = str(group["group"].iloc[0])
        return Prediction(self.classes, per_view.mean(dim=0), per_view, good["path"].tolist(), _broken(group), name)

    def timeline(
        self,
        videos: Sequence[str | Path] | pd.DataFrame,
        *,
        window: float = 4.0,
        hop: float = 1.0,
        num_clips: int = 2,
        num_crops: int = 1,
        progress: bool = False,
    ) -> Timeline:
        """Which action when, in long synchronised videos of one performance: probabilities in a sliding window.

        Args:
            videos: files, one for each camera, of any length each; or the rows of one group of a manifest.
            window: seconds of a window.
            hop: seconds from one window to the next.
            num_clips: clips spread evenly over each window.
            num_crops: crops of each clip: 10, 5, 2 or 1.
            progress: show a bar.

        Raises:
            InputError: window or hop are not positive, or no video can be read.
        """
        rows = videos if isinstance(videos, pd.DataFrame) else one_performance(videos)
        test = EvalConfig(num_clips=num_clips, num_crops=num_crops)
        return slide_over(
            self.model, self.classes, rows, self.clip, window=window, hop=hop, test=test, progress=progress
        )


def load_classifier(
    source: str | Path, *, device: str = "cpu", fps: float | None = None, frame_stride: float | None = None
) -> ActionClassifier:
    """A classifier from the run folder or weights file of a fine-tuning.

    Its clips span as many seconds as in training, whatever the rate of a video: where the training counted frames at
    each video's own rate, the stride counts at the usual rate of its videos. (Weights that do not tell it: at a
    video's own rate.)

    Args:
        source: run folder or safetensors file.
        device: cpu or cuda.
        fps: frames a second at which `frame_stride` counts, if other than in training.
        frame_stride: distance between the frames of a clip, if other than in training.

    Raises:
        InputError: if there is none, or it is not a classifier.
    """
    model, about = load_classifier_model(source)
    rate = about.get("fps") or about.get("video_fps") if fps is None else fps
    stride = about.get("frame_stride", 4) if frame_stride is None else frame_stride
    return ActionClassifier(model.to(device), about["classes"], frame_stride=stride, fps=rate)


def predictions_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """A row a performance: name, label, probability, num_views, num_broken, then a column for each class."""
    rows = [
        [p.name, p.label, float(p.probabilities.max()), len(p.files), len(p.broken), *p.probabilities.tolist()]
        for p in predictions
    ]
    classes = predictions[0].classes if predictions else []
    return pd.DataFrame(rows, columns=["name", "label", "probability", "num_views", "num_broken", *classes])


def print_prediction(prediction: Prediction) -> None:
    """The likeliest classes on the terminal."""
    console = Console()
    for name, probability in prediction.ranked()[:5]:
        bar = "█" * round(30 * probability)
        console.print(f"  {probability:6.1%}  {name:24} [cyan]{bar}[/cyan]", highlight=False)


def _broken(scores: pd.DataFrame) -> list[tuple[str, str]]:
    bad = scores[scores["error"] != ""]
    return list(zip(bad["path"], bad["error"], strict=True))
