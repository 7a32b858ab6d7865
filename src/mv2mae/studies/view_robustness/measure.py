"""What a camera that moves does to a frozen encoder's features: `mv2mae robustness`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from torch import Tensor

from mv2mae.config import DataConfig, FeatureConfig, ProbeConfig
from mv2mae.data.datamodule import manifest_of_part, rows_of_part
from mv2mae.data.manifest import read_manifest
from mv2mae.errors import InputError
from mv2mae.evaluate.metrics import Figures
from mv2mae.evaluate.tables import number, print_table, print_untrained
from mv2mae.runs import write_json
from mv2mae.studies.features import UNTRAINED, Features, extract_features, frozen_encoder
from mv2mae.studies.probes.measure import (
    LabelledRows,
    broken_videos,
    chance_of,
    check_divided,
    labelled,
    print_broken,
    untrained_of,
)
from mv2mae.studies.view_robustness.metrics import (
    ALL,
    OTHERS,
    Seen,
    accuracy_cells,
    by_angle,
    hits_across_views,
    retrieval_figures,
    retrieve,
    similarity,
)
from mv2mae.studies.view_robustness.trained_views import manifest_file, views_of_training
from mv2mae.synthetic.world.cameras import read_cameras
from mv2mae.wording import counted

MEASURES = {"recall_at_1": "recall@1", "map": "mAP"}
_VIEWS_ACROSS = 4
"""Columns of the table on the terminal."""


def rows_of_all_views(data: DataConfig) -> LabelledRows:
    """Training and test performances, each with all of its views.

    A split (or two queries) says which performances are for training; the test ones are those of its test part
    that are not. The views that the split names are not heeded: they are what is measured.

    Raises:
        InputError: nothing divides the videos, both parts have the same performances, labels are missing, or there
            is one view only.
    """
    check_divided(data, "performances the probe learns from and which it is tested on")
    known, asked = (set(rows_of_part(data, part)["group"]) for part in ("train", "test"))
    if not data.test_manifest:
        asked -= known
    if not asked:
        raise InputError(
            f"{data.split or 'the queries'}: every test performance is a training one too, seen by another camera; "
            "give a split by people, such as synthetic/xsub or ntu60/xsub"
        )
    train, test = _of_groups(data, "train", known), _of_groups(data, "test", asked)
    both = train.merge(test, on=["path", "start", "end"])
    if len(both):
        raise InputError(f"{len(both)} videos are both for training and for testing (first: {both['path'][0]})")
    manifest = manifest_of_part(data, "test")
    if test["view"].nunique() < 2:
        raise InputError(f"{manifest}: the test performances have one view only, {test['view'][0]}; two are asked")
    return labelled(train, test, data)


def _of_groups(data: DataConfig, part: str, groups: Collection[str]) -> pd.DataFrame:
    frame = read_manifest(manifest_of_part(data, part))
    return frame[frame["group"].isin(groups)].reset_index(drop=True)


def with_azimuths(rows: pd.DataFrame, manifest: str, cameras: str = "") -> pd.DataFrame:
    """Adds where each video's camera stands, from the cameras.json of a synthetic set; NaN where there is none.

    Raises:
        InputError: the file that was given is not there, or holds something else.
    """
    beside = manifest_file(manifest).with_name("cameras.json")
    file = Path(cameras) if cameras else beside
    if not cameras and not file.exists():
        return rows.assign(azimuth=np.nan)
    known = {(setup, view): camera.azimuth for setup, rig in read_cameras(file).items() for view, camera in rig.items()}
    keys = zip(rows["setup"], rows["view"], strict=True)
    return rows.assign(azimuth=[known.get(key, np.nan) for key in keys])


def view_robustness(
    source: str | Path,
    data: DataConfig,
    features: FeatureConfig,
    config: ProbeConfig,
    *,
    probe: str = "linear",
    cameras: str = "",
    num_groups: int = 1000,
    floor: bool = True,
    device: str = "cpu",
    progress: bool = True,
) -> Figures:
    """Measure an encoder and, as the floor, the same encoder untrained.

    Args:
        source: pre-training or fine-tuning run, weights file or packaged weights.
        data: manifest and division into training and test performances; all views of both are used.
        features: which features, on clip level.
        config: of the probe.
        probe: `linear` or `knn`.
        cameras: cameras.json, if it does not lie beside the manifest.
        num_groups: most test performances for retrieval and similarity, drawn by the seed.
        floor: whether the untrained encoder is measured too.

    Returns:
        what goes to `robustness.json`; by encoder `accuracy` (for each training and test view), `accuracy_by_angle`,
        `retrieval` (by gallery: over all pairs of views, each pair, by angle) and `similarity`. The `num_broken` test
        videos that cannot be read are errors in accuracy; retrieval and similarity leave them out.

    Raises:
        InputError: no such probe or weights, videos that do not divide, missing labels, or no test performance of which
            two views can be read.
    """
    if probe not in ("linear", "knn"):
        raise InputError(f"method={probe!r} is unknown; choose linear or knn")
    encoders = [frozen_encoder(source, layer=features.layer)]
    if floor:
        encoders.append(frozen_encoder(source, layer=features.layer, untrained=True, seed=config.seed))
    rows = rows_of_all_views(data)
    train, test = (
        with_azimuths(videos, manifest_of_part(data, part), cameras)
        for part, videos in (("train", rows.train), ("test", rows.test))
    )
    results, unread, broken = {}, {}, {}
    for frozen in encoders:
        known, asked = (extract_features(frozen, part, data, features, device=device, progress=progress)
                        for part in (train, test))  # fmt: skip
        learn, told, unread = _readable(train, known), _readable(test, asked), broken_videos(test, asked)
        compared = _compared(told, num_groups, config.seed, unread)
        hits = hits_across_views(learn, told, config, probe=probe, unread=test[~asked.good], device=device)
        results[frozen.name] = _measured(hits, compared, learn.values.mean(dim=0))
        broken = {**broken_videos(train, known), **unread}
    seen, unknown = views_of_training(source, data)
    return {
        "run": str(source),
        "manifest": data.manifest,
        "split": data.split or data.test_manifest or f"{data.train_query} | {data.test_query}",
        "views": [str(view) for view in sorted(test["view"].unique())],
        "views_of_training": seen,
        "unknown_training": unknown,
        "train_performances": int(train["group"].nunique()),
        "test_performances": int(test["group"].nunique()),
        "probe": probe,
        **chance_of(rows),
        **untrained_of(rows),
        "encoders": results,
        "num_broken": len(unread),
        "broken": sorted(broken.items()),
    }


def _readable(rows: pd.DataFrame, features: Features) -> Seen:
    good = features.good
    return Seen(features.of_videos()[good], rows[good].reset_index(drop=True))


def _compared(test: Seen, num_groups: int, seed: int, unread: Mapping[str, str]) -> Seen:
    """The videos of the performances that are retrieved and compared, drawn by the seed.

    Raises:
        InputError: none of them has two views that can be read.
    """
    groups = np.random.default_rng(seed).permutation(np.sort(test.rows["group"].unique()))[:num_groups]
    some = test.part(test.rows["group"].isin(groups).to_numpy())
    if some.rows.groupby("group")["view"].nunique().max() < 2:
        views = some.rows["view"].unique()
        what = f"only view {views[0]} can be read" if len(views) == 1 else "none can be read in more than one view"
        first = next((f" (first broken: {path}: {reason})" for path, reason in unread.items()), "")
        raise InputError(f"of the {counted(len(groups), 'test performance')}, {what}; two are asked{first}")
    return some


def _measured(hits: pd.DataFrame, compared: Seen, mean: Tensor) -> Figures:
    ranks = retrieve(compared, mean)
    return {
        "accuracy": [{**cell, "train_view": str(cell["train_view"]), "test_view": str(cell["test_view"])}
                     for cell in accuracy_cells(hits)],
        "accuracy_by_angle": by_angle(hits, "hit"),
        "retrieval": {name: _retrieval(part) for name, part in ranks.groupby("gallery", sort=False)},
        "similarity": similarity(compared, mean),
    }  # fmt: skip


def _retrieval(ranks: pd.DataFrame) -> Figures:
    pairs = [{"query_view": str(query), "gallery_view": str(gallery), **retrieval_figures(part)}
             for (query, gallery), part in ranks.groupby(["query_view", "gallery_view"])]  # fmt: skip
    first = ranks.assign(first=ranks["rank"] == 1)
    return {**retrieval_figures(ranks), "pairs": pairs, "by_angle": by_angle(first, "first")}


def long_table(figures: Figures) -> pd.DataFrame:
    """All figures as one table: `encoder, measure, from_view, to_view, angle, value, low, high, num, chance`."""
    lines = []
    for encoder, found in figures["encoders"].items():
        for cell in found["accuracy"]:
            place = {"from_view": cell["train_view"], "to_view": cell["test_view"]}
            lines.append({"encoder": encoder, "measure": "top-1", **place, **_line(cell, figures["chance"])})
        for cell in found["accuracy_by_angle"]:
            lines.append({"encoder": encoder, "measure": "top-1", "angle": cell["angle"],
                          **_line(cell, figures["chance"])})  # fmt: skip
        for gallery, part in found["retrieval"].items():
            for cell in (part, *part["pairs"]):
                place = {"from_view": cell.get("query_view", ALL), "to_view": cell.get("gallery_view", ALL)}
                for name, title in MEASURES.items():
                    low, high = cell[f"{name}_interval"]
                    lines.append({"encoder": encoder, "measure": f"{title}, {gallery}", **place, "value": cell[name],
                                  "low": low, "high": high, "num": cell["num"],
                                  "chance": cell[f"chance_{name}"]})  # fmt: skip
            for cell in part["by_angle"]:
                lines.append({"encoder": encoder, "measure": f"recall@1, {gallery}", "angle": cell["angle"],
                              **_line(cell, part["chance_recall_at_1"])})  # fmt: skip
        for cell in found["similarity"]:
            lines.append({"encoder": encoder, "measure": f"cosine, {cell['relation']}", "to_view": cell["view"],
                          "value": cell["cosine"], "num": cell["num"]})  # fmt: skip
    columns = ["encoder", "measure", "from_view", "to_view", "angle", "value", "low", "high", "num", "chance"]
    return pd.DataFrame(lines, columns=columns)


def _line(cell: Figures, chance: float) -> Figures:
    low, high = cell["interval"]
    return {"value": cell["value"], "low": low, "high": high, "num": cell["num"], "chance": chance}


def write_robustness(figures: Figures, out: str | Path) -> list[Path]:
    """`robustness.json` and `robustness.csv` in a folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "robustness.json", figures)
    long_table(figures).to_csv(out / "robustness.csv", index=False, float_format="%.6g")
    return [out / "robustness.json", out / "robustness.csv"]


