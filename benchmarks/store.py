"""Which layout reads a clip fastest, and what it costs in bytes: 16 frames at stride 4 from a random place.

    python benchmarks/store.py [VIDEO ...] [--short_side 160] [--repeats 60]

Without videos, the first four of the sample set (128 pixels). One core, one thread; the contenders take turns, so
that what else the machine does falls on all of them; times are the process's own (CPU), the fastest one by the clock
on the wall. Sizes in bytes a frame, PSNR against the scaled frames.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.codec.context import CodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from mv2mae.config import StoreConfig
from mv2mae.data.manifest import make_frame, read_manifest, write_manifest
from mv2mae.data.store.packets import PacketDecoder
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import decode_video, read_frames, read_info
from mv2mae.data.videos import Videos

FPS = 25
STORE = "**the store**: by phase, 16 a group, crf 18"
_X264 = "repeat-headers=1:mbtree=0:rc-lookahead=0:scenecut=0:keyint=infinite:threads=1"


@dataclass(frozen=True)
class Layout:
    """A contender: how to read frames by number, and bytes a frame."""

    read: Callable[[Sequence[int]], np.ndarray]
    size: float


def in_order(num_frames: int, gop: int) -> tuple[list[int], list[int]]:
    """Frames in the order of time, and the positions of the key frames."""
    return list(range(num_frames)), list(range(0, num_frames, gop))


def regrouped(num_frames: int, gop: int, stride: int = 4) -> tuple[list[int], list[int]]:
    """The store's order (`mv2mae.data.store.packets`)."""
    order: list[int] = []
    keys = []
    for first in range(0, num_frames, stride * gop):
        for phase in range(first, min(first + stride, num_frames)):
            keys.append(len(order))
            order += range(phase, min(first + stride * gop, num_frames), stride)
    return order, keys


