"""Rooms: furniture leaves the person free and in sight, and the ray-caster sees boxes where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.generate import plan_setup
from mv2mae.synthetic.world.backdrop import cast
from mv2mae.synthetic.world.cameras import Camera, look_at
from mv2mae.synthetic.world.furniture import KINDS, Box, Piece, draw_piece
from mv2mae.synthetic.world.rooms import MOST_HIDDEN, Room, draw_room, hidden
from mv2mae.synthetic.world.surfaces import noise, plain

CONFIG = SyntheticSet(difficulty="hard", seed=9)


def in_front(distance: float) -> Camera:
    eye = np.array([0, distance, 1.0])
    return Camera(view=1, azimuth=0.0, position=eye, rotation=look_at(eye, np.array([0, 0, 1.0])), focal=1.2)


def block(centre: tuple[float, ...], size: tuple[float, ...], colour: tuple[float, ...] = (200.0, 30, 30)) -> Piece:
    box = Box(centre=np.array(centre), half=np.array(size) / 2, axes=np.eye(3), surface=plain(colour, glow=True))
    return Piece(kind="block", boxes=(box,), size=(size[0], size[1], size[2]))


def bare(*pieces: Piece) -> Room:
    room = draw_room(np.random.default_rng(0), [in_front(4.0)])
    return replace(room, walls=(3.0, 3.0, 3.0, 3.0), pieces=pieces, pictures=())


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_stands_on_the_floor_within_its_size(kind: str) -> None:
    for seed in range(5):
        piece = draw_piece(np.random.default_rng(seed), kind)
        reach = np.array([box.half @ np.abs(box.axes) for box in piece.boxes])
        centres = np.array([box.centre for box in piece.boxes])
        assert (centres - reach)[:, 2].min() == pytest.approx(0, abs=0.02)
        assert 0.4 < (centres + reach)[:, 2].max() < 2.2
        slack = 0.45 if kind == "plant" else 0.06
        assert ((np.abs(centres) + reach)[:, :2].max(0) <= np.array(piece.size[:2]) / 2 + slack).all()
        for box in piece.boxes:
            assert box.axes @ box.axes.T == pytest.approx(np.eye(3))


def test_a_piece_is_turned_and_moved_as_a_whole() -> None:
    piece = block((0.5, 0, 0.2), (0.2, 0.1, 0.4)).placed(np.array([1.0, 2.0]), np.pi / 2)
    np.testing.assert_allclose(piece.boxes[0].centre, [1.0, 2.5, 0.2], atol=1e-12)
    np.testing.assert_allclose(piece.boxes[0].axes[0], [0, 1, 0], atol=1e-12)


def test_a_box_is_seen_where_it_projects_to_and_at_its_distance() -> None:
    camera = in_front(4.0)
    colour, depth = cast(bare(block((0.3, -1.0, 1.2), (0.4, 0.2, 0.6))), camera, 64, 2, 4)
    red = colour[..., 0] - colour[..., 1] > 100
    rows, columns = np.nonzero(red)
    corners = np.array([[0.1, -0.9, 0.9], [0.5, -0.9, 1.5]])  # of the face towards the camera
    xy, z = camera.project(corners, 64)
    low, high = np.sort(xy * 2 + 4, axis=0)
    assert [columns.min(), rows.min()] == pytest.approx(low, abs=1.01)
    assert [columns.max() + 1, rows.max() + 1] == pytest.approx(high, abs=1.01)
    assert depth[red] == pytest.approx(z[0], abs=1e-6)
    assert red.sum() == pytest.approx(np.prod(high - low), rel=0.05)


def test_behind_everything_are_the_walls() -> None:
    camera = in_front(4.0)
    colour, depth = cast(bare(), camera, 32, 2, 0)
    assert depth[32, 32] == pytest.approx(7.0, abs=0.01)  # the camera is at y = 4, the wall at y = -3
    assert colour.min() >= 0
    assert colour.max() <= 255
    assert (depth < 1e3).all()


def test_what_hides_the_body_is_measured() -> None:
    eye = np.array([0, 4.0, 1.0])
    assert hidden([], eye).mean() == 0
    assert hidden([block((0, 2.0, 1.0), (3.0, 0.1, 3.0))], eye).mean() == 1
    legs = hidden([block((0, 1.5, 0.4), (3.0, 0.1, 0.8))], eye)
    assert 0.2 < legs[0].mean() < 0.6
    assert hidden([block((0, -1.5, 1.0), (3.0, 0.1, 3.0))], eye).mean() == 0  # behind the person
    assert hidden([block((0, 6, 1.0), (3.0, 0.1, 3.0))], eye).mean() == 0  # behind the camera


@pytest.mark.parametrize("preset", ["ntu", "etri", "ring", "free"])
def test_furniture_hides_parts_of_the_person_and_never_more_than_a_third(preset: str) -> None:
    shares = []
    for setup in range(1, 4 if preset == "ring" else 7):
        cameras, room = plan_setup(replace(CONFIG, cameras=preset), setup)
        shares.append([hidden(room.pieces, camera.position)[0].mean() for camera in cameras])
        for piece in room.pieces:
            middle = np.mean([box.centre[:2] for box in piece.boxes], axis=0)
            assert np.hypot(*middle) > 1.0
    assert np.max(shares) <= MOST_HIDDEN
    hiding = [max(row) for row in shares if max(row) > 0.05]
    assert len(hiding) >= 2


def test_easy_rooms_hide_nothing() -> None:
    for setup in range(1, 6):
        cameras, room = plan_setup(replace(CONFIG, difficulty="easy"), setup)
        assert len(room.pieces) >= 1
        assert max(hidden(room.pieces, camera.position)[0].mean() for camera in cameras) <= 0.05


def test_the_sun_casts_shadows_of_furniture_on_the_floor() -> None:
    room = replace(bare(), light=np.array([0.6, 0.0, 0.8]))
    eye = np.array([0, 4.0, 2.0])
    camera = replace(in_front(4.0), position=eye, rotation=look_at(eye, np.zeros(3)))
    shaded, _ = cast(replace(room, pieces=(block((0.5, 0, 0.9), (0.3, 0.3, 0.1)),)), camera, 64, 2, 0)
    lit, _ = cast(room, camera, 64, 2, 0)
    # a box at x = 0.5 and 0.9 m high, light from x+ at a slope of 4 : 3: its shadow lies about x = -0.175
    xy, _ = camera.project(np.array([[-0.175, 0, 0], [0.9, 0.3, 0]]), 64)
    (x, y), (x1, y1) = (xy * 2).astype(int)
    assert shaded[y, x].mean() < 0.85 * lit[y, x].mean()
    assert shaded[y1, x1] == pytest.approx(lit[y1, x1], abs=0.01)


def test_noise_is_the_same_from_a_table_and_point_by_point() -> None:
    u, v = np.random.default_rng(1).uniform(-9, 9, (2, 500))
    dense = noise(u, v, 5)  # many points in few cells: a table
    single = np.array([noise(u[k : k + 1], v[k : k + 1], 5)[0] for k in range(0, 500, 25)])
    sparse = noise(np.append(u, 1e6), np.append(v, 1e6), 5)[:-1]  # too wide for a table
    np.testing.assert_allclose(dense[::25], single, rtol=1e-6)
    np.testing.assert_allclose(dense, sparse, rtol=1e-6)
    assert 0 <= dense.min() < 0.2 < 0.8 < dense.max() <= 1
