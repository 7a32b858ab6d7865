"""What a check has found: findings, a table to print, a JSON file."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mv2mae.data.check.sync import Offset
from mv2mae.text import counted

Severity = Literal["error", "warning"]

KINDS: dict[str, tuple[Severity, str]] = {
    "missing": ("error", "no such file"),
    "empty": ("error", "no bytes, or no frame"),
    "unreadable": ("error", "cannot be opened or decoded to its end"),
    "hangs": ("error", "decoding does not end within the time limit"),
    "truncated": ("error", "ends before the time that its header gives"),
    "wrong_length": ("error", "shorter than the manifest says"),
    "listed_twice": ("error", "the same part of the same file in two rows"),
    "view_twice": ("error", "two videos of one group have the same view"),
    "same_file": ("error", "the same bytes under another name"),
    "same_view": ("error", "the same pictures as another view of the group"),
    "unsynchronised": ("error", "shifted in time against the other views of the group"),
    "perhaps_unsynchronised": ("warning", "probably shifted in time against the other views of the group"),
    "damaged": ("warning", "frames that the decoder had to patch"),
    "missing_frames": ("warning", "gaps between time stamps, or fewer frames than the header counts"),
    "clock_jumps": ("warning", "time stamps start again or jump; the parts are laid one behind the other"),
    "joined": ("warning", "several MP4s in one file; only the first is seen"),
    "hole": ("warning", "a second or more without frames"),
    "interlaced": (
        "warning",
        "half pictures taken one after the other are interleaved; moving edges come out as combs "
        "(`prepare --deinterlace true` makes whole ones)",
    ),
    "size_changes": ("warning", "frames change their size"),
    "variable_rate": ("warning", "intervals between frames vary"),
    "still": ("warning", "nothing moves from the first frame to the last"),
    "wrong_rate": ("warning", "not the rate that the manifest says"),
    "wrong_size": ("warning", "not the size that the manifest says"),
    "longer": ("warning", "longer than the manifest says"),
    "same_pictures": ("warning", "the same pictures as a video of another group"),
    "single_view": ("warning", "the only video of its group; makes no pair"),
    "length_differs": ("warning", "not as long as the other views of the group"),
    "rate_differs": ("warning", "not the rate of the other views of the group"),
    "start_differs": ("warning", "time stamps begin at another time than in the other views"),
    "offset_changes": ("warning", "the time offset changes along the video: frames were lost, or a clock drifts"),
}
"""Every kind of problem: its severity and what it means."""


@dataclass(frozen=True)
class Finding:
    """One problem of one row of the manifest (`row` counts from 0)."""

    row: int
    path: str
    group: str
    view: str
    kind: str
    found: str
    expected: str = ""

    @property
    def severity(self) -> Severity:
        """`error`: the video should not be used; `warning`: look at it."""
        return KINDS[self.kind][0]


@dataclass(frozen=True)
class GroupOffset:
    """The estimated time offset of one view in its group."""

    group: str
    view: str
    offset: Offset


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        manifest: what was checked.
        num_videos, num_groups: how much that is.
        quick: whether only headers, first and last frames were read.
        findings: errors first, each in the order of the manifest.
        offsets: of every view of the groups whose synchronisation was looked at.
    """

    manifest: str
    num_videos: int
    num_groups: int
    quick: bool
    findings: tuple[Finding, ...]
    offsets: tuple[GroupOffset, ...] = field(default=(), repr=False)

    @property
    def num_errors(self) -> int:
        """Findings of severity `error`."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def num_warnings(self) -> int:
        """Findings of severity `warning`."""
        return len(self.findings) - self.num_errors

    def is_clean(self, *, strict: bool = False) -> bool:
        """Whether there is no error; with `strict` no warning either."""
        return not (self.findings if strict else self.num_errors)

    def bad_rows(self, *, strict: bool = False) -> set[int]:
        """Rows of the manifest, from 0, with an error; with `strict` also those with a warning."""
        return {finding.row for finding in self.findings if strict or finding.severity == "error"}

    def verdicts(self) -> dict[str, int]:
        """Groups by how they are synchronised: the worst verdict of a view decides, `unsynchronised` being worst."""
        worst: dict[str, str] = {}
        order = ("synchronised", "unknown", "unsynchronised")
        for entry in self.offsets:
            worst[entry.group] = max(worst.get(entry.group, order[0]), entry.offset.verdict, key=order.index)
        return dict(Counter(worst.values()))

    def to_json(self) -> dict[str, Any]:
        """Everything, as written to the report."""
        return {
            "manifest": self.manifest,
            "videos": self.num_videos,
            "groups": self.num_groups,
            "decoded": self.depth,
            "errors": self.num_errors,
            "warnings": self.num_warnings,
            "kinds": dict(Counter(finding.kind for finding in self.findings)),
            "synchronisation": self.verdicts(),
            "findings": [{**asdict(finding), "severity": finding.severity} for finding in self.findings],
            "offsets": [{"group": e.group, "view": e.view, **asdict(e.offset)} for e in self.offsets],
        }

    @property
    def depth(self) -> str:
        """How much of each video was decoded."""
        return "headers, first and last frames only (quick)" if self.quick else "every frame"

    def print(self, *, num_rows: int = 20) -> None:
        """A summary by kind of problem and the first `num_rows` findings, errors first."""
        console = Console(highlight=False, soft_wrap=True)  # a path stays in one piece
        seen = f"{counted(self.num_videos, 'video')} in {counted(self.num_groups, 'group')}"
        console.print(f"{seen}; decoded: {self.depth}")
        if self.quick:
            console.print("  not looked at: gaps and damage inside, frame times, motion, synchronisation, near copies")
        elif self.offsets:
            counts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(self.verdicts().items()))
            console.print(f"  synchronisation of groups, by motion: {counts}")
        if not self.findings:
            console.print("no problem found")
            return
        console.print(self._summary(), soft_wrap=False)
        console.print()
        for finding in self.findings[:num_rows]:
            console.print(_line(finding))
        if len(self.findings) > num_rows:
            console.print(f"... and {len(self.findings) - num_rows:,} more in the report")
        console.print(f"{counted(self.num_errors, 'error')}, {counted(self.num_warnings, 'warning')}")

    def _summary(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("problem", "severity", "videos", "meaning"):
            table.add_column(column, overflow="fold")
        counts = Counter(kind for kind, _ in {(finding.kind, finding.row) for finding in self.findings})
        for kind, (severity, meaning) in KINDS.items():
            if counts[kind]:
                table.add_row(kind, Text(severity, style=_STYLES[severity]), f"{counts[kind]:,}", meaning)
        return table


_STYLES: dict[Severity, str] = {"error": "red", "warning": "yellow"}


def _line(finding: Finding) -> Text:
    """A finding in a line; the path as short as it can be copied from here."""
    inside = finding.path.startswith(f"{os.getcwd()}{os.sep}")
    path = os.path.relpath(finding.path) if inside else finding.path
    expected = f"; expected {finding.expected}" if finding.expected else ""
    return Text.assemble(
        (finding.kind, _STYLES[finding.severity]),
        f"  {path} (group {finding.group}, view {finding.view}): {finding.found}{expected}",
    )
