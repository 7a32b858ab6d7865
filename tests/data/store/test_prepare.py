"""Making a store: what it holds, and that it survives stops, changes, broken videos and several machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_videos import even_times, time_of, write_video

from mv2mae.cli import main
from mv2mae.config import StoreConfig
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.store.crop import read_boxes
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import VideoInfo, read_frames, read_info
from mv2mae.errors import InputError

SMALL = StoreConfig(short_side=48, shard_size=2)


@pytest.fixture(scope="module")
def manifest(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos, three shards."""
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "m.classes.json").write_text('["a", "b", "c"]')
    return write_manifest(takes, folder / "m.parquet")


def content(out: Path) -> dict[str, bytes]:
    """Every file of a store but the tables of its parts, which hold times of the originals."""
    return {
        str(f.relative_to(out)): f.read_bytes()
        for f in sorted(out.rglob("*"))
        if f.is_file() and f.parent.name != "parts"
    }


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    report = prepare(manifest, out, SMALL, progress=False)
    assert (report.made, report.kept, report.set_aside) == (6, 0, 0)
    assert report.num_bytes == sum(f.stat().st_size for f in (out / "store").glob("*.tar"))
    return out


def test_rows_and_columns_stay_and_every_frame_keeps_its_time(manifest: Path, whole: Path) -> None:
    before, after = read_manifest(manifest), read_manifest(whole / "manifest.parquet")
    same = ["group", "view", "label", "subject", "setup", "start", "end"]
    pd.testing.assert_frame_equal(before[same], after[same])
    assert after["original"].tolist() == before["path"].tolist()
    assert (whole / "manifest.classes.json").read_text() == '["a", "b", "c"]'
    for original, stored in zip(before["path"], after["path"], strict=True):
        theirs, mine = read_info(original), read_info(stored)
        assert (mine.fps, mine.start, mine.duration) == (theirs.fps, theirs.start, theirs.duration)
        times = np.linspace(mine.start, mine.end - 1 / mine.fps, 19)
        np.testing.assert_allclose(
            time_of(read_frames(stored, times)), time_of(read_frames(original, times)), atol=0.012
        )
    assert after["frames"].tolist() == [50, 54, 49, 40, 48, 30]
    assert after["width"].tolist() == [64, 64, 64, 48, 64, 64]


