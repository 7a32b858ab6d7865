"""The watch that tells stages of reading apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mv2mae.data.stopwatch import Stopwatch, timed, timed_items


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that moves only when it is told to."""
    now = [100.0]
    monkeypatch.setattr("mv2mae.data.stopwatch.time.perf_counter", lambda: now[0])
    return now


def test_a_stage_stands_still_while_another_runs(clock: list[float]) -> None:
    @timed("inner")
    def inner() -> None:
        clock[0] += 6

    @timed("outer")
    def outer() -> None:
        clock[0] += 2
        inner()
        clock[0] += 1

    watch = Stopwatch()
    with watch.running():
        outer()
        clock[0] += 50
        outer()
    assert watch.seconds == {"outer": 6, "inner": 12}


def test_a_whole_stage_takes_in_what_it_calls(clock: list[float]) -> None:
    @timed("inner")
    def inner() -> None:
        clock[0] += 6

    watch = Stopwatch()
    with watch.running():
        timed("all", whole=True)(inner)()
        inner()
    assert watch.seconds == {"all": 6, "inner": 6}


def test_making_items_is_a_stage_and_using_them_is_not(clock: list[float]) -> None:
    def made() -> Iterator[int]:
        for number in range(3):
            clock[0] += 1
            yield number

    watch = Stopwatch()
    with watch.running():
        for _ in timed_items("make", made()):
            clock[0] += 10
    assert watch.seconds == {"make": 3}
    assert list(timed_items("make", range(3))) == [0, 1, 2]


def test_errors_pass_and_a_stopped_watch_stands_still(clock: list[float]) -> None:
    @timed("fails")
    def fails() -> None:
        clock[0] += 1
        raise ValueError("as it should")

    watch = Stopwatch()
    with watch.running(), pytest.raises(ValueError, match="as it should"):
        fails()
    with pytest.raises(ValueError, match="as it should"):
        fails()
    assert watch.seconds == {"fails": 1}
