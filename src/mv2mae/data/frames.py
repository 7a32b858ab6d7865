"""From an open file to frames with rising times: damage is stepped over and counted, clocks that jump are mended."""

from __future__ import annotations

import heapq
import math
import time as clock
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mv2mae.data.media import SeekMissed, VideoError
from mv2mae.data.pixels import pixel_aspect
from mv2mae.data.stopwatch import timed, timed_items
from mv2mae.data.video_info import Timing, VideoInfo

TIME_LIMIT = 600.0
"""Seconds that decoding up to the frames of one request may take."""
_BLIND_SEEK_SECONDS = 3.0
"""Without an index of key frames a jump is tried only over gaps longer than this."""
_JUMPS = 0x200
"""FFmpeg's flag (AVFMT_TS_DISCONT) of formats whose clock may jump: MPEG transport and program streams."""
_NO_STAMPS = 0x80
"""FFmpeg's flag (AVFMT_NOTIMESTAMPS) of formats without a clock."""
_FORWARD, _BACKWARD = 10.0, 0.1
"""Seconds by which such a clock jumps ahead or back before FFmpeg's program takes it for another clock."""
_BACKWARD_ELSEWHERE = 1.0
_APART = 5.0
"""Seconds between decoding and showing of a frame that no order of frames explains."""
_FEW = 8
"""So many frames in a row may have wild stamps; of more the clock has jumped."""


def stated_rate(stream: VideoStream) -> Fraction:
    """Frames a second by the file; 0 if it does not say.

    Streams without a container (H.264 as cameras send it) carry no time stamps: of them FFmpeg's average is always 25,
    and what their own headers say counts.
    """
    by_headers = stream.guessed_rate if stream.container.format.flags & _NO_STAMPS else None
    return Fraction(by_headers or stream.average_rate or 0)


def far_apart(rate: float) -> float:
    """Seconds between frames that do not follow each other, at so many frames a second."""
    return max(0.5, 5 / rate)


class Clock:
    """Lays the parts of a file whose time stamps start again, or jump far ahead, one behind the other.

    So does FFmpeg's program: recordings joined by `cat`, and recorders whose clock wraps, go on without a break.

    Attributes:
        num_jumps: how often that was so.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.base = Fraction(stream.time_base or Fraction(1, 90000))
        self.step = round(1 / (Fraction(stated_rate(stream) or 25) * self.base)) or 1
        self.seconds = float(self.base)
        self.may_jump = bool(container.format.flags & _JUMPS)
        self.is_needed = self.may_jump or not 0 < stream.frames == len(stream.index_entries)  # an index is one clock
        self.offset, self.num_jumps = 0, 0
        self.last: int | None = None
        self.last_shown: int | None = None
        self.early: int | None = None  # what mends stamps of showing that jump before those of decoding do
        self.before_leap, self.since_leap = 0, _FEW  # the last stamp before a leap ahead, and packets since

    def mend(self, packet: Packet) -> None:
        """Puts a packet, the next one of the file, on the common clock."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        stamp += self.offset
        if self.last is not None:
            ahead = (stamp - self.last) * self.seconds
            back = _BACKWARD if self.may_jump and packet.dts is not None else _BACKWARD_ELSEWHERE
            if self._comes_back(stamp, ahead):
                self.last = stamp
            elif ahead < -back or (self.may_jump and ahead > _FORWARD):
                self.num_jumps += 1
                change = self.last + self.step - stamp if self.early is None else self.early
                self.offset, stamp, self.early = self.offset + change, stamp + change, None
        self.last = stamp if self.last is None else max(self.last, stamp)
        if self.may_jump and packet.pts is not None:
            packet.pts = self._shown(packet.pts + self.offset, stamp)
        elif self.offset and packet.pts is not None:
            packet.pts += self.offset
        if self.offset and packet.dts is not None:
            packet.dts += self.offset

    def _comes_back(self, stamp: int, ahead: float) -> bool:
        """Whether a few stamps far ahead are over: they were wild, and the clock is the one from before."""
        if ahead > _BACKWARD_ELSEWHERE and self.last is not None:
            self.before_leap, self.since_leap = self.last, 0
            return False
        self.since_leap += 1
        return ahead < -_BACKWARD_ELSEWHERE and self.since_leap <= _FEW and stamp > self.before_leap

    def _shown(self, stamp: int, decoded: int) -> int:
        """The stamp of showing of a packet that is decoded at `decoded`."""
        if self.last_shown is not None and abs(stamp - decoded) * self.seconds > _APART:
            self.early = self.last_shown + self.step - stamp if self.early is None else self.early
            stamp += self.early
        self.last_shown = stamp if self.last_shown is None else max(self.last_shown, stamp)
        return stamp


