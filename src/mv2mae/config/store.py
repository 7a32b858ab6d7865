"""What a store is made with: every setting that changes its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mv2mae.config.check import require

StoreCrop = Literal["none", "motion", "person", "boxes"]


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """Settings of `mv2mae prepare`; they stand in the header of the store and cannot change in it."""

    short_side: int = 160
    """Short side of the stored frames in pixels, even; smaller videos are not enlarged."""
    crop: StoreCrop = "none"
    """What is cut out of every frame first: nothing, the square in which something moves, the one in which a detector
    sees people (extra `detect`), or the boxes of a file."""
    boxes: str = ""
    """CSV or Parquet of `crop=boxes`: left, top, right, bottom in pixels as displayed, by path or by group and view."""
    detector: str = "hustvl/yolos-tiny"
    """Of `crop=person`: a folder or a name on the Hugging Face hub, of an object detector of transformers."""
    fps: float | None = None
    """Videos of a higher rate are thinned out to this many frames a second; null = all frames."""
    deinterlace: bool = False
    """Make whole pictures of the half pictures of interlaced videos (`check` tells of them)."""
    frame_stride: int = 4
    """Distance of the frames of the clips that will be read; other distances can be read too, more slowly."""
    crf: int = 18
    """x264's quality: 18 is hard to tell from the original, 23 takes two thirds of the bytes."""
    gop: int = 16
    """Frames from one key frame to the next."""
    shard_size: int = 256
    """Videos in a tar."""

    def __post_init__(self) -> None:
        checks = {
            "short_side": (self.short_side >= 16 and self.short_side % 2 == 0, "an even number of pixels from 16 on"),
            "frame_stride": (1 <= self.frame_stride <= 64, "a whole number from 1 to 64"),
            "fps": (self.fps is None or self.fps > 0, "positive, or null for every frame"),
            "crf": (1 <= self.crf <= 51, "a whole number from 1 to 51"),
            "gop": (1 <= self.gop <= 256, "a whole number from 1 to 256"),
            "shard_size": (1 <= self.shard_size <= 100_000, "a whole number from 1 to 100000"),
            "crop": (self.crop in get_args(StoreCrop), f"one of {', '.join(get_args(StoreCrop))}"),
        }
        for name, (good, wanted) in checks.items():
            require(good, f"{name}={getattr(self, name)} is not possible; give {wanted}")
        require(
            (self.crop == "boxes") == bool(self.boxes),
            f"crop={self.crop} with boxes={self.boxes!r}; crop=boxes and a file of boxes go together",
        )
