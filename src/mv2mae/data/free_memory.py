"""What memory of this machine is free for a process; needs the standard library alone."""

from __future__ import annotations

from pathlib import Path

_UNKNOWN = 8 << 30
"""Bytes that are taken for free where the system does not tell."""


def free_memory() -> int:
    """Bytes that this process can still take, as far as the system tells; a container's or a job's limit counts."""
    known = known_free_memory()
    return _UNKNOWN if known is None else known


def known_free_memory() -> int | None:
    """The same; None where the system does not tell (macOS, Windows)."""
    told = (_free_of_machine(), _free_of_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))
    return min((size for size in told if size is not None), default=None)


def _free_of_machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            known = dict(line.split(":", 1) for line in lines)
        return int(known["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return None  # not on Linux


def _free_of_groups(root: Path, told: Path) -> int | None:
    """What the control groups of this process (containers, jobs) leave, version 1 and 2; None where nothing limits it.

    Args:
        root: where groups are mounted.
        told: which groups this process is in.
    """
    try:
        lines = [line.split(":", 2) for line in told.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    left: list[int | None] = []
    for line in lines:
        if len(line) < 3 or not (line[1] == "" or "memory" in line[1].split(",")):
            continue
        names = ("memory.max", "memory.current", "")
        if line[1]:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        base = root / "memory" if line[1] else root
        group = base / line[2].lstrip("/")
        for folder in (group, *group.parents):  # in a container the path may be that of outside; its own is the root
            left.append(_left_in(folder, *names))
            if folder == base:
                break
    return min((size for size in left if size is not None), default=None)


def _left_in(group: Path, limit: str, usage: str, prefix: str) -> int | None:
    """The limit of a group, less what it uses; files that were read are kept as long as nothing else needs the room."""
    try:
        most = int((group / limit).read_text())
        used = int((group / usage).read_text())
        known = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = sum(int(known.get(f"{prefix}{name}", 0)) for name in ("inactive_file", "active_file"))
        return max(0, most - used + files)
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None
