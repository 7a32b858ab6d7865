"""The verbs that ask a trained model something: extract, probe, robustness, geometry, second-view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, config_from, out_folder
from mv2mae.config import FeatureConfig, GeometryConfig, PairConfig, ProbeConfig, SecondViewConfig, VideosConfig


def _options(parser: ArgumentParser, folder: str, run: str = "pre-training or fine-tuning run") -> None:
    """The weights, where results go, and the device."""
    parser.add_argument("weights", type=str, help=f"{run}, weights file or name of packaged weights")
    if folder:
        parser.add_argument("--out", type=str, default="", help=f"folder for the results; by default RUN/{folder}")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")


def _feature_options(parser: ArgumentParser, *, level: bool = False) -> None:
    """Which videos, which clips, and which features of them."""
    parser.add_class_arguments(VideosConfig, "data", skip={"cache", "cache_size"})
    parser.add_class_arguments(FeatureConfig, skip=set() if level else {"level"})


def _extract_options(parser: ArgumentParser) -> None:
    _options(parser, "")
    _feature_options(parser, level=True)
    parser.add_argument("--out", type=str, required=True, help="file to write, .parquet or .safetensors")
    parser.add_argument("--fused", type=bool, default=False, help="write the mean over the views of a group")
    parser.add_argument("--part", type=str, default="all", help="all videos, or the part train or test of a split")
    parser.add_argument("--untrained", type=bool, default=False, help="of the same encoder with first weights")


def _extract(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.studies.extract import extract, rows_to_extract
    from mv2mae.studies.features import frozen_encoder

    data, rows = args.data, rows_to_extract(args.data, args.part)
    features = config_from(args, FeatureConfig)
    frozen = frozen_encoder(args.weights, layer=features.layer, untrained=args.untrained)
    done = extract(frozen, rows, data, features, Path(args.out), fused=args.fused, device=best_device(args.device))
    print(f"  wrote {done.out}: {done.num_rows:,} features")
    if done.report:
        print(f"  {len(done.broken)} broken videos left out, listed in {done.report}")


def _probe_options(parser: ArgumentParser) -> None:
    _options(parser, "probe")
    _feature_options(parser)
    parser.add_argument("--floor", type=bool, default=True, help="probe the untrained encoder too")
    parser.add_class_arguments(ProbeConfig, "probe")


def _probe(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.reports.write import write_pages
    from mv2mae.studies.probes.measure import print_probes, probe

    out = out_folder(args, "probe")
    features, device = config_from(args, FeatureConfig), best_device(args.device)
    figures = probe(args.weights, args.data, features, args.probe, out, floor=args.floor, device=device)
    print_probes(figures)
    print(f"  wrote {out / 'probe.json'} and {out / 'predictions.parquet'}")
    write_pages(out)


def _robustness_options(parser: ArgumentParser) -> None:
    _options(parser, "robustness")
    _feature_options(parser)
    parser.add_argument("--method", type=str, default="linear", help="probe that tells actions: linear or knn")
    parser.add_argument("--cameras", type=str, default="", help="cameras.json, if it does not lie beside the manifest")
    parser.add_argument("--num_groups", type=int, default=1000, help="most test performances to retrieve and compare")
    parser.add_argument("--floor", type=bool, default=True, help="measure the untrained encoder too")
    parser.add_class_arguments(ProbeConfig, "probe", skip={"probes"})


def _robustness(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.studies.view_robustness.tables import run_robustness

    out, features, device = out_folder(args, "robustness"), config_from(args, FeatureConfig), best_device(args.device)
    options = {"cameras": args.cameras, "num_groups": args.num_groups, "floor": args.floor}
    run_robustness(args.weights, args.data, features, args.probe, out, probe=args.method, device=device, **options)


def _geometry_options(parser: ArgumentParser) -> None:
    _options(parser, "geometry", "pre-training run")
    parser.add_class_arguments(GeometryConfig)


def _geometry(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.reports.write import write_pages
    from mv2mae.studies.geometry.summary import run_geometry

    out = out_folder(args, "geometry")
    run_geometry(args.weights, config_from(args, GeometryConfig), out, device=best_device(args.device))
    write_pages(out)


def _second_view_options(parser: ArgumentParser) -> None:
    _options(parser, "second_view", "pre-training run")
    of_videos = set(VideosConfig.__dataclass_fields__) - {"cache", "cache_size"}
    parser.add_class_arguments(PairConfig, "data", skip=set(PairConfig.__dataclass_fields__) - of_videos - {"cameras"})
    parser.add_class_arguments(SecondViewConfig)


def _second_view(args: Any) -> None:
    from mv2mae.devices import best_device
    from mv2mae.reports.write import write_pages
    from mv2mae.studies.second_view.run import run_second_view

    out, config = out_folder(args, "second_view"), config_from(args, SecondViewConfig)
    run_second_view(args.weights, args.data, config, out, device=best_device(args.device))
    write_pages(out)


VERBS = {
    "extract": Verb(
        "write the features of a frozen encoder to a file",
        "mv2mae extract runs/pretrain --data manifest.parquet --out features.parquet --level clip",
        _extract_options,
        _extract,
        goes_on=True,
        takes_settings=True,
    ),
    "probe": Verb(
        "tell actions apart by frozen features, with three small probes",
        "mv2mae probe runs/pretrain --data manifest.parquet --data.split synthetic/xsub-xview",
        _probe_options,
        _probe,
        takes_settings=True,
    ),
    "robustness": Verb(
        "measure how far features depend on the camera",
        "mv2mae robustness runs/pretrain --data manifest.parquet --data.split synthetic/xsub",
        _robustness_options,
        _robustness,
        takes_settings=True,
    ),
    "geometry": Verb(
        "measure whether attention falls on the same part of the body",
        "mv2mae geometry runs/pretrain --performances 64 --cameras ntu",
        _geometry_options,
        _geometry,
    ),
    "second-view": Verb(
        "measure what a source view is worth, by angle",
        "mv2mae second-view runs/pretrain --performances 64 --angles [10,20,45]",
        _second_view_options,
        _second_view,
        takes_settings=True,
    ),
}
