"""Opening video files. These tests need no torch, so that they run with every version of PyAV."""

from pathlib import Path

import av
import numpy as np
import pytest

from mv2mae.data.media import open_container
from mv2mae.data.pixels import Converter, displayed_size


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames, brighter and brighter, with a title."""
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "title in Latin-1"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * level + 20, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frames_come_with_their_times_and_pixels(video: Path) -> None:
    with open_container(video) as container:
        stream, convert = container.streams.video[0], Converter(24)
        assert float(stream.average_rate or 0) == 10
        frames = list(container.decode(stream))
        assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(10)], abs=0.001)
        assert displayed_size(frames[0]) == (48, 64)
        levels = [convert(frame).mean() for frame in frames]
    np.testing.assert_allclose(levels, [20 * i + 20 for i in range(10)], atol=6)


def test_a_title_that_is_not_utf_8_keeps_no_video_shut(video: Path) -> None:
    video.write_bytes(video.read_bytes().replace(b"title in Latin-1", b"Caf\xe9 \xfc \xff     "[:16].ljust(16)))
    with open_container(video) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
