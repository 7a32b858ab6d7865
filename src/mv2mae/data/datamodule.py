"""From a configuration to what training and evaluation need: data sets, their counts, loaders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mv2mae.config import ClipConfig, EvalConfig, PairConfig, VideosConfig
from mv2mae.data.augment import eval_short_side
from mv2mae.data.calibration import cameras_of, told_cameras
from mv2mae.data.clips import ClipDataset, EvalDataset
from mv2mae.data.held_out import draw_held_out, kept_apart
from mv2mae.data.labels import draw_validation, few_labels, match_labels
from mv2mae.data.manifest import check_synchronised, parts_of, read_manifest
from mv2mae.data.pairing import check_views, pair_views
from mv2mae.data.selection import manifest_of_part, rows_of_part, same_groups
from mv2mae.data.stream import STREAM, PairStream
from mv2mae.data.video import why_not_there
from mv2mae.data.videos import ProblemLog, Videos
from mv2mae.data.views import PairBatch, PairDataset, collate_pairs
from mv2mae.data.windows import ClipSpec
from mv2mae.errors import InputError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PretrainData:
    """Pairs for pre-training and for its held-out batch."""

    train: PairDataset | PairStream
    held_out: PairDataset | PairStream
    problems: ProblemLog
    unseen: PairDataset | None = None
    """Pairs of setups or subjects that are not trained on, where some can be kept apart."""
    apart: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of `held_out` and `unseen`: which of setup and subject are not trained on."""
    summary: dict[str, int] = field(default_factory=dict)
    """Counts: groups, videos, views, skipped_groups, held_out_groups, set_aside; unseen_groups and given_up_groups
    where there are some."""


@dataclass(frozen=True, kw_only=True)
class FinetuneData:
    """Clips for fine-tuning."""

    train: ClipDataset
    videos: Videos
    validation: EvalDataset | None = None
    """The middle clips of videos that are not trained on."""
    summary: dict[str, int] = field(default_factory=dict)
    """Counts: videos, groups, classes, set_aside; validation_groups where there are some."""


def pretrain_data(
    config: PairConfig,
    *,
    num_frames: int,
    size: int,
    seed: int,
    problems_file: str | Path | None = None,
    progress: bool = True,
    with_cameras: bool = False,
) -> PretrainData:
    """The pairs that a configuration names.

    Args:
        config: manifest, selection and clips.
        num_frames: frames in a clip.
        size: height and width of a clip in pixels.
        seed: of all draws, the held-out groups' among them.
            `config.held_out_groups` are taken out of training. One group always stays for training; where
            there is no other, the held-out pairs are training pairs, and `summary["held_out_groups"]` is 0.
        problems_file: where videos that cannot be read are listed.
        progress: show a bar while videos are decoded into memory.
        with_cameras: whether pairs tell their cameras (`cameras_of`).

    Raises:
        InputError: manifest, selection, views or cameras do not allow it.
    """
    if config.manifest == STREAM:
        return _stream_data(config, num_frames=num_frames, size=size, seed=seed, with_cameras=with_cameras)
    videos = _videos(config, size, problems_file)
    frame = rows_of_part(config, "train")
    if config.synchronised:
        check_synchronised(frame)  # here too, before anything is decoded
    check_views(frame, config)
    known = config.manifest, config.cameras
    cameras = told_cameras(*known) if with_cameras else cameras_of(*known) if config.angle_curriculum else None
    if cameras is not None:
        cameras.vectors(frame)
    total = len(frame)
    frame = _readable(frame, config, videos, progress)

    pairs = partial(
        PairDataset, config=config, num_frames=num_frames, size=size, seed=seed, videos=videos, cameras=cameras
    )
    everything = pairs(frame)
    rest = _rest(config, frame)
    chosen = draw_held_out(
        everything.frame, rest, number=config.held_out_groups, share=config.held_out_share, seed=seed
    )
    groups = everything.frame["group"]
    is_trained = ~groups.isin({*chosen.held_out, *chosen.unseen, *chosen.given_up})
    train = everything if is_trained.all() else pairs(everything.frame[is_trained])
    looked_at = partial(pairs, config=unaugmented(config))
    held_out = looked_at(everything.frame[groups.isin(chosen.held_out)] if chosen.held_out else everything.frame)
    new = pd.concat([rows[rows["group"].isin(chosen.unseen)] for rows in (everything.frame, rest)])
    unseen = _pairs_or_none(looked_at, new, config, videos, progress)
    apart = {"held_out": kept_apart(train.frame, held_out.frame) if chosen.held_out else ()}
    if unseen is not None:
        apart["unseen"] = kept_apart(train.frame, unseen.frame)
    extra = {"unseen_groups": 0 if unseen is None else unseen.num_groups, "given_up_groups": len(chosen.given_up)}
    summary = {
        "groups": train.num_groups,
        "videos": len(train.paths),
        "views": train.num_views,
        "skipped_groups": everything.skipped_groups,
        "held_out_groups": len(chosen.held_out),
        "set_aside": total - len(frame),
        **{name: number for name, number in extra.items() if number},
    }
    if with_cameras and cameras is not None:
        summary["known_cameras"] = len(train.paths) if cameras.name else 0
    return PretrainData(
        train=train, held_out=held_out, unseen=unseen, apart=apart, problems=videos.problems, summary=summary
    )


