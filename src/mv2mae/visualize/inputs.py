"""The clips that are looked at: synchronised views of one performance, and a source that does not belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.data.augment import centre_box, crop_resize
from mv2mae.data.cameras import Cameras, crop_camera, number_of
from mv2mae.data.images import short_name
from mv2mae.data.manifest import parts_of, read_manifest
from mv2mae.data.protocols import select
from mv2mae.data.video import is_there, read_frames, read_info
from mv2mae.data.windows import ClipSpec, shared_clock, video_span
from mv2mae.errors import InputError

_NAME_LENGTH = 18


@dataclass(frozen=True)
class Footage:
    """Videos of one performance, the target first."""

    paths: Sequence[str | Path]
    names: Sequence[str]
    parts: Sequence[tuple[float | None, ...]]
    """`start` and `end` of each video's part, in seconds, and `rate`, as manifests have them; None = not given."""
    cameras: Float32[np.ndarray, "v 16"] | None = None
    """As `data.cameras` describes them, NaN = unknown; None = nothing is known of any."""
    group: str = ""
    """The manifest's name of the performance."""
    views: Sequence[str] = ()
    """The manifest's names of the views."""


@dataclass(frozen=True)
class Views:
    """Clips of the same moments, the target first."""

    clips: UInt8[Tensor, "v c t h w"]
    names: Sequence[str]
    frame_seconds: float
    """Seconds between two frames."""
    wrong: UInt8[Tensor, "v c t h w"] | None = None
    """For each view a clip that does not belong to this moment."""
    wrong_kind: str = ""
    """What that is: `another performance`, `another moment, 0.4 s later`, `the source backwards`."""
    cameras: Float[Tensor, "v 16"] | None = None
    """Of the clips, as the model takes them; NaN = unknown."""
    moments: Sequence[np.ndarray] = ()
    """Of each video the times of the clip's frames, in seconds on the file's clock."""
    wanted_seconds: float = 0.0
    """Seconds between two frames that were asked for; more than `frame_seconds` where the videos are too short."""


def footage_of_files(videos: Sequence[str | Path], cameras: Cameras | None = None) -> Footage:
    """Files that were named one by one.

    Args:
        cameras: known ones, in which a file has the view that it is called by: `left` or 2 for left.mp4, cam2.mp4.

    Raises:
        InputError: none at all, one that is not there, or one named twice.
    """
    videos = list(videos)
    if not videos:
        raise InputError("0 videos: give one or more synchronised videos of one performance, or a manifest and a group")
    for i, video in enumerate(videos):
        if video in videos[:i]:
            raise InputError(f"{video} is given twice; give videos of different cameras")
        if not is_there(video):
            raise InputError(f"{video}: no such video file")
    stems = [short_name(video) for video in videos]
    found = None if cameras is None else _cameras_of_files(videos, stems, cameras)
    return Footage(videos, [_short(stem) for stem in stems], [(None, None)] * len(videos), found)


def _cameras_of_files(
    videos: Sequence[str | Path], stems: Sequence[str], cameras: Cameras
) -> Float32[np.ndarray, "v 16"]:
    infos = [read_info(video) for video in videos]

    def known(views: Sequence[str]) -> Float32[np.ndarray, "v 16"]:
        size = {"width": [info.width for info in infos], "height": [info.height for info in infos]}
        return cameras.vectors(pd.DataFrame({"group": "", "setup": "", "view": views, **size}), may_lack=True)

    named, numbered = known(stems), known([number_of(stem) for stem in stems])
    return np.where(np.isnan(named), numbered, named)


def footage_of_group(rows: pd.DataFrame, group: str, cameras: Cameras | None = None) -> Footage:
    """The views of one group of a manifest, in the order of their names.

    Args:
        group: its name; empty = the first one with two views or more.
        cameras: known ones.

    Raises:
        InputError: no such group, or a camera that does not fit its video.
    """
    known = rows["group"].astype(str)
    if not group:
        counts = known.value_counts(sort=False)
        several = counts[counts > 1]
        group = str((several if len(several) else counts).index[0])
    found = rows[known == group].sort_values("view")
    if not len(found):
        few = ", ".join(known.drop_duplicates()[:3])
        raise InputError(f"group={group}: the manifest has no such group; it has {known.nunique()}: {few}, ...")
    names = [f"view {view}" if str(view).isdigit() else _short(str(view)) for view in found["view"]]
    poses = None if cameras is None else cameras.vectors(found, may_lack=True)
    return Footage(found["path"].tolist(), names, parts_of(found), poses, group, [str(view) for view in found["view"]])


def manifest_rows(manifest: str, query: str = "") -> pd.DataFrame:
    """The videos of a manifest that a pandas query picks."""
    rows = read_manifest(manifest)
    return select(rows, query=query) if query else rows


def some_groups(rows: pd.DataFrame, most: int, *, seed: int) -> pd.DataFrame:
    """The videos of at most so many groups, drawn by the seed."""
    groups = rows["group"].drop_duplicates()
    if len(groups) <= most:
        return rows.reset_index(drop=True)
    chosen = np.random.default_rng((seed, 1)).choice(groups.to_numpy(), most, replace=False)
    return rows[rows["group"].isin(chosen)].reset_index(drop=True)


