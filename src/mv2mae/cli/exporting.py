"""The verb that takes a model out: export."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, out_folder
from mv2mae.errors import InputError

FORMATS = ("transformers", "onnx", "torch")
_PART = (
    "of onnx and torch: encoder, classifier (of one view) or fused (of several); by default the classifier, or the "
    "encoder of what is none"
)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="run, weights file, name of packaged weights, or hf:OWNER/NAME")
    parser.add_argument("--format", type=str, required=True, help=", ".join(FORMATS))
    parser.add_argument("--part", type=str, default="", help=_PART)
    parser.add_argument("--half", type=bool, default=False, help="of onnx and torch: compute in float16")
    parser.add_argument("--out", type=str, default="", help="folder to write; by default RUN/FORMAT")


def _export(args: Any) -> None:
    from mv2mae.interop.exported import write_exported
    from mv2mae.interop.transformers import write_transformers
    from mv2mae.weights import read_weights

    if args.format not in FORMATS:
        raise InputError(f"format={args.format!r} is unknown; choose {' or '.join(FORMATS)}")
    stored, out = read_weights(args.weights), out_folder(args, args.format)
    if args.format == "transformers":
        if args.part or args.half:
            raise InputError("--part and --half go with --format onnx or torch; transformers takes the whole model")
        notes = write_transformers(stored, out)
    else:
        notes = write_exported(stored, out, kind=args.format, part=args.part, half=args.half)
    for note in notes:
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