def packets(frames: np.ndarray, places: tuple[list[int], list[int]], crf: int, *, fast: bool = True) -> Layout:
    """H.264 without a container, read as the store does."""
    order, keys = places
    codec = CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
    codec.time_base, codec.framerate, codec.thread_count = Fraction(1, FPS), Fraction(FPS), 1
    codec.options = {"crf": str(crf), "bf": "0", "forced-idr": "1", "x264-params": _X264}
    if fast:
        codec.options = {**codec.options, "tune": "fastdecode"}
    encoded: list[bytes] = []
    for position, number in enumerate(order):
        frame = VideoFrame.from_ndarray(frames[number], format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = position, Fraction(1, FPS)
        frame.pict_type = PictureType.I if position in set(keys) else PictureType.NONE
        encoded += [bytes(packet) for packet in codec.encode(frame)]
    encoded += [bytes(packet) for packet in codec.encode(None)]
    ends, payload, place = np.cumsum([len(p) for p in encoded]), b"".join(encoded), np.argsort(order)
    decoder, convert = PacketDecoder(), _to_rgb()

    def read(numbers: Sequence[int]) -> np.ndarray:
        found: dict[int, np.ndarray] = {}
        wanted = sorted({int(place[i]) for i in numbers})
        decoder.frames(
            wanted, np.asarray(keys), ends, lambda a, b: payload[a:b], lambda i, f: found.update({i: convert(f)})
        )
        return np.stack([found[int(place[i])] for i in numbers])

    return Layout(read, len(payload) / len(frames))


def file(frames: np.ndarray, folder: Path, **options: str) -> Layout:
    """An ordinary MP4, read as the package reads any file."""
    path = folder / f"{len(list(folder.iterdir()))}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return Layout(lambda numbers: read_frames(path, np.array(numbers) / FPS).numpy(), path.stat().st_size / len(frames))


def jpegs(frames: np.ndarray, quality: int) -> Layout:
    """A JPEG a frame, decoded by Pillow (libjpeg-turbo)."""
    images = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
        images.append(buffer.getvalue())
    return Layout(
        lambda numbers: np.stack([np.asarray(Image.open(io.BytesIO(images[i]))) for i in numbers]),
        sum(map(len, images)) / len(images),
    )


def raw(frames: np.ndarray) -> Layout:
    """4:2:0 pixels as they are: the floor, conversion alone."""
    planes = [VideoFrame.from_ndarray(f, format="rgb24").reformat(format="yuv420p").to_ndarray() for f in frames]
    convert = _to_rgb()
    return Layout(
        lambda numbers: np.stack([convert(VideoFrame.from_ndarray(planes[i], format="yuv420p")) for i in numbers]),
        planes[0].nbytes,
    )


def stored(frames: np.ndarray, folder: Path, **settings: int) -> Layout:
    """The store, through manifest, index and tar; made from a file of next to no loss."""
    source = folder / "source.mp4"
    if not source.exists():
        with av.open(str(source), "w") as container:
            stream = container.add_stream("libx264rgb", rate=FPS, options={"crf": "0"})
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "rgb24"
            for frame in frames:
                container.mux(stream.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    out = folder / "-".join(["store", *map(str, settings.values())])
    manifest = write_manifest(make_frame([{"path": str(source), "group": "g", "view": 1}]), folder / "m.csv")
    short = min(frames.shape[1:3])
    report = prepare(manifest, out, StoreConfig(short_side=short, **settings), progress=False)
    path, videos = read_manifest(out / "manifest.parquet")["path"][0], Videos()
    return Layout(
        lambda numbers: videos.read(path, np.array(numbers) / FPS, short_side=short).numpy(),
        report.num_bytes / len(frames),
    )


def original(path: str, frames: np.ndarray) -> Layout:
    """The file that was given, scaled while it is read."""
    info, (height, width) = read_info(path), frames.shape[1:3]

    def read(numbers: Sequence[int]) -> np.ndarray:
        times = info.start + np.array(numbers) / info.fps
        return read_frames(path, times, short_side=min(height, width)).numpy()[:, :height, :width]

    return Layout(read, Path(path).stat().st_size / len(frames))


def contenders(path: str, frames: np.ndarray, folder: Path) -> dict[str, Layout]:
    """All layouts of one video; the first is what the others are compared with."""
    count = len(frames)
    return {
        "ordinary H.264 file (x264's defaults)": file(frames, folder, crf="23"),
        "the same, crf 18": file(frames, folder, crf="18"),
        "file, key frame every 8, crf 18": file(frames, folder, crf="18", g="8"),
        "packets, key frame every 8, crf 18": packets(frames, in_order(count, 8), 18),
        "every frame intra, crf 18": packets(frames, in_order(count, 1), 18),
        "by phase, 8 a group, crf 18": packets(frames, regrouped(count, 8), 18),
        "by phase, 16 a group, crf 18, CABAC and deblocking": packets(frames, regrouped(count, 16), 18, fast=False),
        "by phase, 32 a group, crf 18": packets(frames, regrouped(count, 32), 18),
        "JPEG, quality 92 (Pillow)": jpegs(frames, 92),
        "raw 4:2:0": raw(frames),
        STORE: stored(frames, folder),
        "the store, crf 23": stored(frames, folder, crf=23),
        "the original file, scaled while read": original(path, frames),
    }


def measure(layouts: dict[str, Layout], count: int, repeats: int, stride: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of each reading, CPU and wall; the layouts take turns."""
    rng = np.random.default_rng(0)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in layouts}
    for _ in range(repeats):
        first = int(rng.integers(max(1, count - 15 * stride)))
        numbers = [min(first + i * stride, count - 1) for i in range(16)]
        for name, layout in layouts.items():
            wall, cpu = time.perf_counter(), time.process_time()
            layout.read(numbers)
            taken[name].append(((time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3))
    return taken


def psnr(layout: Layout, frames: np.ndarray) -> float:
    """Decibels over a whole video."""
    error = layout.read(range(len(frames))).astype(np.float64) - frames
    with np.errstate(divide="ignore"):  # the original itself
        return float(10 * np.log10(255**2 / np.mean(error**2)))


def _to_rgb() -> Callable[[VideoFrame], np.ndarray]:
    reformatter = VideoReformatter()
    return lambda frame: reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--short_side", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    times: dict[str, list[tuple[float, float]]] = {}
    sizes: dict[str, list[float]] = {}
    quality: dict[str, list[float]] = {}
    strides: dict[int, list[tuple[float, float]]] = {}
    for video in args.videos or read_manifest("sample")["path"][:4]:
        frames = decode_video(video, short_side=min(args.short_side, read_info(video).short_side)).frames
        pixels = np.ascontiguousarray(frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2].numpy())
        with tempfile.TemporaryDirectory() as folder:
            layouts = contenders(video, pixels, Path(folder))
            for name, taken in measure(layouts, len(pixels), args.repeats, 4).items():
                times.setdefault(name, []).extend(taken)
                sizes.setdefault(name, []).append(layouts[name].size)
                quality.setdefault(name, []).append(psnr(layouts[name], pixels))
            store = {"store": layouts[STORE]}
            for stride in (1, 2, 3, 4, 5, 6, 8):
                strides.setdefault(stride, []).extend(measure(store, len(pixels), args.repeats, stride)["store"])
    print("| layout | CPU ms a clip, median | wall, fastest | times as fast | bytes a frame | PSNR, dB |")
    print("|---|---|---|---|---|---|")
    base = np.median(next(iter(times.values())), axis=0)[0]
    for name, taken in times.items():
        middle, fastest = np.median(taken, axis=0)[0], np.min(taken, axis=0)[1]
        print(
            f"| {name} | {middle:.1f} | {fastest:.1f} | {base / middle:.1f} | "
            f"{np.mean(sizes[name]):,.0f} | {np.mean(quality[name]):.1f} |"
        )
    middles = {stride: np.median(taken, axis=0)[0] for stride, taken in strides.items()}
    print("\nthe store at other strides, CPU ms a clip: " + ", ".join(f"{s}: {t:.1f}" for s, t in middles.items()))


if __name__ == "__main__":
    main()