def finetune_data(
    config: ClipConfig,
    *,
    num_frames: int,
    size: int,
    num_repeats: int,
    seed: int,
    problems_file: str | Path | None = None,
    progress: bool = True,
) -> FinetuneData:
    """The labelled clips that a configuration names.

    Raises:
        InputError: manifest, selection or labels do not allow it.
    """
    videos = _videos(config, size, problems_file)
    train_rows = few_labels(rows_of_part(config, "train"), config, seed)
    total = len(train_rows)
    train_rows = _readable(train_rows, config, videos, progress)
    num_readable = len(train_rows)
    held = draw_validation(train_rows, config.validation_groups, seed)
    is_held = train_rows["group"].astype(str).isin(held)
    one_crop = EvalConfig(num_clips=1, num_crops=1)
    held_rows = train_rows[is_held].reset_index(drop=True)
    clip = ClipSpec.of(config, num_frames, size)
    validation = EvalDataset(held_rows, clip, test=one_crop, videos=videos)
    train_rows = train_rows[~is_held].reset_index(drop=True)
    train = ClipDataset(
        train_rows, config, num_frames=num_frames, size=size, num_repeats=num_repeats, seed=seed, videos=videos
    )
    summary = {
        "videos": len(train),
        "groups": train.frame["group"].nunique(),
        "classes": len(set(train.labels)),
        "set_aside": total - num_readable,
        **({"validation_groups": len(held)} if held else {}),
    }
    return FinetuneData(train=train, videos=videos, validation=validation if held else None, summary=summary)


def eval_data(
    config: VideosConfig,
    *,
    num_frames: int,
    size: int,
    test: EvalConfig,
    part: str = "test",
    groups_of: Collection[str] | None = None,
    classes: Mapping[int, str] | None = None,
    progress: bool = True,
) -> EvalDataset:
    """The videos of a test: a part of the split, those of `test_query`, or else the whole manifest.

    Broken videos stay in: their items hold `error`, so that a score can count them. `groups_of` leaves the groups alone
    that have one of these videos, with all their views. With `classes`, a model's names of classes by its numbers,
    labels are numbered as the model numbers them (`match_labels`).

    Raises:
        InputError: manifest, selection or names do not allow it.
    """
    videos = _videos(config, size, None, warns=False)
    rows = rows_of_part(config, part)
    names: dict[int, str] = {}
    if classes is not None:
        rows, names = match_labels(rows, manifest_of_part(config, part), classes)
    if groups_of is not None:
        rows = same_groups(rows, groups_of)
    _preload(rows, config, videos, progress)
    return EvalDataset(rows, ClipSpec.of(config, num_frames, size), test=test, videos=videos, class_names=names)


def unaugmented(config: PairConfig) -> PairConfig:
    """How pairs are drawn that are only looked at: as they are, at all angles from the beginning.

    Colours and sides changed alike within each pair, but not from pair to pair, would give a source of another pair
    away, and a decoder that only tells this would seem to use its source.
    """
    return replace(config, augment_alike=False, angle_curriculum=0)


