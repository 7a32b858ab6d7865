"""How the frames of an item are laid out: H.264 without a container, regrouped by phase of the stride.

A clip takes every fourth frame, and an ordinary file makes its reader decode the three in between. Here every
block of `stride` x `gop` frames is stored as `stride` groups of pictures: frames 0, 4, 8, ... of the block, then
1, 5, 9, ..., and so on. A clip at this stride runs through one group of each block that it touches: 16 frames
cost 16 and some before the first. No B-frames, no CABAC, no deblocking: these cost more time than they save bytes
(`benchmarks/RESULTS.md`). Every key frame carries its parameter sets, so one decoder serves all items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from av.codec.context import CodecContext, Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation
from jaxtyping import UInt8

from mv2mae.data.media import MAX_PIXELS
from mv2mae.data.stopwatch import timed

# mbtree off: equal frames must give equal bytes (see `synthetic.encode`); no look-ahead: it is mbtree's.
_X264 = "repeat-headers=1:mbtree=0:rc-lookahead=0:sync-lookahead=0:scenecut=0:keyint=infinite:threads=1"


class BlockEncoder:
    """Encodes frames that come in the order of time.

    Args:
        stride, gop, crf: see `StoreConfig`.

    Attributes:
        packets, times: in stored order, the second in seconds.
        keys: positions of the key frames.
    """

    def __init__(self, *, stride: int, gop: int, crf: int) -> None:
        self.stride, self.gop, self.crf = stride, gop, crf
        self.codec: VideoCodecContext | None = None
        self.block: list[tuple[float, VideoFrame]] = []
        self.packets: list[bytes] = []
        self.times: list[float] = []
        self.keys: list[int] = []

    def add(self, time: float, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        """One more frame; height and width are even and those of the first."""
        # swscale rounds down on the way to 4:2:0 and back, by 1.1 grey levels in the mean (0.2 with the one added)
        frame = VideoFrame.from_ndarray(np.minimum(pixels, 254) + np.uint8(1), format="rgb24")
        # AREA: the colours of 2x2 pixels are averaged where the decoder spreads them; BILINEAR shifts them.
        self.block.append((time, frame.reformat(format="yuv420p", interpolation=Interpolation.AREA, threads=1)))
        if len(self.block) == self.stride * self.gop:
            self._encode_block()

    def finish(self) -> bytes:
        """All packets in stored order; none if no frame has come."""
        self._encode_block()
        if self.codec is not None:
            self.packets += [bytes(packet) for packet in self.codec.encode(None)]
        assert len(self.packets) == len(self.times), "x264 gives one packet a frame"
        return b"".join(self.packets)

    def _encode_block(self) -> None:
        codec = self.codec = self.codec or (self._open(self.block[0][1]) if self.block else None)
        for phase in range(min(self.stride, len(self.block))):
            self.keys.append(len(self.times))
            for number, (time, frame) in enumerate(self.block[phase :: self.stride]):
                frame.pict_type = PictureType.NONE if number else PictureType.I
                frame.pts, frame.time_base = len(self.times), Fraction(1, 25)
                self.times.append(time)
                assert codec is not None
                self.packets += [bytes(packet) for packet in codec.encode(frame)]
        self.block = []

    def _open(self, frame: VideoFrame) -> VideoCodecContext:
        codec = CodecContext.create("libx264", "w")
        assert isinstance(codec, VideoCodecContext)
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
        codec.time_base, codec.framerate, codec.thread_count = Fraction(1, 25), Fraction(25), 1
        settings = {"crf": str(self.crf), "preset": "medium", "tune": "fastdecode", "bf": "0", "forced-idr": "1"}
        codec.options = {**settings, "x264-params": _X264}
        return codec


class PacketDecoder:
    """Decodes single frames of items; one for each thread, whatever the items' sizes."""

    def __init__(self) -> None:
        self.codec = CodecContext.create("h264", "r")
        self.codec.thread_count = 1
        self.codec.options = {"max_pixels": str(MAX_PIXELS)}
        self.codec.flags |= Flags.low_delay  # a frame for each packet, at once

    @timed("decode")
    def frames(
        self,
        positions: Sequence[int],
        keys: np.ndarray,
        ends: np.ndarray,
        fetch: Callable[[int, int], bytes],
        take: Callable[[int, VideoFrame], None],
    ) -> None:
        """Decodes the frames at some positions of the stored order and no more than leads to them.

        Args:
            positions: rising, each once.
            keys: positions of key frames, rising.
            ends: where the packets end in the payload, in bytes; packet 0 begins at 0.
            fetch: bytes of the payload from a place to another.
            take: is given each frame with its position; the frame is valid during the call only.

        Raises:
            av.FFmpegError: the packets are damaged.
        """
        begins = np.concatenate([[0], ends[:-1]])
        groups = np.searchsorted(keys, positions, side="right") - 1
        for group in np.unique(groups):
            wanted = {p for p, g in zip(positions, groups, strict=True) if g == group}
            first, last = int(keys[group]), max(wanted)
            data = memoryview(fetch(int(begins[first]), int(ends[last])))
            self.codec.flush_buffers()
            for position in range(first, last + 1):
                low, high = begins[position] - begins[first], ends[position] - begins[first]
                decoded = self.codec.decode(av.Packet(bytes(data[low:high])))
                if len(decoded) != 1:
                    raise av.InvalidDataError(1, "a packet gives no frame")
                if position in wanted:
                    take(position, decoded[0])
