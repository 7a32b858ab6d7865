"""A test from beginning to end: score or read scores, print, draw, compare with another test. `mv2mae evaluate`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mv2mae.config import EvalConfig, VideosConfig
from mv2mae.errors import InputError
from mv2mae.evaluate.compare import compare, print_comparison
from mv2mae.evaluate.evaluate import RESULTS_NAME, Fusion, evaluate, fused_beside, print_result, result_from
from mv2mae.evaluate.scores import CROPS_NAME, FUSED_NAME, SCORES_NAME, find_scores, read_scores
from mv2mae.files import write_json

COMPARISON_NAME = "comparison.json"


def run_test(
    run: str,
    data: VideosConfig,
    test: EvalConfig,
    *,
    scores: str = "",
    out: str = "",
    against: str = "",
    fusion: Fusion = "late",
    pictures: bool = True,
    device: str = "cpu",
) -> Path:
    """Test a run, or make the figures of an earlier test again; returns the folder of the results.

    Args:
        run: a fine-tuning run, or its weights file.
        scores: instead of a run: the folder or `scores.parquet` of an earlier test.
        out: folder; by default `evaluation` in the run, or where the scores are.
        against: another run that was tested, or its scores.
        fusion: of views: the mean of their scores, or attention that is learned.
        pictures: whether confusion, reliability and views are drawn.

    Raises:
        InputError: both a run and scores, or neither; whatever `evaluate` and `compare` refuse.
    """
    if bool(run) == bool(scores):
        raise InputError("give either a run to test, or --scores of an earlier test")
    # what is missing is told before the work, which may write over it
    other = (read_scores(against), fused_beside(find_scores(against))) if against else None
    if scores:
        file = find_scores(scores)
        folder = Path(out) if out else file.parent
        result = result_from(file)
        result.write(folder / RESULTS_NAME)
    else:
        where = Path(run)
        folder = Path(out) if out else (where if where.is_dir() else where.parent) / "evaluation"
        file = folder / SCORES_NAME
        result = evaluate(where, data, test, folder, device=device, fusion=fusion)
    print_result(result, f"{result.run or file} on {result.split or data.manifest}")
    names = (RESULTS_NAME,) if scores else (RESULTS_NAME, SCORES_NAME, CROPS_NAME, FUSED_NAME)
    written = [folder / name for name in names if (folder / name).exists()]
    if pictures:
        from mv2mae.evaluate.score_figures import write_score_figures  # matplotlib is slow to load

        written += write_score_figures(result, folder)
    if other is not None:
        written.append(_compare(file, other, names=(run or scores, against), out=folder))
    print(f"  wrote {', '.join(path.name for path in written)} into {folder}")
    return folder


Scored = tuple[pd.DataFrame, pd.DataFrame | None]
"""A table of scores, and that of views fused by attention where there is one."""


def _compare(file: Path, other: Scored, *, names: tuple[str, str], out: Path) -> Path:
    found = compare(read_scores(file), other[0], fused_a=fused_beside(file), fused_b=other[1])
    print_comparison(found, *names)
    pairs = {name: row.to_json() for name, row in found.items()}
    write_json(out / COMPARISON_NAME, {"a": str(file), "b": str(find_scores(names[1])), **pairs})
    return out / COMPARISON_NAME