def test_a_second_run_does_nothing(manifest: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {f: f.stat().st_mtime_ns for f in (whole / "store").glob("*.tar")}
    words = ["prepare", str(manifest), str(whole), "--short_side", "48", "--shard_size", "2"]
    assert main(words) == 0
    assert "nothing to do; 6 videos" in capsys.readouterr().out
    assert before == {f: f.stat().st_mtime_ns for f in (whole / "store").glob("*.tar")}


def test_another_setting_is_refused_and_nothing_is_touched(manifest: Path, whole: Path) -> None:
    before = content(whole)
    with pytest.raises(InputError, match="begun with short_side=48, not short_side=32"):
        prepare(manifest, whole, StoreConfig(short_side=32, shard_size=2), progress=False)
    assert content(whole) == before


def test_changed_originals_are_made_again_and_deleted_ones_kept(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{i}.mp4", even_times(20, 25)) for i in range(3)]
    frame = make_frame({"path": str(p), "group": p.stem, "view": 1} for p in paths)
    source = write_manifest(frame, tmp_path / "m.csv")
    config, out = StoreConfig(short_side=48, shard_size=1), tmp_path / "out"
    prepare(source, out, config, progress=False)
    write_video(paths[1], even_times(30, 25))
    paths[2].unlink()
    report = prepare(source, out, config, progress=False)
    assert (report.made, report.kept, report.set_aside) == (1, 2, 0)
    assert read_manifest(out / "manifest.parquet")["frames"].tolist() == [20, 30, 20]
    write_manifest(frame[:2], source)  # its third shard would go, and cannot be made again
    with pytest.raises(InputError, match="shard 2 have changed.* 2.mp4|shard 2 .*2.mp4, which it holds, is gone"):
        prepare(source, out, config, progress=False)
    write_video(paths[2], even_times(20, 25))
    prepare(source, out, config, progress=False)
    assert sorted(f.name for f in (out / "store").glob("*.tar")) == ["shard-000000.tar", "shard-000001.tar"]


def test_originals_may_move_but_not_over_the_store(tmp_path: Path) -> None:
    write_video(tmp_path / "here" / "v.mp4", even_times(20, 25))
    frame = make_frame([{"path": str(tmp_path / "here" / "v.mp4"), "group": "g", "view": 1}])
    write_manifest(frame, tmp_path / "here" / "m.csv")
    (tmp_path / "here" / "manifest.classes.json").write_text("[]")
    assert prepare(tmp_path / "here" / "m.csv", tmp_path / "out", SMALL, progress=False).made == 1
    (tmp_path / "here").rename(tmp_path / "there")
    assert prepare(tmp_path / "there" / "m.csv", tmp_path / "out", SMALL, progress=False).made == 0
    for name in ("manifest.csv", "manifest.parquet"):
        source = write_manifest(read_manifest(tmp_path / "there" / "m.csv"), tmp_path / "there" / name)
        if name == "manifest.csv":  # beside the classes of both
            assert prepare(source, tmp_path / "there", SMALL, progress=False).made == 1
            (tmp_path / "there" / "manifest.parquet").unlink()
        else:
            with pytest.raises(InputError, match="where the store's own manifest will be"):
                prepare(source, tmp_path / "there", SMALL, progress=False)


def test_whatever_one_video_brings_about_stops_no_other(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(path: str) -> VideoInfo:
        if path.endswith("b/2.avi"):
            raise ValueError("a surprise\non two lines")
        return read_info(path)

    monkeypatch.setattr("mv2mae.data.store.make.read_info", odd)
    report = prepare(manifest, tmp_path, SMALL, progress=False)
    assert (report.made, report.set_aside) == (5, 1)
    reasons = pd.read_csv(tmp_path / "problems.csv")["reason"].tolist()
    assert reasons == ["cannot be prepared (ValueError: a surprise)"]


def test_bad_videos_are_set_aside_with_their_reasons(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", even_times(20, 25))
    whole = good.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").touch()
    names = ["good", "cut", "empty", "missing"]
    rows = [{"path": str(tmp_path / f"{n}.mp4"), "group": n, "view": 1} for n in names]
    out = tmp_path / "out"
    report = prepare(write_manifest(make_frame(rows), tmp_path / "m.csv"), out, SMALL, progress=False)
    assert (report.made, report.set_aside) == (1, 3)
    listed = pd.read_csv(out / "problems.csv")
    assert listed["group"].tolist() == ["cut", "empty", "missing"]
    assert listed["reason"].str.contains("cannot be decoded|cut off|empty|no such file").all()
    assert read_manifest(out / "manifest.parquet")["group"].tolist() == ["good"]
    bad = write_manifest(make_frame(rows[1:]), tmp_path / "bad.csv")
    with pytest.raises(InputError, match="none of the 3 videos can be read; first: .*cut.mp4"):
        prepare(bad, tmp_path / "none", SMALL, progress=False)


def test_parts_and_merge_equal_one_run(manifest: Path, whole: Path, tmp_path: Path) -> None:
    report = prepare(manifest, tmp_path, SMALL, part="2/2", progress=False)
    assert (report.made, report.manifest) == (2, None)
    with pytest.raises(InputError, match="2 of 3 shards are not made .*shard 0"):
        prepare(manifest, tmp_path, SMALL, merge=True, progress=False)
    assert prepare(manifest, tmp_path, SMALL, part="1/2", progress=False).made == 4
    assert main(["prepare", str(manifest), str(tmp_path), "--short_side", "48", "--shard_size", "2", "--merge"]) == 0
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(manifest: Path, tmp_path: Path, part: str) -> None:
    with pytest.raises(InputError, match="such as 3/16"):
        prepare(manifest, tmp_path, SMALL, part=part, progress=False)


def test_only_the_part_between_start_and_end_is_stored(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", even_times(57, 25))
    frame = make_frame(
        {"path": str(path), "group": g, "view": 1, "start": s, "end": e}
        for g, s, e in (("a", 0.5, 1.01), ("b", 1.2, 9), ("c", 5, 9))
    )
    prepare(write_manifest(frame, tmp_path / "m.csv"), tmp_path / "out", SMALL, progress=False)
    assert "part from 5.00 s on lies outside" in pd.read_csv(tmp_path / "out" / "problems.csv")["reason"][0]
    stored = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert stored["start"].tolist() == [0.5, 1.2]
    assert stored["frames"].tolist() == [15, 27]  # 0.48 to 1.04; 1.2 to the last one
    assert read_info(stored["path"][0]).start == pytest.approx(0.48)
    assert read_info(stored["path"][0]).end >= 1.01
    times = [0.5, 0.76, 1.0]
    np.testing.assert_allclose(time_of(read_frames(stored["path"][0], times)), [0.48, 0.76, 1.0], atol=0.021)
    for outside in (0.0, 1.6):
        with pytest.raises(InputError, match="the store holds 0.48 to 1.08 s of it"):
            read_frames(stored["path"][0], [outside])


def test_a_lower_rate_takes_the_nearest_frames_with_their_own_times(tmp_path: Path) -> None:
    fast = write_video(tmp_path / "fast.mp4", even_times(60, 30))
    slow = write_video(tmp_path / "slow.mp4", even_times(20, 10))
    frame = make_frame({"path": str(p), "group": p.stem, "view": 1} for p in (fast, slow))
    config = StoreConfig(short_side=48, fps=12.5)
    prepare(write_manifest(frame, tmp_path / "m.csv"), tmp_path / "out", config, progress=False)
    stored = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert stored["fps"].tolist() == [12.5, 10]
    assert stored["frames"].tolist() == [25, 20]
    wanted = np.arange(25) / 12.5
    frames = read_frames(stored["path"][0], wanted)
    np.testing.assert_allclose(time_of(frames), np.ceil(wanted * 30 - 0.5) / 30, atol=0.025)


def spot(time: float) -> np.ndarray:
    """A bright square 16 pixels wide that moves right from (64, 40) by 32 pixels in one second, on textured ground."""
    image = np.random.default_rng(0).integers(40, 60, (120, 200, 3)).astype(np.uint8)
    left = 64 + round(32 * time)
    image[40:56, left : left + 16] = 250
    return image


def test_boxes_of_a_file_are_cut_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", even_times(12, 25), size=(120, 200), image=spot)
    frame = make_frame({"path": str(path), "group": "g", "view": v, "start": s} for v, s in (("1", None), ("2", 0.0)))
    source = write_manifest(frame, tmp_path / "m.csv")
    (tmp_path / "b.csv").write_text("group,view,left,top,right,bottom\ng,1,60,30,100,70\n")
    config = StoreConfig(short_side=64, crop="boxes", boxes=str(tmp_path / "b.csv"))
    report = prepare(source, tmp_path / "out", config, progress=False)
    assert (report.made, report.set_aside) == (1, 1)
    assert "has no box in" in pd.read_csv(tmp_path / "out" / "problems.csv")["reason"][0]
    stored = read_manifest(tmp_path / "out" / "manifest.parquet")["path"][0]
    frames = read_frames(stored, [0.0]).numpy()[0].astype(int)
    assert frames.shape == (40, 40, 3)
    np.testing.assert_allclose(frames[12:24, 6:18].mean(), 250, atol=8)  # the square, at (64 - 60, 40 - 30)
    assert frames[28:].mean() < 80
    (tmp_path / "b.csv").write_text("group,view,left,top,right,bottom\ng,1,60,30,101,71\ng,2,0,0,50,50\n")
    assert prepare(source, tmp_path / "out", config, progress=False).made == 2  # boxes changed


def test_boxes_are_found_by_any_name(tmp_path: Path) -> None:
    groups = ["NA", "None", "null", "7"]
    frame = make_frame({"path": f"/{group}.mp4", "group": group, "view": 1} for group in groups)
    boxes = [(0, 0, 10 + i, 10) for i in range(len(groups))]
    lines = [f"{group},1,{','.join(map(str, box))}" for group, box in zip(groups, boxes, strict=True)]
    (tmp_path / "b.csv").write_text("\n".join(["group,view,left,top,right,bottom", *lines]))
    assert read_boxes(tmp_path / "b.csv", frame) == boxes
    # numbers that became floats on their way, as in a column with gaps
    table = pd.DataFrame(boxes[3:], columns=["left", "top", "right", "bottom"]).assign(group=7.0, view=1.0)
    table.to_parquet(tmp_path / "b.parquet")
    assert read_boxes(tmp_path / "b.parquet", frame) == [None, None, None, boxes[3]]


def test_motion_is_followed_whatever_moves_elsewhere_in_noise(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", even_times(26, 25), size=(120, 200), image=spot)
    frame = make_frame([{"path": str(path), "group": "g", "view": 1}])
    config = StoreConfig(short_side=64, crop="motion")
    prepare(write_manifest(frame, tmp_path / "m.csv"), tmp_path / "out", config, progress=False)
    box = pd.read_parquet(tmp_path / "out" / "store" / "index.parquet").iloc[0]
    assert box["left"] <= 66
    assert box["right"] >= 64 + 32 + 14
    assert box["top"] <= 42
    assert box["bottom"] >= 54
    side = box["right"] - box["left"]
    assert side == box["bottom"] - box["top"]
    assert 48 <= side <= 76


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,left,top,right\nv,1,2,3\n", "lacks the column bottom"),
        ("left,top,right,bottom\n1,2,3,4\n", "lacks the column group, view"),
        ("path,left,top,right,bottom\nv,10,2,3,4\n", "which is no box"),
        ("path,left,top,right,bottom\nv,a,2,3,4\n", "must be numbers of pixels"),
    ],
)
def test_bad_boxes_are_refused(manifest: Path, tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "b.csv").write_text(table)
    config = StoreConfig(crop="boxes", boxes=str(tmp_path / "b.csv"))
    with pytest.raises(InputError, match=message):
        prepare(manifest, tmp_path / "out", config, progress=False)


@pytest.mark.parametrize("wrong", [{"short_side": 33}, {"crf": 0}, {"fps": -1.0}, {"crop": "boxes"}, {"shard_size": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        StoreConfig(**wrong)  # type: ignore[arg-type]


def test_a_store_is_not_prepared_again(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is an item of a store already"):
        prepare(whole / "manifest.parquet", tmp_path, SMALL, progress=False)


def test_the_folder_can_move(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to(whole, target_is_directory=True)
    path = read_manifest(tmp_path / "moved" / "manifest.parquet")["path"][0]
    assert path.startswith(str(tmp_path))
    assert len(read_frames(path, [0.1])) == 1
