"""The rasteriser is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from filming import DEVICES

from mv2mae.synthetic.render.rasterizer import FACE_BITS, SUBPIXEL, empty_keys, faces_of, rasterize, snap


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


def draw(
    xy: np.ndarray, depth: np.ndarray, faces: np.ndarray, height: int, width: int, device: str = "cpu"
) -> np.ndarray:
    """The fast rasteriser: [t, h, w] face index, -1 where nothing is."""
    keys = empty_keys((1, len(xy), height, width), device)
    x, y, nearness = (torch.from_numpy(a.astype(float)).to(device) for a in (xy[..., 0], xy[..., 1], depth))
    rasterize(keys, x, y, nearness, torch.from_numpy(faces.T.copy()).to(device))
    return faces_of(keys)[0].cpu().numpy() - 1


def random_triangles(reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(reach)
    count = 40
    middle = rng.integers(-5 * SUBPIXEL, 30 * SUBPIXEL, (2, count, 1, 2))
    corners = middle + rng.integers(-reach * SUBPIXEL, reach * SUBPIXEL + 1, (2, count, 3, 2))
    corners[:, ::3] = (corners[:, ::3] + SUBPIXEL // 2) // SUBPIXEL * SUBPIXEL + SUBPIXEL // 2  # exactly on samples
    xy, faces = corners.reshape(2, -1, 2), np.arange(count * 3).reshape(-1, 3)
    return xy, rng.integers(1, 1 << 18, xy.shape[:2]), faces


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reach", [1, 3, 20, 80])
def test_rasterizer_equals_the_slow_reference(reach: int, device: str) -> None:
    height, width = 19, 26
    xy, depth, faces = random_triangles(reach)
    fast = draw(xy, depth, faces, height, width, device)
    for k in range(2):
        np.testing.assert_array_equal(fast[k], slow_rasterize(xy[k], depth[k], faces, height, width))


def test_takes_drawn_together_equal_takes_drawn_apart() -> None:
    xy, depth, faces = random_triangles(20)
    keys = empty_keys((2, 2, 19, 26))
    x, y, nearness = (torch.from_numpy(a.astype(float)) for a in (xy[..., 0], xy[..., 1], depth))
    owner = torch.arange(len(faces)) % 2
    number = torch.arange(len(faces)) + 1000
    rasterize(keys, x, y, nearness, torch.from_numpy(faces.T.copy()), owner=owner, number=number)
    for k in range(2):
        apart = draw(xy, depth, faces[k::2], 19, 26)
        named = np.where(apart < 0, 0, apart * 2 + k + 1000)
        np.testing.assert_array_equal(faces_of(keys)[k].numpy(), named)


def test_neighbouring_faces_share_no_sample_and_leave_none_out() -> None:
    rng = np.random.default_rng(0)
    n = 7
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1) * 4 * SUBPIXEL
    grid[1:-1, 1:-1] += rng.integers(-1, 2, (n - 2, n - 2, 2)) * (SUBPIXEL // 2)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.ravel() for x in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    xy, depth, size = grid.reshape(1, -1, 2), np.ones((1, n * n)), (n - 1) * 4
    covered = sum((draw(xy, depth, face[None], size, size) == 0).astype(int) for face in faces)
    np.testing.assert_array_equal(covered, np.ones((1, size, size)))


def test_a_nearer_background_hides_the_face() -> None:
    xy = torch.tensor([[0.0, 8, 0], [0, 0, 8]])[:, None] * SUBPIXEL
    keys = empty_keys((1, 1, 4, 4))
    keys[..., 2:] = 200 << FACE_BITS
    rasterize(keys, xy[0].double(), xy[1].double(), torch.full((1, 3), 100.0).double(), torch.tensor([[0], [1], [2]]))
    assert (faces_of(keys)[..., :2] == 1).all()
    assert (faces_of(keys)[..., 2:] == 0).all()


@pytest.mark.parametrize("lost", [{"depth": -1.0}, {"depth": 0.1}, {"x": 1e7}])
def test_faces_behind_the_camera_or_far_beside_it_are_left_out(lost: dict[str, float]) -> None:
    corners = {"x": torch.tensor([[0.0, 4, 0]]), "y": torch.tensor([[0.0, 0, 4]]), "depth": torch.full((1, 3), 2.0)}
    faces = torch.tensor([[0], [1], [2]])
    for values, drawn in (({}, True), (lost, False)):
        for name, value in values.items():
            corners[name][0, 1] = value
        keys = empty_keys((1, 1, 4, 4))
        rasterize(keys, *snap(*(corners[name].double() for name in ("x", "y", "depth"))), faces)
        assert bool((keys > 0).any()) == drawn
