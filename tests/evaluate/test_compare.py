"""Two runs on the same videos: a paired test that takes whole groups."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mv2mae.errors import InputError
from mv2mae.evaluate.compare import NAMES, compare, print_comparison


def scores_of(hits, num_views=3):
    """A table of two classes in which group g is right (True) or wrong in all its views."""
    rows = []
    for (group, hit), view in product(enumerate(hits), range(num_views)):
        right = 0.8 if hit else 0.2
        rows.append({"path": f"{group}/{view}", "group": f"g{group}", "view": view, "label": 0, "error": "",
                     "p0": right, "p1": 1 - right})  # fmt: skip
    return pd.DataFrame(rows)


def exact_p(a, b):
    """The permutation test by all sign changes of the groups' differences."""
    difference = a.astype(float) - b
    signs = np.array(list(product([-1, 1], repeat=len(a))))
    return (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).mean()


def test_p_is_that_of_all_exchanges_of_groups():
    a = np.array([1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1], dtype=bool)
    b = np.array([0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0], dtype=bool)
    found = compare(scores_of(a), scores_of(b), draws=20_000)
    for name in ("single_view", "fused"):
        assert found[name].difference == pytest.approx(a.mean() - b.mean())
        assert found[name].p == pytest.approx(exact_p(a, b), abs=0.01)
        assert found[name].groups == 12
    assert (found["single_view"].num, found["fused"].num) == (36, 12)
    assert (found["fused"].only_a, found["fused"].only_b) == (6, 1)


def test_more_views_of_the_same_groups_are_no_more_evidence():
    rng = np.random.default_rng(1)
    a, b = rng.random(40) < 0.6, rng.random(40) < 0.45
    one, many = (compare(scores_of(a, n), scores_of(b, n))["single_view"] for n in (1, 8))
    assert many.p == pytest.approx(one.p, abs=0.02)
    np.testing.assert_allclose(many.interval, one.interval, atol=0.03)


def test_chance_is_rarely_called_a_difference_and_a_difference_is_found():
    rng = np.random.default_rng(0)
    same = [
        compare(scores_of(rng.random(40) < 0.5, 1), scores_of(rng.random(40) < 0.5, 1), draws=200)["single_view"].p
        for _ in range(30)
    ]
    assert np.mean(np.array(same) < 0.05) < 0.2
    clear = compare(scores_of(rng.random(300) < 0.8), scores_of(rng.random(300) < 0.5), draws=999)["single_view"]
    assert clear.p == pytest.approx(1 / 1000)
    low, high = clear.interval
    assert 0 < low < clear.difference < high


def test_a_run_against_itself_differs_in_nothing():
    scores = scores_of(np.arange(10) % 3 > 0)
    found = compare(scores, scores)["single_view"]
    assert (found.difference, found.p, found.interval) == (0.0, 1.0, (0.0, 0.0))


def test_the_order_of_the_rows_does_not_matter_and_views_may_be_text():
    a, b = scores_of(np.arange(10) % 3 > 0), scores_of(np.arange(10) % 2 > 0)
    shuffled = b.sample(frac=1, random_state=0).assign(view=lambda table: table["view"].astype(str))
    assert compare(a, b, draws=500) == compare(a, shuffled, draws=500)


def test_tests_on_other_videos_are_refused():
    a = scores_of(np.ones(4, dtype=bool))
    with pytest.raises(InputError, match=r"3 of 12 are in the first test only, 0 of 9 .* group g0, view 0"):
        compare(a, a[a["group"] != "g0"])
    with pytest.raises(InputError, match=r"give 3 videos different labels .*0/0: 0 and 1"):
        compare(a, a.assign(label=[1] * 3 + [0] * 9))


def fused_of(hits):
    """A table of groups fused by attention, as fused.parquet holds it."""
    table = scores_of(hits, num_views=1)
    return table.assign(path=table["group"], view="fused")


def test_attention_is_tested_against_the_mean_of_both_runs():
    rng = np.random.default_rng(0)
    a, b, learned = rng.random(40) < 0.4, rng.random(40) < 0.5, rng.random(40) < 0.8
    shuffled = fused_of(learned).sample(frac=1, random_state=0)
    found = compare(scores_of(a), scores_of(b), fused_a=shuffled, draws=500)
    assert list(found) == ["single_view", "fused", "attention_late"]
    plain = compare(scores_of(a), scores_of(b), draws=500)
    assert {name: found[name] for name in plain} == plain
    assert found["attention_late"] == compare(fused_of(learned), fused_of(b), draws=500)["single_view"]
    other = compare(scores_of(a), scores_of(b), fused_b=shuffled, draws=500)
    assert list(other) == ["single_view", "fused", "late_attention"]
    assert other["late_attention"] == compare(fused_of(a), fused_of(learned), draws=500)["single_view"]
    both = compare(scores_of(a), scores_of(b), fused_a=fused_of(learned), fused_b=fused_of(a), draws=500)
    assert list(both) == ["single_view", "fused", "attention", "attention_late", "late_attention"]
    assert both["attention"] == compare(fused_of(learned), fused_of(a), draws=500)["single_view"]


def test_a_run_against_itself_tells_its_attention_from_its_mean(capsys):
    hits, learned = np.arange(10) % 3 > 0, np.arange(10) % 5 > 0
    scores, fused = scores_of(hits), fused_of(learned)
    found = compare(scores, scores, fused_a=fused, fused_b=fused, draws=500)
    assert [found[name].difference for name in ("single_view", "fused", "attention")] == [0, 0, 0]
    row = found["attention_late"]
    assert (row.a, row.b, row.only_a, row.only_b) == (0.8, 0.6, 3, 1)
    print_comparison(found, "run", "run")
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert len([line for line in said.splitlines() if line.strip().startswith(tuple(NAMES.values()))]) == 5 + 1
    assert "attention, mean: views fused by attention in A" in said


def test_attention_of_other_groups_than_its_scores_is_refused():
    scores = scores_of(np.ones(4, dtype=bool))
    with pytest.raises(InputError, match=r"the 3 groups in a fused.parquet are not the 4 .*test that run again"):
        compare(scores, scores, fused_b=fused_of(np.ones(3, dtype=bool)))


def test_tests_whose_classes_have_other_numbers_are_compared_by_name():
    hits = np.array([1, 1, 0, 1, 0, 1], dtype=bool)
    a, b = scores_of(hits), scores_of(~hits)
    b = b.rename(columns={"p0": "p3", "p1": "p0"}).assign(label=3)  # what is 0 in a is 3 in b
    a.attrs, b.attrs = {"classes": ["walk", "sit"]}, {"classes": ["sit", "walk"]}
    same = compare(a, scores_of(~hits))
    assert compare(a, b) == same
    b.attrs = {"classes": ["sit", "run"]}
    with pytest.raises(InputError, match="different labels .*: walk and run"):
        compare(a, b)
