"""The part of a report about what a source view is worth, as `mv2mae second-view` measured it."""

from __future__ import annotations

from mv2mae.studies.second_view.figure import RISES, cells, second_view_figure, shown
from mv2mae.studies.second_view.results import SecondViewResult
from mv2mae.visualize.report import ReportFigure, Section, Table


def second_view_section(result: SecondViewResult) -> Section:
    """Losses and gains by angle: a table, and the figure of the command."""
    told = "cameras told" if result.known_cameras else "cameras not told"
    table = Table(
        header=["degrees", "tokens", "self", "cross", "gain", "95 % interval", *RISES.values()],
        rows=[list(cells(row)) for row in result.angles],
        caption=f"On {result.on}; {told}. Self, cross: losses of the masked target tokens over the mean baseline. "
        "Gain: how far cross lies below self on the same tokens. The last columns: by how much the cross-view loss "
        "rises without a source, with mask tokens in its place, and with another performance's. Seen: tokens of whose "
        "surface the source sees at least half.",
    )
    picture = ReportFigure(
        figure=second_view_figure(result),
        caption="Good is a cross-view loss well below the self-view loss, and a wrong source well above both: the two "
        "decoders differ, so that a gain is the source's only as far as a wrong source loses it.",
        alt="losses with the right source, a wrong one and none, and gains, by angle",
    )
    return Section(title="What the source view is worth", tables=[table], figures=[picture])


def second_view_highlight(result: SecondViewResult) -> tuple[str, str]:
    """The gain at the smallest angle, beside what a wrong source costs there."""
    first = next(row for row in result.angles if row.tokens == "all")
    where = f"at {first.angle} degrees" if first.angle[:1].isdigit() else "at angles that are not known"
    return shown(first.gain), f"of the loss the source takes off {where}; a wrong one costs {shown(first.other_room)}"
