"""What is written: bytes, names, manifest; and what is refused."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from mv2mae.cli import main
from mv2mae.data.manifest import COLUMNS, read_manifest
from mv2mae.data.protocols import select
from mv2mae.errors import InputError
from mv2mae.records import read_record
from mv2mae.synthetic import SyntheticSet, generate, generate_frames, read_cameras
from mv2mae.synthetic import encode as encoding
from mv2mae.synthetic.generate import build_setup, make_group
from mv2mae.synthetic.people.actions import ACTIONS
from mv2mae.synthetic.people.bodies import load_body
from mv2mae.synthetic.people.performance import animate
from mv2mae.synthetic.preview import estimate, tiles

SMALL = SyntheticSet(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    generate(out, SMALL, progress=False)
    return out


def test_one_and_two_processes_write_the_same_bytes(written: Path, tmp_path: Path) -> None:
    generate(tmp_path, SMALL, num_processes=2, progress=False)
    assert contents(tmp_path) == contents(written)


def test_an_interrupted_run_goes_on_and_keeps_what_is_there(written: Path, tmp_path: Path) -> None:
    group = SMALL.groups()[-1]
    make_group((tmp_path, SMALL, group))
    kept = tmp_path / "videos" / group.file_name(1)
    (tmp_path / "videos" / group.file_name(2)).unlink()
    before = kept.stat().st_mtime_ns
    for left in (".classes.json.0123456789ab.tmp", "videos/.x.mp4.0123456789ab.tmp"):  # by a process that was killed
        (tmp_path / left).touch()
    generate(tmp_path, SMALL, progress=False)
    assert kept.stat().st_mtime_ns == before
    assert contents(tmp_path) == contents(written)


def test_two_looks_are_not_mixed_in_one_folder(written: Path) -> None:
    with pytest.raises(InputError, match="size=48, not size=64"):
        generate(written, replace(SMALL, size=64), progress=False)


def test_draws_do_not_depend_on_order_nor_on_the_rest_of_the_set() -> None:
    group = SMALL.groups()[2]
    alone = generate_frames(SMALL, group)
    build_setup.cache_clear()
    other = replace(SMALL, num_groups=None, subjects=(group.subject, 1, 2), actions=("punch", group.action))
    for another in other.groups()[:2]:
        generate_frames(other, another, (1,))
    again = generate_frames(other, group)
    for view, frames in alone.items():
        np.testing.assert_array_equal(again[view], frames)
    assert not np.array_equal(generate_frames(replace(SMALL, seed=4), group)[1], alone[1])


def test_with_rooms_of_their_own_performances_share_no_room_and_people_take_turns() -> None:
    config = replace(SMALL, setups=(21,), subjects=(3, 17, 30), own_rooms=True, num_groups=14)
    groups = config.groups()
    assert [group.setup for group in groups] == list(range(21, 35))
    subjects = [group.subject for group in groups]
    assert all(set(subjects[k : k + 3]) == {3, 17, 30} for k in range(0, 12, 3))
    assert all({a.action, b.action} == {"wave", "squat"} for a, b in zip(groups[::2], groups[1::2], strict=True))
    assert replace(config, num_groups=5).groups() == groups[:5], "a set that grows keeps what it has"
    assert len(replace(config, num_groups=None).groups()) == 6
    assert replace(config, seed=9).groups() != groups


def test_a_folder_of_before_a_setting_existed_goes_on(written: Path, tmp_path: Path) -> None:
    recorded = read_record(written / "synth.json")
    del recorded["config"]["own_rooms"]
    (tmp_path / "synth.json").write_text(json.dumps(recorded))
    generate(tmp_path, SMALL, progress=False)
    with pytest.raises(InputError, match="own_rooms=False, not own_rooms=True"):
        generate(tmp_path, replace(SMALL, setups=(1,), own_rooms=True, num_groups=1), progress=False)


def test_names_and_manifest(written: Path) -> None:
    table = pd.read_csv(written / "manifest.csv")
    assert list(table.columns) == [column for column in COLUMNS if column in table.columns]
    assert {"path", "group", "view", "label", "subject", "setup", "fps", "frames"} <= set(table.columns)
    assert len(table) == 15
    assert table.path.is_unique
    first = table.iloc[0]
    group = SMALL.groups()[0]
    setup, subject, _, action = group.key
    assert first.path == f"videos/S{setup:03d}C001P{subject:03d}R001A{action:03d}_rgb.mp4"
    assert first.group == f"S{setup:03d}P{subject:03d}R001A{action:03d}"
    assert (first["view"], first.label, first.subject, first.setup) == (1, action - 1, subject, setup)
    assert table[["start", "end"]].isna().all(axis=None)
    for row in table.itertuples():
        with av.open(str(written / str(row.path))) as video:
            stream = video.streams.video[0]
            assert (stream.frames, stream.width, stream.height) == (row.frames, row.width, row.height)
            assert float(stream.average_rate or 0) == row.fps
    classes = json.loads((written / "classes.json").read_text())
    assert all(classes[str(label)] in ACTIONS for label in table.label)
    cameras = json.loads((written / "cameras.json").read_text())
    assert set(cameras) == set(table.setup.astype(str))
    assert set(cameras["1"]["cameras"]) == {"1", "2", "3"}


def test_tiles_are_frames_of_the_set() -> None:
    groups = SMALL.groups()[:2]
    sheet = tiles(SMALL, groups, (0.0, 1.0), SMALL.views)
    assert sheet.shape == (96, 48 * 6, 3)
    second = generate_frames(SMALL, groups[1])
    np.testing.assert_array_equal(sheet[48:, :48], second[1][0])
    np.testing.assert_array_equal(sheet[48:, -48:], second[3][-1])


def test_the_body_that_is_filmed_is_the_one_of_the_ground_truth() -> None:
    group = SMALL.groups()[0]
    performance = animate(SMALL, group)
    person = performance.movers[0]
    assert person.vertices().shape == (6, len(load_body(group.subject).vertices), 3)
    assert performance.skeleton.positions.shape == (6, len(load_body(group.subject).joints), 3)


def test_splits_agree_with_the_protocol(written: Path) -> None:
    table, splits = read_manifest(written / "manifest.csv"), json.loads((written / "splits.json").read_text())
    assert {"xsub", "xview", "xset"} <= set(splits)
    for name, split in splits.items():
        for part in ("train", "test"):
            by_query = table.query(split[part], engine="python")
            assert len(by_query) == split[f"{part}_videos"]
            if len(by_query):
                by_protocol = select(table, split=f"synthetic/{name}", part=part)
                assert list(by_protocol.path) == list(by_query.path)


def test_poses_on_disk_are_those_that_filmed(written: Path) -> None:
    for setup, cameras in read_cameras(written / "cameras.json").items():
        for view, stage in build_setup(SMALL, setup).items():
            np.testing.assert_allclose(cameras[view].position, stage.camera.position, atol=1e-5)


@pytest.mark.parametrize("kind", [lambda *_: OSError(errno.ENOSPC, "No space left on device"), av.error.OSError])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_made(
    kind: Callable[..., OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, calls = encoding._encode, []

    def fails_at_the_third(path: Path, *rest: Any) -> None:
        encode(path, *rest)
        calls.append(path)
        if len(calls) == 3:
            raise kind(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(encoding, "_encode", fails_at_the_third)
    with pytest.raises(InputError, match=r"no room left for .*\.mp4 \(the disk has [\d,.]+ MB free\); free some"):
        generate(tmp_path, SMALL, progress=False)
    left = [p.name for p in (tmp_path / "videos").iterdir()]
    assert len(left) == 2
    assert all(name.endswith("_rgb.mp4") for name in left)
    assert not (tmp_path / "manifest.csv").exists()


def test_a_disk_that_is_full_from_the_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="no room left for .*synth.json"):
        generate(tmp_path, SMALL, progress=False)


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(IsADirectoryError), encoding.room_on_disk(tmp_path / "x"):
        (tmp_path / "videos").open("w")


def test_the_estimate_comes_close_to_what_is_written(written: Path) -> None:
    reckoned = estimate(SMALL)
    size = sum(p.stat().st_size for p in (written / "videos").iterdir()) / 1e6
    assert (reckoned.performances, reckoned.videos) == (5, 15)
    assert reckoned.megabytes == pytest.approx(size, rel=0.5)
    assert reckoned.minutes > 0
    assert "5 performances, 15 videos" in str(reckoned)


def test_the_command_takes_a_file_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("size: 48\nnum_frames: 4\nactions: [wave, clap]\nnum_groups: 2\ncameras: etri\n")
    out = tmp_path / "set"
    assert main(["synth", str(out), "--config", str(settings), "--num_groups", "1", "--dry_run", "true"]) == 0
    assert "1 performance, 8 videos" in capsys.readouterr().out
    assert not out.exists()
    assert main(["synth", str(out), "--config", str(settings), "--num_groups", "1"]) == 0
    said = capsys.readouterr().out
    assert "1 performance x 8 views = 8 videos\n" in said
    assert "wrote 8 videos and manifest" in said
    assert len(read_manifest(out / "manifest.csv")) == 8
    (out / "videos" / read_manifest(out / "manifest.csv")["path"][0]).unlink()
    for there, made in ((7, "wrote 1 video and manifest"), (8, "no video was missing; wrote manifest")):
        assert main(["synth", str(out), "--config", str(settings), "--num_groups", "1"]) == 0
        said = capsys.readouterr().out
        assert f"8 videos, {there} of them there already" in said
        assert made in said
    assert main(["synth", str(out), "--config", str(settings), "--preview", str(tmp_path / "look.txt")]) == 1
    assert "ends in .jpg, .webp or .png" in capsys.readouterr().err


def test_levels_rise_and_easy_is_clean() -> None:
    def still(level: str) -> float:
        """Mean change from frame to frame in the corners, where nobody acts."""
        config = replace(SMALL, difficulty=level, size=64, num_frames=12)
        frames = np.concatenate([generate_frames(config, g, (1,))[1] for g in SMALL.groups()[:3]]).astype(float)
        steps = np.abs(np.diff(frames.reshape(3, 12, 64, 64, 3), axis=1))
        return float(np.median(steps[:, :, :16, :16]))

    easy, normal, hard = (still(level) for level in ("easy", "normal", "hard"))
    assert easy == 0
    assert 0.5 < normal < hard
    assert SMALL.quality == 28
    assert replace(SMALL, difficulty="hard").quality > 28
    assert replace(SMALL, difficulty="hard", crf=20).quality == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": ("wave", "fly")}, r"action 'fly' is unknown.*wave"),
        ({"subjects": ()}, "at least one"),
        ({"subjects": (1, 41)}, "subject 41 does not exist.*1 to 40"),
        ({"setups": (0,)}, "numbered from 1 to 9999"),
        ({"setups": (1, 1)}, "only once"),
        ({"size": 97}, "size=97.*even.*try 96"),
        ({"size": 8}, "try 32"),
        ({"difficulty": "evil"}, "easy, normal, hard"),
        ({"setups": (10_000,)}, "from 1 to 9999"),
        ({"num_groups": 99}, "1 to 8"),
        ({"own_rooms": True}, "own_rooms with 2 setups; give one"),
        ({"own_rooms": True, "setups": (9990,), "num_groups": 12}, "setups 9990 to 10001"),
        ({"num_frames": 1}, "num_frames=1"),
        ({"crf": 60}, "crf=60"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **change)  # type: ignore[arg-type]
