"""Files whose time stamps do not tell frames apart, or not in the order in which they are shown."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tiny_videos import even_times, time_of, write_video

from mv2mae.data.check.scan import scan
from mv2mae.data.video import VideoError, decode_video, read_frames, read_info


def _remuxed(source: Path, target: Path, stamp: Callable[[int, av.Packet], int]) -> Path:
    """A copy whose packets are stamped anew: `stamp` of a packet's number, in thousandths of a second."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = stamp(number, packet)
            new.mux_one(packet)
    return target


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_stamps_of_decoding_are_put_in_the_order_of_showing(tmp_path: Path, ending: str) -> None:
    """Raw H.264 with B-frames put into a container: packets are stamped as they come, and frames seem to go back."""
    times = even_times(60, 30)
    source = write_video(tmp_path / "source.mkv", times, gop=60)
    file = _remuxed(source, tmp_path / f"raw.{ending}", lambda number, _: round(number * 1000 / 30))
    info, video = read_info(file), decode_video(file)
    assert (info.num_frames, len(video.times)) == (60, 60)
    assert info.fps == pytest.approx(30, rel=0.01)
    assert time_of(video.frames) == pytest.approx(times, abs=0.015)
    assert time_of(read_frames(file, [1.0, 1.5])) == pytest.approx([1.0, 1.5], abs=0.02)


@pytest.mark.parametrize(("stamp", "fps"), [(lambda *_: 0, 30), (lambda number, _: number // 4 * 100, 40)])
def test_frames_that_share_a_stamp_are_counted(
    tmp_path: Path, stamp: Callable[[int, av.Packet], int], fps: int
) -> None:
    source = write_video(tmp_path / "source.mkv", even_times(60, fps), gop=12)
    file = _remuxed(source, tmp_path / "counted.mkv", stamp)
    info, video = read_info(file), decode_video(file)
    assert (info.num_frames, len(video.times)) == (60, 60)
    assert info.fps == pytest.approx(fps, rel=0.05)
    assert time_of(video.frames) == pytest.approx(even_times(60, fps), abs=0.02)
    assert time_of(read_frames(file, [20 / info.fps])) == pytest.approx([20 / fps], abs=0.02)


def _shifted(source: Path, target: Path, by: dict[int, float]) -> Path:
    """A copy in which packets of some numbers are shown by so many seconds later; they are decoded when they were."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.stream, packet.pts = stream, (packet.pts or 0) + round(by.get(number, 0) / (packet.time_base or 1))
            new.mux_one(packet)
    return target


def _check_all_but_one(file: Path) -> None:
    info, video = read_info(file), decode_video(file)
    assert info.duration == pytest.approx(2, abs=0.01)
    assert (info.holes, info.num_jumps) == ((), 0)
    assert len(video.times) in (59, 60)  # a clock of decoding beside that of showing may tell what was meant
    assert time_of(video.frames) == pytest.approx(video.times - video.times[0], abs=0.015)
    assert time_of(read_frames(file, [info.start + 1.7])) == pytest.approx([1.7], abs=0.02)
    assert scan(str(file)).num_gaps == 60 - len(video.times)


@pytest.mark.parametrize("seconds", [2, 3600])
@pytest.mark.parametrize(("ending", "reordered"), [("mkv", False), ("mkv", True), ("mp4", True), ("ts", False)])
def test_a_frame_stamped_far_ahead_hides_no_other(tmp_path: Path, ending: str, seconds: int, reordered: bool) -> None:
    source = write_video(tmp_path / "source.mkv", even_times(60, 30), gop=30, reordered=reordered)
    _check_all_but_one(_shifted(source, tmp_path / f"wild.{ending}", {40: seconds}))


def test_a_frame_with_a_negative_stamp_hides_no_other(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", even_times(60, 30), gop=30, reordered=False)
    file = _shifted(source, tmp_path / "wild.mp4", {40: 2})  # no writer takes a negative one
    content = file.read_bytes()
    offset = content.index(b"ctts") + 12 + 12  # of the second entry: for one frame, 40 frames have none before it
    assert struct.unpack(">ii", content[offset - 4 : offset + 4])[0] == 1
    file.write_bytes(content[:offset] + struct.pack(">i", -(2**30)) + content[offset + 4 :])
    _check_all_but_one(file)


def test_a_first_frame_stamped_far_ahead_hides_no_other(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", even_times(60, 30), gop=30, reordered=False)
    file = _shifted(source, tmp_path / "wild.ts", {0: 2})
    assert len(decode_video(file).times) == 59
    assert time_of(read_frames(file, [1.0])) == pytest.approx([1.0], abs=0.02)


def test_a_clock_that_goes_back_for_long_is_refused(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", even_times(60, 30), gop=30, reordered=False)
    file = _shifted(source, tmp_path / "long.mp4", dict.fromkeys(range(20, 40), 3600))
    with pytest.raises(VideoError, match=r"time stamps go back from 3601\.30 to 1\.\d\d s"):
        decode_video(file)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_variable_rate_with_reordered_frames_ends_behind_its_last_frame(tmp_path: Path, seed: int) -> None:
    """The edit list of such an MP4 ends before its last frame, and its index knows the stamps of decoding alone."""
    times = np.cumsum(np.random.default_rng(seed).integers(10, 300, size=60)) / 1000
    stamps = [float(time - times[0]) for time in times]
    file = write_video(tmp_path / "v.mp4", stamps, shown=even_times(60, 30), gop=30)
    info, last = read_info(file), decode_video(file).times[-1]
    assert last == pytest.approx(stamps[-1], abs=0.002)
    assert info.end == pytest.approx(last + 1 / info.fps, abs=0.002)
