"""What robustness.json holds."""

from __future__ import annotations

from dataclasses import dataclass

from mv2mae.evaluate.results import Interval
from mv2mae.results import Result


@dataclass(frozen=True, kw_only=True)
class Share(Result):
    """A share of right answers."""

    value: float
    interval: Interval
    num: int


@dataclass(frozen=True, kw_only=True)
class CellShare(Share):
    """Of the videos of one view, by a probe that learnt from another, from all (`all`) or from the rest
    (`all others`)."""

    train_view: str
    test_view: str


@dataclass(frozen=True, kw_only=True)
class AngleShare(Share):
    """Of cameras that are so many degrees apart, to the nearest `metrics.ANGLE_STEP`."""

    angle: float


@dataclass(frozen=True, kw_only=True)
class Retrieval(Result):
    """Finding the same performance in another view; beside it what guessing in such galleries reaches."""

    recall_at_1: float
    recall_at_1_interval: Interval
    map: float
    """Mean average precision."""
    map_interval: Interval
    chance_recall_at_1: float
    chance_map: float
    mean_gallery: float
    """Performances in a gallery."""
    num: int
    """Queries."""


@dataclass(frozen=True, kw_only=True)
class PairRetrieval(Retrieval):
    """Of the performances of one view among those of another."""

    query_view: str
    gallery_view: str


@dataclass(frozen=True, kw_only=True)
class GalleryRetrieval(Retrieval):
    """Over all pairs of views; for each pair; and recall@1 by the angle between the cameras."""

    pairs: tuple[PairRetrieval, ...]
    by_angle: tuple[AngleShare, ...]


@dataclass(frozen=True, kw_only=True)
class Similarity(Result):
    """Mean cosine of pairs of videos that have something in common, in `same view` or `other view`."""

    relation: str
    view: str
    cosine: float
    num: int
    """Pairs."""


@dataclass(frozen=True, kw_only=True)
class EncoderRobustness(Result):
    """How far the features of one encoder depend on the camera."""

    accuracy: tuple[CellShare, ...]
    accuracy_by_angle: tuple[AngleShare, ...]
    """Empty where no angle is known."""
    retrieval: dict[str, GalleryRetrieval]
    """By gallery: `all` performances, or those of the `same person and room`."""
    similarity: tuple[Similarity, ...]


@dataclass(frozen=True, kw_only=True)
class RobustnessResult(Result):
    """Of an encoder and, as the floor, of the same encoder untrained."""

    run: str
    manifest: str
    split: str
    """Or the queries, or the test videos' own manifest."""
    views: tuple[str, ...]
    """Of the test performances."""
    views_of_training: tuple[str, ...]
    """Views of this manifest that the encoder was trained on; and what of its training is not known, as text."""
    unknown_training: tuple[str, ...]
    train_performances: int
    test_performances: int
    probe: str
    chance: float
    most_frequent_class: float
    """Top-1 of always saying the class that is most frequent in training."""
    num_untrained: int
    """Test videos of classes that are not in training, which count as errors; and the names of these classes."""
    untrained: tuple[str, ...]
    encoders: dict[str, EncoderRobustness]
    num_broken: int
    """Test videos that cannot be read: errors in accuracy; retrieval and similarity leave them out."""
    broken: tuple[tuple[str, str], ...]
    """Path and reason of videos that could not be read, of training too."""

    @property
    def first(self) -> EncoderRobustness:
        """Of the encoder that was asked about."""
        return next(iter(self.encoders.values()))
