"""The verb that takes a model out: export."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, out_folder

_PART = (
    "of onnx and torch: encoder, classifier (of one view) or fused (of several); by default the classifier, or the "
    "encoder of what is none"
)


def _options(parser: ArgumentParser) -> None:
    from mv2mae.interop.export import FORMATS

    parser.add_argument("weights", type=str, help="run, weights file, name of packaged weights, or hf:OWNER/NAME")
    parser.add_argument("--format", type=str, required=True, help=", ".join(FORMATS))
    parser.add_argument("--part", type=str, default="", help=_PART)
    parser.add_argument("--half", type=bool, default=False, help="of onnx and torch: compute in float16")
    parser.add_argument("--push", type=str, default="", help="of hub: OWNER/NAME there, where the folder goes")
    parser.add_argument("--private", type=bool, default=True, help="whether a repository made by --push is private")
    parser.add_argument("--out", type=str, default="", help="folder to write; by default RUN/FORMAT")


def _export(args: Any) -> None:
    from mv2mae.interop.export import export

    out = out_folder(args, args.format)
    options = {name: getattr(args, name) for name in ("part", "half", "push", "private")}
    for note in export(args.weights, out, kind=args.format, **options):
        print(f"  {note}")
    print(f"  wrote {', '.join(sorted(file.name for file in out.iterdir() if file.is_file()))} to {out}")


VERBS = {
    "export": Verb(
        "write a model for other software",
        "mv2mae export runs/finetune --format transformers",
        _options,
        _export,
    ),
}
