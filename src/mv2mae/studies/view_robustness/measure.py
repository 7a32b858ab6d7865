"""What a camera that moves does to a frozen encoder's features: `mv2mae robustness`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from mv2mae.config import FeatureConfig, ProbeConfig, VideosConfig
from mv2mae.data.manifest import read_manifest
from mv2mae.data.selection import manifest_of_part, rows_of_part
from mv2mae.errors import InputError
from mv2mae.studies.features import Features, extract_features, frozen_encoder
from mv2mae.studies.probes.measure import (
    LabelledRows,
    broken_videos,
    chance_of,
    check_divided,
    labelled,
    untrained_of,
)
from mv2mae.studies.view_robustness.metrics import (
    Seen,
    accuracy_cells,
    by_angle,
    hits_across_views,
    retrieval_of,
    retrieve,
    similarity,
)
from mv2mae.studies.view_robustness.results import (
    EncoderRobustness,
    GalleryRetrieval,
    PairRetrieval,
    RobustnessResult,
)
from mv2mae.studies.view_robustness.trained_views import manifest_file, views_of_training
from mv2mae.synthetic.world.cameras import read_cameras
from mv2mae.text import counted


def rows_of_all_views(data: VideosConfig) -> LabelledRows:
    """Training and test performances, each with all of its views.

    A split (or two queries) says which performances are for training; the test ones are those of its test part
    that are not. The views that the split names are not heeded: they are what is measured.

    Raises:
        InputError: nothing divides the videos, both parts have the same performances, labels are missing, or there
            is one view only.
    """
    check_divided(data, "performances the probe learns from and which it is tested on")
    known, tested = (set(rows_of_part(data, part)["group"]) for part in ("train", "test"))
    if not data.test_manifest:
        tested -= known
    if not tested:
        raise InputError(
            f"{data.split or 'the queries'}: every test performance is a training one too, seen by another camera; "
            "give a split by people, such as synthetic/xsub or ntu60/xsub"
        )
    train, test = _of_groups(data, "train", known), _of_groups(data, "test", tested)
    both = train.merge(test, on=["path", "start", "end"])
    if len(both):
        raise InputError(f"{len(both)} videos are both for training and for testing (first: {both['path'][0]})")
    manifest = manifest_of_part(data, "test")
    if test["view"].nunique() < 2:
        raise InputError(f"{manifest}: the test performances have one view only, {test['view'][0]}; two are needed")
    return labelled(train, test, data)


def _of_groups(data: VideosConfig, part: str, groups: Collection[str]) -> pd.DataFrame:
    frame = read_manifest(manifest_of_part(data, part))
    return frame[frame["group"].isin(groups)].reset_index(drop=True)


def with_azimuths(rows: pd.DataFrame, manifest: str, cameras: str = "") -> pd.DataFrame:
    """Adds where each video's camera stands, from the cameras.json of a synthetic set; NaN where there is none.

    Raises:
        InputError: the file that was given is not there, or holds something else.
    """
    beside = manifest_file(manifest).with_name("cameras.json")
    file = Path(cameras) if cameras else beside
    if not cameras and not file.exists():
        return rows.assign(azimuth=np.nan)
    known = {(setup, view): camera.azimuth for setup, rig in read_cameras(file).items() for view, camera in rig.items()}
    keys = zip(rows["setup"], rows["view"], strict=True)
    return rows.assign(azimuth=[known.get(key, np.nan) for key in keys])


def view_robustness(
    source: str | Path,
    data: VideosConfig,
    features: FeatureConfig,
    config: ProbeConfig,
    *,
    probe: str = "linear",
    cameras: str = "",
    num_groups: int = 1000,
    floor: bool = True,
    device: str = "cpu",
    progress: bool = True,
) -> RobustnessResult:
    """Measure an encoder and, as the floor, the same encoder untrained.

    Args:
        source: pre-training or fine-tuning run, weights file or packaged weights.
        data: manifest and division into training and test performances; all views of both are used.
        features: which features, on clip level.
        config: of the probe.
        probe: `linear` or `knn`.
        cameras: cameras.json, if it does not lie beside the manifest.
        num_groups: most test performances for retrieval and similarity, drawn by the seed.
        floor: whether the untrained encoder is measured too.

    Raises:
        InputError: no such probe or weights, videos that do not divide, missing labels, or no test performance of which
            two views can be read.
    """
    if probe not in ("linear", "knn"):
        raise InputError(f"method={probe!r} is unknown; choose linear or knn")
    encoders = [frozen_encoder(source, layer=features.layer)]
    if floor:
        encoders.append(frozen_encoder(source, layer=features.layer, untrained=True, seed=config.seed))
    rows = rows_of_all_views(data)
    train, test = (
        with_azimuths(videos, manifest_of_part(data, part), cameras)
        for part, videos in (("train", rows.train), ("test", rows.test))
    )
    results, unread, broken = {}, {}, {}
    for frozen in encoders:
        known, tested = (
            extract_features(frozen, part, data, features, device=device, progress=progress) for part in (train, test)
        )
        learn, told, unread = _readable(train, known), _readable(test, tested), broken_videos(test, tested)
        compared = _compared(told, num_groups, config.seed, unread)
        hits = hits_across_views(learn, told, config, probe=probe, unread=test[~tested.good], device=device)
        results[frozen.name] = _measured(hits, compared, learn.values.mean(dim=0))
        broken = {**broken_videos(train, known), **unread}
    seen, unknown = views_of_training(source, data)
    return RobustnessResult(
        run=str(source),
        manifest=data.manifest,
        split=data.split or data.test_manifest or f"{data.train_query} | {data.test_query}",
        views=tuple(str(view) for view in sorted(test["view"].unique())),
        views_of_training=tuple(seen),
        unknown_training=tuple(unknown),
        train_performances=int(train["group"].nunique()),
        test_performances=int(test["group"].nunique()),
        probe=probe,
        **chance_of(rows),
        **untrained_of(rows),
        encoders=results,
        num_broken=len(unread),
        broken=tuple(sorted(broken.items())),
    )


def _readable(rows: pd.DataFrame, features: Features) -> Seen:
    good = features.good
    return Seen(features.of_videos()[good], rows[good].reset_index(drop=True))


def _compared(test: Seen, num_groups: int, seed: int, unread: Mapping[str, str]) -> Seen:
    """The videos of the performances that are retrieved and compared, drawn by the seed.

    Raises:
        InputError: none of them has two views that can be read.
    """
    groups = np.random.default_rng(seed).permutation(np.sort(test.rows["group"].unique()))[:num_groups]
    some = test.part(test.rows["group"].isin(groups).to_numpy())
    if some.rows.groupby("group")["view"].nunique().max() < 2:
        views = some.rows["view"].unique()
        what = f"only view {views[0]} can be read" if len(views) == 1 else "none can be read in more than one view"
        first = next((f" (first broken: {path}: {reason})" for path, reason in unread.items()), "")
        raise InputError(f"of the {counted(len(groups), 'test performance')}, {what}; two are needed{first}")
    return some


def _measured(hits: pd.DataFrame, compared: Seen, mean: Tensor) -> EncoderRobustness:
    ranks = retrieve(compared, mean)
    return EncoderRobustness(
        accuracy=tuple(accuracy_cells(hits)),
        accuracy_by_angle=tuple(by_angle(hits, "hit")),
        retrieval={str(name): _in_gallery(part) for name, part in ranks.groupby("gallery", sort=False)},
        similarity=tuple(similarity(compared, mean)),
    )


def _in_gallery(ranks: pd.DataFrame) -> GalleryRetrieval:
    pairs = tuple(
        PairRetrieval(query_view=str(query), gallery_view=str(gallery), **vars(retrieval_of(part)))
        for (query, gallery), part in ranks.groupby(["query_view", "gallery_view"])
    )
    angles = tuple(by_angle(ranks.assign(first=ranks["rank"] == 1), "first"))
    return GalleryRetrieval(**vars(retrieval_of(ranks)), pairs=pairs, by_angle=angles)
