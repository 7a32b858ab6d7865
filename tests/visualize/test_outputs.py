from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mv2mae.visualize.outputs import write_picture
from mv2mae.visualize.strips import Strip, Strips, whole


@pytest.fixture
def strips() -> Strips:
    clip = torch.zeros(3, 4, 16, 16, dtype=torch.uint8)
    for i in range(4):
        clip[:, i] = 60 * i
    return Strips([Strip("clip", whole(clip))], (2, 8, 8), 0.1)


@pytest.mark.parametrize("kind", ["png", "svg", "gif"])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, strips: Strips, kind: str):
    first, again = (write_picture(strips, tmp_path / f"{name}.{kind}") for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"again.{kind}", f"first.{kind}"]


def test_moving_pictures_play_every_frame_slowly_enough(tmp_path: Path, strips: Strips):
    with Image.open(write_picture(strips, tmp_path / "a.gif", frame_seconds=0.02)) as gif:
        assert gif.n_frames == 4
        assert gif.info["duration"] == 160  # six a second, though the clip has fifty (GIFs count in hundredths)
        assert gif.info["loop"] == 0
    with av.open(str(write_picture(strips, tmp_path / "a.mp4", frame_seconds=0.25))) as video:
        assert video.streams.video[0].average_rate == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 3 * 4
    shown = frames[2]
    wanted = list(strips.moving())[2]
    assert np.abs(shown.astype(int) - wanted).mean() < 6


def test_a_figure_that_cannot_move_is_written_as_png(tmp_path: Path, strips: Strips):
    path = write_picture(strips.still(), tmp_path / "a.mp4")
    assert path.name == "a.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_vector_picture_keeps_its_words(tmp_path: Path, strips: Strips):
    assert "frame 3, 0.20 s" in write_picture(strips, tmp_path / "a.svg").read_text(encoding="utf-8")
