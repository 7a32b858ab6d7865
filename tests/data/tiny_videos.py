"""Tiny videos whose pixels tell the time: a flat frame at time t has the grey level 20 + 100 t."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_ENCODERS = {  # name: FFmpeg's encoder, options that keep flat frames exact
    "h264": ("libx264", {"crf": "4", "preset": "veryfast"}),
    "mpeg4": ("mpeg4", {"b": "8M", "qmin": "1", "qmax": "2"}),
    "av1": ("libsvtav1", {"crf": "30", "preset": "12", "svtav1-params": "lp=1"}),
    "vp9": ("libvpx-vp9", {"crf": "4", "deadline": "realtime", "cpu-used": "8"}),
}


def level(time: float) -> int:
    """Grey level of a frame at `time`, for times up to 2.3 seconds."""
    return round(20 + 100 * time)


def time_of(pixels: object) -> np.ndarray:
    """Times that frames [t, h, w, 3] or clips [3, t, h, w] show, in seconds; right to about 0.01."""
    array = np.asarray(pixels, dtype=np.float64)
    axes = (1, 2, 3) if array.shape[-1] == 3 else (0, 2, 3)
    return (array.mean(axis=axes) - 20) / 100


def write_video(
    path: Path,
    times: Sequence[float],
    *,
    shown: Sequence[float] | None = None,
    codec: str = "h264",
    size: tuple[int, int] = (48, 64),
    gop: int = 12,
    reordered: bool = True,
    rotation: int = 0,
    image: Callable[[float], np.ndarray] | None = None,
    faststart: bool = False,
) -> Path:
    """Writes frames at `times` (the container's stamps); pixels tell `shown` (default: the same times)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    encoder, options = _ENCODERS[codec]
    options = {**options, "g": str(gop)} | ({} if reordered else {"bf": "0"})
    rate = Fraction((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1000) if len(times) > 1 else 25
    constant = np.ptp(np.diff(times)) < 1e-6 if len(times) > 1 else True
    time_base = Fraction(1) / rate if constant else Fraction(1, 1000)
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        stream = container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        for time, telling in zip(times, shown if shown is not None else times, strict=True):
            pixels = image(telling) if image else np.full((height, width, 3), level(telling), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def even_times(num_frames: int, fps: float, start: float = 0.0) -> list[float]:
    """Times of a video of constant rate."""
    return [start + i / fps for i in range(num_frames)]