def shown_packets(container: InputContainer, stream: VideoStream, mended: Clock) -> Iterator[Packet]:
    """Packets with pictures in the order of the file, on one clock; damage in the file ends them."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        if packet.size:  # chunks without content stand for time that passes
            if mended.is_needed:
                mended.mend(packet)
            yield packet


class Frames:
    """Frames from the decoder's present position on, as (seconds, frame), with rising times.

    Args:
        path: to name in errors.
        info: of the file, where it is known; its stamps are believed until then.
        is_sought: whether the position is not the file's beginning.
        time_limit: seconds after which decoding is given up.

    Attributes:
        num_errors: packets of which the decoder could make nothing.
        num_back: frames whose stamps went back, which were left out.
        first: seconds about which the first frame is expected at the latest.
        num_wild: frames stamped far ahead of the ones that come after them, which were left out.
        reorders: whether stamps of showing differ in their order from the packets so far.
    """

    def __init__(
        self,
        path: str | Path,
        container: InputContainer,
        stream: VideoStream,
        info: VideoInfo | None = None,
        *,
        is_sought: bool = False,
        time_limit: float = math.inf,
    ) -> None:
        self.path, self.container, self.stream = path, container, stream
        self.timing: Timing = info.timing if info else "order" if counts_frames(container, stream) else "stamps"
        self.rate = info.fps if info else float(stated_rate(stream) or 25)
        self.start, self.first = info.start if info else 0.0, -math.inf
        if info:
            self.first = info.end if is_sought else info.start
        self.num_errors, self.error = 0, ""
        self.num_back, self.num_wild, self.reorders = 0, 0, False
        self.end_of_patience, self.time_limit = clock.monotonic() + time_limit, time_limit
        self._frames = self._rising()

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        return self._frames

    def next(self) -> tuple[float, VideoFrame] | None:
        """The next frame, None at the end."""
        return next(self._frames, None)

    def nothing(self) -> VideoError:
        """What to raise where not one frame came."""
        said = f" ({self.error})" if self.error else ""
        return VideoError(self.path, f"holds no frame that can be decoded{said}")

    def _rising(self) -> Iterator[tuple[float, VideoFrame]]:
        last, aspect = -math.inf, pixel_aspect(self.stream.codec_context.sample_aspect_ratio)
        in_a_row, far = 0, max(_BACKWARD_ELSEWHERE, far_apart(self.rate))
        for time, frame in self._tame(self._stamped()):
            self.num_back += time < last
            in_a_row = in_a_row + 1 if time < last - far else 0
            if in_a_row > _FEW:
                raise VideoError(self.path, f"time stamps go back from {last:.2f} to {time:.2f} s; encode it anew")
            if time > last:  # a stamp that goes back a little is a muxer's slip
                last = time
                if aspect is not None:
                    frame.opaque = aspect
                yield time, frame

    def _tame(self, frames: Iterator[tuple[float, VideoFrame]]) -> Iterator[tuple[float, VideoFrame]]:
        """Leaves out frames stamped far ahead if those behind them are not: they would hide all that follow."""
        if self.timing != "stamps":
            yield from frames
            return
        last, far, held = -math.inf, far_apart(self.rate), list[tuple[float, VideoFrame]]()
        for time, frame in frames:
            if held and last < time < held[0][0] - far:
                self.num_wild += len(held)
                held = []
            if not held and time <= (self.first if math.isinf(last) else last) + far:
                last = max(last, time)
                yield time, frame
                continue
            held.append((time, frame))
            if len(held) > (1 if math.isinf(last) else _FEW):
                last = max(last, *(stamp for stamp, _ in held))
                yield from held
                held = []
        yield from held

    def _stamped(self) -> Iterator[tuple[float, VideoFrame]]:
        last, base = 0.0, self.stream.time_base
        stamps: list[float] = []
        for index, frame in enumerate(timed_items("decode", self._decoded(stamps))):
            if not frame.time_base and base:  # of the last frames, which the decoder held back
                frame.time_base = base
            if self.timing == "order" and stamps:
                time = heapq.heappop(stamps)
            elif self.timing != "stamps":
                time = self.start + index / self.rate
            elif frame.time is None:  # several small frames in one packet of a program stream share one stamp
                time = last + 1 / self.rate if index else 0.0
            else:
                time = frame.time
            last = time
            yield time, frame

    def _decoded(self, stamps: list[float]) -> Iterator[VideoFrame]:
        """Frames; `stamps`, a heap, gets the seconds of each packet that may become one."""
        codec, latest = self.stream.codec_context, -math.inf
        base, is_avi = float(self.stream.time_base or 0), self.container.format.name == "avi"
        for packet in shown_packets(self.container, self.stream, Clock(self.container, self.stream)):
            if clock.monotonic() > self.end_of_patience:
                raise VideoError(self.path, f"takes more than {self.time_limit:.0f} s to decode; encode it anew")
            stamp = packet.dts if is_avi or packet.pts is None else packet.pts
            pushed = None if self.timing != "order" or stamp is None or packet.is_discard else stamp * base
            if pushed is not None:
                heapq.heappush(stamps, pushed)
            if packet.pts is not None:
                self.reorders |= packet.pts < latest
                latest = packet.pts
            try:
                yield from codec.decode(packet)
            except av.FFmpegError as error:
                if isinstance(error, av.error.ArgumentError) and not codec.is_open:  # cannot be opened at all
                    raise
                self.num_errors, self.error = self.num_errors + 1, error.strerror or type(error).__name__
                if pushed in stamps:
                    stamps.remove(pushed)
                    heapq.heapify(stamps)
        try:
            yield from codec.decode(None)
        except av.FFmpegError:
            self.num_errors += 1


def counts_frames(container: InputContainer, stream: VideoStream) -> bool:
    """AVI stores no display times: with B-frames the stamps come out shuffled, and only counting is right."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


