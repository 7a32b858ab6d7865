"""The worst mistakes of a test as moving pictures."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageSequence
from tiny_videos import even_times, level, write_video

from mv2mae.data.video import VideoError
from mv2mae.reports.mistakes import mistake_clips, moving_picture, worst_mistakes

NAMES = {0: "walk", 2: "sit", 5: "wave"}


def scores_of(rows):
    columns = ["path", "group", "view", "label", "subject", "error", "p0", "p2", "p5"]
    return pd.DataFrame(rows, columns=columns)


def test_the_surest_mistake_comes_first_and_a_group_once():
    made = worst_mistakes(
        scores_of(
            [
                ("a1", "a", 1, 0, 3, "", 0.2, 0.7, 0.1),
                ("a2", "a", 2, 0, 3, "", 0.1, 0.9, 0.0),
                ("b1", "b", 1, 2, None, "", 0.1, 0.9, 0.0),  # right
                ("c1", "c", 1, 5, 4, "", 0.8, 0.1, 0.1),
                ("d1", "d", 1, 5, 4, "torn", np.nan, np.nan, np.nan),
                ("e1", "e", 1, 7, 4, "", 0.6, 0.2, 0.2),  # of a class that was never trained
            ]
        )
    )
    assert [(m.path, m.label, m.predicted) for m in made] == [("a2", 0, 2), ("c1", 5, 0), ("e1", 7, 0)]
    assert (made[0].confidence, made[0].of_label, made[2].of_label) == (0.9, 0.1, 0.0)
    assert made[0].subject == "3.0" or made[0].subject == "3"


def length_of(webp):
    """Milliseconds; frames that are alike may have been stored as one."""
    return sum(frame.info["duration"] for frame in ImageSequence.Iterator(Image.open(io.BytesIO(webp))) if frame.load())


def test_a_moving_picture_shows_the_asked_part_of_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", even_times(24, 4), shown=np.linspace(0, 2, 24))
    webp, still, size = moving_picture(str(path), None, None)
    assert length_of(webp) == 4000  # of 6 seconds the middle ones
    assert size == (64, 48) == Image.open(io.BytesIO(still)).size
    cut, frame, _ = moving_picture(str(path), 1.0, 2.0)
    assert length_of(cut) == 1000
    middle = np.asarray(Image.open(io.BytesIO(frame))).mean()
    assert middle == pytest.approx(level(2.0 * 1.5 / 6), abs=6)  # grey that tells the time
    with pytest.raises(VideoError):
        moving_picture(str(tmp_path / "gone.mp4"), None, None)


def test_what_cannot_be_read_is_said_and_the_next_takes_its_place(tmp_path):
    path = write_video(tmp_path / "a.mp4", even_times(20, 25))
    made = worst_mistakes(
        scores_of(
            [
                ("gone.mp4", "a", 1, 0, 3, "", 0.1, 0.9, 0.0),
                (str(path), "b", 1, 7, 3, "", 0.2, 0.8, 0.0),
                (str(path), "c", "left", 5, None, "", 0.6, 0.4, 0.0),
                (str(path), "d", 1, 5, 3, "", 0.5, 0.4, 0.1),
            ]
        )
    )
    clips, missing = mistake_clips(made, NAMES, {}, most=2)
    assert [clip.title for clip in clips] == ["class 7, taken for sit", "wave, taken for walk"]
    assert clips[1].caption == "confidence 0.60, true class 0.00; view left, group c"
    assert len(missing) == 1
    assert "gone.mp4" in missing[0]
