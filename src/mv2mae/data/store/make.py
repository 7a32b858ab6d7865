"""Items: a video, or a part of one, decoded, thinned out, cut, scaled and encoded; in several processes, in order."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from mv2mae.config import StoreConfig
from mv2mae.data.media import GapError
from mv2mae.data.pixels import Converter, displayed_size
from mv2mae.data.store.crop import Edges, cut, load_detector, motion_box, person_box
from mv2mae.data.store.deinterlace import deinterlaced
from mv2mae.data.store.index import Source
from mv2mae.data.store.packets import BlockEncoder
from mv2mae.data.store.shards import ItemHeader, packet_checks
from mv2mae.data.video import VideoError, frames_between, read_info
from mv2mae.errors import InputError
from mv2mae.text import first_line


@dataclass(frozen=True)
class Item:
    """What `make_item` makes."""

    header: ItemHeader
    payload: bytes
    box: Edges | None

    def columns(self, source: Source) -> dict[str, object]:
        """Its entries in the index."""
        box = dict(zip(("left", "top", "right", "bottom"), self.box or (None,) * 4, strict=True))
        header = self.header
        return {
            "frames": len(header.times),
            "width": header.width,
            "height": header.height,
            "fps": header.fps,
            "source": source.path,
            "source_start": source.start,
            "source_end": source.end,
            **box,
        }


def make_item(source: Source, config: StoreConfig) -> Item | str:
    """The item of a source, or why there is none.

    Between `start` and `end` every frame is kept (or every one that `fps` leaves), and one more on either side,
    so that windows by time stamps come out as from the file.
    """
    try:
        return _make(source, config)
    except VideoError as error:
        return error.reason
    except Exception as error:  # whatever one odd file brings about, the thousands after it are to be made
        return f"cannot be prepared ({type(error).__name__}: {first_line(error)})"


def _make(source: Source, config: StoreConfig) -> Item:
    info = read_info(source.path)
    if (source.start or 0) >= info.end or (source.end is not None and source.end <= info.start):
        wanted, there = f"{source.start or 0:.2f} s", f"{info.start:.2f} to {info.end:.2f} s"
        raise VideoError(source.path, f"lasts from {there}; the part from {wanted} on lies outside of it")
    box = source.box
    if config.crop == "boxes" and box is None:
        raise VideoError(source.path, f"has no box in {config.boxes}")
    if config.crop == "motion":
        box = motion_box(source.path, source.start, source.end, info.height, info.width)
    elif config.crop == "person":
        detect = load_detector(config.detector)
        box = person_box(source.path, source.start, source.end, info.height, info.width, detect)
    fps = min(info.fps, config.fps or info.fps)
    reach = min(math.inf if source.end is None else source.end, info.end - 1 / info.fps)
    frames = frames_between(source.path, source.start, source.end, reach=reach)
    if config.deinterlace:
        frames = deinterlaced(frames)
    encoder = BlockEncoder(stride=config.frame_stride, gop=config.gop, crf=config.crf)
    scale = _Scaler(source.path, box, config.short_side)
    end = info.end
    try:
        for time, frame in frames if fps == info.fps else _thinned(frames, fps):
            encoder.add(time, scale(frame))
    except GapError:  # the last frames are damaged
        end = max(encoder.times + [time for time, _ in encoder.block]) + 1 / info.fps
    payload, times, sizes = encoder.finish(), encoder.times, [len(packet) for packet in encoder.packets]
    if encoder.codec is None:
        raise VideoError(source.path, "holds no frame that can be decoded")
    start = min(times)
    if source.end is not None:
        end = min(end, max(source.end, *times) + 1 / info.fps)
    header = ItemHeader(
        width=encoder.codec.width,
        height=encoder.codec.height,
        fps=fps,
        start=start,
        duration=max(end - start, 0.0),
        cut=source.start is not None and start > info.start,
        times=times,
        sizes=sizes,
        keys=encoder.keys,
        checks=packet_checks(payload, sizes),
    )
    return Item(header, payload, box)


def _thinned(frames: Iterator[tuple[float, VideoFrame]], fps: float) -> Iterator[tuple[float, VideoFrame]]:
    """The frames nearest to the ticks of a lower rate, which begin at the first frame; with their own times."""
    before: tuple[float, VideoFrame] | None = None
    first, tick = 0.0, 0
    for here in frames:
        if before is None:
            first = here[0]
        else:
            middle = (before[0] + here[0]) / 2  # up to there `before` is nearest
            if first + tick / fps <= middle:
                yield before
                tick = math.floor((middle - first) * fps) + 1
        before = here
    if before is not None and first + tick / fps <= before[0] + 0.25 / fps:  # time stamps are rounded
        yield before


class _Scaler:
    """Cuts and scales frames; sides come out even, as 4:2:0 wants them, by leaving out the last row or column."""

    def __init__(self, path: str, box: Edges | None, short_side: int) -> None:
        self.path, self.box, self.short_side = path, box, short_side
        self.whole = Converter(None)
        self.convert: Converter | None = None

    def __call__(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        if self.box is not None:
            part = cut(self.whole(frame), self.box)
            if min(part.shape[:2]) < 2:
                raise VideoError(self.path, f"its box {list(self.box)} lies outside of its frames")
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(part), format="rgb24")
        if self.convert is None:
            self.convert = Converter(min(self.short_side, *displayed_size(frame)))
        pixels = self.convert(frame)
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        if min(height, width) < 2:
            raise VideoError(self.path, "is smaller than two pixels")
        return pixels[:height, :width]


def make_items(sources: Sequence[Source], config: StoreConfig, processes: int) -> Generator[Item | str, None, None]:
    """The item of each source, or why there is none; from several processes in order, and few wait in memory.

    Raises:
        InputError: a process died.
    """
    if processes == 1:
        yield from (make_item(source, config) for source in sources)
        return
    # spawned: a fork of a process that has used torch's threads may hang
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    waiting: deque[tuple[Source, Future[Item | str]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(make_item, source, config)))
            if len(waiting) == 4 * processes:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _result(source: Source, future: Future[Item | str]) -> Item | str:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise InputError(
            f"a process was killed, perhaps for want of memory, at or after {source.path}; "
            "the same command goes on from the last whole shard, fewer --processes take less memory"
        ) from error


def _begin() -> None:
    """Readies a process: one thread; Ctrl-C is its parent's to answer; it ends when its parent is killed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # the executor's queue has its other end here too, so waiting on it would never end
