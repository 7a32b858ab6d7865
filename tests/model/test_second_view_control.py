"""The positive control of the cross-view decoder: a source that shows the target itself is made use of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_runs import TINY
from torch import Tensor

from mv2mae.model.pretraining import MV2MAE

CONFIG = replace(
    TINY,
    num_frames=2,
    positions="sincos-3d",
    mask_ratio=0.9,
    source_mask_ratio=0.0,
    directions="one",
    decoder_positions="rope",
    motion_temperature=None,
)


def fresh_clips(batch: int, seed: int) -> Tensor:
    """Still pictures of random colours in squares of four pixels, no two alike: nothing can be known by heart."""
    picture = torch.rand((batch, 3, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return picture.repeat_interleave(4, -1).repeat_interleave(4, -2).expand(-1, -1, 2, -1, -1)


def test_a_source_that_shows_the_target_is_used_and_a_wrong_one_does_harm() -> None:
    torch.manual_seed(0)
    model = MV2MAE(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(120):
        clip = fresh_clips(24, step)
        out = model(clip, clip, seeds=torch.arange(24) + 1000 * step)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    clip, seeds = fresh_clips(64, 10_000), torch.arange(64)
    with torch.no_grad():
        right, wrong = model(clip, clip, seeds=seeds), model(clip.roll(1, 0), clip, seeds=seeds)
    assert right.self_target / right.baseline_target == pytest.approx(1.0, abs=0.1)
    assert right.cross_target < 0.5 * right.self_target
    assert wrong.cross_target > 1.3 * right.cross_target
