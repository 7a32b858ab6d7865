"""The synthetic generator: exact drawing, draws that depend on their key only, bodies that move well, and the
packaged sample set.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch

from mv2mae.data.synthetic import Group, SynthConfig, contact_sheet, generate, generate_frames
from mv2mae.data.synthetic.actions import ACTIONS
from mv2mae.data.synthetic.bodies import NUM_SUBJECTS, load_body
from mv2mae.data.synthetic.generate import COLUMNS, build_setup, make_group, versions
from mv2mae.data.synthetic.motion import Skeleton, two_bone
from mv2mae.data.synthetic.performance import animate
from mv2mae.data.synthetic.performing import Style, perform
from mv2mae.data.synthetic.render import SUBPIXEL, rasterize
from mv2mae.data.synthetic.sample import sample_config
from mv2mae.errors import InputError

SMALL = SynthConfig(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)
SAMPLE = Path(str(resources.files("mv2mae.data"))) / "sample"


# --- the rasteriser ------------------------------------------------------------------------------------------------


def slow_rasterize(xy: np.ndarray, depth: np.ndarray, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every sample against every face, in Python's integers."""
    out = np.full((height, width), -1)
    best = np.full((height, width), -1)
    for index, face in enumerate(faces):
        p, z = [tuple(map(int, xy[k])) for k in face], [int(depth[k]) for k in face]
        area = (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) - (p[1][1] - p[0][1]) * (p[2][0] - p[0][0])
        if area <= 0:
            continue
        for row in range(height):
            for column in range(width):
                x, y = column * SUBPIXEL + SUBPIXEL // 2, row * SUBPIXEL + SUBPIXEL // 2
                weights, inside = [], True
                for k in range(3):
                    (ax, ay), (bx, by) = p[(k + 1) % 3], p[(k + 2) % 3]
                    value = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                    top_left = by - ay < 0 or (by == ay and bx > ax)
                    inside &= value > 0 or (value == 0 and top_left)
                    weights.append(value)
                nearness = sum(w * zk for w, zk in zip(weights, z, strict=True)) // area
                if inside and nearness >= best[row, column]:
                    best[row, column], out[row, column] = nearness, index
    return out


