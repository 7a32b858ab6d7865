"""The part of a report about probes of frozen features."""

from __future__ import annotations

from mv2mae.evaluate.tables import span
from mv2mae.studies.probes.results import ProbeResult
from mv2mae.text import counted
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure
from mv2mae.visualize.report import Cell, ReportFigure, Section, Table

_MOST_LINES = 3


def probe_section(name: str, result: ProbeResult) -> Section:
    """What frozen features are worth, against the same encoder untrained.

    Args:
        name: of the folder.
        result: what was measured.
    """
    rows: list[list[Cell]] = []
    bars = []
    for encoder, probes in result.encoders.items():
        for kind, found in probes.items():
            fused = "-" if found.fused_top1 is None else found.fused_top1
            rows.append([encoder, kind, found.top1, span(found.top1_interval), found.mean_class, fused])
            bars.append(AccuracyRow(kind, found.top1, *found.top1_interval, found.num, encoder))
    table = Table(
        header=["encoder", "probe", "top-1", "95 % interval", "mean class", "fused"],
        rows=rows,
        caption=f"{counted(result.num_train, 'training video')}, {counted(result.num_test, 'test video')} of "
        f"{result.manifest} ({result.split}). The encoder is frozen; only the probe learns. Chance is "
        f"{result.chance:.3f}, always the most frequent class {result.most_frequent_class:.3f}.",
    )
    order = list(dict.fromkeys(bar.name for bar in bars))  # in advance: a list is empty while it is sorted
    bars.sort(key=lambda bar: order.index(bar.name))
    picture = ReportFigure(
        figure=accuracy_figure(bars, chance=result.chance),
        caption="Good is a trained encoder well above the untrained one, beyond both whiskers: what the untrained one "
        "reaches comes from the pixels alone.",
        alt=f"{name}: accuracy of the probes",
    )
    notes = [f"{kind} left out: {reason}" for kind, reason in result.left_out.items()]
    notes += [f"{path} cannot be read: {reason}" for path, reason in result.broken[:_MOST_LINES]]
    return Section(title=f"Probes {name}", tables=[table], figures=[picture], notes=notes)
