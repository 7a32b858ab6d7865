from pathlib import Path

import numpy as np
import pytest
import tiny_videos
import torch
from footage import write_groups, write_video

from mv2mae.config import ModelConfig, PairConfig
from mv2mae.data.cameras import Cameras, Pinhole
from mv2mae.data.manifest import make_frame
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset
from mv2mae.errors import InputError
from mv2mae.viewer.groups import Catalogue, Reader
from mv2mae.visualize.inputs import (
    footage_of_files,
    footage_of_group,
    manifest_rows,
    other_performance,
    read_views,
    some_groups,
    views_of,
)


def test_views_are_read_at_the_same_moments(tmp_path: Path, tiny: ModelConfig):
    videos = [write_video(tmp_path / f"cam{i}.mp4", width=64 + 16 * i, speed=1 + i) for i in range(2)]
    clips, seconds = read_views(videos, tiny, frame_stride=3)
    assert clips.shape == (2, 3, 4, 32, 32)
    assert clips.dtype == torch.uint8
    assert seconds == pytest.approx(3 / 12)
    same, _ = read_views([videos[0], videos[0]], tiny, frame_stride=3)
    assert torch.equal(same[0], same[1])
    _, slower = read_views(videos, tiny, frame_stride=3, fps=6)
    assert slower == pytest.approx(3 / 6)


def test_the_frames_are_those_that_training_reads(tmp_path: Path, tiny: ModelConfig):
    # the source begins between two frames of the target, on whose frames a clip begins
    target = tiny_videos.write_video(tmp_path / "a.mp4", tiny_videos.even_times(20, 10))
    source = tiny_videos.write_video(tmp_path / "b.mp4", tiny_videos.even_times(50, 25, start=0.12))
    rows = make_frame([{"path": str(path), "group": "g", "view": k} for k, path in enumerate((target, source))])
    data = PairConfig(frame_stride=2)
    videos = PairDataset(rows, data, num_frames=tiny.num_frames, size=32, seed=0, videos=Videos())
    for offset in (0.0, 0.6):
        wanted = videos.window([0, 1], offset)
        clips, _ = read_views([target, source], tiny, frame_stride=2, offset=offset)
        shown = [tiny_videos.time_of(clip) for clip in clips]
        np.testing.assert_allclose(shown[0], wanted[0], atol=0.015)
        np.testing.assert_allclose(shown[1], wanted[1], atol=0.035)  # the nearest of its frames


def test_a_wrong_source_is_another_moment_or_the_same_backwards(tmp_path: Path, tiny: ModelConfig):
    long, short = write_video(tmp_path / "long.mp4", frames=24), write_video(tmp_path / "short.mp4", frames=7)
    views = views_of(footage_of_files([long]), tiny, frame_stride=2, offset=0.0)
    assert views.wrong_kind == "another moment,\n1.4 s later"  # 24 frames less the 7 of a clip, at 12 a second
    last = views_of(footage_of_files([long]), tiny, frame_stride=2, offset=1.0)
    assert last.wrong_kind == "another moment,\n1.4 s earlier"
    assert torch.equal(views.wrong, last.clips)
    only = views_of(footage_of_files([short]), tiny, frame_stride=2)
    assert only.wrong_kind == "the source backwards"
    assert torch.equal(only.wrong, only.clips.flip(2))


def test_groups_of_a_manifest_and_another_performance(tmp_path: Path, tiny: ModelConfig):
    manifest, _ = write_groups(tmp_path)
    rows = manifest_rows(str(manifest))
    footage = footage_of_group(rows, "")
    assert [Path(path).name for path in footage.paths] == ["a1.mp4", "a2.mp4"]
    assert footage.names == ["view 1", "view 2"]
    # b is of the same action, d lacks a view
    assert all(other_performance(rows, footage, seed=seed).paths[0].endswith("c1.mp4") for seed in range(5))
    of_b = other_performance(rows[rows["label"] == 0], footage, seed=0)
    assert of_b.paths[0].endswith("b1.mp4")
    assert other_performance(rows[rows["group"].isin(["a", "d"])], footage, seed=0) is None
    views = views_of(footage, tiny, frame_stride=2, wrong=of_b)
    assert views.wrong_kind == "another performance"
    assert torch.equal(views.wrong, read_views(of_b.paths, tiny, frame_stride=2)[0])


def test_a_query_picks_and_some_groups_stay_whole(tmp_path: Path):
    manifest, _ = write_groups(tmp_path)
    assert set(manifest_rows(str(manifest), "view == 2")["group"]) == {"a", "b", "c"}
    rows = manifest_rows(str(manifest))
    few = some_groups(rows, 2, seed=1)
    assert few["group"].nunique() == 2
    assert len(few) == rows["group"].isin(few["group"]).sum()
    assert some_groups(rows, 2, seed=1).equals(few)
    assert len(some_groups(rows, 9, seed=1)) == len(rows)


def test_bad_input_is_one_clear_line(tmp_path: Path):
    manifest, _ = write_groups(tmp_path)
    with pytest.raises(InputError, match=r"group=z: the manifest has no such group; it has 4: a, b, c, \.\.\."):
        footage_of_group(manifest_rows(str(manifest)), "z")
    with pytest.raises(InputError, match="0 videos: give one or more"):
        footage_of_files([])


def test_cameras_follow_the_centre_square(tmp_path: Path, tiny: ModelConfig):
    wide = write_video(tmp_path / "cam2.mp4", width=96, height=64)
    other = write_video(tmp_path / "top.mp4", width=64, height=64)
    pose = {"focal": (80.0, 80.0), "rotation": np.eye(3), "translation": np.zeros(3)}
    cameras = Cameras(name="rig", rig={("", "2"): Pinhole(centre=(48.0, 32.0), size=(96.0, 64.0), **pose)})
    footage = footage_of_files([wide, other], cameras)
    known = views_of(footage, tiny, frame_stride=1).cameras
    assert known is not None
    # the square is 64 of 96 pixels wide: the focal length is a larger share of it, the middle stays the middle
    torch.testing.assert_close(known[0, :4], torch.tensor([1.25, 1.25, 0.5, 0.5]))
    assert known[1].isnan().all()
    assert views_of(footage_of_files([wide]), tiny, frame_stride=1).cameras is None


def test_frame_locked_cameras_show_the_same_frames(tmp_path: Path):
    """One header says 28.5 frames a second instead of 30; the manifest's `rate` says so, for pictures and viewer."""
    paths = [
        tiny_videos.write_video(tmp_path / f"{i}.mp4", np.arange(300) / fps, shown=np.arange(300) / 150)
        for i, fps in enumerate((30, 28.5))
    ]
    rows = make_frame([{"path": str(path), "group": "g", "view": i, "rate": 30} for i, path in enumerate(paths)])
    config = ModelConfig(image_size=32, num_frames=4, encoder_depth=1, decoder_depth=1)
    views = views_of(footage_of_group(rows, "g"), config, frame_stride=1, offset=1.0)
    read = Reader(4, 32).clip(Catalogue(rows).groups[0], moment=1.0, stride=1)
    for clips in (views.clips, read.frames):
        ours, theirs = clips[0].float().mean(dim=(0, 2, 3)), clips[1].float().mean(dim=(0, 2, 3))
        assert float((ours - theirs).abs().max()) < 2  # ten frames apart are 6.7 grey levels
