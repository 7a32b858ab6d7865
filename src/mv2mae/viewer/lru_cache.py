"""A cache that forgets what was not used for longest, bounded by the memory that its values take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values by key, at most `max_bytes` of them by `bytes_of`; the newest one always stays.

    Safe to call from several threads; two that miss the same key at the same time both make the value.
    """

    def __init__(self, max_bytes: int, bytes_of: Callable[[Value], int]) -> None:
        self.max_bytes, self.bytes_of = max_bytes, bytes_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def num_bytes(self) -> int:
        """Bytes that the cached values take."""
        with self._lock:
            return sum(map(self.bytes_of, self._values.values()))

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            total = sum(map(self.bytes_of, self._values.values()))
            while total > self.max_bytes and len(self._values) > 1:
                total -= self.bytes_of(self._values.popitem(last=False)[1])
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
