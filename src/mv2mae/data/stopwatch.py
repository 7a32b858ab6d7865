"""Where the time of reading goes: functions that name their stage, and a watch that is stopped but for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_running: Stopwatch | None = None


class Stopwatch:
    """Seconds spent in each stage, in one thread. A stage that calls another one stands still meanwhile, unless it
    counts as a whole.

    Attributes:
        seconds: by the name of the stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stages: list[tuple[str, bool]] = []
        self._since = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Lets what is marked as `timed` report to this watch."""
        global _running
        _running = self
        try:
            yield
        finally:
            _running = None

    def enter(self, stage: str, whole: bool) -> None:
        """The time that passes from now on belongs to `stage`, or to one that counts as a whole and called it."""
        self._book()
        within_whole = self._stages and self._stages[-1][1]
        self._stages.append(self._stages[-1] if within_whole else (stage, whole))

    def leave(self) -> None:
        """Back to the stage before."""
        self._book()
        self._stages.pop()

    def _book(self) -> None:
        now = time.perf_counter()
        if self._stages:
            stage, _ = self._stages[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def timed(stage: str, *, whole: bool = False) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Marks a function as a stage; `whole`: what it calls counts for it."""

    def mark(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def measured(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            watch = _running
            if watch is None:
                return function(*args, **kwargs)
            watch.enter(stage, whole)
            try:
                return function(*args, **kwargs)
            finally:
                watch.leave()

        return measured

    return mark


def timed_items(stage: str, items: Iterable[Result]) -> Iterator[Result]:
    """The same items; what it takes to make them is the stage."""
    following = timed(stage)(iter(items).__next__)
    while True:
        try:
            item = following()
        except StopIteration:
            return
        yield item