def print_robustness(figures: Figures) -> None:
    """The figures on the terminal, the floor in brackets."""
    console = Console()
    _print_accuracy(console, figures)
    seen, unknown = figures["views_of_training"], figures["unknown_training"]
    said = f"{figures['train_performances']} training and {figures['test_performances']} test performances"
    trained = f"; the encoder was trained on view {', '.join(seen)}" if seen else ""
    console.print(f"  {said}; chance {figures['chance']:.3f}{trained}", soft_wrap=True)
    if unknown:
        what = "which other views" if seen else "which views"
        console.print(f"  {what} the encoder was trained on is not known: {'; '.join(unknown)}", soft_wrap=True)
    _print_measures(console, figures)
    print_untrained(console, figures["num_untrained"], figures["untrained"])
    print_broken(console, figures["broken"])
    if figures["num_broken"]:
        left_out = counted(figures["num_broken"], "test video")
        console.print(f"  retrieval and similarity leave out {left_out} that cannot be read", soft_wrap=True)


def _print_accuracy(console: Console, figures: Figures) -> None:
    cells = _of_encoders(figures, lambda found: {(c["train_view"], c["test_view"]): c["value"]
                                                 for c in found["accuracy"]})  # fmt: skip
    title = f"{figures['run']} on {figures['manifest']}: top-1 of the {figures['probe']} probe{_floor_of(figures)}"
    trained = [view for view in dict.fromkeys(train for train, _ in cells) if view not in (ALL, OTHERS)]
    for first in range(0, len(figures["views"]), _VIEWS_ACROSS):
        tested = figures["views"][first : first + _VIEWS_ACROSS]
        rows = [(train, *(_both(cells.get((train, test))) for test in tested)) for train in (*trained, ALL, OTHERS)]
        print_table(console, title, ("learnt from", *(f"tested on {view}" for view in tested)), [rows])