@pytest.mark.parametrize("reach", [3, 20, 80])
def test_rasterizer_equals_the_slow_reference(reach: int) -> None:
    rng = np.random.default_rng(reach)
    height, width, count = 19, 26, 40
    middle = rng.integers(-5 * SUBPIXEL, 30 * SUBPIXEL, (2, count, 1, 2))
    corners = middle + rng.integers(-reach * SUBPIXEL, reach * SUBPIXEL + 1, (2, count, 3, 2))
    corners[:, ::3] = (corners[:, ::3] + SUBPIXEL // 2) // SUBPIXEL * SUBPIXEL + SUBPIXEL // 2  # exactly on samples
    xy, faces = corners.reshape(2, -1, 2), np.arange(count * 3).reshape(-1, 3)
    depth = rng.integers(1, 1 << 18, xy.shape[:2])
    fast = rasterize(torch.from_numpy(xy), torch.from_numpy(depth), torch.from_numpy(faces), height, width)
    for k in range(2):
        np.testing.assert_array_equal(fast[k].numpy(), slow_rasterize(xy[k], depth[k], faces, height, width))


def test_neighbouring_faces_share_no_sample_and_leave_none_out() -> None:
    rng = np.random.default_rng(0)
    n = 7
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1) * 4 * SUBPIXEL
    grid[1:-1, 1:-1] += rng.integers(-1, 2, (n - 2, n - 2, 2)) * (SUBPIXEL // 2)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.ravel() for x in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = torch.from_numpy(np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))
    xy, depth = torch.from_numpy(grid.reshape(1, -1, 2)), torch.ones((1, n * n), dtype=torch.int64)
    size = (n - 1) * 4
    covered = sum((rasterize(xy, depth, face[None], size, size) == 0).long() for face in faces)
    assert isinstance(covered, torch.Tensor)
    assert torch.equal(covered, torch.ones_like(covered))


def test_a_nearer_background_hides_the_face() -> None:
    xy = torch.tensor([[[0, 0], [8, 0], [0, 8]]]) * SUBPIXEL
    wall = torch.zeros((1, 4, 4), dtype=torch.int64)
    wall[:, :, 2:] = 200
    seen = rasterize(xy, torch.full((1, 3), 100), torch.tensor([[0, 1, 2]]), 4, 4, wall)
    assert (seen[:, :, :2] == 0).all()
    assert (seen[:, :, 2:] == -1).all()


# --- people and motion ---------------------------------------------------------------------------------------------


def test_forty_people_of_both_sexes_and_many_ages_stand_on_the_floor() -> None:
    people = [load_body(i) for i in range(1, NUM_SUBJECTS + 1)]
    for body in people:
        assert abs(body.vertices[:, 2].min()) < 0.002
        assert 1.4 < np.ptp(body.vertices[:, 2]) < 2.05
        assert body.weights.sum(1) == pytest.approx(1)
    for chosen in (people[:10], people):
        assert {p.sex for p in chosen} == {"f", "m"}
        assert max(p.age for p in chosen) - min(p.age for p in chosen) > 35
    with resources.as_file(resources.files("mv2mae.data.synthetic") / "bodies.npz") as file:
        assert file.stat().st_size < 1_000_000


def test_limbs_keep_their_length_and_reach_their_goal() -> None:
    rng = np.random.default_rng(0)
    start, goal, pole = rng.normal(size=(3, 50, 3))
    goal = start + 0.5 * (goal - start) / np.linalg.norm(goal - start, axis=1, keepdims=True)
    middle, end, _ = two_bone(start, goal, pole, 0.31, 0.27)
    assert np.linalg.norm(middle - start, axis=1) == pytest.approx(0.31)
    assert np.linalg.norm(end - middle, axis=1) == pytest.approx(0.27)
    np.testing.assert_allclose(end, goal, atol=1e-9)


def performance(name: str, seed: int, subject: int = 5) -> tuple[Skeleton, np.ndarray]:
    """A skeleton, and its joints [t, j, 3] from the hips, in body heights."""
    motion = perform(ACTIONS[name], Style.draw(np.random.default_rng([seed, ACTIONS[name].id])), 64, 30)
    skeleton = Skeleton(load_body(subject), motion)
    return skeleton, (skeleton.positions - skeleton.positions[:, :1]) / load_body(subject).height


@pytest.mark.parametrize("name", ACTIONS)
def test_planted_feet_do_not_slide(name: str) -> None:
    for seed in range(4):
        skeleton, _ = performance(name, seed)
        motion, joints = skeleton.motion, list(load_body(5).joints)
        for side, foot in enumerate(("LeftFoot", "RightFoot")):
            still = (motion.planted[side] > 0.999) & (np.abs(motion.feet[side] - motion.feet[side][0]).max(1) < 1e-9)
            places = skeleton.positions[still, joints.index(foot)]
            assert np.ptp(places, axis=0).max(initial=0) < 0.002, (seed, foot)


def test_actions_differ_in_motion_but_not_in_their_first_pose() -> None:
    names = list(ACTIONS)[:10]
    moving, first, labels = [], [], []
    for name in names:
        for seed in range(16):
            skeleton, joints = performance(name, seed, subject=1 + (seed * 5) % NUM_SUBJECTS)
            speed = np.abs(np.diff(skeleton.positions, axis=0)).mean(0)
            moving.append(np.concatenate([joints.std(0), joints.mean(0), 10 * speed]).ravel())
            first.append(joints[0].ravel())
            labels.append(names.index(name))

    def accuracy(features: list[np.ndarray]) -> float:
        """Nearest neighbour, from the even performances to the odd ones."""
        x, y = np.array(features), np.array(labels)
        x = (x - x.mean(0)) / (x.std(0) + 1e-3)
        known, asked = slice(0, None, 2), slice(1, None, 2)
        nearest = ((x[asked, None] - x[None, known]) ** 2).sum(-1).argmin(1)
        return float((y[known][nearest] == y[asked]).mean())

    assert accuracy(moving) > 0.9
    assert accuracy(first) < 0.3  # chance is 0.1


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_seen_to_move(name: str) -> None:
    config = replace(SMALL, actions=(name,), num_frames=20, fps=10, difficulty="easy", num_groups=None)
    frames = generate_frames(config, Group(setup=1, subject=3, repetition=1, action=name), (2,))[2]
    assert frames.shape == (20, 48, 48, 3)
    assert frames.dtype == np.uint8
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3))
    assert change.max() > 0.4


