"""Cameras follow the pixels: through crops, mirroring and scaling, from files and from the stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mv2mae.config import PairConfig, StoreConfig, StreamConfig
from mv2mae.data.alike import Alike
from mv2mae.data.augment import Box, crop_resize
from mv2mae.data.calibration import cameras_of
from mv2mae.data.cameras import Cameras, Pinhole, Vector, crop_camera, mirror_camera
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.store.prepare import prepare
from mv2mae.data.stream import PairStream
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset, collate_pairs
from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, generate
from mv2mae.synthetic.data_set import Group
from mv2mae.synthetic.generate import film_group, plan_setup

SMALL = SyntheticSet(
    actions=("wave",),
    subjects=(3,),
    setups=(1, 2),
    num_frames=6,
    fps=5,
    size=64,
    cameras="free",
    num_cameras=2,
    difficulty="easy",
    truth=("joints",),
    num_groups=2,
)


def seen_at(camera: Vector, points: np.ndarray) -> np.ndarray:
    """By the convention, number by number: where world points [n, 3] are seen, in shares of the picture."""
    fx, fy, cx, cy = camera[:4].astype(float)
    places = []
    for point in points:
        x, y, z = (sum(camera[4 + 3 * i + j] * point[j] for j in range(3)) + camera[13 + i] for i in range(3))
        places.append([fx * x / z + cx, fy * y / z + cy])
    return np.array(places)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [Box(3, 20, 40, 30), Box(0, 0, 64, 64)])
def test_a_joint_is_where_the_truth_says_after_crop_and_mirroring(box: Box, mirrored: bool) -> None:
    group = Group(setup=1, subject=3, repetition=1, action="wave")
    cameras = {camera.view: camera for camera in plan_setup(SMALL, 1)[0]}
    for view, footage in film_group(SMALL, group).items():
        truth = {name: value.numpy() for name, value in footage.truth.items()}
        camera = crop_camera(cameras[view].pinhole().vector(), box, 64, 64)
        camera = mirror_camera(camera) if mirrored else camera
        for world, pixels in zip(truth["joints"], truth["joints_2d"], strict=True):
            true = (pixels - [box.left, box.top]) / [box.width, box.height]  # the pixels themselves, cut
            true[:, 0] = 1 - true[:, 0] if mirrored else true[:, 0]
            np.testing.assert_allclose(seen_at(camera, world), true, atol=2e-3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two performances before two cameras each, with a joint's places."""
    folder = tmp_path_factory.mktemp("made")
    generate(folder, SMALL, progress=False)
    return folder


def pairs(manifest: Path, **changes: Any) -> PairDataset:
    config = PairConfig(manifest=str(manifest), frame_stride=1, **changes)
    frame = read_manifest(manifest)
    return PairDataset(
        frame,
        config,
        num_frames=4,
        size=32,
        seed=0,
        videos=Videos(),
        cameras=cameras_of(config.manifest, config.cameras),
    )


def test_pairs_tell_the_cameras_of_target_and_sources(made: Path) -> None:
    dataset = pairs(made / "manifest.csv", crop="centre")
    rigs = {setup: {c.view: c for c in plan_setup(SMALL, setup)[0]} for setup in (1, 2)}
    point = np.array([[0.2, -0.1, 1.3]])
    for index in range(len(dataset)):
        item = dataset[(0, index)]
        taken = [dataset.targets[index], *item["source_index"]]
        for row, camera in zip(taken, item["cameras"].numpy(), strict=True):
            video = dataset.frame.iloc[row]
            pixels, _ = rigs[int(video["setup"])][int(video["view"])].project(point, 64)
            np.testing.assert_allclose(seen_at(camera, point), pixels / 64, atol=1e-3)
    batch = collate_pairs([dataset[(0, k)] for k in range(3)])
    assert batch["cameras"].shape == (3, 2, 16)
    assert batch["cameras"].dtype == torch.float32


