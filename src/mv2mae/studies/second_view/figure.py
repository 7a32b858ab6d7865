"""What a source view is worth by angle, as a picture: losses with it, without it and with a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mv2mae.model.second_view import EMPTY, MASK_TOKENS
from mv2mae.studies.second_view.results import AngleResult, Change, SecondViewResult
from mv2mae.visualize.style import COLOURS, short_name, styled

_LOSSES: dict[str, dict[str, Any]] = {
    "target alone (self-view)": {"color": COLOURS[0], "marker": "o", "ls": "-"},
    "with the source (cross-view)": {"color": COLOURS[1], "marker": "s", "ls": "-"},
    "another room's source": {"color": COLOURS[3], "marker": "^", "ls": "--"},
    "mask tokens for the source": {"color": "#555555", "marker": "x", "ls": ":"},
}
_KINDS: dict[str, dict[str, Any]] = {
    "all": {"color": COLOURS[1], "marker": "s", "ls": "-"},
    "seen": {"color": COLOURS[2], "marker": "o", "ls": "-"},
    "hidden": {"color": COLOURS[5], "marker": "v", "ls": "--"},
}
_WORDS = {"all": "all masked tokens", "seen": "seen by the source", "hidden": "hidden from it"}
RISES = {EMPTY: "none", MASK_TOKENS: "mask tokens", "other_room": "other room", "same_room": "same room"}
"""Other sources, as columns call them."""


def second_view_figure(result: SecondViewResult) -> Figure:
    """Losses by angle with the right source, with none and with a wrong one; and the gain, on all masked tokens and
    apart on those of whose surface the source sees something.
    """
    with styled():
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        losses, gains = figure.subplots(1, 2)
        everything = [row for row in result.angles if row.tokens == "all"]
        values: list[list[float | None]] = [
            [row.self for row in everything],
            [row.cross for row in everything],
            *([row.with_source(name) for row in everything] for name in ("other_room", MASK_TOKENS)),
        ]
        for (label, style), drawn in zip(_LOSSES.items(), values, strict=True):
            known = np.array([np.nan if value is None else value for value in drawn])
            if not np.isnan(known).all():
                losses.plot(range(len(known)), known, label=label, ms=5, **style)
        losses.set(title="loss of the masked target tokens", ylabel="share of the mean baseline")
        losses.legend(frameon=False, fontsize=8)
        for shift, kind in enumerate(kind for kind in _KINDS if any(row.tokens == kind for row in result.angles)):
            _gains(gains, [row for row in result.angles if row.tokens == kind], kind, 0.07 * (shift - 1))
        gains.axhline(0, color="#333333", lw=0.8)
        gains.set(title="what the source takes off it, same tokens", ylabel="cross-view below self-view, %")
        gains.legend(frameon=False, fontsize=8)
        for axis in (losses, gains):
            axis.set_xticks(range(len(everything)), [row.angle for row in everything])
            axis.set_xlabel("degrees between the cameras")
            axis.margins(x=0.12)
        told = "cameras told" if result.known_cameras else "cameras not told"
        figure.suptitle(f"{short_name(result.weights)} on {result.on}; {told}", fontsize=10)
        return figure


def _gains(axis: Axes, rows: Sequence[AngleResult], kind: str, shift: float) -> None:
    found = [(place, row.gain) for place, row in enumerate(rows) if row.gain is not None]
    values = [100 * gain.value for _, gain in found]
    ends = np.array([gain.interval or (np.nan, np.nan) for _, gain in found]).reshape(-1, 2).T * 100
    error = np.stack([values - ends[0], ends[1] - values]).clip(min=0)
    places = [place + shift for place, _ in found]
    axis.errorbar(places, values, yerr=error, label=_WORDS[kind], ms=5, capsize=3, **_KINDS[kind])


def shown(found: Change | None) -> str:
    """`+12.3%`; `-` where there is none."""
    return "-" if found is None else f"{found.value:+.1%}"


def interval(found: Change | None) -> str:
    """`+10.2% to +14.1%`."""
    return "-" if found is None or found.interval is None else "{:+.1%} to {:+.1%}".format(*found.interval)


def cells(row: AngleResult) -> list[str]:
    """A row of a table: losses, the gain with its interval, and what other sources cost."""
    return [
        row.angle,
        row.tokens,
        f"{row.self:.3f}",
        f"{row.cross:.3f}",
        shown(row.gain),
        interval(row.gain),
        *(shown(getattr(row, name)) for name in RISES),
    ]