def held_out_batch(dataset: PairDataset | PairStream, num_pairs: int) -> PairBatch:
    """A fixed batch of `num_pairs` pairs, spread evenly over the data set; beyond its length, of further epochs.

    Raises:
        InputError: none of its videos can be read.
    """
    epochs, rest = divmod(num_pairs, len(dataset))
    keys = [(epoch, index) for epoch in range(epochs) for index in range(len(dataset))]
    keys += [(epochs, int(index)) for index in np.linspace(0, len(dataset) - 1, rest).round()]
    return collate_pairs([dataset[key] for key in keys])


def _stream_data(config: PairConfig, *, num_frames: int, size: int, seed: int, with_cameras: bool) -> PretrainData:
    """Pairs that are drawn as they are asked for, and others to look at."""
    if config.num_repeats > 1:
        raise InputError(
            f"data.num_repeats={config.num_repeats} saves decoding, and {STREAM} decodes nothing; set it to 1"
        )
    if config.cache == "device":
        raise InputError(
            f"data.cache=device keeps videos, and {STREAM} has none; compute.draw_on=device draws it there"
        )
    if config.split or config.train_query:
        raise InputError(f"data.manifest={STREAM} takes no split and no query; choose with data.stream.subjects, ...")
    if not config.synchronised:
        raise InputError(f"{STREAM} draws both views of a pair at the same moment; add --data.synchronised true")
    stream = partial(PairStream, num_frames=num_frames, size=size, seed=seed, cameras=with_cameras)
    train, held_out = stream(config), stream(unaugmented(config), held_out=True)
    summary = {"rooms_at_a_time": config.stream.num_rooms, "views": train.num_views, "held_out_groups": len(held_out)}
    return PretrainData(
        train=train, held_out=held_out, apart={"held_out": ("setup",)}, problems=ProblemLog(None), summary=summary
    )


def _videos(config: VideosConfig, size: int, problems_file: str | Path | None, *, warns: bool = True) -> Videos:
    in_memory = config.cache != "none"
    cache_size = (config.cache_size or eval_short_side(size)) if in_memory else None
    return Videos(problems=ProblemLog(problems_file, warns=warns), cache_size=cache_size)


def _preload(frame: pd.DataFrame, config: VideosConfig, videos: Videos, progress: bool) -> None:
    if config.cache != "none":
        videos.preload(frame["path"], parts_of(frame), progress=progress)


def _readable(frame: pd.DataFrame, config: VideosConfig, videos: Videos, progress: bool) -> pd.DataFrame:
    """The rows whose file is there and, where videos are kept in memory, could be decoded; lists the others."""
    for path in frame["path"]:
        if why := why_not_there(path):
            videos.problems.add(path, why)
    _preload(frame, config, videos, progress)
    good = frame[[videos.problems.reason(path) is None for path in frame["path"]]]
    if good.empty:
        path, reason = videos.problems.items()[0]
        raise InputError(f"none of the {len(frame)} videos can be read; first: {path}: {reason}")
    return good.reset_index(drop=True)


def _rest(config: PairConfig, train: pd.DataFrame) -> pd.DataFrame:
    """Pairs of the manifest that a split or query leaves out: other groups, before cameras that are trained on."""
    none = train.iloc[:0]
    if not (config.split or config.train_query):
        return none
    rows = read_manifest(config.manifest)
    rows = rows[~rows["group"].isin(train["group"]) & rows["view"].isin(train["view"]) & rows["synchronised"]]
    try:
        return pair_views(rows, config).frame
    except InputError:  # no two views of any
        return none


def _pairs_or_none(
    pairs: Callable[[pd.DataFrame], PairDataset],
    rows: pd.DataFrame,
    config: VideosConfig,
    videos: Videos,
    progress: bool,
) -> PairDataset | None:
    """Pairs of rows that are only looked at: what is wrong with them ends no training."""
    try:
        return pairs(_readable(rows, config, videos, progress)) if len(rows) else None
    except InputError as error:
        _log.warning("nothing unseen is looked at: %s", error)
        return None