def test_crops_of_a_pair_change_its_cameras_as_its_pixels(made: Path) -> None:
    """The box that a camera tells of, cut out of the video, is the clip."""
    dataset = pairs(made / "manifest.csv", crop="multi-scale")
    assert dataset.cameras is not None
    row, side, boxes = dataset.targets[0], 49, set()  # pixels at which frames of 32 are read
    whole = dataset.cameras[row]
    for epoch in range(6):
        item = dataset[(epoch, 0)]
        camera = item["cameras"][0].numpy()
        share = whole[0] / camera[0], whole[1] / camera[1]
        left, top = whole[2] - camera[2] * share[0], whole[3] - camera[3] * share[1]
        edges = np.array([top, left, share[1], share[0]]) * side
        np.testing.assert_allclose(edges, edges.round(), atol=1e-3)
        boxes.add(box := Box(*(int(edge) for edge in edges.round())))
        rng = np.random.default_rng((0, epoch, 0))
        source = int(rng.choice(dataset.others[0], 1, replace=False)[0])
        times = dataset.window([row, source], rng.random())[0]
        frames = dataset.videos.read(dataset.paths[row], times, short_side=side)
        assert torch.equal(item["target"], crop_resize(frames, box, 32))
    assert len(boxes) > 2


def test_augmentation_is_alike_in_all_views_and_follows_from_the_key(made: Path) -> None:
    plain, augmented = (pairs(made / "manifest.csv", augment_alike=flag) for flag in (False, True))
    seen = set()
    for key in [(epoch, index) for epoch in range(8) for index in range(4)]:
        before, after, again = plain[key], augmented[key], augmented[key]
        alike = Alike.draw(0, *key, 0)
        seen.add(alike)
        assert torch.equal(after["target"], alike.clip(before["target"]))
        assert torch.equal(after["sources"][0], alike.clip(before["sources"][0]))
        assert torch.equal(after["target"], again["target"])
        assert (before["seed"], before["source_index"]) == (after["seed"], after["source_index"])
        for old, new in zip(before["cameras"].numpy(), after["cameras"].numpy(), strict=True):
            np.testing.assert_array_equal(new, mirror_camera(old) if alike.mirrored else old)
    assert len(seen) > 12


def test_repeats_of_an_item_are_augmented_apart(made: Path) -> None:
    dataset = pairs(made / "manifest.csv", augment_alike=True, num_repeats=8, crop="centre")
    alike = [Alike.draw(0, 3, 1, repeat) for repeat in range(8)]
    assert len(set(alike)) > 4
    mirrored = [bool(item["cameras"][0, 0] < 0) for item in dataset.__getitems__([(3, 1)])]
    assert mirrored == [change.mirrored for change in alike]


def test_what_an_augmentation_does() -> None:
    clip = torch.arange(3 * 2 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 2, 4)
    changed = Alike(channels=(2, 0, 1), inverted=True, mirrored=True).clip(clip)
    for channel, source in enumerate((2, 0, 1)):
        for column in range(4):
            assert torch.equal(changed[channel, ..., column], 255 - clip[source, ..., 3 - column])
    assert Alike().clip(clip) is clip
    assert len({Alike.draw(5, k) for k in range(400)}) == 24


@pytest.mark.slow
def test_the_stream_tells_its_cameras_and_augments_alike() -> None:
    config = PairConfig(
        manifest="synthetic-stream",
        stream=StreamConfig(num_rooms=2, pairs_per_room=4, pairs_per_epoch=12, actions=("wave",)),
        augment_alike=True,
    )
    stream = PairStream(config, num_frames=4, size=32, seed=0, cameras=True)
    plain = PairStream(replace(config, augment_alike=False), num_frames=4, size=32, seed=0)
    point = np.array([[0.1, 0.3, 1.0]])
    for index in range(6):
        script, item = stream.script(index), stream[index]
        before = plain.__class__(replace(config, augment_alike=False), num_frames=4, size=32, seed=0)[index]
        assert "cameras" not in before
        for view, box, camera in zip(script.views, script.boxes, item["cameras"].numpy(), strict=True):
            side = stream.synth.size
            pixels, _ = stream.rooms.camera(script.group.setup, view).project(point, side)
            true = (pixels[0] - [box.left, box.top]) / [box.width, box.height]
            true[0] = 1 - true[0] if script.alike.mirrored else true[0]
            np.testing.assert_allclose(seen_at(camera, point)[0], true, atol=1e-4)
        assert torch.equal(item["target"], script.alike.clip(before["target"]))


