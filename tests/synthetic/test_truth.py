"""Ground truth against what is known: boxes at known places, projected vertices, rigid motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filming import DEVICES, SHAKEN, STILL, bare_room, camera, carried, cuboid, take

from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, generate
from mv2mae.synthetic.people.performance import animate
from mv2mae.synthetic.render.film import Batch, Take, film
from mv2mae.synthetic.render.sensor import Draws
from mv2mae.synthetic.render.stage import MARGIN, Stage
from mv2mae.synthetic.render.truth import TRUTH, read_truth, write_truth
from mv2mae.synthetic.world.mesh import PARTS

PROP = PARTS.index("prop")


@pytest.mark.parametrize("device", DEVICES)
def test_depth_and_parts_of_a_box_at_a_known_place(device: str) -> None:
    # Its front is 3 m before the camera, where the frame of 64 pixels is 3 m high; the back wall is 7 m away.
    box = carried(cuboid((0.5, 0.5, 0.25)), np.array([[0.0, 0.5, 1.0], [0.75, 0.5, 1.0]]))
    truth = film([take(box)], device=device, truth=("depth", "parts"))[0].truth
    depth, parts = truth["depth"].cpu().numpy(), truth["parts"].cpu().numpy()
    centre = np.arange(64) + 0.5
    for t, middle in enumerate((0.0, 0.75)):
        # Seen from the front, x to the person's right is to the left.
        across = np.abs(centre - (32 - middle * 64 / 3)) < 0.5 * 64 / 3
        front = across[None] & (np.abs(centre - 32) < 0.25 * 64 / 3)[:, None]
        np.testing.assert_allclose(depth[t][front], 3.0, atol=1e-4)
        assert (parts[t][front] == PROP).all()
        rest = ~front if t == 0 else ~front & ((centre < 16) | (centre > 40))[None]
        side = parts[t] == PROP
        assert not (side & ~front)[:, centre > 40].any()
        if t == 0:
            assert (parts[t][rest] == 0).all()
    assert depth[0, 32, 12] == pytest.approx(7.0, abs=1e-3)  # the wall
    np.testing.assert_allclose(depth[0, 60, 2], 1 / (28.5 / 64), atol=1e-3)  # the floor, 1 m below the camera


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("disturbance", [STILL, SHAKEN], ids=["still", "shaken"])
def test_flow_of_a_box_that_moves_and_turns(disturbance: object, device: str) -> None:
    """Each pixel's point is found on the box, carried along, and projected again."""
    t = 4
    path = np.linspace([-0.4, 0.3, 0.8], [0.4, 0.9, 1.1], t)
    eye, half, turn = camera((0.5, 4.0, 1.8)), np.array([0.45, 0.4, 0.6]), 0.1
    shot = replace(take(carried(cuboid(tuple(half)), path, turn), stage=Stage(bare_room(), eye, 64)))
    shot = replace(shot, disturbance=disturbance, seed=3)  # type: ignore[arg-type]
    truth = film([shot], device=device, truth=("flow", "depth", "parts"), batch=Batch(takes=1, frames=3))[0].truth
    flow, depth, parts = (truth[name].cpu().numpy() for name in ("flow", "depth", "parts"))
    shift = Draws.of([3], [shot.disturbance], t, 64, MARGIN).shift[0].numpy() / 2
    assert flow.shape == (t - 1, 64, 64, 2)
    if disturbance is SHAKEN:
        assert np.abs(np.diff(shift, axis=0)).max() > 0
    for k in range(t - 1):
        np.testing.assert_allclose(flow[k][parts[k] == 0], np.tile(shift[k] - shift[k + 1], ((parts[k] == 0).sum(), 1)))
        rows, columns = np.nonzero(parts[k] == PROP)
        assert len(rows) > 200
        pixel = np.stack([columns, rows], 1) + 0.5
        seen_at = pixel + shift[k]
        rays = eye.rays(seen_at[:, 0], seen_at[:, 1], 64)
        point = eye.position + rays * depth[k][rows, columns, None]
        local = (point - path[k]) @ about_z(k * turn)
        assert np.abs(np.abs(local / half).max(1) - 1).max() < 2e-3  # on the box's surface
        expected = eye.project(local @ about_z((k + 1) * turn).T + path[k + 1], 64)[0] - shift[k + 1] - pixel
        np.testing.assert_allclose(flow[k][rows, columns], expected, atol=5e-3)


