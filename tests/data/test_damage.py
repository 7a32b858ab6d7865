"""Recordings as they come: cut, joined, streamed, damaged. What is whole is read, what is missing is told."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from tiny_videos import even_times, level, time_of, write_video

from mv2mae.config import PairConfig, StoreConfig
from mv2mae.data.check import check_manifest
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.media import GapError
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import VideoError, decode_video, read_frames, read_info
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset
from mv2mae.data.windows import aligned_times, shared_clock, video_span
from mv2mae.errors import InputError


def noise(time: float) -> np.ndarray:
    """Grey of a moment under noise, so that packets are large."""
    rng = np.random.default_rng(round(time * 1000))
    return np.clip(level(time) + rng.normal(0, 25, (48, 64, 3)), 0, 255).astype(np.uint8)


def kinds_of_findings(path: Path, **row: object) -> dict[str, str]:
    frame = make_frame([{"path": str(path), "group": "g", "view": 1, **row}])
    report = check_manifest(write_manifest(frame, path.parent / "m.csv"), num_workers=0, progress=False)
    return {f.kind: f.severity for f in report.findings if f.kind not in ("single_view", "still")}


def copied(source: Path, path: Path, first: float, **options: str) -> Path:
    """A copy without encoding from the key frame before `first` on, which shows what comes from `first` on."""
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as made:
        stream = given.streams.video[0]
        new = made.add_stream_from_template(stream)
        given.seek(round(first / stream.time_base), stream=stream)
        shift = round(first / stream.time_base)
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, new
                made.mux(packet)
    return path


def test_a_cut_without_encoding_has_the_frames_that_are_shown(tmp_path: Path) -> None:
    path = copied(write_video(tmp_path / "whole.mp4", even_times(60, 30), gop=60), tmp_path / "cut.mp4", 0.5)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 60  # all are stored, an edit list hides fifteen
    info, video = read_info(path), decode_video(path)
    assert info.num_frames == len(video.times) == 45
    assert (info.fps, info.duration) == (pytest.approx(30), pytest.approx(1.5, abs=0.01))
    assert time_of(video.frames)[0] == pytest.approx(0.5, abs=0.02)
    assert kinds_of_findings(path, frames=45, fps=30) == {}
    assert kinds_of_findings(path, frames=60, fps=30)["wrong_length"] == "error"  # here half a second is missing


def test_a_stream_that_begins_within_a_group_of_pictures(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", even_times(60, 30), gop=20, image=noise).read_bytes()
    path = tmp_path / "v.ts"
    path.write_bytes(whole[len(whole) // 188 // 6 * 188 :])
    info, video = read_info(path), decode_video(path)
    assert 40 <= info.num_frames == len(video.times) < 50
    assert info.start == pytest.approx(video.times[0])
    assert info.end == pytest.approx(video.times[-1] + 1 / 30, abs=0.01)
    assert kinds_of_findings(path) == {}


class Pipe(io.RawIOBase):
    """What cannot go back."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:  # type: ignore[override]
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def test_an_avi_whose_writer_could_not_go_back_to_its_header(tmp_path: Path) -> None:
    pipe, path = Pipe(), tmp_path / "v.avi"
    with av.open(pipe, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for time in even_times(60, 30):
            pixels = np.full((48, 64, 3), level(time), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(pipe.data)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 1_000_000
    assert (read_info(path).num_frames, read_info(path).duration) == (60, pytest.approx(2))
    assert len(decode_video(path).times) == 60
    assert kinds_of_findings(path) == {}


@pytest.mark.parametrize(("codec", "ending"), [("h264", "ts"), ("mpeg4", "ts")])
def test_joined_recordings_are_read_to_their_end(tmp_path: Path, codec: str, ending: str) -> None:
    parts = [
        write_video(tmp_path / f"{i}.{ending}", even_times(30, 30), shown=even_times(30, 30, start=i), codec=codec)
        for i in range(2)
    ]
    path = tmp_path / f"v.{ending}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    info, video = read_info(path), decode_video(path)
    assert (info.num_frames, info.num_jumps) == (60, 1)
    assert (info.fps, info.duration) == (pytest.approx(30), pytest.approx(2, abs=0.05))
    np.testing.assert_allclose(time_of(video.frames), even_times(60, 30), atol=0.02)
    assert (np.diff(video.times) > 0).all()
    np.testing.assert_allclose(time_of(read_frames(path, info.start + np.array([0.5, 1.5]))), [0.5, 1.5], atol=0.02)
    assert kinds_of_findings(path) == {"clock_jumps": "warning"}


def test_avis_joined_by_cat_are_read_to_their_end(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{i}.avi", even_times(30, 30), shown=even_times(30, 30, start=i), codec="mpeg4")
        for i in range(2)
    ]
    path = tmp_path / "v.avi"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert (read_info(path).num_frames, read_info(path).duration) == (60, pytest.approx(2))
    assert len(decode_video(path).times) == 60
    np.testing.assert_allclose(time_of(read_frames(path, [0.5, 1.5])), [0.5, 1.5], atol=0.02)
    assert kinds_of_findings(path) == {}


@pytest.mark.parametrize("rate", [30, 50])
def test_a_stream_without_a_container_has_the_rate_of_its_own_headers(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "v.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for time in even_times(30, rate):
            pixels = np.full((48, 64, 3), level(time), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert (read_info(path).fps, read_info(path).duration) == (rate, pytest.approx(30 / rate))
    np.testing.assert_allclose(time_of(read_frames(path, [10 / rate])), [10 / rate], atol=0.02)


def with_jump(path: Path, jump: float, num: int = 30) -> Path:
    times = [*even_times(num, 30), *even_times(num, 30, start=num / 30 + jump)]
    return write_video(path, times, shown=even_times(2 * num, 30))


def test_a_transport_stream_whose_clock_jumps_far_goes_on(tmp_path: Path) -> None:
    info = read_info(with_jump(tmp_path / "v.ts", 40))
    assert (info.num_frames, info.num_jumps, info.holes) == (60, 1, ())
    assert (info.fps, info.duration) == (pytest.approx(30), pytest.approx(2, abs=0.1))


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_no_clip_lies_across_a_hole(tmp_path: Path, ending: str) -> None:
    path = with_jump(tmp_path / f"v.{ending}", 4.0)
    info = read_info(path)
    assert info.fps == pytest.approx(30, rel=0.01)
    ((low, high),) = info.holes
    assert (low - info.start, high - low) == (pytest.approx(29 / 30, abs=0.01), pytest.approx(4 + 1 / 30, abs=0.01))
    span = video_span(info)
    for offset in np.linspace(0, 1, 23):
        (times,) = aligned_times([span], num_frames=8, step=0.1, offset=offset)
        assert np.allclose(np.diff(times), 0.1)
        assert times[-1] <= low + 0.01 or times[0] >= high - 0.01
    read_frames(path, [low - 0.5, high + 0.5])
    with pytest.raises(GapError, match="there are no frames between"):
        read_frames(path, [low + 2.0])
    assert "hole" in kinds_of_findings(path)


def test_views_are_read_where_none_has_a_hole(tmp_path: Path) -> None:
    spans = [video_span(read_info(with_jump(tmp_path / "v.mkv", 4.0)))]
    spans.append(video_span(read_info(write_video(tmp_path / "w.mkv", even_times(180, 30), shown=[0.0] * 180))))
    low, high = spans[0].holes[0]
    for offset in (0.0, 0.3, 0.6, 0.99):
        views = aligned_times(list(reversed(spans)), num_frames=8, step=0.1, offset=offset)
        assert all(times[-1] <= low + 0.01 or times[0] >= high - 0.01 for times in views)


def damaged(path: Path, share: float, num_bytes: int, **options: object) -> Path:
    write_video(path, even_times(60, 30), image=noise, gop=10, **options)  # type: ignore[arg-type]
    data = bytearray(path.read_bytes())
    begin = round(len(data) * share)
    data[begin : begin + num_bytes] = bytes(num_bytes)
    path.write_bytes(data)
    return path


def test_one_damaged_spot_costs_the_frames_around_it(tmp_path: Path) -> None:
    path = damaged(tmp_path / "v.mp4", 0.4, 6000)
    info, video = read_info(path), decode_video(path)
    assert info.num_frames == 60
    assert 40 <= len(video.times) < 60
    assert video.is_damaged
    whole = np.array(even_times(60, 30))
    lost = whole[np.abs(whole[:, None] - video.times[None] + info.start).min(axis=1) > 0.01]
    middle = float(np.median(lost))
    for read in (lambda t: read_frames(path, t), video.at):
        np.testing.assert_allclose(time_of(read([0.1, 1.9])), [0.1, 1.9], atol=0.05)
        with pytest.raises(GapError, match="missing or damaged"):
            read([middle])
    found = kinds_of_findings(path)
    assert found["missing_frames"] == "warning"
    assert "error" not in found.values()


@pytest.mark.parametrize("kind", ["faststart", "fragmented"])
def test_the_intact_part_of_a_cut_off_file_is_usable(tmp_path: Path, kind: str) -> None:
    whole = write_video(tmp_path / "w.mp4", even_times(60, 30), image=noise, gop=10, faststart=True)
    if kind == "fragmented":
        whole = copied(whole, tmp_path / "f.mp4", 0.0, movflags="empty_moov+frag_keyframe")
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    info = read_info(path)
    assert 30 < info.num_frames < 50
    assert 1.0 < info.end < 1.7
    frames = read_frames(path, [info.start + 0.2, info.start + 0.9])
    np.testing.assert_allclose(time_of(frames), [0.2, 0.9], atol=0.05)
    with pytest.raises(VideoError):
        read_frames(path, [1.95])
    assert not {"truncated", "wrong_length", "unreadable"} & kinds_of_findings(path, start=0, end=1).keys()
    assert "error" in kinds_of_findings(path, start=0, end=1.9).values()


def test_findings_about_pictures(tmp_path: Path) -> None:
    path = tmp_path / "interlaced.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for time in even_times(10, 25):
            pixels = np.full((64, 64, 3), level(time), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert kinds_of_findings(path) == {"interlaced": "warning"}
    one, two = (write_video(tmp_path / f"{h}.ts", even_times(20, 25), size=(h, 64)) for h in (48, 96))
    (tmp_path / "v.ts").write_bytes(one.read_bytes() + two.read_bytes())
    assert kinds_of_findings(tmp_path / "v.ts")["size_changes"] == "warning"
    one, two = (write_video(tmp_path / f"{n}.mp4", even_times(n, 25)) for n in (20, 30))
    (tmp_path / "v.mp4").write_bytes(one.read_bytes() + two.read_bytes())
    assert kinds_of_findings(tmp_path / "v.mp4") == {"joined": "warning"}


def test_a_damaged_video_is_prepared_without_what_is_lost(tmp_path: Path) -> None:
    path = damaged(tmp_path / "v.mp4", 0.4, 6000)
    frame = make_frame([{"path": str(path), "group": "g", "view": 1, "rate": 31, "fps": 30}])
    manifest = write_manifest(frame, tmp_path / "m.csv")
    prepare(manifest, tmp_path / "made", StoreConfig(short_side=48), progress=False)
    made = read_manifest(tmp_path / "made" / "manifest.parquet")
    assert made["frames"].tolist() == [len(decode_video(path).times)]
    assert made["rate"].tolist() == [31]


def test_memory_keeps_no_more_than_the_parts_that_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_video(tmp_path / "v.mp4", even_times(220, 100), gop=10))
    videos = Videos(cache_size=24)
    videos.preload([path] * 3, [(0.2, 0.4), (1.0, 1.2), (1.15, 1.3)], progress=False)
    parts = videos._decoded[path]
    assert [len(part.times) for part in parts] == [pytest.approx(21, abs=2), pytest.approx(31, abs=2)]
    np.testing.assert_allclose(time_of(videos.read(path, [1.05, 1.25], short_side=24)), [1.05, 1.25], atol=0.02)
    np.testing.assert_allclose(time_of(videos.read(path, [0.5, 2.0], short_side=24)), [0.5, 2.0], atol=0.02)
    monkeypatch.setattr("mv2mae.data.videos.free_memory", lambda: 100_000)
    with pytest.raises(InputError, match="data.cache=memory would take 0.0 GB for 1 video"):
        Videos(cache_size=24).preload([path], progress=False)


def test_a_true_rate_lays_frames_of_locked_cameras_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    infos = [
        read_info(write_video(tmp_path / f"{rate}.mp4", even_times(120, rate), shown=[0.0] * 120)) for rate in (30, 24)
    ]
    spans = shared_clock([video_span(infos[0], rate=30), video_span(infos[1], rate=30)], [None, None])
    a, b = aligned_times(spans, num_frames=16, step=4 / 30, offset=1.0)
    np.testing.assert_allclose(a * infos[0].fps, b * infos[1].fps, atol=0.1)  # the same frame numbers
    assert a[-1] == pytest.approx(119 / 30, abs=0.05)
    frame = make_frame([{"path": "v.mp4", "group": "g", "view": 1, "rate": 30}])
    assert frame["rate"].tolist() == [30]


def test_the_rate_is_that_of_the_usual_interval(tmp_path: Path) -> None:
    times = [t for t in even_times(60, 30) if not 0.5 < t < 0.8]  # nine frames were dropped
    path = write_video(tmp_path / "v.mkv", times)
    assert read_info(path).fps == pytest.approx(30, rel=0.01)
    assert read_info(path).duration == pytest.approx(2, abs=0.02)
    odd = pd.Series(np.random.default_rng(0).uniform(0.01, 0.12, 30).cumsum()).tolist()
    variable = read_info(write_video(tmp_path / "w.mkv", odd))
    assert variable.fps == pytest.approx(29 / (odd[-1] - odd[0]), rel=0.05)


def test_empty_chunks_of_an_avi_are_time_that_passes(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in [*range(20), *range(30, 50)]:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level(i / 30), np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    info, video = read_info(path), decode_video(path)
    assert info.num_frames == len(video.times) == 40
    assert (info.fps, info.duration) == (pytest.approx(30), pytest.approx(50 / 30, abs=0.01))
    np.testing.assert_allclose(time_of(video.frames), video.times, atol=0.02)
    assert "error" not in kinds_of_findings(path, frames=50, fps=30).values()


def test_no_clip_lies_across_six_tenths_of_a_second_without_frames(tmp_path: Path) -> None:
    times = [t for t in even_times(60, 20) if not 1.2 < t < 1.8]
    path = str(write_video(tmp_path / "a.mp4", times, shown=[t / 2 for t in times]))
    assert read_info(path).holes == ((pytest.approx(1.2), pytest.approx(1.8)),)
    rows = make_frame([{"path": path, "group": "g", "view": i, "start": 0.0, "end": 3.0 - i} for i in range(2)])
    dataset = PairDataset(rows, PairConfig(frame_stride=2), num_frames=8, size=32, seed=0, videos=Videos())
    for offset in np.linspace(0, 1, 9):
        shown = dataset.window([0, 1], offset)[0]
        assert shown.max() <= 1.21 or shown.min() >= 1.79
