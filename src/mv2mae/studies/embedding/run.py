"""From weights and a manifest to the map of its clips."""

from __future__ import annotations

from pathlib import Path

from mv2mae.config import FeatureConfig, PictureConfig, VideosConfig
from mv2mae.data.labels import class_names
from mv2mae.errors import InputError
from mv2mae.studies.embedding.figure import check_package, embedding_figure
from mv2mae.studies.features import extract_features, frozen_encoder
from mv2mae.visualize.inputs import manifest_rows, some_groups
from mv2mae.visualize.outputs import write_picture
from mv2mae.visualize.pictures import load_subject
from mv2mae.visualize.visualize import clip_rate


def map_of_clips(
    weights: str, manifest: str, out: str | Path, config: PictureConfig, *, query: str = "", max_groups: int = 400
) -> Path:
    """Write `embedding.png` (or .svg; it cannot move). Features are kept below the cache, as those of the probes are.

    Args:
        query: picks among the manifest's videos.
        max_groups: most performances in the map, drawn by the seed.

    Raises:
        InputError: no manifest, no such weights, a method whose package is not installed, too few clips.
    """
    if not manifest:
        raise InputError("embedding: a map wants many clips; give a manifest (--data MANIFEST, or --data sample)")
    check_package(config.method)
    rows = some_groups(manifest_rows(manifest, query), max_groups, seed=config.seed)
    stride, fps = clip_rate(load_subject(weights).about, config.frame_stride)
    data = VideosConfig(manifest=manifest, frame_stride=stride, fps=fps)
    features = extract_features(frozen_encoder(weights), rows, data, FeatureConfig())
    labels = sorted(rows["label"].dropna().astype(int).unique())
    classes = dict(zip(labels, class_names(manifest, labels), strict=True))
    good = features.good
    figure = embedding_figure(
        features.of_videos()[good].numpy(), rows[good], classes=classes, method=config.method, seed=config.seed
    )
    return write_picture(figure, Path(out) / f"embedding.{config.format}")
