"""Does the second view count?

    python -m benchmarks.second_view ceiling --out runs/second-view

`ceiling`: what geometry allows, without training; some four minutes on a core. It writes JSON and Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.second_view.ceiling import CeilingConfig, ceiling
from benchmarks.second_view.report import ceiling_table, headroom_table
from mv2mae.files import write_json, write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print its tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    _ceiling_options(verbs.add_parser("ceiling", help="what geometry allows"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args.run(args)


def _ceiling_options(parser: argparse.ArgumentParser) -> None:
    usual = CeilingConfig()
    parser.set_defaults(run=_run_ceiling)
    parser.add_argument("--out", type=Path, required=True, help="folder to write ceiling.json and ceiling.md to")
    parser.add_argument("--performances", type=int, default=usual.performances)
    parser.add_argument("--size", type=int, default=usual.size, help="pixels")
    parser.add_argument("--num_frames", type=int, default=usual.num_frames)
    parser.add_argument("--tubelet_size", type=int, nargs=3, default=usual.tubelet_size, help="frames, rows, columns")
    parser.add_argument("--difficulty", default=usual.difficulty)
    parser.add_argument("--seed", type=int, default=usual.seed)


def _run_ceiling(args: argparse.Namespace) -> None:
    names = ("performances", "size", "num_frames", "difficulty", "seed")
    chosen = {name: getattr(args, name) for name in names}
    config = CeilingConfig(**chosen, tubelet_size=tuple(args.tubelet_size))
    rows = ceiling(config)
    text = f"{ceiling_table(rows)}\n\n{headroom_table(rows)}\n"
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "ceiling.json", {"config": asdict(config), "rows": rows})
    write_text(args.out / "ceiling.md", text)
    print(text)


if __name__ == "__main__":
    main()