def read_views(
    videos: Sequence[str | Path],
    config: ModelConfig,
    *,
    frame_stride: float,
    fps: float | None = None,
    offset: float = 0.5,
    parts: Sequence[tuple[float | None, ...]] | None = None,
) -> tuple[UInt8[Tensor, "v c t h w"], float]:
    """Clips of the same moments from several videos, their largest centre square at the model's size.

    Args:
        frame_stride: distance between frames, in frames of a video at `fps`.
        fps: None = the first video's own rate.
        offset: where in the shared time the clips lie, 0 (start) to 1 (end).
        parts: `start` and `end` of each video in seconds, and `rate` if it is known, as in a manifest.

    Returns:
        the clips, and the seconds between two of their frames.
    """
    footage = Footage(videos, [], parts or [(None, None)] * len(videos))
    times, _ = _moments(footage, config, frame_stride, fps, (offset,))
    clips = [_clip(video, moments[0], config)[0] for video, moments in zip(videos, times, strict=True)]
    first = times[0][0]
    return torch.stack(clips), float(first[1] - first[0]) if len(first) > 1 else 0.0


def views_of(
    footage: Footage,
    config: ModelConfig,
    *,
    frame_stride: float,
    fps: float | None = None,
    offset: float = 0.5,
    wrong: Footage | None = None,
) -> Views:
    """The clips of a performance, with such that do not belong to it.

    Args:
        frame_stride, fps, offset: as `read_views`.
        wrong: another performance; None = another moment of this one, as far away as the videos allow, or, where
            these are hardly longer than a clip, the same moment played backwards.
    """
    far = 0.0 if offset > 0.5 else 1.0
    times, wanted = _moments(footage, config, frame_stride, fps, (offset, far))
    read = [_clip(path, here[0], config) for path, here in zip(footage.paths, times, strict=True)]
    clips = torch.stack([clip for clip, _ in read])
    here, there = times[0]
    views = Views(
        clips,
        footage.names,
        float(here[1] - here[0]) if len(here) > 1 else 0.0,
        cameras=_of_squares(footage.cameras, [size for _, size in read]),
        moments=[each[0] for each in times],
        wanted_seconds=wanted,
    )
    if wrong is not None:
        other, _ = read_views(wrong.paths, config, frame_stride=frame_stride, fps=fps, offset=offset, parts=wrong.parts)
        return replace(views, wrong=other, wrong_kind="another performance")
    shift = float(there[0] - here[0])
    if abs(shift) < 0.25 * (here[-1] - here[0]):
        return replace(views, wrong=clips.flip(2), wrong_kind="the source backwards")
    moved = torch.stack([_clip(path, each[1], config)[0] for path, each in zip(footage.paths, times, strict=True)])
    kind = f"another moment,\n{abs(shift):.2g} s {'later' if shift > 0 else 'earlier'}"
    return replace(views, wrong=moved, wrong_kind=kind)


def other_performance(rows: pd.DataFrame, footage: Footage, *, seed: int) -> Footage | None:
    """Another group of the manifest that has the same views, with another action where there is one.

    Returns:
        None where no group has them.
    """
    own = rows[rows["path"].isin([str(path) for path in footage.paths])]
    views = set(own["view"])
    others = rows[~rows["group"].isin(own["group"]) & rows["view"].isin(views)]
    whole = others.groupby("group")["view"].nunique()
    others = others[others["group"].isin(whole[whole == len(views)].index)]
    different = others[others["label"].notna() & ~others["label"].isin(own["label"])]
    groups = (different if len(different) else others)["group"].drop_duplicates()
    if not len(groups):
        return None
    chosen = groups.iloc[int(np.random.default_rng((seed, 0)).integers(len(groups)))]
    return footage_of_group(rows[rows["view"].isin(views)], str(chosen))


def _moments(
    footage: Footage, config: ModelConfig, frame_stride: float, fps: float | None, offsets: Sequence[float]
) -> tuple[list[list[np.ndarray]], float]:
    """For each video the times of a clip's frames at each offset, on the file's clock; and the step asked for."""
    spans = [video_span(read_info(path), *part) for path, part in zip(footage.paths, footage.parts, strict=True)]
    spans = shared_clock(spans, [part[0] for part in footage.parts])
    clip = ClipSpec(num_frames=config.num_frames, size=config.image_size, frame_stride=frame_stride, fps=fps)
    windows = [clip.times(spans, offset) for offset in offsets]
    return [list(of_video) for of_video in zip(*windows, strict=True)], clip.step(spans[0].fps)


def _clip(path: str | Path, times: np.ndarray, config: ModelConfig) -> tuple[UInt8[Tensor, "c t h w"], tuple[int, int]]:
    """The largest centre square at the model's size, and the height and width of what it was cut from."""
    frames = read_frames(path, times, short_side=config.image_size)
    height, width = frames.shape[1:3]
    return crop_resize(frames, centre_box(height, width), config.image_size), (height, width)


def _of_squares(
    cameras: Float32[np.ndarray, "v 16"] | None, sizes: Sequence[tuple[int, int]]
) -> Float[Tensor, "v 16"] | None:
    """The cameras of the largest centre squares of pictures of these heights and widths."""
    if cameras is None:
        return None
    cut = [crop_camera(camera, centre_box(*size), *size) for camera, size in zip(cameras, sizes, strict=True)]
    return torch.from_numpy(np.stack(cut))


def _short(name: str) -> str:
    half = _NAME_LENGTH // 2
    return name if len(name) <= _NAME_LENGTH else f"{name[:half]}...{name[3 - half :]}"
