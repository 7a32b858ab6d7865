"""The verb that takes a model out: export."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from mv2mae.cli.verb import Verb, out_folder
from mv2mae.errors import InputError

FORMATS = ("transformers",)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="run, weights file, name of packaged weights, or hf:OWNER/NAME")
    parser.add_argument("--format", type=str, required=True, help=", ".join(FORMATS))
    parser.add_argument("--out", type=str, default="", help="folder to write; by default RUN/FORMAT")


def _export(args: Any) -> None:
    from mv2mae.interop.transformers import write_transformers
    from mv2mae.weights import read_weights

    if args.format not in FORMATS:
        raise InputError(f"format={args.format!r} is unknown; choose {' or '.join(FORMATS)}")
    stored, out = read_weights(args.weights), out_folder(args, args.format)
    for note in write_transformers(stored, out):
        print(f"  {note}")
    print(f"  wrote {stored.kind} to {out}")


VERBS = {
    "export": Verb(
        "write a model for other software",
        "mv2mae export runs/finetune --format transformers",
        _options,
        _export,
    ),
}
