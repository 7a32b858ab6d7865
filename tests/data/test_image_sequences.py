"""Folders and tars of numbered pictures are read as videos are."""

import io
import os
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_videos import level, time_of

from mv2mae.config import PairConfig
from mv2mae.data.check import CheckReport, check_manifest
from mv2mae.data.images import is_sequence, short_name
from mv2mae.data.indexing import index
from mv2mae.data.manifest import read_manifest
from mv2mae.data.media import GapError, VideoError
from mv2mae.data.store.prepare import prepare
from mv2mae.data.video import decode_video, frames_between, read_frames, read_info
from mv2mae.data.videos import Videos
from mv2mae.data.views import PairDataset
from mv2mae.errors import InputError
from mv2mae.evaluate.inputs import performances


def write_pictures(folder, numbers, *, rate=10, name="{:06d}.jpg", size=(48, 64)):
    """Flat pictures that tell their time, number / rate."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((*size, 3), min(level(number / rate), 250), np.uint8)
        pixels[: 8 + number % 8, :8] = 255 - pixels[0, 0, 0]  # something that moves, and does not change the mean much
        Image.fromarray(pixels).save(folder / name.format(number), quality=95)


def check(manifest) -> CheckReport:
    return check_manifest(manifest, num_workers=0, progress=False)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for view, numbers in (("cam1", range(20)), ("cam2", range(3, 20))):
        write_pictures(root / "wave" / view, numbers)
    return root


def packed(sequences, tmp_path):
    with tarfile.open(tmp_path / "wave.tar", "w") as tar:
        tar.add(sequences / "wave", arcname=".")
    return tmp_path


def test_frames_are_found_by_their_numbers(sequences):
    path = f"{sequences}/wave/cam2/%06d.jpg@10"
    info = read_info(path)
    assert (info.fps, info.num_frames, info.width, info.height) == (10, 17, 64, 48)
    assert (info.start, info.end) == (pytest.approx(0.3), pytest.approx(2.0))
    frames = read_frames(path, [1.0, 0.5, 1.0])
    assert frames.shape == (3, 48, 64, 3)
    assert time_of(frames) == pytest.approx([1.0, 0.5, 1.0], abs=0.06)
    whole = decode_video(path, short_side=24)
    assert whole.frames.shape == (17, 24, 32, 3)
    assert whole.times == pytest.approx(np.arange(3, 20) / 10)
    assert [round(time, 3) for time, _ in frames_between(path, 0.55, 0.85)] == [0.5, 0.6, 0.7, 0.8, 0.9]


def test_pixels_are_those_of_pillow(tmp_path):
    rows, columns = np.mgrid[:48, :64]
    picture = Image.fromarray(np.stack([rows * 4, columns * 3, 255 - rows * 2 - columns], 2).astype(np.uint8))
    for ending in ("jpg", "png", "webp", "bmp", "tiff", "ppm"):
        picture.save(tmp_path / f"7.{ending}")
        mine = read_frames(f"{tmp_path}/%d.{ending}@30", [7 / 30])[0].numpy().astype(int)
        theirs = np.asarray(Image.open(tmp_path / f"7.{ending}").convert("RGB"))
        assert np.abs(mine - theirs).mean() < 2, ending


@pytest.mark.parametrize(("tag", "turned"), [(3, -2), (6, -1), (8, 1)])
def test_pictures_are_turned_as_their_exif_says(tmp_path, tag, turned):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255
    exif = Image.Exif()
    exif[274] = tag
    Image.fromarray(pixels).save(tmp_path / "0.jpg", exif=exif)
    shown = read_frames(f"{tmp_path}/%d.jpg@30", [0])[0].numpy().astype(int)
    assert np.abs(shown - np.rot90(pixels, turned)).mean() < 2


def test_a_tar_is_read_as_a_folder(sequences, tmp_path):
    root = packed(sequences, tmp_path)
    here, there = f"{sequences}/wave/cam1/%06d.jpg@10", f"{root}/wave.tar/cam1/%06d.jpg@10"
    assert read_info(here) == read_info(there)
    torch.testing.assert_close(read_frames(here, [0.2, 1.4]), read_frames(there, [0.2, 1.4]))


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_index_check_prepare_and_pairs(sequences, tmp_path, capsys, kind):
    root = sequences if kind == "folder" else packed(sequences, tmp_path)
    pattern = "{group}/{view}/{frame:06d}.jpg" if kind == "folder" else "{group}.tar/{view}/{frame}.jpg"
    manifest = index("folder", root, tmp_path / "m.csv", pattern=pattern, rate=10)
    assert "2 videos in 1 group" in capsys.readouterr().out
    rows = read_manifest(manifest)
    assert rows["view"].tolist() == ["cam1", "cam2"]
    assert rows["fps"].tolist() == [10, 10]
    assert rows["frames"].tolist() == [20, 17]
    assert all(is_sequence(path) for path in rows["path"])
    report = check(manifest)
    assert {finding.kind for finding in report.findings} <= {"length_differs", "start_differs"}
    stored = read_manifest(prepare(manifest, tmp_path / "store", progress=False).manifest)
    for frame in (rows, stored):
        pairs = PairDataset(frame, PairConfig(frame_stride=1), num_frames=4, size=32, seed=0, videos=Videos())
        clips = pairs[0]
        assert clips["target"].shape == (3, 4, 32, 32)
        a, b = pairs.window([0, 1], 0.5)
        assert a == pytest.approx(b)
    one, other = (read_frames(frame["path"][0], [0.7]) for frame in (rows, stored))
    assert float((one.float() - other.float()).abs().mean()) < 4
    assert prepare(manifest, tmp_path / "store", progress=False).made == 0


def test_gaps_are_told_and_no_clip_lies_across_a_long_one(tmp_path, capsys):
    numbers = [n for n in range(60) if not 20 <= n < 35 and n != 5]
    write_pictures(tmp_path / "g" / "1", numbers, name="a_{:04d}.png")
    manifest = index("folder", tmp_path, tmp_path / "m.csv", pattern="{group}/{view}/a_{frame}.png", rate=10)
    assert "lack pictures between others" in capsys.readouterr().out
    assert "5, 20 to 34 missing" in (tmp_path / "m.report.json").read_text()
    path = read_manifest(manifest)["path"][0]
    assert path.endswith("g/1/a_%04d.png@10")
    assert read_info(path).holes == ((pytest.approx(1.9), pytest.approx(3.5)),)
    with pytest.raises(GapError, match="no frames between"):
        read_frames(path, [2.7])
    kinds = {finding.kind for finding in check(manifest).findings}
    assert {"hole", "missing_frames"} <= kinds


def test_a_broken_picture_costs_the_clips_that_need_it(tmp_path):
    write_pictures(tmp_path, range(20))
    whole = (tmp_path / "000007.jpg").read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"<svg/>", whole[:4] + bytes(len(whole) - 4)):
        (tmp_path / "000007.jpg").write_bytes(damage)
        path = f"{tmp_path}/%06d.jpg@10"
        assert time_of(read_frames(path, [0.6, 0.7, 0.8])) == pytest.approx([0.6, 0.6, 0.8], abs=0.06)
        video = decode_video(path)
        assert len(video.times) == 19
        assert video.is_damaged
        assert time_of(video.at([0.7])) == pytest.approx([0.6], abs=0.06)
    for number in (8, 9):
        (tmp_path / f"{number:06d}.jpg").write_bytes(b"")
    with pytest.raises(GapError, match=r"000008\.jpg"):
        read_frames(path, [0.8])
    with pytest.raises(GapError, match="missing or damaged"):
        decode_video(path).at([0.8])


def test_other_sizes_are_scaled_to_the_first_and_found(tmp_path):
    write_pictures(tmp_path / "g" / "1", range(10))
    write_pictures(tmp_path / "g" / "1", range(10, 20), size=(96, 128))
    manifest = index("folder", tmp_path, tmp_path / "m.csv", pattern="{group}/{view}/{frame}.jpg", rate=10)
    assert read_frames(read_manifest(manifest)["path"][0], [0.1, 1.5]).shape == (2, 48, 64, 3)
    assert [f.found for f in check(manifest).findings if f.kind == "size_changes"] == [
        "frames of 64x48, 128x96; all are scaled to the first size"
    ]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("none/%06d.jpg@10", "no such folder"),
        ("wave/cam1/%04d.png@10", "no such pictures"),
        ("wave/cam1/%06d.jpg@fast", "'fast' behind the @ is no rate"),
        ("wave/cam1/%06d.jpg@0", "is no rate"),
        ("wave/cam1/%06d.jpg@nan", "is no rate"),
    ],
)
def test_what_is_no_sequence_is_told_in_one_line(sequences, rest, message):
    with pytest.raises(VideoError, match=message):
        read_info(f"{sequences}/{rest}")


def test_numbers_that_are_moments_are_refused(tmp_path):
    write_pictures(tmp_path, [1, 33_000_001, 66_500_123], rate=1e9, name="{}.jpg")
    with pytest.raises(VideoError, match="no numbers of frames"):
        read_info(f"{tmp_path}/%d.jpg@30")


def test_every_fifth_number_is_a_frame(tmp_path):
    write_pictures(tmp_path, range(0, 50, 5), rate=50)
    assert read_info(f"{tmp_path}/%06d.jpg@10").duration == pytest.approx(1.0)


@pytest.mark.parametrize("damage", ["cut", "header", "text", "gz"])
def test_a_damaged_tar_is_told(sequences, tmp_path, damage):
    file = packed(sequences, tmp_path) / "wave.tar"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "header":
        place = content.index(b"./cam1/000010.jpg")
        content[place : place + 300] = b"\xff" * 300
    elif damage == "text":
        content[:] = b"no tar at all" * 100
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(sequences / "wave", arcname=".")
        content[:] = buffer.getvalue()
    file.write_bytes(content)
    with pytest.raises(VideoError, match=r"wave\.tar"):
        read_info(f"{tmp_path}/wave.tar/cam1/%06d.jpg@10")


def test_links_in_a_tar_and_pipes_in_a_folder_are_not_followed(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    write_pictures(tmp_path / "p", [0])
    for number in (1, 2):
        os.mkfifo(tmp_path / "p" / f"{number:06d}.jpg")
    with pytest.raises(GapError, match=r"000002\.jpg"):
        read_frames(f"{tmp_path}/p/%06d.jpg@10", [0.2])
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        link = tarfile.TarInfo("000000.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(VideoError, match="no such pictures"):
        read_info(f"{tmp_path}/l.tar/%06d.jpg@10")


@pytest.mark.parametrize(
    ("pattern", "rate", "message"),
    [
        ("{group}/{view}/{frame:06d}.jpg", 0, "give the pictures a second, as --rate 30"),
        ("{group}/{view}/{frame:06d}.jpg", float("inf"), "give the pictures a second"),
        ("{group}/{frame}/{view}.jpg", 30, "must stand once, in the name of a picture"),
        ("{group}/{view}/{frame}.png", 30, "fits the pattern"),
        ("{group}/{view}.mp4", 30, "is for image sequences"),
    ],
)
def test_index_says_what_is_missing(sequences, tmp_path, pattern, rate, message):
    with pytest.raises(InputError, match=message):
        index("folder", sequences, tmp_path / "m.csv", pattern=pattern, rate=rate)


def test_predict_names_the_camera_and_points_to_index(sequences):
    path = f"{sequences}/wave/cam1/%06d.jpg@10"
    assert performances([path])["group"].tolist() == ["cam1"]
    assert short_name("takes/left_%04d.png@30") == "left"
    with pytest.raises(InputError, match="mv2mae index folder"):
        performances([sequences])


def test_new_pictures_are_noticed(sequences, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(sequences / "wave" / "cam1", folder)
    assert read_info(f"{folder}/%06d.jpg@10").num_frames == 20
    write_pictures(folder, [20])
    assert read_info(f"{folder}/%06d.jpg@10").num_frames == 21
