"""torchcodec, where it is installed, gives the frames that PyAV gives, or leaves them to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_videos import even_times, write_video

from mv2mae.data.manifest import read_manifest
from mv2mae.data.torchcodec_reader import torchcodec_frames, video_decoder
from mv2mae.data.video import read_frames, read_info
from mv2mae.data.videos import Videos

needs_torchcodec = pytest.mark.skipif(
    video_decoder() is None, reason="torchcodec is not installed, or finds no FFmpeg or no torch of its kind"
)


@needs_torchcodec
def test_windows_are_equal_bit_for_bit(takes: pd.DataFrame) -> None:
    read = 0
    for path in [*takes["path"], *read_manifest("sample")["path"][:4]]:
        info, rng = read_info(path), np.random.default_rng(0)
        grid = info.start + np.arange(0, info.num_frames, 4) / info.fps
        for times in (grid[:-1], rng.uniform(info.start, info.end - 1 / info.fps, 7)):
            frames = torchcodec_frames(path, times)
            if frames is not None:
                read += 1
                assert torch.equal(frames, read_frames(path, times))
    assert read >= 12  # all but AVI and gaps in the uneven one


@needs_torchcodec
def test_rotated_videos_and_times_outside(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "turned.mp4", even_times(30, 25), rotation=90))
    frames = torchcodec_frames(path, [0.4, 0.11, 0.4])
    assert frames is not None
    assert torch.equal(frames, read_frames(path, [0.4, 0.11, 0.4]))
    assert torchcodec_frames(path, [0.1]) is None  # midway: rounding decides
    assert torchcodec_frames(path, [9.0]) is None
    assert torchcodec_frames(str(tmp_path / "none.mp4"), [0.0]) is None


def test_without_torchcodec_pyav_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_video(tmp_path / "v.mp4", even_times(30, 25)))
    usual = Videos().read(path, [0.2, 0.8], short_side=48)
    monkeypatch.setenv("MV2MAE_DECODER", "pyav")
    video_decoder.cache_clear()
    try:
        assert torchcodec_frames(path, [0.2]) is None
        assert torch.equal(Videos().read(path, [0.2, 0.8], short_side=48), usual)
    finally:
        monkeypatch.undo()
        video_decoder.cache_clear()
