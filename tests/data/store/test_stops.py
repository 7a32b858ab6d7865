"""Making a store survives stops and kills at any moment, whatever the number of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mv2mae.config import StoreConfig
from mv2mae.data.manifest import write_manifest
from mv2mae.data.store import make as make_module
from mv2mae.data.store.prepare import prepare

SMALL = StoreConfig(short_side=48, shard_size=2)
_IN_TWO_PROCESSES = """
import sys
from mv2mae.config import StoreConfig
from mv2mae.data.store.prepare import prepare
if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], StoreConfig(short_side=48, shard_size=2), processes=2, progress=False)
"""


@pytest.fixture(scope="module")
def manifest(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos, three shards."""
    return write_manifest(takes, tmp_path_factory.mktemp("manifest") / "m.parquet")


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    prepare(manifest, out, SMALL, progress=False)
    return content(out)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {str(f.relative_to(out)): f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()}


def test_a_stopped_run_goes_on_and_ends_the_same(
    manifest: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, calls = make_module.make_item, []

    def stop_at_the_fourth(*task: object) -> object:
        calls.append(task)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return make(*task)  # type: ignore[arg-type]

    monkeypatch.setattr(make_module, "make_item", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        prepare(manifest, tmp_path, SMALL, progress=False)
    assert sorted(f.name for f in (tmp_path / "store").iterdir()) == ["parts", "shard-000000.tar", "store.json"]
    assert not (tmp_path / "manifest.parquet").exists()
    report = prepare(manifest, tmp_path, SMALL, progress=False)
    assert (report.made, report.kept) == (4, 2)
    assert content(tmp_path) == whole


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a kill is tried in a forked process")
@pytest.mark.parametrize("step", range(1, 10))  # header, three shards and their tables, index, manifest
def test_a_kill_before_any_step_loses_no_more_than_a_shard(
    manifest: Path, whole: dict[str, bytes], tmp_path: Path, step: int
) -> None:
    replace, steps = os.replace, iter(range(1, 100))

    def die(source: Path, target: Path) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    child = os.fork()
    if child == 0:
        os.replace = die  # type: ignore[assignment]
        prepare(manifest, tmp_path, SMALL, progress=False)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    report = prepare(manifest, tmp_path, SMALL, progress=False)
    assert report.kept == 2 * min(max(step - 2, 0) // 2, 3)
    assert content(tmp_path) == whole  # which holds nothing half-written


def test_damaged_tables_and_cut_off_shards_are_made_again(
    manifest: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    prepare(manifest, tmp_path, SMALL, progress=False)
    store = tmp_path / "store"
    (store / "parts" / "shard-000000.parquet").write_bytes(b"damaged")
    shard = (store / "shard-000001.tar").read_bytes()
    (store / "shard-000001.tar").write_bytes(shard[: len(shard) // 2])
    (store / "shard-000002.tar").unlink()
    (store / "index.parquet").unlink()
    assert prepare(manifest, tmp_path, SMALL, progress=False).made == 6
    assert content(tmp_path) == whole


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc: the processes cannot be followed")
def test_killed_with_two_processes_none_stays_and_the_rest_is_made(
    manifest: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(_IN_TWO_PROCESSES)
    command = [sys.executable, str(script), str(manifest), str(tmp_path / "out")]
    parent = subprocess.Popen(command)
    workers = wait_for(lambda: spawned_by(parent.pid))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    prepare(manifest, tmp_path / "out", SMALL, processes=2, progress=False)
    assert content(tmp_path / "out") == whole


def spawned_by(pid: int) -> list[int]:
    """The working processes of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def wait_for(condition: object, seconds: float = 60) -> list[int]:
    """What a condition gives as soon as it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():  # type: ignore[operator]
            return found  # type: ignore[no-any-return]
        time.sleep(0.1)
    raise AssertionError("has not come about in time")
