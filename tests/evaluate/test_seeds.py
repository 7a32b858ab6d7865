"""Several trainings of each way: what a difference between them is worth."""

import numpy as np
import pandas as pd
import pytest

from mv2mae.errors import InputError
from mv2mae.evaluate.seeds import (
    Trainings,
    compare_trainings,
    holm,
    mean_estimate,
    spread_of,
    student_cdf,
    student_quantile,
    trainings_of,
)


def drawn(rng, trainings, groups, *, seed_deviation, better=0.0, difficulty=None, name="a"):
    """Trainings that answer two views of each performance, from the model that the test assumes."""
    difficulty = rng.normal(0, 1, groups) if difficulty is None else difficulty
    logits = (
        better + difficulty + rng.normal(0, seed_deviation, (trainings, 1)) + rng.normal(0, 0.7, (trainings, groups))
    )
    rates = (rng.random((2, trainings, groups)) < 1 / (1 + np.exp(-logits))).mean(axis=0)
    hits = np.zeros(1, bool), np.zeros(1, str)
    names = tuple(f"{name}{k}" for k in range(trainings))
    return Trainings(rates=rates, weights=np.ones(groups), kind="", names=names, hits=hits)


def test_student_has_the_values_of_the_tables():
    for freedom, value in ((1, 12.7062), (2, 4.3027), (10, 2.2281), (200, 1.9719)):
        assert student_quantile(0.975, freedom) == pytest.approx(value, abs=1e-3)
        assert student_cdf(value, freedom) == pytest.approx(0.975, abs=1e-4)


def test_holm_has_the_values_of_the_textbook():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({}) == {}


@pytest.mark.parametrize("seed_deviation", [0.0, 0.4])
def test_equal_ways_are_told_apart_in_one_of_twenty_cases(seed_deviation):
    rng, apart = np.random.default_rng(1), 0
    for _ in range(200):
        difficulty = rng.normal(0, 1, 60)
        ways = [drawn(rng, 3, 60, seed_deviation=seed_deviation, difficulty=difficulty, name=n) for n in "abc"]
        apart += compare_trainings(ways[0], ways[1], ways).p < 0.05
    assert apart <= 22  # 5 % of 200, and three deviations more


def test_a_test_that_knows_no_trainings_would_be_wrong_far_more_often():
    rng, apart = np.random.default_rng(1), 0
    for _ in range(100):
        ways = [drawn(rng, 1, 400, seed_deviation=0.4, name=name, difficulty=np.zeros(400)) for name in "ab"]
        together = [way.rates[0] for way in ways]
        t = (together[0] - together[1]).mean() / ((together[0] - together[1]).std() / 20)
        apart += abs(t) > 1.96
    assert apart > 30


def test_a_better_way_is_found():
    rng = np.random.default_rng(2)
    difficulty = rng.normal(0, 1, 200)
    a = drawn(rng, 3, 200, seed_deviation=0.1, better=1.0, difficulty=difficulty, name="a")
    b = drawn(rng, 3, 200, seed_deviation=0.1, difficulty=difficulty, name="b")
    found = compare_trainings(a, b)
    assert found.value == pytest.approx(a.mean - b.mean)
    assert found.interval[0] > 0
    assert found.p < 0.01
    assert found.counts_trainings
    assert compare_trainings(b, a).p == pytest.approx(found.p)


def test_the_same_trainings_measured_in_two_ways_are_paired():
    rng = np.random.default_rng(3)
    a = drawn(rng, 3, 100, seed_deviation=1.0)
    b = Trainings(rates=a.rates - 0.05, weights=a.weights, kind="", names=a.names, hits=a.hits)
    assert compare_trainings(a, b).p < 1e-6
    other = Trainings(rates=b.rates, weights=a.weights, kind="", names=("x", "y", "z"), hits=a.hits)
    assert compare_trainings(a, other).p > 0.1


def table(groups, hits):
    return pd.DataFrame({"group": groups, "hit": hits})


def test_answers_become_rates_by_performance():
    first = table(["a", "a", "b"], [True, False, True])
    second = table(["b", "a", "a"], [False, True, True])
    found = trainings_of([[first, second], [second, second]], ["s0", "s1"])
    assert found.each == pytest.approx([(2 / 3 + 2 / 3) / 2, 2 / 3])
    assert found.weights.mean() == pytest.approx(1)
    with pytest.raises(InputError, match="not tested on the same videos"):
        trainings_of([[first], [table(["a", "c", "c"], [1, 1, 1])]], ["s0", "s1"])
    with pytest.raises(InputError, match="not tested on the same videos: 2 and 1 groups"):
        compare_trainings(found, trainings_of([[table(["a"], [True])]], ["s"]))


def test_one_training_of_each_speaks_of_performances_alone():
    groups = [f"g{k}" for k in range(40)]
    a = trainings_of([[table(groups, [True] * 40)]], ["a"], "one")
    b = trainings_of([[table(groups, [True] * 20 + [False] * 20)]], ["b"], "one")
    found = compare_trainings(a, b)
    assert (found.value, found.counts_trainings) == (0.5, False)
    assert found.p < 0.001
    assert not mean_estimate(a).counts_trainings
    assert spread_of([a, b]) is None
    # trainings of another kind do not tell how much these vary, those of the same kind do
    more = trainings_of([[table(groups, [True] * n + [False] * (40 - n))] for n in (10, 30)], ["c", "d"], "one")
    assert compare_trainings(a, b, [more]).counts_trainings
    assert compare_trainings(a, b, [more]).p > 0.05


def test_the_interval_of_a_mean_covers_other_trainings():
    groups = [f"g{k}" for k in range(400)]
    two = trainings_of([[table(groups, [True] * n + [False] * (400 - n))] for n in (160, 240)], ["a", "b"])
    low, high = mean_estimate(two).interval
    assert low < 0.2  # two trainings that lie 0.2 apart tell little of a third
    assert high > 0.8
    assert mean_estimate(trainings_of([[table(groups, [True] * 200 + [False] * 200)]], ["a"])).interval[0] > 0.4
