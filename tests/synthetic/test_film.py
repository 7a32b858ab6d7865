"""What is filmed: the same whatever is filmed with it, on any device; light, shadows and what the camera adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from filming import DEVICES, SHAKEN, STILL, bare_room, camera, carried, cuboid, take

from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet
from mv2mae.synthetic.difficulty import Disturbance
from mv2mae.synthetic.people.performance import animate
from mv2mae.synthetic.render import posing
from mv2mae.synthetic.render.film import Batch, Take, film
from mv2mae.synthetic.render.posing import pose
from mv2mae.synthetic.render.sensor import Draws, normals
from mv2mae.synthetic.render.stage import MARGIN, SUPERSAMPLE, Stage

T = 5


@pytest.fixture(scope="module")
def takes() -> list[Take]:
    """Two performances of different people, one with a prop, in two rooms with two cameras each."""
    config = SyntheticSet(actions=("wave",), subjects=(3, 17), num_frames=T, fps=5, size=48)
    people = [animate(config, group).movers[:1] for group in config.groups()]
    box = carried(cuboid((0.1, 0.1, 0.3)), np.linspace([-0.6, 0.4, 0.5], [0.5, 0.4, 1.2], T), turn=0.3)
    rooms = bare_room((0.3, 0.5, 0.8)), bare_room((-0.4, 0.3, 0.7))
    eyes = camera(), camera((2.5, 2.5, 1.5))
    stages = [[Stage(room, eye, 48) for eye in eyes] for room in rooms]
    cast = [(0, people[0]), (1, (*people[1], box)), (0, people[0]), (1, (*people[1], box))]
    return [
        Take(stage=stages[k][i // 2], movers=movers, disturbance=SHAKEN, seed=i) for i, (k, movers) in enumerate(cast)
    ]


def frames(takes: list[Take], **options: object) -> np.ndarray:
    return np.stack([footage.frames.cpu().numpy() for footage in film(takes, **options)])  # type: ignore[arg-type]


def test_a_take_does_not_depend_on_what_is_filmed_with_it(takes: list[Take]) -> None:
    together = frames(takes, batch=Batch(takes=256, frames=2048))
    for batch in (Batch(takes=1, frames=8), Batch(takes=1, frames=1), Batch(takes=3, frames=7)):
        np.testing.assert_array_equal(frames(takes, batch=batch), together)
    np.testing.assert_array_equal(frames(takes[2:3])[0], together[2])
    assert len({video.tobytes() for video in together}) == 4


@pytest.mark.gpu
def test_a_gpu_films_what_a_cpu_films(takes: list[Take]) -> None:
    truth = ("depth", "parts", "joints", "flow")
    for one, two in zip(film(takes, truth=truth), film(takes, device="cuda", truth=truth), strict=True):
        difference = (one.frames.int() - two.frames.cpu().int()).abs()
        assert int(difference.max()) <= 2  # float32 is rounded differently
        assert torch.equal(one.truth["parts"], two.truth["parts"].cpu())  # what is covered is decided by integers
        assert torch.equal(one.truth["depth"], two.truth["depth"].cpu())
        torch.testing.assert_close(one.truth["flow"], two.truth["flow"].cpu(), atol=1e-4, rtol=0)


def test_posed_vertices_are_the_movers_own_and_shared_ones_are_worked_out_once(
    takes: list[Take], monkeypatch: pytest.MonkeyPatch
) -> None:
    posed = pose([take.movers for take in takes[:2]], slice(1, 4), torch.device("cpu"))
    expected = np.concatenate([mover.vertices()[1:4] for take in takes[:2] for mover in take.movers], 1)
    np.testing.assert_allclose(posed.vertices.transpose(1, 2).numpy(), expected, atol=1e-12)
    count = 0
    bones = posing._bones

    def counted(*args: object) -> np.ndarray:
        nonlocal count
        count += 1
        return bones(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(posing, "_bones", counted)
    film(takes, batch=Batch(takes=256, frames=2048))
    assert count == 3


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_behind_the_camera_is_not_seen(device: str) -> None:
    stage = Stage(bare_room(), camera(), 64)
    behind = carried(cuboid((0.2, 0.2, 0.2)), np.tile([0.0, 6.0, 1.0], (2, 1)))
    filmed = film([take(behind, stage=stage)], device=device)[0].frames.cpu().numpy()
    n = 64 * SUPERSAMPLE
    room = stage.colour[MARGIN : MARGIN + n, MARGIN : MARGIN + n].astype(float)
    mean = room.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(filmed - mean).max() <= 0.5


@pytest.mark.parametrize(
    ("light", "at", "dark"),
    [
        ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)),  # from above: on the floor below
        ((0.0, 1.0, 0.8), (0.0, -1.0, 2.0), (0.0, -3.0, 0.4)),  # slanting: on the wall at the back
    ],
)
def test_movers_cast_shadows_on_floor_and_walls(
    light: tuple[float, float, float], at: tuple[float, float, float], dark: tuple[float, float, float]
) -> None:
    eye = camera((0.0, 4.0, 1.6), (0.0, -1.0, 0.9))
    stage = Stage(bare_room(light), eye, 128)
    thing = cuboid((0.25, 0.25, 0.05) if light[1] == 0 else (0.25, 0.05, 0.25))
    shadowed = film([take(carried(thing, np.tile(at, (1, 1))), stage=stage)])[0].frames[0].numpy().astype(float)
    bare = film([take(carried(thing, np.tile([0.0, 50.0, 0.0], (1, 1))), stage=stage)])[0].frames[0].numpy()
    (column, row), _ = eye.project(np.array(dark), 128)
    ratio = shadowed.sum(-1) / np.maximum(bare.astype(float).sum(-1), 1)
    middle = ratio[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2]
    assert middle.mean() < 0.8
    aside, _ = eye.project(np.array(dark) + np.array([1.2, 0.0, 0.0]), 128)
    assert abs(ratio[int(aside[1]), int(aside[0])] - 1) < 0.02


def test_a_mover_shades_another() -> None:
    room, eye = bare_room(), camera((0.0, 4.0, 3.0), (0.0, 0.0, 0.5))
    stage = Stage(room, eye, 64)
    table = carried(cuboid((0.4, 0.4, 0.4)), np.tile([0.0, 0.0, 0.4], (1, 1)))
    lid = carried(cuboid((0.6, 0.6, 0.02)), np.tile([0.0, 0.0, 2.0], (1, 1)))
    (column, row), _ = eye.project(np.array([0.0, 0.1, 0.8]), 64)
    alone, below = (
        film([take(*movers, stage=stage)])[0].frames[0].float().sum(-1) for movers in ((table,), (table, lid))
    )
    assert below[int(row), int(column)] < 0.75 * alone[int(row), int(column)]


def test_what_the_camera_adds_has_the_size_that_was_asked_for() -> None:
    t = 64
    away = carried(cuboid((0.1, 0.1, 0.1)), np.tile([0.0, 50.0, 0.0], (t, 1)))
    stage = Stage(bare_room(), camera(), 64)

    def filmed(seed: int = 0, **changes: float) -> np.ndarray:
        added: Disturbance = replace(STILL, **changes)
        return film([take(away, stage=stage, disturbance=added, seed=seed)])[0].frames.numpy().astype(float)

    still = filmed()
    assert (still == still[0]).all()
    noisy = filmed(noise=4.0)
    assert 3.7 < (noisy - still)[:, still[0] < 220].std() < 4.3
    assert np.abs(np.corrcoef(noisy[0].ravel() - still[0].ravel(), noisy[1].ravel() - still[0].ravel())[0, 1]) < 0.05
    assert not np.array_equal(filmed(noise=4.0, seed=1), noisy)
    level = np.stack([filmed(seed, drift=0.1).mean((1, 2)) / still.mean((1, 2)) for seed in range(12)])  # [s, t, 3]
    assert 0.05 < level.mean(-1).std() < 0.2
    assert 0.01 < (level[..., 0] / level[..., 2]).std() < 0.2  # warmer and colder
    assert np.abs(np.diff(level, axis=1)).max() < 0.05  # slowly


def test_draws_are_normal_and_depend_on_the_seed_alone() -> None:
    seeds = torch.tensor([1, 2, 2**62 + 1])
    drawn = normals(seeds, 1, 20_000).double()
    assert drawn.mean(1).abs().max() < 0.03
    assert (drawn.std(1) - 1).abs().max() < 0.02
    assert (torch.corrcoef(drawn) - torch.eye(3)).abs().max() < 0.03
    alone, together = (Draws.of(s, [SHAKEN] * len(s), 9, 64, MARGIN) for s in ([5], [4, 5]))
    for name in ("shift", "gain", "corner"):
        assert torch.equal(getattr(together, name)[1], getattr(alone, name)[0])
    assert int(Draws.of(range(40), [SHAKEN] * 40, 64, 64, 2).shift.abs().max()) == 2


def test_takes_that_cannot_be_filmed_together_are_refused(takes: list[Take]) -> None:
    short = take(carried(cuboid((0.1, 0.1, 0.1)), np.zeros((T - 1, 3))), stage=takes[0].stage)
    with pytest.raises(InputError, match=r"\[4, 5\] frames"):
        film([*takes, short])
    with pytest.raises(InputError, match=r"\[48, 64\] pixels"):
        film([*takes, replace(takes[0], stage=Stage(bare_room(), camera(), 64))])
    with pytest.raises(InputError, match="no movers"):
        film([replace(takes[0], movers=())])
    with pytest.raises(InputError, match="depth, parts, joints, flow"):
        film(takes, truth=("normals",))
    assert film([]) == []
