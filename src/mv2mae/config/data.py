"""Settings of the data: which videos, how clips are drawn, how they are tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mv2mae.config.check import require
from mv2mae.config.rig import FreeRigConfig

Crop = Literal["multi-scale", "random-resized", "centre"]


@dataclass(frozen=True, kw_only=True)
class StreamConfig(FreeRigConfig):
    """Endless synthetic pairs, each drawn afresh (`data.manifest: synthetic-stream`); see `mv2mae synth --help`."""

    actions: tuple[str, ...] = ()
    """Names of actions; empty = all."""
    subjects: tuple[int, ...] = ()
    """Ids of people, 1 to 40; empty = all. The sample set shows 1 to 10."""
    cameras: str = "free"
    """Where cameras stand: free, ntu, etri or ring."""
    difficulty: str = "normal"
    """easy, normal, hard or crowded."""
    motions: str = ""
    """Folder of BVH files whose motions are the actions; empty = the built-in ones."""
    num_rooms: int = 8
    """Rooms that are in use at a time; pairs take them in turn."""
    pairs_per_room: int = 64
    """Pairs before a room gives way to a new one (a room costs as much as some pairs)."""
    pairs_per_epoch: int = 10_000
    """What counts as an epoch for schedules; nothing is ever seen twice."""

    def __post_init__(self) -> None:
        for name in ("num_rooms", "pairs_per_room", "pairs_per_epoch"):
            require(getattr(self, name) >= 1, f"stream.{name}={getattr(self, name)} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class VideosConfig:
    """Which videos, and how clips lie in them: what every task needs, and all that a test needs."""

    manifest: str = "sample"
    """Path of a manifest (CSV or Parquet), `sample` for the set that comes with the package, or `synthetic-stream`."""
    split: str = ""
    """`PROTOCOL/SPLIT`, for instance `ntu60/xsub`: train on its training part, test on its test part."""
    train_query: str = ""
    """Instead of a split: a pandas query over the manifest's columns that picks the training videos."""
    test_query: str = ""
    """Instead of a split: the query that picks the test videos."""
    test_manifest: str | None = None
    """Another manifest, of the test videos: for training and test folders that were indexed one by one. Classes are
    matched by name. null = they are in the one manifest."""
    frame_stride: float = 4
    """Distance between the frames of a clip, in frames of a video at `fps` frames a second (Section 4.2)."""
    fps: float | None = None
    """Rate at which frame_stride counts; null = the target video's own rate."""
    cache: Literal["none", "memory"] = "none"
    """`memory`: decode each video once, scale it to `cache_size` and keep it (small data sets)."""
    cache_size: int = 0
    """Short side in pixels at which the cache keeps frames; 0 = the clip size / 0.875."""

    def __post_init__(self) -> None:
        require(self.cache_size >= 0, f"cache_size={self.cache_size} must not be negative")
        require(self.frame_stride > 0, f"frame_stride={self.frame_stride} must be positive")
        require(self.fps is None or self.fps > 0, f"fps={self.fps} must be positive, or null for the video's own")
        require(
            not (self.split and (self.train_query or self.test_query)),
            "data.split and data.train_query / data.test_query exclude each other; give one",
        )


