"""The study from beginning to end (`mv2mae robustness`); what it measured as one table and on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from mv2mae.config import FeatureConfig, ProbeConfig, VideosConfig
from mv2mae.evaluate.tables import number, print_table, print_untrained
from mv2mae.files import make_writable, write_csv, write_figure
from mv2mae.studies.features import UNTRAINED
from mv2mae.studies.probes.measure import print_broken
from mv2mae.studies.view_robustness.figure import robustness_figure
from mv2mae.studies.view_robustness.measure import view_robustness
from mv2mae.studies.view_robustness.metrics import ALL, OTHERS
from mv2mae.studies.view_robustness.results import (
    EncoderRobustness,
    GalleryRetrieval,
    PairRetrieval,
    RobustnessResult,
    Share,
)
from mv2mae.text import counted

MEASURES = {"recall_at_1": "recall@1", "map": "mAP"}
_VIEWS_ACROSS = 4
"""Columns of the table on the terminal."""


def long_table(result: RobustnessResult) -> pd.DataFrame:
    """All of it as one table: `encoder, measure, from_view, to_view, angle, value, low, high, num, chance`."""
    lines = [
        {"encoder": name, **line} for name, found in result.encoders.items() for line in _lines(found, result.chance)
    ]
    columns = ["encoder", "measure", "from_view", "to_view", "angle", "value", "low", "high", "num", "chance"]
    return pd.DataFrame(lines, columns=columns)


def _lines(found: EncoderRobustness, chance: float) -> list[dict[str, Any]]:
    lines = [
        {"measure": "top-1", "from_view": cell.train_view, "to_view": cell.test_view, **_share(cell, chance)}
        for cell in found.accuracy
    ]
    lines += [{"measure": "top-1", "angle": cell.angle, **_share(cell, chance)} for cell in found.accuracy_by_angle]
    for gallery, part in found.retrieval.items():
        cells: list[GalleryRetrieval | PairRetrieval] = [part, *part.pairs]
        lines += [line for cell in cells for line in _retrieval_lines(gallery, cell)]
        lines += [
            {"measure": f"recall@1, {gallery}", "angle": cell.angle, **_share(cell, part.chance_recall_at_1)}
            for cell in part.by_angle
        ]
    for alike in found.similarity:
        measure = f"cosine, {alike.relation}"
        lines.append({"measure": measure, "to_view": alike.view, "value": alike.cosine, "num": alike.num})
    return lines


def _retrieval_lines(gallery: str, cell: GalleryRetrieval | PairRetrieval) -> list[dict[str, Any]]:
    views = (cell.query_view, cell.gallery_view) if isinstance(cell, PairRetrieval) else (ALL, ALL)
    place = dict(zip(("from_view", "to_view"), views, strict=True))
    values = vars(cell)
    return [
        {
            "measure": f"{title}, {gallery}",
            **place,
            "value": values[name],
            **dict(zip(("low", "high"), values[f"{name}_interval"], strict=True)),
            "num": cell.num,
            "chance": values[f"chance_{name}"],
        }
        for name, title in MEASURES.items()
    ]


def _share(cell: Share, chance: float) -> dict[str, Any]:
    low, high = cell.interval
    return {"value": cell.value, "low": low, "high": high, "num": cell.num, "chance": chance}


def run_robustness(
    weights: str, data: VideosConfig, features: FeatureConfig, config: ProbeConfig, out: str | Path, **options: Any
) -> None:
    """Measure, print, and write `robustness.json`, `.csv` and `.png`.

    Args:
        options: those of `view_robustness`.

    Raises:
        InputError: as `view_robustness`.
    """
    out = Path(out)
    make_writable(out)
    result = view_robustness(weights, data, features, config, **options)
    print_robustness(result)
    for path in write_robustness(result, out):
        print(f"  wrote {path}")
    write_figure(out / "robustness.png", robustness_figure(result), dpi=150)
    print(f"  wrote {out / 'robustness.png'}")


def write_robustness(result: RobustnessResult, out: str | Path) -> list[Path]:
    """`robustness.json` and `robustness.csv` in a folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    result.write(out / "robustness.json")
    write_csv(out / "robustness.csv", long_table(result), float_format="%.6g")
    return [out / "robustness.json", out / "robustness.csv"]


def print_robustness(result: RobustnessResult) -> None:
    """On the terminal, the floor in brackets."""
    console = Console()
    _print_accuracy(console, result)
    seen, unknown = result.views_of_training, result.unknown_training
    said = f"{result.train_performances} training and {result.test_performances} test performances"
    trained = f"; the encoder was trained on view {', '.join(seen)}" if seen else ""
    console.print(f"  {said}; chance {result.chance:.3f}{trained}", soft_wrap=True)
    if unknown:
        what = "which other views" if seen else "which views"
        console.print(f"  {what} the encoder was trained on is not known: {'; '.join(unknown)}", soft_wrap=True)
    _print_measures(console, result)
    print_untrained(console, result.num_untrained, result.untrained)
    print_broken(console, result.broken)
    if result.num_broken:
        left_out = counted(result.num_broken, "test video")
        console.print(f"  retrieval and similarity leave out {left_out} that cannot be read", soft_wrap=True)


def _print_accuracy(console: Console, result: RobustnessResult) -> None:
    cells = _of_encoders(result, lambda found: {(c.train_view, c.test_view): c.value for c in found.accuracy})
    title = f"{result.run} on {result.manifest}: top-1 of the {result.probe} probe{_floor_of(result)}"
    trained = [view for view in dict.fromkeys(train for train, _ in cells) if view not in (ALL, OTHERS)]
    for first in range(0, len(result.views), _VIEWS_ACROSS):
        tested = result.views[first : first + _VIEWS_ACROSS]
        rows = [(train, *(_both(cells.get((train, test))) for test in tested)) for train in (*trained, ALL, OTHERS)]
        print_table(console, title, ("learnt from", *(f"tested on {view}" for view in tested)), [rows])


def _print_measures(console: Console, result: RobustnessResult) -> None:
    title = "the same performance in another view, and how alike features are"
    found, alike = [], []
    for gallery, part in result.first.retrieval.items():
        for name, measure in MEASURES.items():
            values = [getattr(each.retrieval[gallery], name) for each in result.encoders.values()]
            among = "all" if gallery == "all" else f"those of the {gallery}"
            row = f"{measure} among {among} ({part.mean_gallery:.0f})"
            found.append((row, _both(values), number(getattr(part, f"chance_{name}"))))
    cosines = _of_encoders(result, lambda each: {(c.relation, c.view): c.cosine for c in each.similarity})
    for cell in result.first.similarity:
        values = cosines[cell.relation, cell.view]
        alike.append((f"cosine: {cell.relation}, {cell.view}", _both(values, "+.3f"), ""))
    print_table(console, title, ("", "value" + _floor_of(result), "chance"), (found, alike))


def _floor_of(result: RobustnessResult) -> str:
    return " (untrained)" if UNTRAINED in result.encoders else ""


def _of_encoders(
    result: RobustnessResult, take: Callable[[EncoderRobustness], Mapping[Any, float]]
) -> dict[Any, list[float]]:
    """What `take` finds in what was measured of each encoder: the values of all encoders by key."""
    found: dict[Any, list[float]] = {}
    for encoder in result.encoders.values():
        for key, value in take(encoder).items():
            found.setdefault(key, []).append(value)
    return found


def _both(values: list[float] | None, form: str = ".3f") -> str:
    if not values:
        return "-"
    return f"{values[0]:{form}}" + (f" ({values[1]:{form}})" if len(values) > 1 else "")