def test_a_store_hands_its_cameras_on(made: Path, tmp_path: Path) -> None:
    """Without a box they are those of the originals; a box moves them with the pixels."""
    originals = cameras_of(str(made / "manifest.csv")).vectors(read_manifest(made / "manifest.csv"))
    prepare(made / "manifest.csv", tmp_path / "plain", StoreConfig(short_side=48), progress=False)
    kept = PairConfig(manifest=str(tmp_path / "plain" / "manifest.parquet"))
    np.testing.assert_array_equal(cameras_of(kept.manifest).vectors(read_manifest(kept.manifest)), originals)
    frame = read_manifest(made / "manifest.csv")
    frame[["group", "view"]].assign(left=10, top=4, right=50, bottom=44).to_csv(tmp_path / "boxes.csv", index=False)
    config = StoreConfig(short_side=40, crop="boxes", boxes=str(tmp_path / "boxes.csv"))
    prepare(made / "manifest.csv", tmp_path / "cut", config, progress=False)
    cut = PairConfig(manifest=str(tmp_path / "cut" / "manifest.parquet"))
    for mine, whole in zip(cameras_of(cut.manifest).vectors(read_manifest(cut.manifest)), originals, strict=True):
        np.testing.assert_allclose(mine, crop_camera(whole, Box(4, 10, 40, 40), 64, 64), atol=1e-5)
    with pytest.raises(InputError, match=r"boxes were cut \(crop=boxes\), and .* knows the cameras of whole pictures"):
        cameras_of(cut.manifest, str(made / "cameras.json"))


