"""The verb that measures where the cross-attention looks: geometry."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, out_folder


def _options(parser: ArgumentParser) -> None:
    from mv2mae.config import GeometryConfig

    parser.add_argument("weights", type=str, help="pre-training run, weights file or name of packaged weights")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/geometry")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(GeometryConfig)


def _geometry(args: Any) -> None:
    from mv2mae.cli.reporting import write_pages
    from mv2mae.config import GeometryConfig
    from mv2mae.evaluate.evaluate import best_device
    from mv2mae.runs import CONFIG_NAME, make_writable
    from mv2mae.studies.geometry.figure import geometry_figure
    from mv2mae.studies.geometry.summary import geometry, print_geometry, write_geometry
    from mv2mae.weights import find_weights

    config = GeometryConfig(**{name: getattr(args, name) for name in GeometryConfig.__dataclass_fields__})
    find_weights(args.weights)  # or a folder would be made for results that cannot be
    out = out_folder(args, "geometry")
    make_writable(out)
    figures = geometry(args.weights, config, device=best_device(args.device))
    print_geometry(figures)
    print(f"  wrote {write_geometry(figures, out)}")
    geometry_figure(figures).savefig(out / "geometry.png", dpi=150)
    print(f"  wrote {out / 'geometry.png'}")
    if (out.resolve().parent / CONFIG_NAME).exists():
        write_pages(out.resolve().parent)


VERBS = {
    "geometry": Verb(
        "measure whether attention falls on the same part of the body",
        "mv2mae geometry runs/pretrain --performances 64 --cameras ntu",
        _options,
        _geometry,
    ),
}