def about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("device", DEVICES)
def test_joints_of_a_person_and_whether_they_are_seen(device: str) -> None:
    config = SyntheticSet(actions=("wave",), subjects=(3,), num_frames=3, fps=5, size=64)
    person = animate(config, config.groups()[0]).movers[0]
    board = carried(cuboid((0.6, 0.02, 0.5)), np.tile([0.0, 1.2, 0.5], (3, 1)))  # before the legs
    eye = camera((0.0, 4.0, 1.0))
    shots = [take(*movers, stage=Stage(bare_room(), eye, 64)) for movers in ((person,), (person, board))]
    free, hidden = (footage.truth for footage in film(shots, device=device, truth=("joints", "parts")))
    names = list(person.model.joints)
    np.testing.assert_allclose(free["joints"].cpu().numpy(), person.positions, atol=1e-6)
    np.testing.assert_allclose(free["joints_2d"].cpu().numpy(), eye.project(person.positions, 64)[0], atol=1e-3)
    assert free["joints_visible"].all()
    feet, head = [names.index(f"{side}Foot") for side in ("Left", "Right")], names.index("Head")
    assert not hidden["joints_visible"][:, feet].any()
    assert hidden["joints_visible"][:, head].all()
    column, row = free["joints_2d"][0, head].long().tolist()
    assert int(free["parts"][0, row, column]) == PARTS.index("head")


def test_truth_does_not_depend_on_batches_nor_changes_the_frames() -> None:
    config = SyntheticSet(actions=("wave",), subjects=(3,), num_frames=5, fps=5, size=48)
    movers = animate(config, config.groups()[0]).movers[:1]
    box = carried(cuboid((0.1, 0.1, 0.3)), np.linspace([-0.6, 0.4, 0.5], [0.5, 0.4, 1.2], 5))
    stages = [Stage(bare_room(), eye, 48) for eye in (camera(), camera((2.5, 2.5, 1.5)))]
    cast = [movers, movers, (box, *movers)]
    takes = [Take(stage=stages[k % 2], movers=tuple(m), disturbance=SHAKEN, seed=k) for k, m in enumerate(cast)]
    whole = film(takes, truth=TRUTH, batch=Batch(takes=9, frames=99))
    plain = film(takes)
    for batch in (Batch(takes=1, frames=2), Batch(takes=2, frames=1)):
        for one, two, three in zip(whole, film(takes, truth=TRUTH, batch=batch), plain, strict=True):
            assert torch.equal(one.frames, two.frames)
            assert torch.equal(one.frames, three.frames)
            assert set(one.truth) == {*TRUTH, "joints_2d", "joints_visible"}
            assert three.truth == {}
            for name, values in one.truth.items():
                assert torch.equal(values, two.truth[name]), name


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth: dict[str, np.ndarray] = {
        "depth": rng.uniform(0.5, 60, (2, 4, 4)).astype(np.float32),
        "parts": rng.integers(0, 17, (2, 4, 4)).astype(np.uint8),
        "flow": rng.normal(size=(1, 4, 4, 2)).astype(np.float32),
        "joints": rng.normal(size=(2, 22, 3)).astype(np.float32),
        "joints_visible": rng.random((2, 22)) < 0.5,
    }
    write_truth(tmp_path / "new" / "a.npz", {name: torch.from_numpy(values) for name, values in truth.items()})
    write_truth(tmp_path / "new" / "b.npz", truth)
    read = read_truth(tmp_path / "new" / "a.npz")
    assert set(read) == set(truth)
    for name, tolerance in {"depth": 5.1e-4, "parts": 0, "flow": 2e-3, "joints": 0, "joints_visible": 0}.items():
        assert read[name].dtype == truth[name].dtype
        np.testing.assert_allclose(read[name].astype(float), truth[name].astype(float), atol=tolerance)
    assert (tmp_path / "new" / "a.npz").read_bytes() == (tmp_path / "new" / "b.npz").read_bytes()
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"a.npz", "b.npz"}


def test_files_that_are_no_ground_truth_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.savez(tmp_path / "object.npz", depth=np.array([{}], dtype=object))
    for name in ("absent.npz", "text.npz", "other.npz", "object.npz"):
        with pytest.raises(InputError, match=name):
            read_truth(tmp_path / name)


def test_a_data_set_holds_the_truth_of_its_videos(tmp_path: Path) -> None:
    config = SyntheticSet(
        actions=("wave",), subjects=(3,), num_frames=3, fps=5, size=48, truth=("parts", "flow"), difficulty="hard"
    )
    table = generate(tmp_path, config, progress=False)
    files = sorted((tmp_path / "truth").iterdir())
    assert [file.stem for file in files] == sorted(Path(path).stem for path in table.path)
    before = {file: file.read_bytes() for file in files}
    assert set(read_truth(files[0])) == {"parts", "flow"}
    assert read_truth(files[0])["flow"].shape == (2, 48, 48, 2)
    files[1].unlink()
    generate(tmp_path, config, progress=False)
    assert {file: file.read_bytes() for file in files} == before
    with pytest.raises(InputError, match="truth="):
        generate(tmp_path, replace(config, truth=()), progress=False)
    with pytest.raises(InputError, match="'normals'"):
        replace(config, truth=("normals",))
