"""Opening video files, and what is done to their frames. No torch here: these run with every version of PyAV."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tiny_videos import even_times, level, write_video

from mv2mae.data import media
from mv2mae.data.frames import Frames
from mv2mae.data.layout import Layout, layout_from_index, layout_from_packets
from mv2mae.data.media import VideoError, check_memory, guarded, opened
from mv2mae.data.pixels import Converter, displayed_size


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten frames, brighter and brighter, with a title."""
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "title in Latin-1"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i + 20, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def all_frames(path: Path, short_side: int | None = None) -> tuple[list[float], list[np.ndarray]]:
    """Times and pixels of what is shown."""
    with opened(path) as (container, stream):
        convert = Converter(short_side)
        found = [(time, convert(frame)) for time, frame in Frames(path, container, stream)]
    return [time for time, _ in found], [pixels for _, pixels in found]


def test_frames_come_with_their_times_and_pixels(video: Path) -> None:
    times, frames = all_frames(video, 24)
    assert times == pytest.approx([i / 10 for i in range(10)], abs=0.001)
    assert frames[0].shape == (24, 32, 3)
    np.testing.assert_allclose([f.mean() for f in frames], [20 * i + 20 for i in range(10)], atol=6)


def test_a_title_that_is_not_utf_8_keeps_no_video_shut(video: Path) -> None:
    video.write_bytes(video.read_bytes().replace(b"title in Latin-1", b"Caf\xe9 \xfc \xff     "[:16].ljust(16)))
    assert len(all_frames(video)[0]) == 10


@pytest.mark.parametrize("name", ["a:b.mp4", "http:x.mp4", b"caf\xe9.mp4", "con|cat.mp4"])
def test_names_are_only_names(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    write_video(tmp_path / "v.mp4", even_times(5, 25)).rename(path)
    assert len(all_frames(path)[0]) == 5


LISTS = {
    "concat": "ffconcat version 1.0\nfile secret.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "live": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.mp4\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period></Period></MPD>',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="9" height="9"/></svg>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "text": "nothing of the kind\n" * 50,
}


@pytest.mark.parametrize("ending", ["mp4", "ts", "m3u8", "ffconcat"])
@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_other_files_and_texts_are_refused_in_a_line(tmp_path: Path, kind: str, ending: str) -> None:
    write_video(tmp_path / "secret.mp4", even_times(5, 25))
    path = tmp_path / f"v.{ending}"
    path.write_text(LISTS[kind])
    with pytest.raises(VideoError, match=r"^[^\n]*: (is a text|cannot be decoded)[^\n]*$"):
        all_frames(path)


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_single_pictures_are_no_recordings(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(tmp_path / f"v.{kind}"), "w", format="gif" if kind == "gif" else "image2") as container:
        stream = container.add_stream(kind, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8" if kind == "gif" else "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    (tmp_path / f"v.{kind}").rename(path)
    with pytest.raises(VideoError, match="not a kind of video that is read here"):
        all_frames(path)


def test_pipes_and_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.mp4")
    for path in (tmp_path / "v.mp4", tmp_path):
        with pytest.raises(VideoError, match="no such file: it is a folder, a pipe or a device"):
            all_frames(path)


def test_frames_beyond_the_limits_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thin = write_video(tmp_path / "thin.mp4", even_times(3, 25), size=(1024, 16))
    with pytest.raises(VideoError, match="16 x 1024 pixels; at most 16 times as long as wide"):
        all_frames(thin)
    large = write_video(tmp_path / "large.mp4", even_times(3, 25), size=(96, 128))
    monkeypatch.setattr(media, "MAX_PIXELS", 10_000)
    with pytest.raises(VideoError, match="128 x 96 pixels; at most 10,000 pixels"):
        all_frames(large)


def test_more_frames_than_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "free_memory", lambda: 1 << 30)
    check_memory("v.mp4", 100, 1080, 1920 // 2)
    with pytest.raises(VideoError, match="takes 5.8 GB as 1,000 frames of 1920 x 1080 pixels, 1.0 GB are free"):
        check_memory("v.mp4", 1000, 1080, 1920)


@pytest.mark.parametrize("error", [ValueError("a\nb"), MemoryError(), KeyError("x"), RuntimeError(), OSError(5, "I/O")])
def test_whatever_is_raised_while_a_file_is_read_names_that_file(video: Path, error: Exception) -> None:
    with pytest.raises(VideoError) as caught, guarded(video):
        raise error
    assert caught.value.path == str(video)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", ["thumbnail", "preview"])
def test_the_main_stream_is_read_not_the_first(tmp_path: Path, first: str) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        small = container.add_stream("mjpeg" if first == "thumbnail" else "mpeg4", rate=5)
        small.width, small.height, small.pix_fmt = 32, 24, "yuvj420p" if first == "thumbnail" else "yuv420p"
        main = container.add_stream("mpeg4", rate=25)
        main.width, main.height, main.pix_fmt = 64, 48, "yuv420p"
        small.disposition, main.disposition = 0, av.stream.Disposition.default
        for stream, num in ((small, 1 if first == "thumbnail" else 4), (main, 20)):
            for _ in range(num):
                shape = (stream.height, stream.width, 3)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full(shape, 99, np.uint8), format="rgb24")))
            container.mux(stream.encode())
    times, frames = all_frames(path)
    assert (len(times), frames[0].shape) == (20, (48, 64, 3))


