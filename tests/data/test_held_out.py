"""Performances to look at: of rooms and people that are not trained on wherever there are enough of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.held_out import (
    HeldOut,
    apart_in_words,
    describe_held_out,
    draw_held_out,
    kept_apart,
    other_performances,
)
from mv2mae.data.manifest import make_frame, write_manifest
from mv2mae.errors import InputError


def rows(setups: int, subjects: int, repetitions: int = 1, **changes: Any) -> pd.DataFrame:
    """Everyone in every room, before two cameras."""
    takes = product(range(setups), range(subjects), range(repetitions), (1, 2))
    frame = make_frame(
        {"path": f"{s}-{p}-{r}-{v}.mp4", "group": f"{s}-{p}-{r}", "view": v, "setup": s, "subject": p}
        for s, p, r, v in takes
    )
    return frame.assign(**changes)


def drawn(frame: pd.DataFrame, rest: pd.DataFrame | None = None, **changes: Any) -> HeldOut:
    settings: dict[str, Any] = {"number": None, "share": 0.1, "seed": 0, **changes}
    return draw_held_out(frame, frame.iloc[:0] if rest is None else rest, **settings)


def parts(frame: pd.DataFrame, found: HeldOut) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is trained on, and the unseen."""
    out = {*found.held_out, *found.unseen, *found.given_up}
    return frame[~frame["group"].isin(out)], frame[frame["group"].isin(found.unseen)]


def test_rooms_and_people_are_kept_apart_where_there_are_enough() -> None:
    frame = rows(20, 30)
    found = drawn(frame, share=0.2)
    train, unseen = parts(frame, found)
    assert kept_apart(train, unseen) == ("setup", "subject")
    assert len(found.unseen) >= 4
    assert len(found.held_out) == 30  # one group in twenty, as ever
    assert len(found.given_up) + len(found.unseen) <= 0.2 * 600
    assert not set(found.unseen) & set(found.held_out)
    assert drawn(frame, share=0.2) == found != drawn(frame, share=0.2, seed=1)


def test_without_enough_of_both_rooms_come_first_then_people() -> None:
    few_people = rows(20, 3, 4)
    train, unseen = parts(few_people, drawn(few_people))
    assert kept_apart(train, unseen) == ("setup",)
    two_rooms = rows(2, 30, 2)
    train, unseen = parts(two_rooms, drawn(two_rooms))
    assert kept_apart(train, unseen) == ("subject",)


def test_nothing_is_kept_apart_where_it_costs_too_much_or_nobody_tells() -> None:
    frame = rows(2, 3, 10)
    found = drawn(frame)
    assert (found.unseen, found.given_up, len(found.held_out)) == ((), (), 3)
    assert drawn(rows(20, 30), share=0).unseen == ()
    nobody = rows(20, 30).assign(setup=None, subject=None)
    assert drawn(nobody).unseen == ()
    train, held = parts(nobody, drawn(nobody))[0], nobody[nobody["group"].isin(drawn(nobody).held_out)]
    assert kept_apart(train, held) == ()


def test_people_of_a_test_part_cost_nothing() -> None:
    frame = rows(20, 30)
    train, rest = frame[frame["subject"] < 20], frame[frame["subject"] >= 20]
    found = drawn(train, rest, share=0)
    assert found.given_up == ()
    assert set(found.unseen) <= set(rest["group"])
    assert len(found.unseen) == 20
    with_rooms = drawn(train, rest, number=8)
    left, unseen = parts(frame[frame["subject"] < 20], with_rooms)[0], rest[rest["group"].isin(with_rooms.unseen)]
    assert kept_apart(left, unseen) == ("setup", "subject")
    assert set(with_rooms.unseen) <= set(rest["group"])


def test_rooms_of_a_single_performance_need_no_second_check() -> None:
    frame = rows(60, 1)
    found = drawn(frame.assign(subject=None))
    assert (found.unseen, found.given_up, len(found.held_out)) == ((), (), 3)


def test_what_is_kept_apart_is_said() -> None:
    assert apart_in_words(("setup", "subject")) == "rooms and people not trained on"
    assert apart_in_words(("subject",)) == "people not trained on, rooms trained on or not known"
    assert apart_in_words(()) == "rooms and people trained on or not known"
    summary = {"held_out_groups": 3, "unseen_groups": 1, "given_up_groups": 7}
    assert describe_held_out(summary, {"held_out": (), "unseen": ("setup",)}) == [
        "3 groups held out, rooms and people trained on or not known",
        "1 group unseen, rooms not trained on, people trained on or not known",
        "7 groups not trained on for it",
    ]
    assert describe_held_out(summary | {"given_up_groups": 0}, {"held_out": ()})[-1].startswith("too few rooms")


@pytest.fixture(scope="module")
def crossed(takes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people in three rooms, before two cameras; the same two files under many names."""
    frame = rows(3, 6)
    files = {1: takes["path"][3], 2: takes["path"][4]}
    frame["path"] = [files[view] for view in frame["view"]]
    frame["start"] = [k // 2 / 100 for k in range(len(frame))]
    return write_manifest(frame, tmp_path_factory.mktemp("crossed") / "m.csv")


def test_training_has_none_of_the_unseen_rooms_and_people(crossed: Path) -> None:
    config = PairConfig(manifest=str(crossed), held_out_share=0.6, held_out_groups=2)
    data = pretrain_data(config, num_frames=4, size=16, seed=0)
    assert data.unseen is not None
    assert data.apart == {"held_out": (), "unseen": ("setup", "subject")}
    for column in ("setup", "subject"):
        assert set(data.train.frame[column]).isdisjoint(data.unseen.frame[column])  # type: ignore[union-attr]
    assert data.summary["unseen_groups"] == 2
    kinds = ("groups", "held_out_groups", "unseen_groups", "given_up_groups")
    assert sum(data.summary[name] for name in kinds) == 18
    assert data.unseen[0]["target"].shape == (3, 4, 16, 16)


def test_the_part_that_a_query_leaves_out_is_looked_at_but_not_trained_on(crossed: Path) -> None:
    config = PairConfig(manifest=str(crossed), train_query="subject < 4", held_out_groups=2)
    data = pretrain_data(config, num_frames=4, size=16, seed=0)
    assert data.unseen is not None
    assert set(data.unseen.frame["subject"]) <= {4, 5}
    assert data.apart["unseen"] == ("subject",)
    assert data.summary["groups"] + data.summary["held_out_groups"] == 12
    # a camera that is not trained on is no other performance
    one_view = PairConfig(manifest=str(crossed), train_query="view == 1 or subject < 4")
    assert set(pretrain_data(one_view, num_frames=4, size=16, seed=0).apart) == {"held_out"}


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(InputError, match="held_out_share=1"):
        PairConfig(held_out_share=1)


def test_sources_come_from_other_performances() -> None:
    groups, setups = ["a", "a", "b", "c", "d"], ["1", "1", "1", "2", "2"]
    other, same = (values.tolist() for values in other_performances(groups, setups, seed=0))
    assert all(setups[i] != setups[j] for i, j in enumerate(other))
    assert same[:3] == [2, 2, same[2]]
    assert same[2] in (0, 1)
    assert same[3:] == [4, 3]
    # without rooms any other performance does; a single performance has no other
    other, same = (values.tolist() for values in other_performances(groups, [""] * 5, seed=0))
    assert all(groups[i] != groups[j] for i, j in enumerate(other))
    assert same == [-1] * 5
    assert [values.tolist() for values in other_performances(["a", "a"], ["1", "1"], seed=0)] == [[-1, -1], [-1, -1]]
