"""Which views are rebuilt from which."""

from __future__ import annotations

import pandas as pd
import pytest

from mv2mae.config import PairConfig
from mv2mae.data.manifest import make_frame
from mv2mae.data.pairing import check_views, pair_views
from mv2mae.errors import InputError

ANGLES = {1: 170.0, 2: -170.0, "3": 60.0, "4": 0.0}


def groups(**views: str) -> pd.DataFrame:
    """`a="123"`: group a has the views 1, 2, 3."""
    return make_frame([{"path": f"{g}{v}.mp4", "group": g, "view": int(v)} for g, vs in views.items() for v in vs])


def pairs(frame: pd.DataFrame, **settings: object) -> dict[str, set[str]]:
    """Target -> possible sources, as group and view."""
    config = PairConfig(**settings)  # type: ignore[arg-type]
    check_views(frame, config)
    found = pair_views(frame, config)
    name = [f"{g}{v}" for g, v in zip(found.frame["group"], found.frame["view"], strict=True)]
    return {name[t]: {name[s] for s in rows} for t, rows in zip(found.targets, found.sources, strict=True)}


def test_every_view_is_rebuilt_from_every_other_of_its_group() -> None:
    found = pairs(groups(a="123", b="12", c="3"))
    assert found == {"a1": {"a2", "a3"}, "a2": {"a1", "a3"}, "a3": {"a1", "a2"}, "b1": {"b2"}, "b2": {"b1"}}
    assert pair_views(groups(a="123", b="12", c="3"), PairConfig()).skipped_groups == 1


def test_groups_with_too_few_views_are_skipped_and_counted() -> None:
    frame = groups(a="1234", b="123", c="12")
    assert set(pairs(frame, num_sources=3)) == {"a1", "a2", "a3", "a4"}
    assert pair_views(frame, PairConfig(num_sources=3)).skipped_groups == 2


def test_without_synchronisation_a_lone_view_is_paired_with_itself() -> None:
    found = pairs(groups(a="12", b="1"), synchronised=False)
    assert found == {"a1": {"a2"}, "a2": {"a1"}, "b1": {"b1"}}


def test_fixed_targets_and_sources() -> None:
    frame = groups(a="1234", b="14", c="12")
    assert pairs(frame, target_views=("1",), source_views=("4",)) == {"a1": {"a4"}, "b1": {"b4"}}
    only_target = pairs(frame, target_views=("1",))
    assert only_target == {"a1": {"a2", "a3", "a4"}, "b1": {"b4"}, "c1": {"c2"}}
    # a video that is neither is not read at all
    assert pair_views(frame, PairConfig(target_views=("1",), source_views=("4",))).frame["view"].tolist() == [1, 4] * 2


def test_nearest_views_go_round_the_circle() -> None:
    found = pairs(groups(a="1234", b="24"), nearest_sources=1, camera_angles=ANGLES)
    assert found == {"a1": {"a2"}, "a2": {"a1"}, "a3": {"a4"}, "a4": {"a3"}, "b2": {"b4"}, "b4": {"b2"}}
    two = pairs(groups(a="1234"), nearest_sources=2, camera_angles=ANGLES)
    assert two["a1"] == {"a2", "a3"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_views": ("7",)}, "target_views names 7; the manifest's views are 1, 2"),
        ({"source_views": ("x", "1")}, "source_views names x"),
        ({"nearest_sources": 1, "camera_angles": {"1": 0.0}}, "has none for 2"),
        ({"target_views": ("1",), "source_views": ("1",)}, "no group with 2 views"),
        ({"num_sources": 2}, r"no group with 3 views \(most: 2 in 1 groups\)"),
    ],
)
def test_bad_choices_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pairs(groups(a="12"), **settings)


def test_fewer_near_views_than_sources_is_refused() -> None:
    with pytest.raises(InputError, match="nearest_sources=1 must be 0 or at least num_sources=2"):
        PairConfig(nearest_sources=1, num_sources=2)
