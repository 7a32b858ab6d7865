"""Videos given as arrays, tensors and data sets: kept exactly, or refused with what was expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mv2mae.data.given import keep_videos
from mv2mae.data.manifest import find_class_names, read_manifest
from mv2mae.data.video import decode_video
from mv2mae.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 2, 6, 18, 23, 3), np.uint8)


class Own(torch.utils.data.Dataset):
    """Items as others write them: (clip, label), colours first, floats."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.tensor(PIXELS[index]).permute(0, 4, 1, 2, 3) / 255, torch.tensor(index)


@pytest.mark.parametrize("form", ["array", "channels first", "floats", "dataset", "dictionaries", "lists"])
def test_pixels_come_back_as_they_were(form, tmp_path):
    data = {
        "array": PIXELS,
        "channels first": torch.tensor(PIXELS).permute(0, 1, 5, 2, 3, 4),
        "floats": PIXELS.astype(np.float64) / 255,
        "dataset": Own(),
        "dictionaries": [{"views": views, "group": f"take{i}", "subject": 7} for i, views in enumerate(PIXELS)],
        "lists": [list(views) for views in PIXELS],
    }[form]
    frame = read_manifest(keep_videos(data, tmp_path, fps=25.0))
    assert frame["view"].tolist() == [1, 2, 1, 2]
    assert frame["group"].nunique() == 2
    for row in range(4):
        video = decode_video(frame["path"][row])
        np.testing.assert_array_equal(video.frames.numpy(), PIXELS[row // 2, row % 2])
        np.testing.assert_allclose(video.times, np.arange(6) / 25, atol=1e-6)
    assert frame["label"].isna().all() or frame["label"].tolist() == [0, 0, 1, 1]
    assert (frame["label"].isna().all()) == (form != "dataset")


def test_names_become_classes_and_nothing_is_written_twice(tmp_path):
    manifest = keep_videos(PIXELS, tmp_path, labels=["walk", "clap"])
    assert read_manifest(manifest)["label"].tolist() == [1, 1, 0, 0]
    assert Path(find_class_names(manifest)).read_text().split('"')[1::2] == ["clap", "walk"]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.mp4")}
    keep_videos(PIXELS, tmp_path, labels=["walk", "clap"])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.mp4")} == before
    assert len(before) == 4


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (PIXELS[:, 0], None, r"item 0 has the shape \[6, 18, 23, 3\]; expected \[views, frames, height, width, 3\]"),
        (PIXELS.astype(np.float32), None, "item 0 holds float32 from 0 to 255; expected uint8, or numbers from 0 to 1"),
        (np.full((1, 1, 4, 8, 8, 3), np.nan), None, "holds float64 from nan to nan"),
        (PIXELS, [1], "1 labels for 2 performances"),
        (PIXELS[:0], None, "no performance was given"),
        ([{"clip": 1}], None, "item 0 has the keys clip; expected `views`"),
        ([(PIXELS[0], 1), PIXELS[1]], None, "some performances have a label and some have none"),
    ],
)
def test_what_cannot_be_videos_is_said(data, labels, message, tmp_path):
    with pytest.raises(InputError, match=message):
        keep_videos(data, tmp_path, labels=labels)