def _print_measures(console: Console, figures: Figures) -> None:
    title = "the same performance in another view, and how alike features are"
    first = next(iter(figures["encoders"].values()))
    found, alike = [], []
    for gallery, part in first["retrieval"].items():
        for name, measure in MEASURES.items():
            values = [each["retrieval"][gallery][name] for each in figures["encoders"].values()]
            among = "all" if gallery == "all" else f"those of the {gallery}"
            row = f"{measure} among {among} ({part['mean_gallery']:.0f})"
            found.append((row, _both(values), number(part[f"chance_{name}"])))
    cosines = _of_encoders(figures, lambda each: {(c["relation"], c["view"]): c["cosine"] for c in each["similarity"]})
    for cell in first["similarity"]:
        values = cosines[cell["relation"], cell["view"]]
        alike.append((f"cosine: {cell['relation']}, {cell['view']}", _both(values, "+.3f"), ""))
    print_table(console, title, ("", "value" + _floor_of(figures), "chance"), (found, alike))


def _floor_of(figures: Figures) -> str:
    return " (untrained)" if UNTRAINED in figures["encoders"] else ""


def _of_encoders(figures: Figures, take: Callable[[Figures], Mapping[Any, float]]) -> dict[Any, list[float]]:
    """What `take` finds in each encoder's figures: the values of all encoders by key."""
    found: dict[Any, list[float]] = {}
    for encoder in figures["encoders"].values():
        for key, value in take(encoder).items():
            found.setdefault(key, []).append(value)
    return found


def _both(values: list[float] | None, form: str = ".3f") -> str:
    if not values:
        return "-"
    return f"{values[0]:{form}}" + (f" ({values[1]:{form}})" if len(values) > 1 else "")
