"""Videos that the tests of data share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tiny_videos import even_times, write_video

from mv2mae.data.manifest import make_frame


@pytest.fixture(scope="session")
def takes(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A manifest's table: one group of three views of unlike rates, lengths and codecs, one of two, one of one."""
    root = tmp_path_factory.mktemp("takes")
    jitter = np.cumsum(np.tile([0.03, 0.05], 24))  # variable frame rate, 25 frames a second on average
    videos = {
        ("a", 1): write_video(root / "a" / "1.mp4", even_times(50, 25)),
        ("a", 2): write_video(root / "a" / "2.mp4", even_times(54, 30)),
        ("a", 3): write_video(root / "a" / "3.mkv", [0.0, *jitter]),
        ("b", 1): write_video(root / "b" / "1.mp4", even_times(40, 20), size=(64, 48)),
        ("b", 2): write_video(root / "b" / "2.avi", even_times(48, 24)),
        ("c", 1): write_video(root / "c" / "1.mp4", even_times(30, 25)),
    }
    return make_frame(
        {"path": str(path), "group": group, "view": view, "label": "abc".index(group), "subject": view}
        for (group, view), path in videos.items()
    )
