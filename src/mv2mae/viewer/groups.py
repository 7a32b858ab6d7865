"""Where the viewer's clips come from: groups of a manifest, or two files of a person's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from mv2mae.data.augment import centre_box, crop_resize
from mv2mae.data.cameras import CAMERA_SIZE, Cameras, crop_camera
from mv2mae.data.manifest import parts_of
from mv2mae.data.video import DecodedVideo, VideoError, VideoInfo, decode_video, read_frames, read_info
from mv2mae.data.windows import ClipSpec, overlap, shared_clock, video_span
from mv2mae.errors import InputError
from mv2mae.viewer.lru_cache import LRUCache

_log = logging.getLogger(__name__)

DECODED_BYTES = 256 * 2**20
"""Whole short videos are cached decoded up to this size together, so that another moment needs no decoding."""
WHOLE_PIXELS = 250_000_000
"""Videos with more pixels in all their frames are not decoded as a whole: two seconds a core."""


class Camera(NamedTuple):
    """One video of a group."""

    view: str
    path: str
    start: float | None = None
    end: float | None = None
    """Part of the file to use, in seconds of its time stamps."""
    pose: Float32[np.ndarray, "16"] | None = None
    """As `data.cameras` describes it, NaN = unknown."""
    rate: float | None = None
    """True frames a second, where the clock of the file is known to be wrong."""


@dataclass(frozen=True)
class Group:
    """The videos of one performance."""

    name: str
    cameras: tuple[Camera, ...]
    label: int | None = None
    synchronised: bool = True

    def index(self, view: str) -> int:
        """Which camera a view is.

        Raises:
            InputError: there is no such view.
        """
        views = [camera.view for camera in self.cameras]
        if view not in views:
            raise InputError(f"group {self.name} has no view {view[:40]}; it has {', '.join(views)}")
        return views.index(view)


@dataclass(frozen=True)
class GroupClip:
    """The same moments of all views of a group, at the model's size."""

    frames: UInt8[Tensor, "v c t h w"]
    times: tuple[float, ...]
    """Seconds of the frames since the first moment that all views have."""
    duration: float
    """Seconds from that moment to the last one that all views have."""
    moments: tuple[np.ndarray, ...] = ()
    """Of each view the times of its frames, in seconds on the file's clock."""
    cameras: Float[Tensor, "v 16"] | None = None
    """Of the clips, as the model takes them; NaN = unknown."""


class Catalogue:
    """The groups of a manifest, in its order.

    Args:
        frame: its rows.
        cameras: what is known of their cameras.

    Raises:
        InputError: the manifest has none, or a camera does not fit its video.
    """

    def __init__(self, frame: pd.DataFrame, cameras: Cameras | None = None) -> None:
        poses = None if cameras is None or not cameras.name else cameras.vectors(frame, may_lack=True)
        self.groups = _groups(frame, poses)
        self._place = {group.name: i for i, group in enumerate(self.groups)}
        if not self.groups:
            raise InputError("the manifest has no rows: there is nothing to view")

    def __getitem__(self, name: str) -> Group:
        if name not in self._place:
            raise InputError(f"no group {name[:60]} in the manifest; choose one of its {len(self.groups)} groups")
        return self.groups[self._place[name]]

    def another(self, name: str | None, steps: int) -> Group | None:
        """The group `steps` further on, never the group itself; None if there is no other."""
        if name is None:
            return self.groups[(steps - 1) % len(self.groups)]
        others = len(self.groups) - 1
        if not others:
            return None
        return self.groups[(self._place[name] + 1 + (steps - 1) % others) % len(self.groups)]

    def found(self, search: str, limit: int) -> tuple[list[Group], int]:
        """The first groups whose name holds all words of `search`, and how many there are."""
        words = search.lower().split()
        hits = [group for group in self.groups if all(word in group.name.lower() for word in words)]
        return hits[:limit], len(hits)


