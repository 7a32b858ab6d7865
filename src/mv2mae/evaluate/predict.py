"""What is happening in these videos? One performance, one camera or several (Section D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from mv2mae.config import DataConfig, EvalConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import make_frame
from mv2mae.data.videos import Videos
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import clip_probabilities
from mv2mae.model.classifier import Classifier
from mv2mae.weights import load_classifier_model


@dataclass(frozen=True)
class Prediction:
    """Probabilities of all classes, fused over the views, and of each view alone."""

    classes: list[str]
    probabilities: Tensor
    """[classes], the mean over the views."""
    per_view: Tensor
    """[views, classes]."""

    @property
    def label(self) -> str:
        """The name of the likeliest class."""
        return self.classes[int(self.probabilities.argmax())]

    def ranked(self) -> list[tuple[str, float]]:
        """Classes by falling probability."""
        order = self.probabilities.argsort(descending=True).tolist()
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class ActionClassifier:
    """A fine-tuned model with the names of its classes."""

    def __init__(
        self, model: Classifier, classes: list[str], *, frame_stride: float = 4, fps: float | None = None
    ) -> None:
        """Clips are drawn as in fine-tuning: every `frame_stride`-th frame, at `fps` or else at a video's own rate."""
        self.model, self.classes, self.frame_stride, self.fps = model, classes, frame_stride, fps

    def predict(self, videos: Sequence[str | Path], *, num_clips: int = 5, num_crops: int = 10) -> Prediction:
        """The action in synchronised videos of one performance (or in a single one).

        Raises:
            InputError: if there is no video, or one cannot be read.
        """
        if not videos:
            raise InputError("no video given; give the files of one performance, one for each camera")
        rows = make_frame({"path": str(path), "group": "videos", "view": i} for i, path in enumerate(videos))
        per_view = torch.stack([self._one(rows, i, num_clips, num_crops) for i in range(len(rows))])
        return Prediction(self.classes, per_view.mean(dim=0), per_view)

    def _one(self, rows: pd.DataFrame, index: int, num_clips: int, num_crops: int) -> Tensor:
        config = self.model.config
        dataset = EvalDataset(
            rows,
            DataConfig(frame_stride=self.frame_stride, fps=self.fps),
            num_frames=config.num_frames,
            size=config.image_size,
            test=EvalConfig(num_clips=num_clips, num_crops=num_crops),
            videos=Videos(),
        )
        item = dataset[index]
        if "clips" not in item:
            raise InputError(f"{dataset.paths[index]} cannot be read: {item['error']}")
        return clip_probabilities(self.model, item["clips"], batch_size=num_crops * num_clips)


def load_classifier(source: str | Path) -> ActionClassifier:
    """A classifier from the run folder or weights file of a fine-tuning.

    Raises:
        InputError: if there is none, or it is not a classifier.
    """
    model, about = load_classifier_model(source)
    return ActionClassifier(model, about["classes"], frame_stride=about.get("frame_stride", 4), fps=about.get("fps"))


def print_prediction(prediction: Prediction, top: int = 5) -> None:
    """The likeliest classes on the terminal."""
    console = Console()
    for name, probability in prediction.ranked()[:top]:
        bar = "█" * round(30 * probability)
        console.print(f"  {probability:6.1%}  {name:24} [cyan]{bar}[/cyan]", highlight=False)
