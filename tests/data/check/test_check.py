"""`mv2mae check`: every kind of defect is found where it is, and nothing where there is none."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from takes import FPS, NUM, check, film, kinds, scene, spoil
from tiny_videos import even_times, write_video

from mv2mae.data.check import KINDS
from mv2mae.data.check.check import check_command
from mv2mae.data.check.scan import scan, timing
from mv2mae.data.check.worker import _Worker, scan_all
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.errors import InputError


def test_good_videos_give_no_finding(good: pd.DataFrame) -> None:
    report = check(good)
    assert report.findings == ()
    assert report.is_clean(strict=True)
    assert (report.num_videos, report.num_groups, report.quick) == (6, 2, False)
    assert report.verdicts() == {"synchronised": 2}
    assert check(good, quick=True).findings == ()


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "unreadable", "truncated", "wrong_length", "longer", "wrong_size", "variable_rate",
     "missing_frames", "still"],
)  # fmt: skip
def test_a_spoiled_video_is_found_and_no_other(takes: pd.DataFrame, kind: str) -> None:
    if kind == "wrong_size":  # the scene has a size of its own
        takes = takes.assign(width=[64, 80, 64, 64, 64, 64])
    else:
        spoil(kind, Path(takes["path"][1]))
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


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "h264"), ("avi", "mpeg4"), ("webm", "vp9"), ("ts", "h264")])
def test_whatever_a_damaged_file_holds_it_is_a_finding_or_clean(tmp_path: Path, ending: str, codec: str) -> None:
    whole = write_video(tmp_path / f"whole.{ending}", even_times(30, FPS), image=scene(1, 1), codec=codec)
    rng, data, frame = np.random.default_rng(0), whole.read_bytes(), []
    for index in range(16):
        broken = bytearray(data[: rng.integers(1, len(data))] if index % 2 else data)
        for place in rng.integers(0, len(broken), (0, 1, 10, 100)[index // 2 % 4]):
            broken[place] = rng.integers(256)
        file = tmp_path / f"{index}.{ending}"
        file.write_bytes(broken)
        frame.append({"path": str(file), "group": index // 2, "view": index % 2})
    for quick in (False, True):
        report = check(make_frame(frame), quick=quick)
        assert report.findings
        assert all(finding.found.isprintable() for finding in report.findings)
        json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("quick", [False, True])
def test_a_cut_off_webm_is_found_though_it_decodes(tmp_path: Path, sound: bool, quick: bool) -> None:
    whole = _webm(tmp_path / "whole.webm", sound)
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frame = make_frame({"path": str(file), "group": "g", "view": file.stem} for file in (whole, cut))
    assert (1, "truncated") in kinds(check(frame, quick=quick, sync=False))
    assert not {kind for row, kind in kinds(check(frame, quick=quick, sync=False)) if row == 0}


def _webm(path: Path, sound: bool) -> Path:
    """Two seconds of video and, with sound, three of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=30, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000) if sound else None
        for index in range(90):
            if index < NUM:
                picture = scene(1, 1)(index / FPS)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if audio is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), format="s16", layout="stereo")
                silence.sample_rate = 48_000
                container.mux(audio.encode(silence))
        for each in filter(None, (stream, audio)):
            container.mux(each.encode(None))
    return path


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
    assert (report.findings[0].found, report.findings[0].expected) == (
        "30.000 frames/s",
        "25.000 frames/s, which has no effect (a column `rate` would have)",
    )


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


def test_parts_of_one_file_may_begin_together(takes: pd.DataFrame) -> None:
    twice = pd.concat([takes[:3], takes[:3].assign(group="short", end=1.0)]).drop(columns="frames")
    assert check(make_frame(twice), sync=False, quick=True).findings == ()


def test_views_on_clocks_of_their_own_may_differ_in_length(takes: pd.DataFrame, tmp_path: Path) -> None:
    film(tmp_path, 1, 2, num=40)
    frame = takes.drop(columns="frames").assign(synchronised=[False] * 3 + [True] * 3)
    assert check(make_frame(frame)).findings == ()


def test_copies_are_found_by_their_bytes_and_by_their_pictures(takes: pd.DataFrame, tmp_path: Path) -> None:
    shutil.copy(takes["path"][0], takes["path"][4])
    film(tmp_path, 1, 3, faststart=True)  # other bytes, the same pictures; stays itself
    write_video(
        Path(takes["path"][5]),
        even_times(NUM, FPS),
        shown=[t + 0.5 for t in even_times(NUM, FPS)],
        image=scene(1, 3),
        gop=30,
    )
    report = check(takes, sync=False)
    assert kinds(report) == {(4, "same_file"), (5, "same_pictures")}
    assert takes["path"][0] in report.findings[0].found
    write_video(
        Path(takes["path"][1]),
        even_times(NUM, FPS),
        shown=[t + 0.5 for t in even_times(NUM, FPS)],
        image=scene(1, 1),
        gop=30,
    )
    assert (1, "same_view") in kinds(check(takes, sync=False))


def test_of_many_copies_each_is_told_once(takes: pd.DataFrame) -> None:
    for index, path in enumerate(takes["path"]):
        write_video(Path(path), even_times(NUM, FPS), image=scene(1, 1), gop=6 + index)
    frame = takes.assign(group=list("abcdef"))
    report = check(frame, sync=False)
    assert [f.row for f in report.findings if f.kind == "same_pictures"] == [1, 2, 3, 4, 5]


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


def test_a_hang_or_a_crash_costs_one_file(takes: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "av.py").write_text("raise RuntimeError('a file of the user, no module')")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "usercustomize.py").write_text("print('a banner')")
    (tmp_path / "sitecustomize.py").write_text("print('a banner')")
    monkeypatch.syspath_prepend(tmp_path)
    worker, path = _Worker(), str(takes["path"][0])
    try:
        assert worker.scan(path, False, 60).kind == ""
        assert worker.scan(path, False, 0.0).kind == "hangs"
        assert worker.scan(path, False, 60).num_decoded == NUM
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        assert "crashed" in worker.scan(path, False, 60).reason
    finally:
        worker.close()


def test_processes_find_what_one_process_finds(takes: pd.DataFrame) -> None:
    spoil("unreadable", Path(takes["path"][3]))
    found = [s.kind for s in scan_all(takes["path"].tolist(), quick=False, num_workers=2, time_limit=60)]
    assert found == [scan(path).kind for path in takes["path"]]
    assert found[3] == "unreadable"


def test_a_place_for_the_mended_manifest_that_cannot_be_written_is_told_before_the_work(
    good: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(good, tmp_path / "m.csv")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("mv2mae.data.check.check.check_manifest", lambda *_, **__: pytest.fail("it has begun"))
    with pytest.raises(InputError, match="cannot be written; give another place with --fix"):
        check_command(str(manifest), fix=str(tmp_path / "file" / "ok.csv"))
