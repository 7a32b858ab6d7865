"""Whole pictures from half pictures: interlaced frames of camcorders and broadcasts, through FFmpeg's bwdif.

One frame comes out for each that goes in, at its time: the half picture that was taken first, its missing rows made
from those around them in space and time. Frames that are not marked as interlaced stay as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from mv2mae.data.media import GapError

_FILTER = "mode=send_frame:parity=auto:deint=interlaced"


def deinterlaced(frames: Iterator[tuple[float, VideoFrame]]) -> Iterator[tuple[float, VideoFrame]]:
    """The same frames and times without combs; the filter looks one frame ahead.

    Raises:
        GapError: as the frames that go in do, after the last one of them.
    """
    graph: Graph | None = None
    shape: tuple[Any, ...] = ()
    waiting: deque[tuple[float, Any]] = deque()
    gap: GapError | None = None
    try:
        for time, frame in frames:
            if graph is None or shape != _shape(frame):
                if graph is not None:
                    yield from _end(graph, waiting)
                graph, shape = _graph(frame), _shape(frame)
            waiting.append((time, frame.opaque))
            graph.push(frame)
            yield from _out(graph, waiting)
    except GapError as error:
        gap = error
    if graph is not None:
        yield from _end(graph, waiting)
    if gap is not None:
        raise gap


def _shape(frame: VideoFrame) -> tuple[Any, ...]:
    return frame.width, frame.height, frame.format.name


def _graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("bwdif", _FILTER), graph.add("buffersink")).configure()
    return graph


def _end(graph: Graph, waiting: deque[tuple[float, Any]]) -> Iterator[tuple[float, VideoFrame]]:
    graph.push(None)
    yield from _out(graph, waiting)


def _out(graph: Graph, waiting: deque[tuple[float, Any]]) -> Iterator[tuple[float, VideoFrame]]:
    while waiting:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        time, frame.opaque = waiting.popleft()
        yield time, frame
