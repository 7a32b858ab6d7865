"""What was found about the time of each view: a table to print, a JSON file."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from mv2mae.data.sync.lines import Place
from mv2mae.data.sync.place import Pair
from mv2mae.text import counted


@dataclass(frozen=True)
class GroupSync:
    """The views of one group.

    Attributes:
        group: its name.
        rows: of the manifest, from 0.
        views: their names.
        places: where each lies in time.
        starts, rates: what the manifest should say; None where nothing changes.
        pairs: the views laid over each other; kept of the first groups that are not as they should be.
    """

    group: str
    rows: tuple[int, ...]
    views: tuple[str, ...]
    places: tuple[Place, ...]
    starts: tuple[float | None, ...]
    rates: tuple[float | None, ...]
    pairs: tuple[Pair, ...] = ()

    @property
    def untold(self) -> tuple[int, ...]:
        """The rows whose place cannot be told."""
        return tuple(row for row, place in zip(self.rows, self.places, strict=True) if not place.evidence)

    @property
    def verdict(self) -> str:
        """`moved`, `as it was`, `told in part` or `cannot be told`."""
        if len(self.untold) == len(self.rows):
            return "cannot be told"
        if self.untold:
            return "told in part"
        return "moved" if any(start is not None for start in self.starts) else "as it was"


@dataclass(frozen=True)
class SyncReport:
    """All groups of two and more views, and how many groups have one view alone."""

    manifest: str
    groups: tuple[GroupSync, ...]
    num_single: int = 0

    @property
    def verdicts(self) -> dict[str, int]:
        """How many groups there are of each verdict."""
        return dict(Counter(group.verdict for group in self.groups))

    @property
    def untold(self) -> set[int]:
        """The rows whose place cannot be told."""
        return {row for group in self.groups for row in group.untold}

    def to_json(self) -> dict[str, Any]:
        """Everything but the curves."""
        return {
            "manifest": self.manifest,
            "groups": len(self.groups),
            "single_views": self.num_single,
            "verdicts": self.verdicts,
            "views": [
                {"group": one.group, "view": view, "row": row, "verdict": one.verdict, **asdict(place)}
                | {"start": start, "rate": rate}
                for one in self.groups
                for view, row, place, start, rate in zip(
                    one.views, one.rows, one.places, one.starts, one.rates, strict=True
                )
            ],
        }

    def print(self, *, num_rows: int = 20) -> None:
        """How many groups of each verdict, and the first that are not as they were."""
        console = Console(highlight=False, soft_wrap=True)
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in self.verdicts.items())
        single = f"; {counted(self.num_single, 'group')} of one view left alone" if self.num_single else ""
        console.print(f"{counted(len(self.groups), 'group')}: {counts}{single}")
        changed = [group for group in self.groups if group.verdict != "as it was"]
        for group in changed[:num_rows]:
            console.print(f"  {group.group}: {', '.join(map(said, group.views, group.places))}", markup=False)
        if len(changed) > num_rows:
            console.print(f"  ... and {len(changed) - num_rows:,} more in the report")


def said(view: str, place: Place) -> str:
    """`cam2 0.412 s late, drift 31 ppm (sound, 2.4)`."""
    if not place.evidence:
        return f"{view} cannot be told ({place.confidence:.1f})" if place.confidence else f"{view} cannot be told"
    late = f"{abs(place.offset):.3f} s {'late' if place.offset > 0 else 'early'}" if round(place.offset, 3) else "0 s"
    drift = f", drift {1e6 * place.drift:+.0f} ppm" if place.drift else ""
    return f"{view} {late}{drift} ({place.evidence}, {place.confidence:.1f})"