class Reader:
    """Clips of groups, at the model's size: the largest centre square of each frame.

    Args:
        fps: rate at which strides count; None = that of a group's first view.
    """

    def __init__(self, num_frames: int, size: int, fps: float | None = None) -> None:
        self.num_frames, self.size, self.fps = num_frames, size, fps
        self._decoded: LRUCache[DecodedVideo] = LRUCache(DECODED_BYTES, lambda video: video.frames.nbytes)
        self._info = lru_cache(maxsize=4096)(read_info)

    def clip(self, group: Group, *, moment: float, stride: float) -> GroupClip:
        """The clip of every view of a group.

        Args:
            moment: where in the shared time it lies, 0 to 1.
            stride: frames, at the reader's rate, from one frame of the clip to the next.

        Raises:
            InputError: a video cannot be read; the message names its view, never its path.
        """
        infos = []
        for camera in group.cameras:
            with _named(group, camera):
                infos.append(self._info(camera.path))
        spans = [video_span(info, c.start, c.end, c.rate) for info, c in zip(infos, group.cameras, strict=True)]
        spans = shared_clock(spans, [camera.start for camera in group.cameras])
        spec = ClipSpec(num_frames=self.num_frames, size=self.size, frame_stride=stride, fps=self.fps)
        windows = spec.times(spans, moment)
        first, last = overlap(spans)
        views = []
        for camera, info, times in zip(group.cameras, infos, windows, strict=True):
            with _named(group, camera):
                views.append(self._read(camera, info, times))
        since = windows[0] - spans[0].zero - first
        shown, poses = zip(*views, strict=True)
        return GroupClip(
            frames=torch.stack(shown),
            times=tuple(round(float(time), 4) for time in since),
            duration=last - first,
            moments=tuple(windows),
            cameras=torch.from_numpy(np.stack(poses)),
        )

    def forget(self) -> None:
        """Drop what is known of files: those of a path were replaced."""
        self._decoded.clear()
        self._info.cache_clear()

    def _read(
        self, camera: Camera, info: VideoInfo, times: np.ndarray
    ) -> tuple[UInt8[Tensor, "c t h w"], Float32[np.ndarray, "16"]]:
        """The largest centre square of a video's frames, and the camera that would see just that."""
        path = camera.path
        if info.num_frames * info.width * info.height <= WHOLE_PIXELS:
            video = self._decoded.get(path, lambda: decode_video(path, short_side=self.size))
            frames = video.at(times)
        else:
            frames = read_frames(path, times, short_side=self.size)
        height, width = frames.shape[1:3]
        box = centre_box(height, width)
        pose = np.full(CAMERA_SIZE, np.nan, np.float32) if camera.pose is None else camera.pose
        return crop_resize(frames, box, self.size), crop_camera(pose, box, height, width)


@contextmanager
def _named(group: Group, camera: Camera) -> Iterator[None]:
    """Errors as a person may see them who must not learn where files lie: by group and view."""
    try:
        yield
    except (InputError, OSError) as error:
        _log.warning("%s", error)
        why = error.reason if isinstance(error, VideoError) else "the file cannot be read; the terminal says why"
        raise InputError(f"group {group.name}, view {camera.view}: {why.replace(camera.path, 'the file')}") from error


def _groups(frame: pd.DataFrame, poses: Float32[np.ndarray, "n 16"] | None = None) -> list[Group]:
    """The groups of a manifest's rows; column by column, since a large manifest has tens of thousands of them."""
    columns = zip(frame["view"].map(str), frame["path"].map(str), parts_of(frame), strict=True)
    cameras = [
        Camera(view, path, start, end, None if poses is None else poses[row], rate)
        for row, (view, path, (start, end, rate)) in enumerate(columns)
    ]
    labels = [None if pd.isna(label) else int(label) for label in frame["label"]]
    synchronised = frame["synchronised"].tolist()
    return [
        Group(str(name), tuple(cameras[i] for i in rows), labels[rows[0]], all(synchronised[i] for i in rows))
        for name, rows in frame.groupby("group", sort=False).indices.items()
    ]
