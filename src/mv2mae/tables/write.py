"""A study's table: HTML, Markdown, CSV and JSON, a picture, and lines on the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from mv2mae.data.protocols import PROTOCOLS
from mv2mae.evaluate.seeds import Estimate
from mv2mae.evaluate.tables import print_table
from mv2mae.files import atomic_write, write_json, write_text
from mv2mae.tables.cost import hours
from mv2mae.tables.figure import figure_of
from mv2mae.tables.measure import Compared, Measured, Results, as_values, seeds_in_words
from mv2mae.tables.spec import Column
from mv2mae.text import counted
from mv2mae.visualize.outputs import write_picture
from mv2mae.visualize.report import ReportFigure, ReportPage, Section, write_report
from mv2mae.visualize.report import Table as PageTable

TABLE_NAME = "table"
"""Of all files, with their endings."""


def write_results(results: Results, out: Path) -> list[Path]:
    """Write `table.html`, `.md`, `.csv`, `.json`, and `.png` where there is something to draw; returns their paths."""
    written = [out / f"{TABLE_NAME}.{ending}" for ending in ("json", "csv", "md", "html")]
    write_json(written[0], as_values(results))
    with atomic_write(written[1]) as temporary:
        csv_of(results).to_csv(temporary, index=False, float_format="%.6g")
    write_text(written[2], markdown_of(results))
    write_report(written[3], report_of(results))
    if drawn := columns_drawn(results):
        written.append(write_picture(figure_of(results, drawn), out / f"{TABLE_NAME}.png"))
    return written


def header_of(results: Results) -> list[str]:
    """The head of the main table: of each column the measured value, its interval, and the paper's if it has any."""
    titles = [_title(results, column) for column in _columns(results)]
    shown = ("", ", 95 % interval", ", paper")[: _width(results)]
    return ["", *(f"{title}{what}" for title in titles for what in shown)]


def rows_of(results: Results) -> list[list[str]]:
    """The rows of the main table in percent, measured beside the paper's; what others reported at the end."""
    table, columns = results.plan.table, _columns(results)
    names = dict.fromkeys(measured.cell.row.name for measured in results.cells)
    rows = []
    for name in names:
        row = [name]
        for column in columns:
            row += _cell(results.of(name, column.name))[: _width(results)]
        rows.append(row)
    for cited in table.cited:
        rows.append([f"{cited['name']} *", *(v for c in columns for v in ("", "", _percent_text(cited.get(c.name))))])
    return rows


def comparison_rows(results: Results) -> list[list[str]]:
    """A row for each comparison."""
    titles = {column.name: _title(results, column) for column in results.plan.table.columns}
    return [
        [f"{c.first} - {c.second}", titles[c.column], f"{100 * c.estimate.value:+.1f}", _span(c.estimate, "+.1f"),
         _p(c.estimate.p), _p(c.corrected), "" if c.paper is None else f"{100 * c.paper:+.1f}", c.verdict]
        for c in results.comparisons
    ]  # fmt: skip


COMPARISON_HEADER = ("difference", "column", "points", "95 % interval", "p", "p (Holm)", "paper", "in words")


def cost_rows(results: Results) -> list[list[str]]:
    """What each row rests on: trainings, test, cost, device. Parts that several rows share are counted in each."""
    rows = []
    for m in results.cells:
        each = ", ".join(f"{100 * value:.1f}" for value in m.each)
        rows.append([
            m.cell.row.name, _title(results, m.cell.column), f"{len(m.each)} of {m.planned}", each or "-", f"{m.num:,}",
            m.crops, f"{m.flops:.2g}" if m.flops else "-", hours(m.seconds) if m.seconds else "-",
            ", ".join(m.devices) or "-",
        ])  # fmt: skip
    return rows


COST_HEADER = ("row", "column", "trainings", "each, %", "answers", "clips x crops", "operations", "time", "device")


