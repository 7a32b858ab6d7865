"""The part of a report about probes of frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mv2mae.evaluate.score_figures import accuracy_row
from mv2mae.evaluate.tables import span
from mv2mae.visualize.charts import accuracy_figure
from mv2mae.visualize.report import ReportFigure, Section, Table
from mv2mae.wording import counted

_MOST_LINES = 3


def probe_section(name: str, figures: Mapping[str, Any]) -> Section:
    """What frozen features are worth, against the same encoder untrained.

    Args:
        name: of the folder.
        figures: as probe.json holds them.
    """
    rows, bars = [], []
    for encoder, probes in figures["encoders"].items():
        for kind, found in probes.items():
            fused = found.get("fused_top1", "-")
            rows.append([encoder, kind, found["top1"], span(found["top1_interval"]), found["mean_class"], fused])
            bars.append(accuracy_row(kind, found, encoder))
    table = Table(
        header=["encoder", "probe", "top-1", "95 % interval", "mean class", "fused"],
        rows=rows,
        caption=f"{counted(figures['num_train'], 'training video')}, {counted(figures['num_test'], 'test video')} of "
        f"{figures['manifest']} ({figures['split']}). The encoder is frozen; only the probe learns. Chance is "
        f"{figures['chance']:.3f}, always the most frequent class {figures['most_frequent_class']:.3f}.",
    )
    order = list(dict.fromkeys(bar.name for bar in bars))  # in advance: a list is empty while it is sorted
    bars.sort(key=lambda bar: order.index(bar.name))
    picture = ReportFigure(
        figure=accuracy_figure(bars, chance=figures["chance"]),
        caption="Good is a trained encoder well above the untrained one, beyond both whiskers: what the untrained one "
        "reaches comes from the pixels alone.",
        alt=f"{name}: accuracy of the probes",
    )
    notes = [f"{kind} left out: {reason}" for kind, reason in figures.get("left_out", {}).items()]
    notes += [f"{path} cannot be read: {reason}" for path, reason in figures.get("broken", [])[:_MOST_LINES]]
    return Section(title=f"Probes {name}", tables=[table], figures=[picture], notes=notes)
