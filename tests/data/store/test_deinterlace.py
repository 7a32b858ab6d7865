"""Interlaced videos in a store: combs as they are, or whole pictures on request."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mv2mae.config import StoreConfig
from mv2mae.data.manifest import make_frame, write_manifest
from mv2mae.data.media import GapError
from mv2mae.data.store.deinterlace import deinterlaced
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import decode_video, frames_between, read_info
from mv2mae.errors import InputError

NUM_FRAMES = 20


def film(path: Path, *, interlaced: bool) -> Path:
    """A block that moves four pixels in each half picture, the odd rows taken first: so x264 marks these frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        if interlaced:
            stream.options = {"crf": "10", "x264-params": "tff=1"}
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in range(NUM_FRAMES):
            pixels = np.full((64, 96, 3), 30, np.uint8)
            for half in (0, 1):
                left = 4 * (2 * frame + half * interlaced) % 70
                pixels[1 - half :: 2, left : left + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def combs(frames: torch.Tensor) -> float:
    """By how much rows differ from the mean of those above and below."""
    rows = frames[..., 0].float()
    return float((2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:]).abs().mean())


def stored(folder: Path, video: Path, *, deinterlace: bool):
    folder.mkdir(exist_ok=True)
    write_manifest(make_frame([{"path": str(video), "group": "g", "view": 1}]), folder / "m.csv")
    config = StoreConfig(short_side=64, crf=10, deinterlace=deinterlace)
    report = prepare(folder / "m.csv", folder / "out", config, progress=False)
    return decode_video(next((report.out / "store").glob("*.tar")).as_posix() + "#00000000-g-1")


def test_whole_pictures_on_request(tmp_path: Path):
    video = film(tmp_path / "v.mp4", interlaced=True)
    as_it_is = stored(tmp_path / "a", video, deinterlace=False)
    whole = stored(tmp_path / "b", video, deinterlace=True)
    assert combs(as_it_is.frames) > 20
    assert combs(whole.frames) < 2
    assert len(whole.times) == NUM_FRAMES
    np.testing.assert_array_equal(whole.times, as_it_is.times)
    # it is the half picture that was taken first
    truth = torch.zeros(96, dtype=torch.bool)
    truth[8 * 5 : 8 * 5 + 20] = True
    assert ((whole.frames[5, 32, :, 0] > 128) == truth).float().mean() > 0.95


def test_pictures_that_are_whole_stay_as_they_are(tmp_path: Path):
    video = film(tmp_path / "v.mp4", interlaced=False)
    plain, again = stored(tmp_path / "a", video, deinterlace=False), stored(tmp_path / "b", video, deinterlace=True)
    assert torch.equal(plain.frames, again.frames)


def test_a_store_is_deinterlaced_or_not(tmp_path: Path):
    video = film(tmp_path / "v.mp4", interlaced=True)
    stored(tmp_path, video, deinterlace=True)
    with pytest.raises(InputError, match="was begun with deinterlace=True, not deinterlace=False"):
        stored(tmp_path, video, deinterlace=False)


def test_no_frame_is_lost_where_the_video_ends_too_early_or_changes_its_size(tmp_path: Path):
    video = film(tmp_path / "v.mp4", interlaced=True)
    too_short = deinterlaced(frames_between(video, None, None, reach=read_info(video).end + 1))
    assert len([next(too_short) for _ in range(NUM_FRAMES)]) == NUM_FRAMES
    with pytest.raises(GapError):
        next(too_short)
    small = av.VideoFrame(32, 32, "yuv420p")
    small.pts, small.time_base = 0, probe_base(video)
    sizes = [frame.height for _, frame in deinterlaced(iter([*frames_between(video, None, 0.1), (9.0, small)]))]
    assert sizes == [64, 64, 64, 64, 32]


def probe_base(video: Path):
    return next(frames_between(video, None, None))[1].time_base
