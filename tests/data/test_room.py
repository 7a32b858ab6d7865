"""Memory that is free, and what reading processes take of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mv2mae.config import ComputeConfig, ModelConfig, OptimConfig
from mv2mae.data import free_memory, room
from mv2mae.errors import InputError
from mv2mae.train.step import StepModule

_GB = 1 << 30


def _group(folder: Path, **values: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def _free(root: Path, line: str) -> int | None:
    (root / "told").write_text(f"5:devices:/\n{line}\n")
    return free_memory._free_of_groups(root, root / "told")


def test_the_limits_of_containers_and_jobs_count(tmp_path: Path) -> None:
    """The tightest of a process's own group and those above; files that were read do not count as used."""
    _group(
        tmp_path / "job",
        memory__max=str(4 * _GB),
        memory__current=str(3 * _GB),
        memory__stat=f"inactive_file {_GB}\nactive_file 7",
    )
    _group(tmp_path / "job/step", memory__max="max", memory__current=str(_GB), memory__stat="anon 5")
    assert _free(tmp_path, "0::/job/step") == 2 * _GB + 7
    assert _free(tmp_path, "0::/elsewhere") is None


def test_the_limit_of_a_first_version_group_counts(tmp_path: Path) -> None:
    names = ("memory__limit_in_bytes", "memory__usage_in_bytes", "memory__stat")
    _group(tmp_path / "memory", **dict(zip(names, (str(2 * _GB), str(_GB), "total_inactive_file 0"), strict=True)))
    assert _free(tmp_path, "4:cpu,memory:/docker/1f") == _GB  # the path of outside, which is not there inside


def test_readers_are_told_and_refused_before_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "known_free_memory", lambda: 10 * _GB)
    small = pd.DataFrame({"width": [None, 320], "height": [None, 240]})
    large = pd.DataFrame({"width": [1920, 320], "height": [1080, 240]})
    assert room.readers_line(0, small, 0, in_memory=False) == ""
    assert room.readers_line(2, small, 1 << 20, in_memory=False) == (
        "readers 2 processes, about 0.3 GB in all; 10.0 GB are free"
    )
    assert "about 1.0 GB" in room.readers_line(1, large, 100 << 20, in_memory=False)
    assert "about 0.1 GB" in room.readers_line(1, large, 0, in_memory=True)
    with pytest.raises(InputError, match=r"num_workers=40 means 40 processes, .*give compute.num_workers=15,"):
        room.readers_line(40, large, 0, in_memory=False)
    with pytest.raises(InputError, match=r"16 processes.*num_workers=7,"):
        room.readers_line(8, large, 0, in_memory=False, world_size=2)


def test_nothing_is_refused_where_the_system_does_not_tell_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows; what is kept in memory is planned with a guess there."""
    monkeypatch.setattr(free_memory, "_free_of_machine", lambda: None)
    monkeypatch.setattr(free_memory, "_free_of_groups", lambda root, told: None)
    large = pd.DataFrame({"width": [1920], "height": [1080]})
    assert room.readers_line(400, large, 0, in_memory=False).startswith("readers 400 processes, about ")
    assert free_memory.free_memory() == 8 * _GB
    monkeypatch.setattr(free_memory, "_free_of_groups", lambda root, told: 3 * _GB)
    assert free_memory.free_memory() == 3 * _GB


def test_readers_of_other_machines_take_nothing_of_this_one() -> None:
    """Eight devices on two nodes: four are here."""
    compute, optim = ComputeConfig(num_workers=2, devices=4, num_nodes=2), OptimConfig(batch_size=8, steps=1)
    items: Any = [None] * 8
    module = StepModule(
        seed=0, items=items, collate=list, optim=optim, num_counted=8, num_repeats=1, compute=compute, world_size=8
    )
    (line,) = module.describe_readers(1, ModelConfig())
    assert line.startswith("readers 8 processes, ")
