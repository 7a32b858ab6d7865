"""Files whose time stamps do not tell frames apart, or not in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from tiny_videos import even_times, time_of, write_video

from mv2mae.data.video import decode_video, probe, read_frames


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
    info, video = probe(file), decode_video(file)
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
    info, video = probe(file), decode_video(file)
    assert (info.num_frames, len(video.times)) == (60, 60)
    assert info.fps == pytest.approx(fps, rel=0.05)
    assert time_of(video.frames) == pytest.approx(even_times(60, fps), abs=0.02)
    assert time_of(read_frames(file, [20 / info.fps])) == pytest.approx([20 / fps], abs=0.02)