# --- cameras -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", ["ntu", "free"])
def test_cameras_have_the_whole_standing_person_in_the_frame(cameras: str) -> None:
    config = replace(SMALL, cameras=cameras, num_cameras=4, azimuth_ranges=((-70, 25), (150, 180)))
    for setup in (1, 2, 3):
        stages = build_setup(config, setup)
        assert list(stages) == list(config.views)
        for stage in stages.values():
            pixels, depth = stage.camera.project(np.array([[0, 0, 0.0], [0, 0, 0.9], [0, 0, 1.7]]), 100)
            assert (depth > 1).all()
            assert ((pixels > 0) & (pixels < 100)).all()
            assert 62 < pixels[0, 1] - pixels[2, 1] < 82
            assert stage.camera.rotation @ stage.camera.rotation.T == pytest.approx(np.eye(3))


def test_ntu_cameras_stand_at_plus_45_0_and_minus_45_degrees() -> None:
    for view, stage in build_setup(SMALL, 1).items():
        x, y, _ = stage.camera.position  # the subject's left is -x, the front +y
        assert np.degrees(np.arctan2(-x, y)) == pytest.approx({1: 45, 2: 0, 3: -45}[view], abs=10)


def test_free_cameras_keep_to_their_ranges() -> None:
    config = replace(SMALL, cameras="free", num_cameras=3, azimuth_ranges=((-70, -30), (60, 80)))
    for setup in range(1, 6):
        for stage in build_setup(replace(config, size=32), setup).values():
            assert -70 <= stage.camera.azimuth <= -30 or 60 <= stage.camera.azimuth <= 80


# --- what is written -----------------------------------------------------------------------------------------------


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


# --- bad input -----------------------------------------------------------------------------------------------------


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


# --- the packaged sample set ---------------------------------------------------------------------------------------


def test_the_sample_set_is_complete_and_small() -> None:
    config, recorded = sample_config(), json.loads((SAMPLE / "synth.json").read_text())
    assert SynthConfig(**recorded["config"]) == config
    table = pd.read_csv(SAMPLE / "manifest.csv")
    expected = {f"videos/{g.file_name(v)}" for g in config.groups() for v in config.views}
    assert set(table.path) == expected
    assert {f"videos/{p.name}" for p in (SAMPLE / "videos").iterdir()} == expected
    assert len(expected) == 600
    assert sum(p.stat().st_size for p in (SAMPLE / "videos").iterdir()) < 5_300_000
    assert (table.groupby("label").size() == 60).all()
    assert set(table.subject) == set(range(1, 11))


@pytest.mark.parametrize("number", [0, 137])
def test_the_sample_set_is_what_the_generator_makes(number: int, tmp_path: Path) -> None:
    config = sample_config()
    group = config.groups()[number]
    make_group((tmp_path, config, group))
    same_libraries = json.loads((SAMPLE / "synth.json").read_text())["versions"] == versions()
    for view in config.views:
        mine, shipped = (folder / "videos" / group.file_name(view) for folder in (tmp_path, SAMPLE))
        if same_libraries:
            assert mine.read_bytes() == shipped.read_bytes()
        else:
            assert np.abs(decode(mine) - decode(shipped)).mean() < 1.5


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as video:
        return np.stack([frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)])
