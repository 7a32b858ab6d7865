"""Pictures on disk: still ones as PNG or SVG, moving ones as MP4 or GIF."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from mv2mae.config.pictures import Format
from mv2mae.files import atomic_write

MOVING: tuple[Format, ...] = ("mp4", "gif")
DPI = 130
_SLOWEST, _FASTEST, _PLAYS = 2.0, 6.0, 3
"""Frames a second of a moving picture, however fast the clip is; how often an MP4 shows it (a GIF goes round)."""


class Drawable(Protocol):
    """What can be drawn still or moving, for instance `strips.Strips`."""

    def still(self) -> Figure:
        """One figure."""
        ...

    def moving(self) -> Iterator[np.ndarray]:
        """The pixels of one frame after the other, uint8 [h, w, 3] with even sides."""
        ...


def write_picture(picture: Drawable | Figure, path: Path, *, frame_seconds: float = 0.0) -> Path:
    """Write a picture in the format of the path's ending, atomically.

    Args:
        picture: a figure cannot move: asked for `.mp4` or `.gif` it is written as `.png`.
        frame_seconds: seconds between two frames; moving pictures play at that pace, but not faster than six
            frames a second, so that a clip of a second can be followed.

    Returns:
        where it was written.
    """
    kind = path.suffix[1:]
    if kind in MOVING and not isinstance(picture, Figure):
        frames = picture.moving()
        pace = min(max(1 / frame_seconds if frame_seconds else _FASTEST, _SLOWEST), _FASTEST)
        data = _mp4(frames, pace) if kind == "mp4" else _gif(frames, pace)
    else:
        if kind in MOVING:
            path, kind = path.with_suffix(".png"), "png"
        data = _still(picture if isinstance(picture, Figure) else picture.still(), kind)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return path


def _still(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    # the same picture gives the same bytes: no date, and no random names of SVG's elements
    with matplotlib.rc_context({"svg.hashsalt": "mv2mae", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _mp4(frames: Iterable[UInt8[np.ndarray, "h w 3"]], pace: float) -> bytes:
    """H.264, which every browser and slide program plays."""
    buffer = io.BytesIO()
    kept = list(frames)
    with av.open(buffer, "w", format="mp4") as container:
        options = {"crf": "20", "preset": "medium", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(pace).limit_denominator(1001), options=options)
        stream.height, stream.width = kept[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in kept * _PLAYS:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _gif(frames: Iterable[UInt8[np.ndarray, "h w 3"]], pace: float) -> bytes:
    """One palette for all frames, so that what stands still does not flicker."""
    kept = list(frames)
    palette = _palette(kept)
    drawn = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
    buffer, pause = io.BytesIO(), round(1000 / pace)
    drawn[0].save(buffer, format="GIF", save_all=True, append_images=drawn[1:], duration=pause, loop=0, optimize=False)
    return buffer.getvalue()


def _palette(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Image.Image:
    """256 colours for all frames; thin lines and small patches count for more than their area."""
    pixels = np.concatenate([frame[::2, ::2].reshape(-1, 3) for frame in frames])
    colours, counts = np.unique(pixels >> 2, axis=0, return_counts=True)
    shares = np.minimum(counts, 64)
    image = Image.fromarray(np.repeat((colours << 2) + 2, shares, axis=0)[None].astype(np.uint8))
    return image.quantize(256, method=Image.Quantize.MEDIANCUT)
