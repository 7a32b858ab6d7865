"""Items that take long to read, by name: a disk that fails, a file far away, a video with few key frames."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from mv2mae.data.sampling import ItemKey
from mv2mae.files import append_json

TIMES_THE_MEDIAN = 10
_FEWEST = 20
"""Items that must have been read before there is a median to speak of."""
_AT_LEAST = 0.2
"""Seconds that nobody calls slow, whatever the median is."""
_MOST_LINES = 200
"""Of one process, so that a slow network does not fill a disk."""
_log = logging.getLogger(__name__)


class WatchedItems(Dataset[Any]):
    """The same items; those that take more than ten times the median of the last 500 are noted.

    Every process of the loader has a median of its own and appends short lines to one file.

    Args:
        items: a data set whose items are files; `paths` names them.
        paths: the file of each item.
        file: where to append them, one JSON object a line.
    """

    def __init__(self, items: Any, paths: Sequence[str], file: Path) -> None:
        self.items, self.paths, self.file = items, paths, file
        self.videos = getattr(items, "videos", None)  # tells the loader how to start its processes
        self._seconds: deque[float] = deque(maxlen=500)
        self._num_lines = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, keys: Sequence[ItemKey]) -> list[Any]:
        """The items of a batch, one after the other."""
        return [item for key in keys for item in self._timed(key)]

    def _timed(self, key: ItemKey) -> list[Any]:
        begin = time.perf_counter()
        items = self.items.__getitems__([key]) if hasattr(self.items, "__getitems__") else [self.items[key]]
        seconds = time.perf_counter() - begin
        if seconds > _AT_LEAST and len(self._seconds) >= _FEWEST and self._num_lines < _MOST_LINES:
            median = statistics.median(self._seconds)
            if seconds > TIMES_THE_MEDIAN * median:
                epoch, index = key
                entry = {"path": self.paths[index], "epoch": epoch, "index": index}
                entry |= {"seconds": round(seconds, 3), "median": round(median, 4)}
                self._num_lines += 1
                if error := append_json(self.file, entry):
                    _log.warning("slow to read: %s (and %s could not be written: %s)", entry, self.file, error.strerror)
        self._seconds.append(seconds)
        return items


def paths_of(items: Any) -> Sequence[str] | None:
    """The file of each item of a training, the target's of a pair; None where items are made up, not read."""
    return getattr(items, "target_paths", None) or getattr(items, "paths", None)
