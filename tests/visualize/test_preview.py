"""The labelled sheet of a synthetic data set."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from mv2mae.errors import InputError
from mv2mae.synthetic import SyntheticSet, generate_frames
from mv2mae.synthetic.preview import one_of_each
from mv2mae.visualize.preview import preview

SMALL = SyntheticSet(
    actions=("wave", "squat"), subjects=(3, 17), setups=(1, 4), num_frames=6, fps=5, size=48, num_groups=5, seed=3
)


def test_preview_shows_each_action_once_and_writes_no_data_set(tmp_path: Path) -> None:
    config = replace(SMALL, num_groups=None)
    groups = one_of_each(config)
    assert [group.action for group in groups] == list(config.actions)
    assert {group.subject for group in groups} | {group.setup for group in groups} > {3, 17}
    preview(tmp_path / "look.png", config)
    assert [p.name for p in tmp_path.iterdir()] == ["look.png"]
    with av.open(str(tmp_path / "look.png")) as picture:
        sheet = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    frames = generate_frames(config, groups[1], config.views)
    tile = frames[config.views[-1]][round(0.7 * (config.num_frames - 1))]
    np.testing.assert_array_equal(sheet[-48:, -48:], tile)
    margin = sheet[-96:, : sheet.shape[1] - 9 * 48]
    assert (margin.min(axis=(1, 2)) < 128).sum() > 10  # something is written there
    preview(tmp_path / "look.jpg", config)
    with av.open(str(tmp_path / "look.jpg")) as picture:
        near = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    assert near.shape == sheet.shape
    assert np.abs(near.astype(int) - sheet).mean() < 8
    assert (tmp_path / "look.jpg").stat().st_size < (tmp_path / "look.png").stat().st_size / 2
    with pytest.raises(InputError, match=r"look.gif; give a file that ends in .jpg, .webp or .png"):
        preview(tmp_path / "look.gif", config)
