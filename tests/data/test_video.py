"""Decoding: the right frames at the right times, and one clear reason where a file cannot be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tiny_videos import even_times, time_of, write_video

from mv2mae.data import frames as frames_module
from mv2mae.data.pixels import scaled_size
from mv2mae.data.video import VideoError, decode_video, read_frames, read_info
from mv2mae.data.video_info import nearest_index

KINDS = [
    ("h264", "mp4"),
    ("h264", "h264"),
    ("h264", "avi"),
    ("h264", "ts"),
    ("h264", "mkv"),
    ("mpeg4", "avi"),
    ("vp9", "webm"),
]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def clip_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec, ending = request.param
    return write_video(tmp_path_factory.mktemp("kinds") / f"v.{ending}", even_times(50, 25), codec=codec)


def test_probe_tells_rate_frames_size_and_duration(clip_file: Path) -> None:
    info = read_info(clip_file)
    assert (info.num_frames, info.width, info.height, info.short_side) == (50, 64, 48, 48)
    assert info.fps == pytest.approx(25, abs=0.01)
    assert info.duration == pytest.approx(2, abs=0.01)


def test_frames_are_the_ones_nearest_in_time(clip_file: Path) -> None:
    start = read_info(clip_file).start
    wanted = np.array([1.93, 0.0, 0.41, 0.43, 1.2, 1.2, 0.9, 1.955])
    frames = read_frames(clip_file, wanted + start)
    assert frames.dtype == torch.uint8
    assert frames.shape == (8, 48, 64, 3)
    np.testing.assert_allclose(time_of(frames), np.round(wanted * 25) / 25, atol=0.015)


def test_any_window_equals_decoding_everything(clip_file: Path) -> None:
    whole = decode_video(clip_file)
    assert len(whole.frames) == 50
    np.testing.assert_allclose(time_of(whole.frames), even_times(50, 25), atol=0.015)
    rng = np.random.default_rng(0)
    for _ in range(6):
        times = rng.uniform(-0.1, 2.1) + whole.info.start + np.arange(4) * 0.16
        times = times.clip(max=whole.info.end)
        assert torch.equal(read_frames(clip_file, times), whole.at(times))


def test_variable_rate_is_read_by_time_not_by_index(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.55, 0.6, 1.4, 1.5]
    path = write_video(tmp_path / "v.mp4", times)
    frames = read_frames(path, [0.29, 0.31, 0.57, 0.99, 1.01])
    np.testing.assert_allclose(time_of(frames), [0.1, 0.5, 0.55, 0.6, 1.4], atol=0.015)


def test_time_stamps_that_do_not_begin_at_zero_count(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", even_times(25, 25, start=0.4))
    assert read_info(path).start == pytest.approx(0.4, abs=0.002)
    np.testing.assert_allclose(time_of(read_frames(path, [0.4, 0.8])), [0.4, 0.8], atol=0.015)


def test_a_nominal_rate_gives_way_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "browser.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=1000, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 100, np.uint8), format="rgb24")
            frame.pts = i * 40
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert read_info(path).fps == pytest.approx(25, rel=0.06)


def test_reading_late_frames_skips_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", even_times(220, 100), gop=20)
    decoded = []
    original = frames_module.Frames._rising

    def counted(self: frames_module.Frames):  # type: ignore[no-untyped-def]
        for time, frame in original(self):
            decoded.append(time)
            yield time, frame

    read_info(path)
    monkeypatch.setattr(frames_module.Frames, "_rising", counted)
    frames = read_frames(path, [0.1, 1.9, 1.95])
    np.testing.assert_allclose(time_of(frames), [0.1, 1.9, 1.95], atol=0.015)
    assert len(decoded) < 60  # of 196 without jumping


def test_frames_scale_to_the_short_side(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", even_times(5, 25), size=(96, 50))
    assert read_frames(path, [0.0], short_side=24).shape == (1, 46, 24, 3)
    assert read_frames(path, [0.0], short_side=100).shape == (1, 192, 100, 3)
    assert decode_video(path, short_side=24).frames.shape == (5, 46, 24, 3)
    assert scaled_size(1080, 1920, None) == (1080, 1920)


def test_scaling_averages_what_a_pixel_covers(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    path = write_video(tmp_path / "v.mp4", even_times(3, 25), size=(64, 64), image=lambda _: stripes)
    frames = read_frames(path, [0.0], short_side=16).float()
    assert (frames - 100).abs().max() < 12  # picking pixels would give 0 or 200


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_honoured(tmp_path: Path, degrees: int) -> None:
    image = np.full((48, 64, 3), 30, np.uint8)
    image[:24, :32] = 220  # a bright corner, top left
    path = write_video(tmp_path / "v.mp4", even_times(3, 25), rotation=degrees, image=lambda _: image)
    frame = read_frames(path, [0.0])[0].numpy()
    expected = np.rot90(image, degrees // 90)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 5
    info = read_info(path)
    assert (info.height, info.width) == expected.shape[:2]


def _break(kind: str, folder: Path) -> Path:
    good = write_video(folder / "good.mp4", even_times(50, 25), faststart=kind == "cut")
    path = folder / f"{kind}.mp4"
    if kind == "cut":
        path.write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    elif kind == "headless":  # cut before the index at its end
        path.write_bytes(good.read_bytes()[:1500])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "sound":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            for _ in range(8):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate = 8000
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("empty", "empty"),
        ("text", "cannot be decoded"),
        ("headless", "cannot be decoded"),
        ("cut", "cut off"),
        ("sound", "no video stream"),
    ],
)
def test_broken_files_give_their_path_and_reason(tmp_path: Path, kind: str, reason: str) -> None:
    path = _break(kind, tmp_path)
    for attempt in (lambda: read_info(path), lambda: decode_video(path)):
        with pytest.raises(VideoError, match=reason) as caught:
            attempt()
        assert caught.value.path == str(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_video_that_ends_early_is_not_frozen(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", even_times(25, 25))
    with pytest.raises(VideoError, match="cut off"):
        read_frames(path, [0.5, 1.5])


def test_garbage_inside_a_video_never_raises_anything_else(tmp_path: Path) -> None:
    good = write_video(tmp_path / "v.mp4", even_times(50, 25), image=_noise).read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(10):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 40):
            data[place] = rng.integers(256)
        path = tmp_path / f"{trial}.mp4"
        path.write_bytes(data)
        try:
            assert len(read_frames(path, [0.1, 1.5])) == 2
        except VideoError as error:
            assert error.reason  # noqa: PT017


def _noise(time: float) -> np.ndarray:
    return np.random.default_rng(round(time * 1000)).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_video_errors_cross_process_borders() -> None:
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "the file is empty")))
    assert (error.path, error.reason, str(error)) == ("a.mp4", "the file is empty", "a.mp4: the file is empty")


def test_nearest_index_equals_a_search_through_all() -> None:
    rng = np.random.default_rng(0)
    stamps = np.sort(rng.uniform(0, 5, 40))
    times = rng.uniform(-1, 6, 300)
    expected = [int(np.argmin(np.abs(stamps - time))) for time in times]
    assert nearest_index(stamps, times).tolist() == expected


def test_pyav_is_new_enough() -> None:
    assert int(av.__version__.split(".")[0]) >= 17
