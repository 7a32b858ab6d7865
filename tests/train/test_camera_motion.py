"""A hand-held camera added to clips: smooth, without borders, the same whatever a clip shares a batch with."""

import numpy as np
import pytest
import torch

from mv2mae.config import AugmentConfig
from mv2mae.errors import InputError
from mv2mae.train.camera_motion import camera_paths, hold_by_hand
from mv2mae.train.image_ops import FILL

SEEDS = np.random.default_rng(0).integers(2**63, size=40)


def gradient(num, frames=8, height=40, width=40):
    """Still clips whose red is the column and whose green is the row, in steps of 5."""
    y, x = torch.meshgrid(5 * torch.arange(height), 5 * torch.arange(width), indexing="ij")
    frame = torch.stack([x, y, torch.full_like(x, 255)]).to(torch.uint8)
    return frame[None, :, None].expand(num, -1, frames, -1, -1).contiguous()


def test_paths_are_smooth_and_within_bounds_and_differ():
    paths = camera_paths(SEEDS, 16)
    assert paths.shape == (40, 16, 3)
    assert paths.abs().max() <= 1
    assert (paths[:, 1:] - paths[:, :-1]).abs().max() < 2 * np.pi * 1.2 / 15 + 1e-6
    assert (paths.amax(dim=1) - paths.amin(dim=1)).mean() > 0.5
    assert len({tuple(path.flatten().tolist()) for path in paths}) == 40
    torch.testing.assert_close(camera_paths(SEEDS[3:4], 16), paths[3:4])


@pytest.mark.parametrize(("motion", "height", "width"), [(0.05, 40, 40), (0.2, 40, 40), (0.2, 32, 44)])
def test_no_border_comes_into_the_picture(motion, height, width):
    moved = hold_by_hand(gradient(40, height=height, width=width), SEEDS, motion)
    assert (moved[:, 2] == 255).all()  # a border would be grey
    assert FILL != 255


def test_the_picture_moves_as_far_as_asked():
    clips = gradient(40)
    moved = hold_by_hand(clips, SEEDS, 0.1)
    middle = moved[:, :2, :, 20, 20].float() / 5  # column and row that the middle shows
    swing = middle.amax(dim=2) - middle.amin(dim=2)
    assert 1.0 < swing.mean() < 2 * 0.1 * 40
    assert swing.max() <= 2 * 0.1 * 40
    torch.testing.assert_close(hold_by_hand(clips, SEEDS, 0.0), clips, atol=1, rtol=0)


def test_a_clip_moves_alike_whatever_it_shares_a_batch_with():
    clips = gradient(40)
    torch.testing.assert_close(hold_by_hand(clips, SEEDS, 0.1)[5:6], hold_by_hand(clips[:1], SEEDS[5:6], 0.1))


def test_too_much_of_it_is_refused():
    with pytest.raises(InputError, match=r"augment.background_motion=0.5 must lie in \[0, 0.2\]"):
        AugmentConfig(background_motion=0.5)
