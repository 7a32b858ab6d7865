"""Settings of `mv2mae visualize`: which pictures, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mv2mae.config.check import require
from mv2mae.errors import InputError

Format = Literal["png", "svg", "mp4", "gif"]
Method = Literal["pca", "tsne", "umap"]
"""Of an embedding map."""
Choice = int | str
"""One layer or head by its number, their `mean`, or `all`: each by itself."""
Token = tuple[int, int, int]
"""Time, row and column."""

PICTURES = {
    "motion": "motion weights at several temperatures",
    "reconstruction": "reconstructions, with and without the true patch statistics",
    "attention": "cross-attention of one target token, and all layers and heads of it",
    "correspondences": "lines between target tokens and the source tokens that they look at most",
    "encoder": "self-attention of one token over its own view, and all layers and heads of it",
    "pca": "tokens as colours, one basis for all views",
    "embedding": "a map of a manifest's clips",
}
"""The pictures by name."""


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """Which pictures, and of what."""

    pictures: tuple[str, ...] = ()
    """Names out of `PICTURES`; empty = all that apply."""
    format: Format = "png"
    """png and svg stand still, mp4 and gif play."""
    frame_stride: float | None = None
    """Distance between a clip's frames, in frames of the first video; None = as the model was trained."""
    offset: float = 0.5
    """Where in the shared time of the videos the clip lies, 0 (start) to 1 (end)."""
    seed: int = 0
    """Of the masks, and of the choice of another performance as the wrong source."""
    token: Token | None = None
    """Time, row and column of the token that looks, counted from 1; None = the masked one that moves most."""
    layer: Choice = "mean"
    """Of the cross-view decoder: a block's number (1 is the first, -1 the last), mean or all."""
    encoder_layer: Choice = -1
    """The same of the encoder."""
    heads: Choice = "mean"
    """One head's number, counted from 1, mean or all."""
    method: Method = "pca"
    """Of the embedding map: pca, tsne (needs scikit-learn) or umap (needs umap-learn)."""

    def __post_init__(self) -> None:
        for name in self.pictures:
            require(name in PICTURES, f"pictures={name} is unknown; choose from {', '.join(PICTURES)}")
        for name, kind in (("format", Format), ("method", Method)):
            value, known = getattr(self, name), get_args(kind)
            require(value in known, f"{name}={value} is unknown; choose one of {', '.join(known)}")
        stride, token = self.frame_stride, self.token
        require(stride is None or stride > 0, f"frame_stride={stride} must be positive")
        require(0 <= self.offset <= 1, f"offset={self.offset} must lie between 0 (start of the videos) and 1 (end)")
        good = token is None or (len(token) == 3 and min(token) >= 1)
        require(good, f"token={token}: give time, row and column, counted from 1, as 2,4,3")
        for name in ("layer", "encoder_layer", "heads"):
            value = getattr(self, name)
            good = isinstance(value, int) or value in ("mean", "all")
            require(good, f"{name}={value} is unknown; give a number, mean or all")


def token_of(text: str) -> Token | None:
    """`t,y,x` as written on the command line; None for an empty one.

    Raises:
        InputError: not three whole numbers.
    """
    if not text:
        return None
    try:
        t, y, x = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"token={text}: give time, row and column, counted from 1, as 2,4,3") from None
    return t, y, x
