"""The figures as Markdown tables and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mv2mae.visualize.style import COLOURS, styled

Row = Mapping[str, Any]
_MASKS = ((0.7, 0.7), (0.7, 0.0), (0.9, 0.0), (0.95, 0.0))
"""Shares of target and source that are masked, for `headroom_table`; the first is the paper's."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its cells as they are."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def ceiling_table(rows: Sequence[Row], *, masking: str = "random") -> str:
    """Losses from the source alone, as shares of the mean baseline, by angle; then with a part of the source masked."""
    of = _by_setting(rows, masking)
    targets, sources = (sorted({row[name] for row in rows}) for name in ("target_ratio", "source_ratio"))
    target = 0.9 if 0.9 in targets else targets[-1]
    header = ["degrees", "tokens seen by both", "loss, all tokens", "seen by both", "motion-weighted"]
    header += [f"all, source {ratio:.0%} masked" for ratio in sources[1:]]
    lines = []
    for angle in _angles(rows):
        whole = of[angle, target, sources[0]]
        values = [whole[name] for name in ("seen", "source", "source_seen", "source_motion")]
        values += [of[angle, target, ratio]["source"] for ratio in sources[1:]]
        lines.append([f"{angle:g}", *(f"{value:.2f}" for value in values)])
    return markdown(header, lines)


def headroom_table(rows: Sequence[Row]) -> str:
    """What the source adds to what the target's own visible tokens show at other moments, masks at random: the loss
    without it, and by how much it falls, by angle.
    """
    of = _by_setting(rows, "random")
    there = {key[1:] for key in of}
    masks = [mask for mask in _MASKS if mask in there]
    header = ["degrees", *(f"target {target:.0%}, source {source:.0%} masked" for target, source in masks)]
    own = [of[0.0, *mask]["own"] for mask in masks]
    lines = [["own moments alone", *(f"{loss:.2f}" for loss in own)]]
    for angle in _angles(rows):
        fallen = [1 - of[angle, *mask]["both"] / of[angle, *mask]["own"] for mask in masks]
        lines.append([f"{angle:g}", *(f"-{share:.0%}" for share in fallen)])
    return markdown(header, lines)


def trials_table(results: Sequence[Row], ceiling: Mapping[float, float]) -> str:
    """A row a trial (the mean of its seeds): the loss from the target alone; then by angle the loss with the source, as
    a share of the mean baseline, how far it lies below the self-view loss of the same tokens, and the 95 % interval of
    that; last the loss with a wrong source over that with the right one, at the smallest angle.

    Args:
        ceiling: by angle, the loss from the source alone with true depth and cameras.
    """
    angles = sorted({float(angle) for result in results for angle in result["angles"]})
    header = ["trial", "target alone", *(f"{angle:g} degrees" for angle in angles), "wrong / right source"]
    lines = [
        ["ceiling: source alone, true depth and cameras", "", *(_loss(ceiling.get(angle)) for angle in angles), ""]
    ]
    for name in dict.fromkeys(result["trial"] for result in results):
        seeds = [result for result in results if result["trial"] == name]
        cells = [_cell([seed["angles"].get(f"{angle:g}") for seed in seeds]) for angle in angles]
        ratio = _mean(next(iter(seed["angles"].values()))["wrong_over_cross"] for seed in seeds)
        lines.append([name, f"{_mean(seed['self'] for seed in seeds):.3f}", *cells, f"{ratio:.2f}"])
    return markdown(header, lines)


def _cell(found: Sequence[Row | None]) -> str:
    there = [cell for cell in found if cell is not None]
    if not there:
        return ""
    low, high = (_mean(cell["interval"][end] for cell in there) for end in (0, 1))
    cross, gain = (_mean(cell[name] for cell in there) for name in ("cross", "gain"))
    return f"{cross:.3f}, {100 * gain:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f})"


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def trials_figure(results: Sequence[Row], ceiling: Mapping[float, float]) -> Figure:
    """By angle, how far the cross-view loss lies below the self-view loss, a line a trial; and the losses with a
    right and a wrong source at the smallest angle, a bar each.
    """
    names = list(dict.fromkeys(result["trial"] for result in results))
    with styled():
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        gains, losses = figure.subplots(1, 2)
        for k, name in enumerate(names):
            cells = [result["angles"] for result in results if result["trial"] == name]
            angles = sorted(float(angle) for angle in cells[0])
            first = [cell[f"{angles[0]:g}"] for cell in cells]
            angles = [angle for angle in angles if angle > 0]  # a control would press the others against the axis
            found = [[cell[f"{angle:g}"] for cell in cells] for angle in angles]
            values = [100 * _mean(one["gain"] for one in some) for some in found]
            ends = [[100 * _mean(one["interval"][end] for one in some) for some in found] for end in (0, 1)]
            error = np.abs(np.array(ends) - np.array(values))
            colour, line = COLOURS[k % len(COLOURS)], ("-", "--", ":")[k // len(COLOURS)]
            if angles:
                places = np.array(angles) + 0.3 * (k - len(names) / 2)
                gains.errorbar(
                    places, values, yerr=error, label=name, color=colour, ls=line, marker="o", ms=4, capsize=2
                )
            for shift, which, alpha in ((-0.18, "cross", 0.9), (0.18, "wrong", 0.4)):
                losses.barh(-k - shift, _mean(one[which] for one in first), 0.34, color=colour, alpha=alpha)
        for number, (angle, loss) in enumerate(ceiling.items()):
            losses.axvline(loss, color="#333333", ls=":", lw=0.8)
            losses.text(loss, (1.01, 1.04)[number % 2], f"{angle:g}°", fontsize=7, ha="center",
                        transform=losses.get_xaxis_transform())  # fmt: skip
        gains.axhline(0, color="#333333", lw=0.8)
        gains.set(xlabel="degrees between the cameras", ylabel="cross-view loss below self-view loss, %")
        gains.set_title("what the source takes off the loss in unseen rooms")
        losses.set_yticks([-k for k in range(len(names))], names)
        losses.set(xlim=(0, 1.3), xlabel="loss as a share of the mean baseline, at the smallest angle tested")
        losses.set_title("right (full) and wrong source (pale); dotted: ceiling", pad=20)
        figure.legend(*gains.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return figure


def _angles(rows: Sequence[Row]) -> list[float]:
    return sorted({row["angle"] for row in rows})


def _by_setting(rows: Sequence[Row], masking: str) -> dict[tuple[float, float, float], Row]:
    return {(row["angle"], row["target_ratio"], row["source_ratio"]): row for row in rows if row["masking"] == masking}
