"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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


def _angles(rows: Sequence[Row]) -> list[float]:
    return sorted({row["angle"] for row in rows})


def _by_setting(rows: Sequence[Row], masking: str) -> dict[tuple[float, float, float], Row]:
    return {(row["angle"], row["target_ratio"], row["source_ratio"]): row for row in rows if row["masking"] == masking}
