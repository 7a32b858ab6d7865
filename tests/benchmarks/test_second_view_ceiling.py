"""What a second view can give at most: right where it is known, and never from what is masked."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.second_view.ceiling import (
    ANGLES,
    CeilingConfig,
    Lookup,
    _best_loss,
    _scenes,
    _target_tokens,
    ceiling,
)
from mv2mae.synthetic.views import View

SMALL = CeilingConfig(
    performances=2,
    size=48,
    num_frames=8,
    source_ratios=(0.0, 0.7),
    target_ratios=(0.9,),
    maskings=("random",),
)


@pytest.fixture(scope="module")
def scene() -> tuple[View, list[View]]:
    return next(_scenes(SMALL))


@pytest.fixture(scope="module")
def rows() -> dict[tuple[float, float], dict[str, float]]:
    return {(row["angle"], row["source_ratio"]): row for row in ceiling(SMALL, progress=False)}


def test_a_view_shows_itself_in_full(scene: tuple[View, list[View]]) -> None:
    target, _ = scene
    tokens, share = Lookup(target, target, SMALL).known(None)
    assert share == pytest.approx(1.0)
    np.testing.assert_allclose(tokens, _target_tokens(target, SMALL), atol=1e-3)


def test_what_is_masked_in_the_source_is_never_used(scene: tuple[View, list[View]]) -> None:
    target, sources = scene
    there = Lookup(target, sources[2], SMALL)
    nothing, share = there.known(np.array([], int))
    assert not nothing.any()
    assert not share.any()
    one, share = there.known(np.array([20]))
    whole, known = there.known(None)
    assert 0 < share.sum() < 0.2 * known.sum()
    assert np.count_nonzero(one) < 0.2 * np.count_nonzero(whole)


def test_static_surfaces_are_found_at_other_moments(scene: tuple[View, list[View]]) -> None:
    target, _ = scene
    half = np.prod(SMALL.grid) // SMALL.grid[0]
    tokens, share = Lookup(target, target, SMALL).known(np.arange(half))  # the first of two moments is visible
    wall = np.argsort(-share[half:])[: half // 3] + half
    assert share[wall].min() > 0.99
    wanted = _target_tokens(target, SMALL)
    assert np.mean((tokens[wall] - wanted[wall]) ** 2) < 0.2 * np.mean(wanted[wall] ** 2)


def test_there_is_less_to_win_at_wider_angles_and_from_masked_sources(
    rows: dict[tuple[float, float], dict[str, float]],
) -> None:
    seen, loss = ([rows[angle, 0.0][name] for angle in ANGLES] for name in ("seen", "source"))
    assert seen[0] == 1.0
    assert loss[0] < 1e-3
    assert 0.2 < loss[1] < loss[3] < loss[5] < 1
    assert seen[1] > seen[3] > seen[5]
    for angle in ANGLES:
        assert rows[angle, 0.7]["source"] > rows[angle, 0.0]["source"] + 0.02
        assert rows[angle, 0.0]["both"] <= min(rows[angle, 0.0][name] for name in ("own", "source")) + 1e-6
        assert rows[angle, 0.0]["source_seen"] <= rows[angle, 0.0]["source"] + 1e-6


def test_the_best_multiples_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    own, source, target = rng.normal(size=(3, 500))
    target += 0.7 * source
    three = np.stack([own, source, target])
    best = np.linalg.lstsq(three[:2].T, target, rcond=None)
    assert _best_loss((three @ three.T)[None], [0, 1]) == pytest.approx(float(best[1][0] / (target @ target)))
