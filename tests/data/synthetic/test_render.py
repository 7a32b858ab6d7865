"""The rasteriser is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mv2mae.data.synthetic.render import SUBPIXEL, rasterize


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