def lead_of(results: Results) -> list[str]:
    """What was run, in sentences."""
    plan = results.plan
    share = (
        f", scaled to {plan.options.scale:g} of the steps and performances (a rehearsal)"
        if plan.options.scale < 1
        else ""
    )
    recipes = "the paper's recipes" if plan.size == "paper" else "small recipes, not the paper's size or length"
    sets = ", ".join(
        f"{'in place of ' * (_elsewhere(results) and name in PROTOCOLS)}{name}: {data.drawn_from or data.manifest}"
        for name, data in plan.sets.items()
    )
    lead = [f"{seeds_in_words(plan)}; {recipes}{share}. Data {sets}. {results.scope}"]
    if _elsewhere(results) and any(row.paper for row in plan.table.rows):
        lead.append(
            "Measured on other videos or at another size than the paper's: its values stand beside for their "
            "order, not for their height."
        )
    if results.missing:
        lead.append(
            f"{len(results.missing)} of {len(plan.parts)} parts are not done ({', '.join(results.missing[:3])}"
            f"{', ...' if len(results.missing) > 3 else ''}); the same command does them."
        )
    return [*lead, *plan.table.notes]


def markdown_of(results: Results) -> str:
    """The tables as Markdown."""
    table = results.plan.table
    parts = [f"# {table.title}", *lead_of(results), _markdown(header_of(results), rows_of(results))]
    if table.cited:
        parts.append("\\* as the paper cites it; not run.")
    if results.comparisons:
        parts.append(_markdown(COMPARISON_HEADER, comparison_rows(results)))
        parts.append(_about_tests(results))
    parts.append(_markdown(COST_HEADER, cost_rows(results)))
    parts.append(f"All of it: {results.flops:.2g} operations (counted), {hours(results.seconds)}.")
    return "\n\n".join(parts) + "\n"


def report_of(results: Results) -> ReportPage:
    """The page."""
    table = results.plan.table
    sections = [
        Section(
            title="Measured, beside the paper's" if _width(results) > 2 else "Measured",
            tables=[PageTable(header=header_of(results), rows=rows_of(results), caption="Percent.")],
            figures=[_page_figure(results)] if columns_drawn(results) else [],
            notes=["* as the paper cites it; not run."] if table.cited else [],
        )
    ]
    if results.comparisons:
        rows = comparison_rows(results)
        sections.append(
            Section(
                title="What differs",
                tables=[PageTable(header=COMPARISON_HEADER, rows=rows, caption=_about_tests(results))],
            )
        )
    sections.append(
        Section(
            title="What it rests on, and what it cost",
            tables=[
                PageTable(
                    header=COST_HEADER,
                    rows=cost_rows(results),
                    caption="Parts that several rows share are counted in each of them.",
                )
            ],
            notes=[f"All of it: {results.flops:.2g} operations (counted), {hours(results.seconds)}."],
        )
    )
    return ReportPage(title=table.title, lead=lead_of(results), highlights=_highlights(results), sections=sections)


def csv_of(results: Results) -> pd.DataFrame:
    """A row a cell, as shares."""
    rows = [
        {"row": m.cell.row.name, "column": m.cell.column.name, "measure": m.cell.measure, "x": m.cell.row.x,
         "value": m.estimate.value if m.estimate else None, "low": m.estimate.interval[0] if m.estimate else None,
         "high": m.estimate.interval[1] if m.estimate else None, "trainings": len(m.each), "planned": m.planned,
         "paper": m.paper, "answers": m.num, "clips_x_crops": m.crops, "operations": m.flops, "seconds": m.seconds,
         "devices": "; ".join(m.devices)}
        for m in results.cells
    ]  # fmt: skip
    return pd.DataFrame(rows)


def columns_drawn(results: Results) -> list[tuple[Column, str]]:
    """Columns with something measured in them or in the paper, and their titles."""
    some = {m.cell.column.name for m in results.cells if m.estimate is not None or m.paper is not None}
    return [(column, _title(results, column)) for column in _columns(results) if column.name in some]


