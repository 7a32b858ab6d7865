"""The clips that are looked at: synchronised views of one performance, and a source that does not belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.data.augment import centre_box, crop_resize
from mv2mae.data.images import short_name
from mv2mae.data.manifest import read_manifest
from mv2mae.data.protocols import select
from mv2mae.data.video import is_there, probe, read_frames
from mv2mae.data.windows import aligned_times, clip_step, shared_clock, video_span
from mv2mae.errors import InputError

_NAME_LENGTH = 18


@dataclass(frozen=True)
class Footage:
    """Videos of one performance, the target first."""

    paths: Sequence[str | Path]
    names: Sequence[str]
    parts: Sequence[tuple[float | None, float | None]]
    """`start` and `end` of each video's part, in seconds, as manifests have them; None = the whole."""


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
    wanted_seconds: float = 0.0
    """Seconds between two frames that were asked for; more than `frame_seconds` where the videos are too short."""


def footage_of_files(videos: Sequence[str | Path]) -> Footage:
    """Files that were named one by one.

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
    names = [_short(short_name(video)) for video in videos]
    return Footage(videos, names, [(None, None)] * len(videos))


def footage_of_group(rows: pd.DataFrame, group: str) -> Footage:
    """The views of one group of a manifest, in the order of their names.

    Args:
        group: its name; empty = the first one with two views or more.

    Raises:
        InputError: no such group.
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
    parts = [(_number(start), _number(end)) for start, end in zip(found["start"], found["end"], strict=True)]
    names = [f"view {view}" if str(view).isdigit() else _short(str(view)) for view in found["view"]]
    return Footage(found["path"].tolist(), names, parts)


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
    parts: Sequence[tuple[float | None, float | None]] | None = None,
) -> tuple[UInt8[Tensor, "v c t h w"], float]:
    """Clips of the same moments from several videos, their largest centre square at the model's size.

    Args:
        frame_stride: distance between frames, in frames of a video at `fps`.
        fps: None = the first video's own rate.
        offset: where in the shared time the clips lie, 0 (start) to 1 (end).
        parts: `start` and `end` of each video in seconds, as in a manifest.

    Returns:
        the clips, and the seconds between two of their frames.
    """
    footage = Footage(videos, [], parts or [(None, None)] * len(videos))
    times, _ = _moments(footage, config, frame_stride, fps, (offset,))
    clips = [_clip(video, moments[0], config) for video, moments in zip(videos, times, strict=True)]
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
    clips = torch.stack([_clip(path, here[0], config) for path, here in zip(footage.paths, times, strict=True)])
    here, there = times[0]
    seconds = float(here[1] - here[0]) if len(here) > 1 else 0.0
    if wrong is not None:
        other, _ = read_views(wrong.paths, config, frame_stride=frame_stride, fps=fps, offset=offset, parts=wrong.parts)
        return Views(clips, footage.names, seconds, other, "another performance", wanted)
    shift = float(there[0] - here[0])
    if abs(shift) < 0.25 * (here[-1] - here[0]):
        return Views(clips, footage.names, seconds, clips.flip(2), "the source backwards", wanted)
    moved = torch.stack([_clip(path, each[1], config) for path, each in zip(footage.paths, times, strict=True)])
    kind = f"another moment,\n{abs(shift):.2g} s {'later' if shift > 0 else 'earlier'}"
    return Views(clips, footage.names, seconds, moved, kind, wanted)


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
    spans = [video_span(probe(path), *part) for path, part in zip(footage.paths, footage.parts, strict=True)]
    spans = shared_clock(spans, [start for start, _ in footage.parts])
    step = clip_step(frame_stride, fps or spans[0].fps)
    windows = [aligned_times(spans, num_frames=config.num_frames, step=step, offset=offset) for offset in offsets]
    return [list(of_video) for of_video in zip(*windows, strict=True)], step


def _clip(path: str | Path, times: np.ndarray, config: ModelConfig) -> UInt8[Tensor, "c t h w"]:
    frames = read_frames(path, times, short_side=config.image_size)
    return crop_resize(frames, centre_box(*frames.shape[1:3]), config.image_size)


def _short(name: str) -> str:
    half = _NAME_LENGTH // 2
    return name if len(name) <= _NAME_LENGTH else f"{name[:half]}...{name[3 - half :]}"


def _number(value: float | None) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
