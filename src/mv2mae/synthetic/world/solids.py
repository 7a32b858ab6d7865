"""Meshes of simple solids: vertices [v, 3] in metres and faces [f, 3], counter-clockwise from outside."""

import numpy as np

Solid = tuple[np.ndarray, np.ndarray]


def cuboid(size: tuple[float, float, float], centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Solid:
    """A box, by its whole size."""
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [(a, b, c) for a, b, c, _ in quads] + [(a, c, d) for a, _, c, d in quads]
    return signs * np.array(size) / 2 + np.array(centre), np.array(faces)


def drum(radius: float, bottom: float, top: float, *, narrow: float = 1.0, sides: int = 12) -> Solid:
    """An upright prism on a regular polygon; `narrow`: the radius at its top against that at its bottom."""
    angle = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angle), np.sin(angle)], 1) * radius
    low, high = (np.column_stack([circle * k, np.full(sides, z)]) for k, z in ((1.0, bottom), (narrow, top)))
    vertices = np.concatenate([low, high, [[0, 0, bottom], [0, 0, top]]])
    at, after = np.arange(sides), (np.arange(sides) + 1) % sides
    foot, head = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    sheets = [
        (at, after, after + sides),
        (at, after + sides, at + sides),
        (after, at, foot),
        (at + sides, after + sides, head),
    ]
    return vertices, np.concatenate([np.stack(sheet, 1) for sheet in sheets])


def ball(radius: float, rows: int = 7, columns: int = 12) -> Solid:
    """A sphere about the origin."""
    up = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[1:-1]
    round_ = np.arange(columns) * 2 * np.pi / columns
    rings = np.stack(
        [
            np.outer(np.cos(up), np.cos(round_)),
            np.outer(np.cos(up), np.sin(round_)),
            np.outer(np.sin(up), np.ones(columns)),
        ],
        -1,
    ).reshape(-1, 3)
    vertices = np.concatenate([rings, [[0, 0, -1.0], [0, 0, 1.0]]]) * radius
    at = np.arange(columns)
    after, south, north = (at + 1) % columns, np.full(columns, len(rings)), np.full(columns, len(rings) + 1)
    sheets = [(after, at, south)]
    for row in range(rows - 2):
        low, high = row * columns, (row + 1) * columns
        sheets += [(at + low, after + low, after + high), (at + low, after + high, at + high)]
    last = (rows - 2) * columns
    sheets.append((at + last, after + last, north))
    return vertices, np.concatenate([np.stack(sheet, 1) for sheet in sheets])