def print_results(results: Results) -> None:
    """The table on the terminal."""
    console = Console()
    columns = _columns(results)
    shown = ("", " (paper)")[: _width(results) - 1]
    header = ["%", *(f"{_title(results, column)}{what}" for column in columns for what in shown)]
    names = dict.fromkeys(m.cell.row.name for m in results.cells)
    rows = []
    for name in names:
        cells = [_cell(results.of(name, column.name)) for column in columns]
        texts = ((f"{value} ({span})", paper or "-")[: _width(results) - 1] for value, span, paper in cells)
        rows.append([name, *itertools.chain.from_iterable(texts)])
    print_table(console, results.plan.table.title, header, [rows])
    for line in lead_of(results):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    for c in results.comparisons:
        console.print(f"  {_said(c, results)}", soft_wrap=True, highlight=False, markup=False)


# ---------------------------------------------------------------------------------------------------------


def _columns(results: Results) -> list[Column]:
    return list({m.cell.column.name: m.cell.column for m in results.cells}.values())


def _width(results: Results) -> int:
    """Of a cell: value and interval, and the paper's value where it has some."""
    has_paper = results.plan.table.cited or any(row.paper for row in results.plan.table.rows)
    return 3 if has_paper else 2


def _title(results: Results, column: Column) -> str:
    """A column's title; on other videos than the table's it says so."""
    of_public = any(name in PROTOCOLS for name in results.plan.table.data)
    return f"in place of {column.title}" if _elsewhere(results) and of_public else column.title


def _elsewhere(results: Results) -> bool:
    return results.plan.options.chosen is not None or results.plan.size == "small"


def _cell(m: Measured) -> list[str]:
    paper = "" if m.paper is None else f"{100 * m.paper:.1f}"
    if m.estimate is None:
        return ["not run" if m.planned else "-", "-", paper]
    return [_value(m), _span(m.estimate), paper]


def _value(m: Measured) -> str:
    return "-" if m.estimate is None else f"{100 * m.estimate.value:.1f}"


def _percent_text(value: object) -> str:
    return "" if value is None else f"{value:.1f}"


def _span(estimate: Estimate, form: str = ".1f") -> str:
    low, high = estimate.interval
    return f"{100 * low:{form}} to {100 * high:{form}}"


def _p(value: float) -> str:
    return f"{value:.4f}"


def _said(c: Compared, results: Results) -> str:
    title = next(_title(results, column) for column in results.plan.table.columns if column.name == c.column)
    paper = "" if c.paper is None else f"; the paper {100 * c.paper:+.1f}"
    return (
        f"{c.first} - {c.second}, {title}: {100 * c.estimate.value:+.1f} points ({_span(c.estimate, '+.1f')}), "
        f"p {_p(c.corrected)} after correction: {c.verdict}{paper}"
    )


def _about_tests(results: Results) -> str:
    return (
        f"Differences on the same performances, paired. {results.scope} p (Holm) is corrected for "
        f"{counted(len(results.comparisons), 'comparison')}; below 0.05 two rows are told apart."
    )


def _highlights(results: Results) -> list[tuple[str, str]]:
    done = [m for m in results.cells if m.estimate is not None]
    return [
        (_value(m), f"{m.cell.row.name}, {_title(results, m.cell.column)}; 95 % interval {_span(m.estimate)}")
        for m in done[:6]
        if m.estimate is not None
    ]


def _page_figure(results: Results) -> ReportFigure:
    return ReportFigure(
        figure=figure_of(results, columns_drawn(results)),
        caption="Whiskers are 95 % intervals. Two may overlap and the rows still differ: for that see the tests below.",
        alt=f"{results.plan.table.title}: "
        + ("measured and the paper's values" if _width(results) > 2 else "measured"),
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