def test_cameras_that_do_not_fit_are_left_out_of_a_store_with_a_word(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = read_manifest(made / "manifest.csv")
    frame["setup"] = 9
    write_manifest(frame, tmp_path / "m.csv")
    (tmp_path / "cameras.json").write_text((made / "cameras.json").read_text())
    prepare(tmp_path / "m.csv", tmp_path / "out", StoreConfig(short_side=48), progress=False)
    assert "cameras are left out" in caplog.text
    assert not (tmp_path / "out" / "cameras.json").exists()
    with pytest.raises(InputError, match="no camera for 4 of 4 videos"):
        prepare(
            tmp_path / "m.csv", tmp_path / "out2", StoreConfig(), progress=False, cameras=str(made / "cameras.json")
        )


def test_only_a_model_that_asks_gets_cameras(made: Path) -> None:
    config = PairConfig(manifest=str(made / "manifest.csv"), frame_stride=1)
    with_cameras = pretrain_data(config, num_frames=4, size=32, seed=0, with_cameras=True, progress=False)
    without = pretrain_data(config, num_frames=4, size=32, seed=0, progress=False)
    assert with_cameras.summary == {**without.summary, "known_cameras": len(without.train.paths)}  # type: ignore[union-attr]
    mine, theirs = with_cameras.train[(0, 0)], without.train[(0, 0)]
    assert "cameras" not in theirs
    assert all(torch.equal(mine[key], theirs[key]) for key in ("target", "sources"))  # type: ignore[literal-required]


def test_what_is_only_looked_at_is_not_augmented(made: Path) -> None:
    """Or a source of another pair would be told by its colours."""
    shape: dict[str, Any] = {"num_frames": 4, "size": 32, "seed": 0, "progress": False}
    for manifest in (str(made / "manifest.csv"), "synthetic-stream"):
        config = PairConfig(manifest=manifest, held_out_groups=0, frame_stride=1, stream=StreamConfig(num_rooms=2))
        plain, augmented = (
            pretrain_data(replace(config, augment_alike=flag), **shape, with_cameras=True) for flag in (False, True)
        )
        keys = [(0, index) for index in range(4)]
        changed = [not torch.equal(plain.train[key]["target"], augmented.train[key]["target"]) for key in keys]
        assert sum(changed) >= 2
        for key in keys:
            one, other = plain.held_out[key], augmented.held_out[key]
            assert torch.equal(one["target"], other["target"])
            assert torch.equal(one["sources"], other["sources"])
            assert torch.equal(one["cameras"], other["cameras"])


# --- the curriculum over angles --------------------------------------------------------------------------


def rows_of_a_rig(angles: tuple[float, ...]) -> tuple[pd.DataFrame, Cameras]:
    """Rows of two performances before cameras that look at one point from these directions."""
    rows = [
        {"path": f"{group}{view}.mp4", "group": group, "view": view, "setup": 1, "width": 64, "height": 64}
        for group in "ab"
        for view in range(1, len(angles) + 1)
    ]
    rig = {}
    for view, angle in enumerate(np.radians(angles), 1):
        turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        rig["1", str(view)] = Pinhole(
            focal=(64, 64), centre=(32, 32), size=(64, 64), rotation=turned, translation=np.array([0.0, 0.0, 3.0])
        )
    return make_frame(rows), Cameras(name="the rig", rig=rig)


def test_sources_come_ever_further_from_the_target() -> None:
    frame, cameras = rows_of_a_rig((0.0, 5.0, 20.0, 90.0))
    config = PairConfig(angle_curriculum=9, target_views=(1,))
    dataset = PairDataset(frame, config, num_frames=4, size=32, seed=0, videos=Videos(), cameras=cameras)
    views = dataset.frame["view"].to_numpy()
    reach = {epoch: set(views[dataset._reachable(epoch, 0)]) for epoch in (0, 1, 2, 8, 9, 50)}
    assert reach == {0: {2}, 1: {2}, 2: {2, 3}, 8: {2, 3}, 9: {2, 3, 4}, 50: {2, 3, 4}}
    by_direction = replace(config, camera_angles={1: 0, 2: 90, 3: 20, 4: 5})
    told = PairDataset(frame, by_direction, num_frames=4, size=32, seed=0, videos=Videos(), cameras=None)
    assert set(views[told._reachable(0, 0)]) == {4}
    two = PairDataset(
        frame, replace(config, num_sources=2), num_frames=4, size=32, seed=0, videos=Videos(), cameras=cameras
    )
    assert set(views[two._reachable(0, 0)]) == {2, 3}
    with pytest.raises(InputError, match=r"data.angle_curriculum=9 needs the angles between cameras, which are not"):
        PairDataset(frame, config, num_frames=4, size=32, seed=0, videos=Videos(), cameras=Cameras())


def test_the_stream_begins_with_the_nearest_sources() -> None:
    stream = StreamConfig(azimuths=(0.0, 5.0, 40.0, 90.0), num_rooms=2, pairs_per_epoch=40, actions=("wave",))
    config = PairConfig(manifest="synthetic-stream", stream=stream, angle_curriculum=2)
    pairs = PairStream(config, num_frames=4, size=32, seed=0)

    def apart(number: int) -> float:
        script = pairs.script((0, number))
        one, other = (stream.azimuths[view - 1] for view in script.views)
        return abs(one - other)

    assert all(apart(number) in (5, 35, 50) for number in range(8))  # each target's nearest
    assert max(apart(number) for number in range(80, 120)) == 90
    plain = PairStream(replace(config, angle_curriculum=0), num_frames=4, size=32, seed=0)
    assert [plain.script((2, k)).views for k in range(9)] == [pairs.script((2, k)).views for k in range(9)]
