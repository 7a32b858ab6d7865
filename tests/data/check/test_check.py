"""`mv2mae check`: every kind of defect is found where it is, and nothing where there is none."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_videos import even_times, write_video

from mv2mae.cli import main
from mv2mae.data.check import KINDS, Report, check_manifest, write_fixed
from mv2mae.data.check.scan import scan, timing
from mv2mae.data.check.worker import _Worker, scan_all
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.errors import InputError

NUM, FPS = 60, 30.0


def scene(seed: int, view: int) -> Callable[[float], np.ndarray]:
    """A block that moves up and down at random speeds; each view sees it elsewhere, on another background."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 2.5, 200))
    walk = np.abs((walk + 15) % 60 - 30)

    def image(time: float) -> np.ndarray:
        place = np.interp(time * FPS, np.arange(200), walk)
        rows = np.arange(48)[:, None]
        inside = np.clip(9 - np.abs(rows - 8 - place), 0, 1) * (np.abs(np.arange(64) - 20 - 9 * view) < 8)
        return np.repeat((60 + 20 * view + 5 * seed + 100 * inside)[:, :, None], 3, 2).clip(0, 255).astype(np.uint8)

    return image


def film(folder: Path, group: int, view: int, *, num: int = NUM, late: float = 0.0, **options: Any) -> Path:
    times = options.pop("times", even_times(num, FPS))
    shown = [t + 0.5 - late for t in times]
    return write_video(folder / f"g{group}_{view}.mp4", times, shown=shown, image=scene(group, view), **options)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two groups of three views without a fault."""
    folder = tmp_path_factory.mktemp("good")
    return make_frame(
        {"path": str(film(folder, g, v)), "group": f"g{g}", "view": v, "frames": NUM, "width": 64, "height": 48}
        for g in (1, 2)
        for v in (1, 2, 3)
    )  # fmt: skip


@pytest.fixture
def takes(good: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """A copy of them to spoil."""
    paths = [shutil.copy(path, tmp_path) for path in good["path"]]
    return good.assign(path=paths)


def check(frame: pd.DataFrame, **options: Any) -> Report:
    return check_manifest(frame, num_workers=0, progress=False, **options)


def kinds(report: Report) -> set[tuple[int, str]]:
    return {(finding.row, finding.kind) for finding in report.findings}


def test_good_videos_give_no_finding(good: pd.DataFrame) -> None:
    report = check(good)
    assert report.findings == ()
    assert report.is_clean(strict=True)
    assert (report.num_videos, report.num_groups, report.quick) == (6, 2, False)
    assert report.verdicts() == {"synchronised": 2}
    assert check(good, quick=True).findings == ()


def _spoil(kind: str, path: Path) -> None:
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "unreadable":
        path.write_bytes(data[: len(data) // 2])  # without the index at its end
    elif kind == "truncated":
        film(path.parent, 1, 2, faststart=True)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    elif kind == "wrong_length":
        film(path.parent, 1, 2, num=55)
    elif kind == "longer":
        film(path.parent, 1, 2, num=64)
    elif kind == "wrong_size":
        film(path.parent, 1, 2, size=(96, 64))
    elif kind == "variable_rate":
        film(path.parent, 1, 2, times=[0.0, *np.cumsum(np.tile([0.02, 0.02, 0.06], 20))[:-1]])  # 30 a second
    elif kind == "missing_frames":
        film(path.parent, 1, 2, times=np.delete(even_times(NUM, FPS), 30).tolist())
    elif kind == "still":
        write_video(path, even_times(NUM, FPS))
        write_video(path, even_times(NUM, FPS), image=lambda _: np.full((48, 64, 3), 77, np.uint8))


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "unreadable", "truncated", "wrong_length", "longer", "wrong_size", "variable_rate",
     "missing_frames", "still"],
)  # fmt: skip
def test_a_spoiled_video_is_found_and_no_other(takes: pd.DataFrame, kind: str) -> None:
    if kind == "wrong_size":  # the scene has a size of its own
        takes = takes.assign(width=[64, 80, 64, 64, 64, 64])
    else:
        _spoil(kind, Path(takes["path"][1]))
    report = check(takes)
    assert kinds(report) == {(1, kind)}
    (finding,) = report.findings
    assert finding.severity == KINDS[kind][0]
    assert finding.path == takes["path"][1]
    assert finding.found


def test_a_file_that_stops_before_its_header_says_is_cut_off(takes: pd.DataFrame, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.avi", even_times(NUM, FPS), image=scene(1, 2), codec="mpeg4")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    report = check(takes.assign(path=[*takes["path"][:1], str(cut), *takes["path"][2:]]))
    assert (1, "truncated") in kinds(report)


def test_frame_times_tell_gaps_from_a_variable_rate() -> None:
    assert timing(np.arange(50) / 25) == (0, 0)
    assert timing(np.round(np.arange(50) / 60, 3)) == (0, 0)  # Matroska's milliseconds
    irregular, gaps = timing(np.delete(np.arange(50), [10, 30, 31]) / 25)
    assert irregular < 0.05
    assert gaps == 3
    assert timing(np.cumsum(np.tile([0.02, 0.06], 20)))[0] > 0.3
    assert timing(np.array([0.0])) == (0, 0)


def test_views_of_a_group_are_compared(takes: pd.DataFrame, tmp_path: Path) -> None:
    film(tmp_path, 1, 2, num=40)
    film(tmp_path, 2, 3, times=even_times(50, 25))
    frame = takes.assign(frames=pd.array([pd.NA] * 6, dtype="Int64"))
    assert kinds(check(frame, sync=False)) == {(1, "length_differs"), (5, "rate_differs")}


def test_a_rate_other_than_the_manifest_says_is_found(takes: pd.DataFrame) -> None:
    report = check(takes.assign(fps=[30, 30, 30, 25, 30, 30]), sync=False)
    assert kinds(report) == {(3, "wrong_rate")}
    assert (report.findings[0].found, report.findings[0].expected) == ("30.000 frames/s", "25.000 frames/s")


def test_a_start_that_differs_is_told_unless_the_manifest_gives_one(takes: pd.DataFrame, tmp_path: Path) -> None:
    late = write_video(tmp_path / "late.mkv", even_times(NUM, FPS, start=0.4), image=scene(1, 2))
    frame = takes.assign(path=[takes["path"][0], str(late), *takes["path"][2:]])
    assert (1, "start_differs") in kinds(check(frame, sync=False))
    given = frame.assign(start=[0, 0.4, 0, 0, 0, 0])
    assert check(given, sync=False).findings == ()


def test_lonely_and_repeated_views(takes: pd.DataFrame) -> None:
    rows = [0, 1, 1, 3]
    frame = takes.iloc[rows].reset_index(drop=True)
    assert kinds(check(frame)) == {(2, "listed_twice"), (3, "single_view")}
    frame = takes.assign(view=[1, 2, 2, 1, 2, 3])
    assert kinds(check(frame)) == {(2, "view_twice")}


def test_copies_are_found_by_their_bytes_and_by_their_pictures(takes: pd.DataFrame, tmp_path: Path) -> None:
    shutil.copy(takes["path"][0], takes["path"][4])
    film(tmp_path, 1, 3, faststart=True)  # other bytes, the same pictures; stays itself
    write_video(Path(takes["path"][5]), even_times(NUM, FPS), shown=[t + 0.5 for t in even_times(NUM, FPS)],
                image=scene(1, 3), gop=30)  # fmt: skip
    report = check(takes, sync=False)
    assert kinds(report) == {(4, "same_file"), (5, "same_pictures")}
    assert takes["path"][0] in report.findings[0].found
    write_video(Path(takes["path"][1]), even_times(NUM, FPS), shown=[t + 0.5 for t in even_times(NUM, FPS)],
                image=scene(1, 1), gop=30)  # fmt: skip
    assert (1, "same_view") in kinds(check(takes, sync=False))


def test_parts_of_one_file_are_no_copies(takes: pd.DataFrame) -> None:
    frame = pd.concat([takes[:3].assign(group=f"part{i}", start=i * 1.0, end=i + 1.0) for i in (0, 1)])
    frame = frame.reset_index(drop=True).assign(frames=pd.array([pd.NA] * 6, dtype="Int64"))
    assert check(frame, sync=False).findings == ()
    report = check(frame.assign(end=[1, 1, 1, 2, 2, 9.0]), sync=False)
    assert kinds(report) == {(5, "wrong_length")}


def test_a_shifted_view_is_found_unless_the_group_is_marked(takes: pd.DataFrame, tmp_path: Path) -> None:
    film(tmp_path, 1, 2, late=0.4)
    report = check(takes)
    assert {(row, kind.removeprefix("perhaps_")) for row, kind in kinds(report)} == {(1, "unsynchronised")}
    assert "0.4" in report.findings[0].found
    assert "late" in report.findings[0].found
    (offset,) = [e.offset for e in report.offsets if e.offset.verdict == "unsynchronised"]
    assert offset.seconds == pytest.approx(0.4, abs=1 / FPS)
    marked = takes.assign(synchronised=[False] * 3 + [True] * 3)
    assert check(marked).findings == ()


def test_the_sample_set_is_clean() -> None:
    frame = read_manifest("sample").iloc[:18]
    report = check(frame)
    assert report.num_errors == 0
    assert check(frame, quick=True).findings == ()


def test_a_hang_or_a_crash_costs_one_file(takes: pd.DataFrame) -> None:
    worker, path = _Worker(), str(takes["path"][0])
    try:
        assert worker.scan(path, False, 60).kind == ""
        assert worker.scan(path, False, 0.0).kind == "hangs"
        assert worker.scan(path, False, 60).num_decoded == NUM
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        assert "crashed" in worker.scan(path, False, 60).reason
        assert worker.scan(path, False, 60).kind == ""
    finally:
        worker.close()


def test_processes_find_what_one_process_finds(takes: pd.DataFrame) -> None:
    _spoil("unreadable", Path(takes["path"][3]))
    found = [s.kind for s in scan_all(takes["path"].tolist(), quick=False, num_workers=2, time_limit=60)]
    assert found == [scan(path).kind for path in takes["path"]]
    assert found[3] == "unreadable"


# --- the command ----------------------------------------------------------------------------------------------


def run(*words: object) -> int:
    return main(["check", *map(str, words), "--num_workers", "0"])


def test_the_command_reports_and_mends(takes: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_manifest(takes, tmp_path / "m.csv")
    (tmp_path / "m.classes.json").write_text('["walk"]')
    assert run(manifest, "--strict") == 0
    assert "every frame" in capsys.readouterr().out
    _spoil("empty", Path(takes["path"][0]))
    _spoil("longer", Path(takes["path"][1]))
    before = manifest.read_bytes()
    fixed = tmp_path / "elsewhere" / "fixed.parquet"
    assert run(manifest, "--fix", fixed) == 1
    said = capsys.readouterr().out
    assert "without 1 of 6 videos" in said
    assert "1 errors, 1 warnings" in said
    assert manifest.read_bytes() == before
    kept = read_manifest(fixed)
    assert kept["path"].tolist() == takes["path"][1:].tolist()
    assert json.loads(fixed.with_name("fixed.classes.json").read_text()) == ["walk"]
    values = json.loads((tmp_path / "m.check.json").read_text())
    assert (values["errors"], values["warnings"], values["decoded"]) == (1, 1, "every frame")
    first = values["findings"][0]
    assert {"path", "group", "view", "kind", "severity", "found", "expected"} <= set(first)
    assert (first["kind"], first["severity"], first["row"]) == ("empty", "error", 0)


def test_warnings_fail_only_when_strict(
    takes: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(takes[:1], tmp_path / "m.csv")
    assert run(manifest, "--quick", "--out", tmp_path / "r.json") == 0
    assert "quick" in capsys.readouterr().out
    assert run(manifest, "--strict") == 1
    assert not (tmp_path / "fixed.csv").exists()
    assert run(manifest, "--strict", "--fix", tmp_path / "fixed.csv") == 1  # nothing left
    assert "nothing is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope.csv"], "no manifest at nope.csv"),
        (["m.csv", "--fix", "m.csv"], "never overwritten"),
        (["m.csv", "--fix", "sub/../m.csv"], "never overwritten"),
        (["m.csv", "--out", "m.csv"], "never overwritten"),
        (["m.csv", "--fix", "f.txt"], "a manifest is a .csv or a .parquet file"),
        (["m.csv", "--out", "nowhere/r.json"], "cannot be written"),
        (["m.csv", "--tolerance", "0"], "tolerance=0 must lie between"),
        (["m.csv", "--time_limit", "0"], "time_limit=0 must be positive"),
        (["bad.csv"], "unknown columns colour"),
        (["none.csv"], "no rows"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.csv").write_text("path,group,view\na.mp4,g,1\n")
    (tmp_path / "bad.csv").write_text("path,group,view,colour\na.mp4,g,1,red\n")
    (tmp_path / "none.csv").write_text("path,group,view\n")
    assert run(*words) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert (tmp_path / "m.csv").read_text() == "path,group,view\na.mp4,g,1\n"


def test_a_table_can_be_fixed_only_elsewhere(takes: pd.DataFrame, tmp_path: Path) -> None:
    manifest = write_manifest(takes, tmp_path / "m.csv")
    link = tmp_path / "link.csv"
    link.symlink_to(manifest)
    with pytest.raises(InputError, match="never overwritten"):
        write_fixed(manifest, check(takes, quick=True), link)