class Cursor:
    """Walks through a video and finds the frame nearest to each of rising times."""

    def __init__(
        self,
        path: str | Path,
        container: InputContainer,
        stream: VideoStream,
        info: VideoInfo,
        *,
        may_seek: bool,
        time_limit: float = math.inf,
    ) -> None:
        self.path, self.container, self.stream, self.time_limit = path, container, stream, time_limit
        self.info, self.may_seek = info, may_seek
        self.before: tuple[float, VideoFrame] | None = None
        self.here: tuple[float, VideoFrame] | None = None
        self.frames = Frames(path, container, stream, info, time_limit=time_limit)
        self.at_end = False

    def nearest(self, time: float) -> tuple[float, VideoFrame]:
        """The frame nearest to `time`, and its time stamp; the earlier one of two equally near."""
        if self.may_seek:
            self._jump(time)
        while self.here is None or self.here[0] < time:
            following = self.frames.next()
            if following is None:
                self.at_end = True
                break
            self.before, self.here = self.here, following
        if self.here is None:
            raise self.frames.nothing()
        if self.before is not None and time - self.before[0] <= abs(self.here[0] - time):
            return self.before
        return self.here

    @timed("open, seek")
    def _jump(self, time: float) -> None:
        """Seeks to the last key frame before `time` if that lies ahead of the present position."""
        if not self._pays(time):
            return
        assert self.stream.time_base is not None
        margin = (1 + self.stream.codec_context.reorder_depth) / float(stated_rate(self.stream) or 25)
        try:
            self.container.seek(int((time - margin) / self.stream.time_base), stream=self.stream)
        except av.FFmpegError as error:
            raise SeekMissed from error
        self.frames = Frames(
            self.path, self.container, self.stream, self.info, is_sought=True, time_limit=self.time_limit
        )
        self.before, self.here = None, self.frames.next()
        if self.here is None or self.here[0] > time:
            raise SeekMissed

    def _pays(self, time: float) -> bool:
        """Whether a jump to `time` skips frames, by the file's index where there is one."""
        start = float((self.stream.start_time or 0) * (self.stream.time_base or 0))
        position = self.here[0] if self.here else start
        entries, rate = self.stream.index_entries, float(stated_rate(self.stream) or 25)
        if len(entries) <= 1 or self.stream.time_base is None:
            return time - position > _BLIND_SEEK_SECONDS
        margin = (1 + self.stream.codec_context.reorder_depth) / rate
        found = entries.search_timestamp(int((time - margin) / self.stream.time_base), backward=True)
        return found >= 0 and float(entries[found].timestamp * self.stream.time_base) > position + margin
