"""What is written: bytes, names, manifest; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from mv2mae.data.synthetic import SynthConfig, contact_sheet, generate, generate_frames
from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.bodies import load_body
from mv2mae.data.synthetic.generate import COLUMNS, build_setup, make_group
from mv2mae.data.synthetic.performance import animate
from mv2mae.errors import InputError

SMALL = SynthConfig(
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


def test_names_and_manifest(written: Path) -> None:
    table = pd.read_csv(written / "manifest.csv")
    assert tuple(table.columns) == COLUMNS
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


def test_contact_sheet(tmp_path: Path) -> None:
    sheet = contact_sheet(tmp_path / "look.png", SMALL, SMALL.groups()[:2], moments=(0.0, 1.0))
    assert sheet.shape == (96, 48 * 6, 3)
    with av.open(str(tmp_path / "look.png")) as picture:
        np.testing.assert_array_equal(next(picture.decode(video=0)).to_ndarray(format="rgb24"), sheet)


def test_the_body_that_is_filmed_is_the_one_of_the_ground_truth() -> None:
    group = SMALL.groups()[0]
    performance = animate(SMALL, group)
    person = performance.movers[0]
    assert person.vertices().shape == (6, len(load_body(group.subject).vertices), 3)
    assert performance.skeleton.positions.shape == (6, len(load_body(group.subject).joints), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": ("wave", "fly")}, r"action 'fly' is unknown.*wave"),
        ({"actions": ()}, "at least one"),
        ({"subjects": (1, 41)}, "subject 41 does not exist.*1 to 40"),
        ({"setups": (0,)}, "numbered from 1"),
        ({"setups": (1, 1)}, "only once"),
        ({"size": 97}, "size=97.*even.*try 96"),
        ({"size": 8}, "try 32"),
        ({"difficulty": "evil"}, "easy, normal, hard"),
        ({"cameras": "ring"}, "'ring'.*ntu, free"),
        ({"cameras": "free", "num_cameras": 0}, "num_cameras=0"),
        ({"cameras": "free", "azimuth_ranges": ()}, "azimuth_ranges"),
        ({"cameras": "free", "azimuth_ranges": ((30, 10),)}, "low < high"),
        ({"cameras": "free", "num_cameras": 9, "azimuth_ranges": ((0, 20),)}, "do not fit"),
        ({"num_groups": 99}, "1 to 8"),
        ({"num_frames": 1}, "num_frames=1"),
        ({"crf": 60}, "crf=60"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **change)  # type: ignore[arg-type]
