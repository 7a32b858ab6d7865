"""How soon does pre-training learn? Steps until the loss leaves the mean baseline, and what neighbours then tell.

    python benchmarks/learning_speed.py --out runs/learning [--data lab.csv] [--steps 400] [--only muon,adamw]

Every candidate changes one thing of the base, the recipe `sample-pretrain`. All see the same pairs in the same order.
"Ratio" is a held-out loss divided by that of predicting each tubelet's mean (1.0 = nothing learnt). A finished run is
not repeated, a stopped one goes on; the table is made from the runs' logs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from mv2mae.config import PretrainConfig
from mv2mae.files import write_text
from mv2mae.recipes import load_recipe
from mv2mae.runs import read_log
from mv2mae.train.pretrain import pretrain

Sections = dict[str, dict[str, Any]]

CANDIDATES: dict[str, Sections] = {
    "base (Muon 0.02, 3-D positions)": {},
    "the paper's settings (AdamW at 1e-3 x batch / 256, 1-D, temperature 60)": {
        "model": {"positions": "sinusoid-1d", "effective_tokens": None, "motion_temperature": 60.0},
        "optim": {"optimizer": "adamw", "lr": None, "base_lr": 1e-3},
    },
    "AdamW 2e-3": {"optim": {"optimizer": "adamw"}},
    "AdamW 6e-3": {"optim": {"optimizer": "adamw", "lr": 6e-3}},
    "Muon 0.01": {"optim": {"muon_lr": 0.01}},
    "Muon 0.04": {"optim": {"muon_lr": 0.04}},
    "1-D positions (the paper's)": {"model": {"positions": "sinusoid-1d"}},
    "tubelets 2x8x8": {"model": {"tubelet_size": [2, 8, 8]}},
    "tubelets 4x16x16": {"model": {"tubelet_size": [4, 16, 16]}},
    "decoders 128 wide": {"model": {"decoder_width": 128, "decoder_heads": 4}},
    "uniform weights": {"model": {"effective_tokens": None}},
    "weights worth 50 %": {"model": {"effective_tokens": 0.5}},
    "90 % masked": {"model": {"mask_ratio": 0.9}},
    "gradient clipped at 1": {"optim": {"clip_grad_norm": 1.0}},
    "4 repeats of a decoding": {"data": {"num_repeats": 4}},
    "bfloat16": {"compute": {"precision": "bf16-mixed"}},
}
"""What is tried: name -> what it changes."""
_LEFT = (0.95, 0.8)
"""Ratios whose first undercutting is reported."""
_TOLD = 0.2
"""Accuracy of the online probe whose first reaching is reported."""


def folder_of(out: Path, name: str) -> Path:
    """A candidate's run."""
    return out / "".join(c if c.isalnum() else "-" for c in name.lower())


def run_of(name: str, args: argparse.Namespace) -> Path:
    """Train a candidate, or what is left of it."""
    changes = CANDIDATES[name]
    data = {"manifest": args.data, "split": args.split, "train_query": args.train_query} if args.data else {}
    config = load_recipe(
        "sample-pretrain",
        PretrainConfig,
        seed=args.seed,
        model={"decoded_share": 1.0, **changes.get("model", {})},  # as the table was made
        data={**data, **changes.get("data", {})},
        optim={"steps": args.steps, **changes.get("optim", {})},
        compute={"num_threads": args.threads, **changes.get("compute", {})},
        log={"check_every": 20, "save_every": 100, "probe_every": 100, "held_out_pairs": 64},
    )
    return pretrain(config, folder_of(args.out, name))


def row_of(name: str, run: Path) -> dict[str, Any]:
    """What a candidate's log says."""
    log = read_log(run)
    looks = log.dropna(subset=["held_out/loss"])
    ratio = looks["held_out/cross_target"] / looks["held_out/baseline_target"]
    told = log["probe/knn_top1"].dropna()
    first = {f"steps to {limit}": ratio.index[ratio < limit].min() for limit in _LEFT}
    first[f"to kNN {_TOLD}"] = told.index[told >= _TOLD].min()
    return {
        "candidate": name,
        **{key: "-" if pd.isna(step) else int(step) for key, step in first.items()},
        "ratio at the end": round(float(ratio.iloc[-1]), 3),
        "source gain": round(float(looks["held_out/source_gain"].iloc[-1]), 4),
        "kNN top-1": round(float(told.iloc[-1]), 3),
        "clips/s": round(float(log["speed/clips_per_s"].median()), 1),
    }


def main() -> None:
    """Train, then print the table and write it beside the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data", default="", help="manifest instead of the recipe's sample set")
    parser.add_argument("--split", default="", help="its split")
    parser.add_argument("--train_query", default="", help="or a query for its training videos")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="candidates whose name contains one of these words")
    args = parser.parse_args()
    words = [word.lower() for word in args.only.split(",")]
    names = [name for name in CANDIDATES if any(word in name.lower() for word in words)]
    rows = []
    for name in names:
        print(name, flush=True)
        rows.append(row_of(name, run_of(name, args)))
        table = pd.DataFrame(rows).to_string(index=False)
        write_text(args.out / "table.txt", table + "\n")
    print(table)


if __name__ == "__main__":
    main()