@dataclass(frozen=True, kw_only=True)
class TrainingVideosConfig(VideosConfig):
    """How clips are cut for training, with labels or without."""

    crop: Crop = "multi-scale"
    """How training clips are cropped (Table 15: multi-scale; scales 1, .875, .75, .66)."""
    min_crop: float = 0.66
    """Smallest side of a crop as a share of the frame's short side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.min_crop <= 1, f"min_crop={self.min_crop} must lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class PairConfig(TrainingVideosConfig):
    """Pairs of views for pre-training."""

    stream: StreamConfig = StreamConfig()
    """What the synthetic stream shows."""
    augment_alike: bool = False
    """Permute and invert the colours and mirror, alike in all views of a pair, against rooms learnt by heart
    (the paper: none)."""
    cameras: str = ""
    """File or folder of known cameras, used where model.cameras asks for them: cameras.json, OpenCV's YAML or JSON,
    COLMAP's text or a plain table; empty = cameras.json beside the manifest, if there is one."""
    synchronised: bool = True
    """Whether the clips of a pair show the same moments. Without, each is drawn on its own, where a group has one view
    from the same video again (Table 9's single-view model, and no other: it makes nothing of the other view)."""
    num_sources: int = 1
    """Source views of a pair, 1 to 3 (Table 10)."""
    target_views: tuple[int | str, ...] = ()
    """Views that are rebuilt (Table 11); empty = all."""
    source_views: tuple[int | str, ...] = ()
    """Views that they are rebuilt from (Table 11); empty = all."""
    nearest_sources: int = 0
    """Draw sources from that many views nearest to the target by `camera_angles`; 0 = from all."""
    camera_angles: dict[int | str, float] = field(default_factory=dict)
    """View -> the camera's direction in degrees, for instance {1: 45, 2: 0, 3: -45}."""
    angle_curriculum: float = 0
    """Epochs over which sources may stand ever further from the target, the nearest ones first, until all are drawn
    from (by known cameras or `camera_angles`; the paper: 0, all from the beginning)."""
    held_out_groups: int | None = None
    """Groups kept out of pre-training to look at; null = one in twenty, 2 at least and 32 at most; 0 = none, so that
    pairs of the training are looked at."""
    held_out_share: float = 0.1
    """Share of the training groups that may be given up so that some performances are left whose rooms (setups) and
    people (subjects) are not trained on; 0 = only what costs none, such as the test part of a split, unlabelled."""
    batch_by: str = ""
    """Column of the manifest whose equal values share batches: with `setup` a contrastive model cannot tell
    performances apart by their rooms. Empty = batches from everywhere."""
    num_repeats: int = 1
    """Pairs drawn from each decoded group, neighbours in the batch: each a moment and crops of its own. Epochs count
    pairs: with 4 repeats each video is decoded in every fourth epoch, for 4 pairs."""
    cache: Literal["none", "memory", "device"] = "none"  # type: ignore[assignment]
    """`memory`: decode each video once, scale it to `cache_size` and keep it (small data sets). `device`: then move the
    frames to the memory of the training device, where clips are cut."""

    def __post_init__(self) -> None:
        super().__post_init__()
        held_out, share, nearest = self.held_out_groups, self.held_out_share, self.nearest_sources
        require(held_out is None or held_out >= 0, f"held_out_groups={held_out} must not be negative")
        require(0 <= share < 1, f"data.held_out_share={share} must lie in [0, 1)")
        require(self.num_repeats >= 1, f"data.num_repeats={self.num_repeats} must be at least 1")
        require(
            nearest == 0 or nearest >= self.num_sources,
            f"nearest_sources={nearest} must be 0 or at least num_sources={self.num_sources}",
        )
        require(self.angle_curriculum >= 0, f"angle_curriculum={self.angle_curriculum} must not be negative")
        require(1 <= self.num_sources <= 3, f"num_sources={self.num_sources} must be 1, 2 or 3")


@dataclass(frozen=True, kw_only=True)
class ClipConfig(TrainingVideosConfig):
    """Labelled clips for fine-tuning."""

    labels_per_class: int | None = None
    """Use the labels of that many groups of each class, drawn by the seed; null = all."""
    label_fraction: float | None = None
    """The same as a share of the groups of each class, (0-1], at least one group; null = all."""
    validation_groups: int = 0
    """Groups kept out of fine-tuning for a validation curve, spread over the classes and drawn by the seed; the weights
    of its lowest loss are kept as best.safetensors. 0 = none, as in the paper."""
    flip: bool = False
    """Mirror half of the training clips (Table 16)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        few, share = self.labels_per_class, self.label_fraction
        require(few is None or few >= 1, f"data.labels_per_class={few} must be at least 1, or null for all")
        require(share is None or 0 < share <= 1, f"data.label_fraction={share} must lie in (0, 1], or be null for all")
        require(few is None or share is None, "data.labels_per_class and data.label_fraction exclude each other")
        require(self.validation_groups >= 0, f"validation_groups={self.validation_groups} must not be negative")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Testing (Section 3.4): 5 clips of 10 crops of each video, averaged."""

    num_clips: int = 5
    """Clips spread evenly over the video."""
    num_crops: int = 10
    """Crops a clip: 10 = four corners, centre and their mirror images; 5; 2 = centre and mirror; 1 = centre."""
    batch_size: int = 50
    """Crops the model sees at a time, of several videos where they fit (speed only)."""
    num_workers: int | None = None
    """Processes that decode beside the model (speed only); 0 = none; null = by cores, none for a few videos."""

    def __post_init__(self) -> None:
        require(self.num_clips >= 1, f"num_clips={self.num_clips} must be at least 1")
        require(self.batch_size >= 1, f"batch_size={self.batch_size} must be at least 1")
        workers = self.num_workers
        require(workers is None or workers >= 0, f"num_workers={workers} must not be negative, or null")
        require(self.num_crops in (1, 2, 5, 10), f"num_crops={self.num_crops} must be 1, 2, 5 or 10")
