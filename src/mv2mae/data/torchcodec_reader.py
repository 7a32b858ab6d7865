"""torchcodec where it is installed: ordinary files that need no scaling, a little faster than with PyAV.

It gives the same frames, bit for bit, or None where it cannot be sure of that; PyAV then reads. Scaling stays with
PyAV (other filters give other pixels). `MV2MAE_DECODER=pyav` leaves torchcodec alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.data.stopwatch import timed

_SAME = 1e-4
"""Seconds within which two time stamps are one; containers round to a millisecond at worst."""


@cache
def video_decoder() -> Any:
    """torchcodec's `VideoDecoder`, or None where it is missing or does not load beside this torch and FFmpeg."""
    if os.environ.get("MV2MAE_DECODER") == "pyav":
        return None
    try:
        from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]
    except (ImportError, OSError, RuntimeError):
        return None
    return VideoDecoder


@timed("decode")
def torchcodec_frames(path: str, times: Sequence[float] | np.ndarray) -> UInt8[Tensor, "t h w 3"] | None:
    """The frames nearest to `times` at their stored size, as `video.read_frames` gives them.

    None without torchcodec, and where it might differ: files that it cannot read, AVI (whose stamps PyAV's reader
    corrects), times midway between frames, in gaps of uneven stamps or outside of the file.

    Args:
        path: a file that was found readable.
        times: seconds on the file's clock, in any order.
    """
    decoder_class = video_decoder()
    if decoder_class is None or not os.path.isfile(path) or path.lower().endswith(".avi"):
        return None
    wanted = np.asarray(times, dtype=np.float64)
    try:
        decoder = decoder_class(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        return _nearest(decoder, wanted)
    except (RuntimeError, ValueError, IndexError, TypeError):  # what torchcodec raises for what it cannot do
        return None


def _nearest(decoder: Any, wanted: np.ndarray) -> UInt8[Tensor, "t h w 3"] | None:
    """Looks up what is shown half a frame later, and where that lies behind the moment what is shown then."""
    about = decoder.metadata
    begin, end, half = about.begin_stream_seconds, about.end_stream_seconds, 0.5 / about.average_fps
    later = decoder.get_frames_played_at(np.clip(wanted + half, begin, np.nextafter(end, -np.inf)).tolist())
    frames, stamps = later.data, later.pts_seconds.numpy()
    behind = np.flatnonzero(stamps > wanted + _SAME)
    away = wanted - stamps
    if (away > half - _SAME).any():  # in a gap, or midway between two frames, where rounding decides
        return None
    if len(behind):
        earlier = decoder.get_frames_played_at(wanted[behind].tolist())
        gain = -away[behind] - (wanted[behind] - earlier.pts_seconds.numpy())
        if (np.abs(gain) < 2 * _SAME).any():
            return None
        nearer = gain > 0
        chosen = torch.from_numpy(behind[nearer])
        frames = frames.index_copy(0, chosen, earlier.data[torch.from_numpy(np.flatnonzero(nearer))])
    return frames.contiguous()