ONE = 1 << 16
MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "as stored": ((ONE, 0, 0, ONE), lambda x: x),
    "mirrored": ((-ONE, 0, 0, ONE), lambda x: x[:, ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda x: x[::-1]),
    "half a turn": ((-ONE, 0, 0, -ONE), lambda x: x[::-1, ::-1]),
    "quarter turn clockwise": ((0, ONE, -ONE, 0), lambda x: np.rot90(x, -1)),
    "quarter turn back": ((0, -ONE, ONE, 0), lambda x: np.rot90(x)),
    "transposed": ((0, ONE, ONE, 0), lambda x: x.swapaxes(0, 1)),
    "transposed the other way": ((0, -ONE, -ONE, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_whole_display_matrix_counts(tmp_path: Path, name: str) -> None:
    corners = np.full((48, 64, 3), 20, np.uint8)
    corners[:24, :32], corners[:24, 32:], corners[24:, :32] = 220, 150, 80
    path = write_video(tmp_path / "v.mp4", even_times(3, 25), image=lambda _: corners)
    (a, b, c, d), shown = MATRICES[name]
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 44
    for k, value in enumerate((a, b, 0, c, d, 0, 0, 0, 1 << 30)):
        struct.pack_into(">i", data, place + 4 * k, value)
    path.write_bytes(data)
    for short_side, step in ((None, 1), (24, 2)):
        frame = all_frames(path, short_side)[1][0].astype(int)
        expected = shown(corners[::step, ::step])
        assert frame.shape == expected.shape
        assert np.abs(frame - expected).mean() < 6
    with opened(path) as (container, stream):
        assert displayed_size(next(iter(Frames(path, container, stream)))[1]) == shown(corners).shape[:2]


@pytest.mark.parametrize(("aspect", "size"), [((2, 1), (48, 128)), ((1, 2), (48, 32)), ((1, 1), (48, 64))])
def test_pixels_that_are_not_square_are_stretched(
    tmp_path: Path, aspect: tuple[int, int], size: tuple[int, int]
) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    assert all_frames(path)[1][0].shape == (*size, 3)
    assert min(all_frames(path, 16)[1][0].shape[:2]) == 16


def layout_of(path: Path) -> tuple[Layout, int]:
    """The layout of a file, and how many of its frames are decoded."""
    times = all_frames(path)[0]
    with opened(path) as (container, stream):
        layout = layout_from_index(path, stream, times[0])
        return layout or layout_from_packets(path, container, stream, times[0]), len(times)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi", "ts", "mpg", "flv", "h264"])
def test_index_and_packets_tell_what_is_shown(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"v.{ending}", even_times(50, 25))
    layout, num_decoded = layout_of(path)
    assert layout.num_frames == num_decoded == 50
    assert layout.fps == pytest.approx(25)
    assert (layout.holes, layout.num_jumps, layout.promised_end) == ((), 0, 0)
    assert layout.end - all_frames(path)[0][0] == pytest.approx(2, abs=0.01)


def test_a_clock_that_starts_again_goes_on(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.ts", even_times(50, 25)).read_bytes()
    (tmp_path / "v.ts").write_bytes(part * 3)
    layout, num_decoded = layout_of(tmp_path / "v.ts")
    assert (layout.num_frames, num_decoded, layout.num_jumps) == (150, 150, 2)
    assert layout.fps == pytest.approx(25)
    np.testing.assert_allclose(np.diff(all_frames(tmp_path / "v.ts")[0]), 1 / 25, atol=0.001)


def test_damage_is_stepped_over(tmp_path: Path) -> None:
    def noise(time: float) -> np.ndarray:
        return np.random.default_rng(round(1000 * time)).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    path = write_video(tmp_path / "v.mp4", even_times(50, 25), image=noise)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 5000] = bytes(5000)
    path.write_bytes(data)
    layout, num_decoded = layout_of(path)
    assert layout.num_frames == 50
    assert 35 < num_decoded < 50
    with opened(path) as (container, stream):
        frames = Frames(path, container, stream)
        assert sum(1 for _ in frames) == num_decoded
        assert frames.num_errors > 0


def test_decoding_ends_when_it_takes_too_long(video: Path) -> None:
    with pytest.raises(VideoError, match="takes more than 0 s to decode"), opened(video) as (container, stream):
        list(Frames(video, container, stream, time_limit=0.0))


def test_frames_that_change_their_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{i}.ts", even_times(10, 25), size=s) for i, s in enumerate([(48, 64), (96, 128)])]
    path = tmp_path / "v.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    times, frames = all_frames(path)
    assert len(times) == 20
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert frames[-1].mean() == pytest.approx(level(9 / 25), abs=3)


def test_reading_files_needs_neither_torch_nor_pandas():
    # so that new versions of PyAV can be tried on a Python for which torch has no wheel yet (scripts/test_newest.sh)
    blocked = "import sys; sys.modules['torch'] = sys.modules['pandas'] = None; "
    code = "from mv2mae.data import frames, layout, media, pixels"
    subprocess.run([sys.executable, "-c", blocked + code], check=True)
