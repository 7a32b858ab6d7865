"""Crops and scaling against slow, obvious references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mv2mae.config import PairConfig
from mv2mae.data.augment import (
    MULTI_SCALES,
    Box,
    centre_box,
    crop_resize,
    cut_eval_crops,
    draw_box,
    eval_short_side,
    flip,
    multi_scale_box,
    random_resized_box,
    resize_short_side,
)
from mv2mae.errors import InputError


def frames_of(height: int, width: int, num_frames: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, height, width, 3), dtype=torch.uint8, generator=torch.manual_seed(0))


def slow_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Triangle filter as wide as an output pixel (antialiased bilinear), one axis after the other, in float64."""

    def along(values: np.ndarray, size: int) -> np.ndarray:
        length, out = len(values), []
        scale = length / size
        support = max(scale, 1.0)
        for i in range(size):
            centre = (i + 0.5) * scale
            weights = np.array([max(0.0, 1 - abs((j + 0.5 - centre) / support)) for j in range(length)])
            out.append(np.tensordot(weights / weights.sum(), values, 1))
        return np.stack(out)

    tall = along(image.astype(np.float64), height)
    return along(tall.swapaxes(0, 1), width).swapaxes(0, 1)


@pytest.mark.parametrize(("box", "size"), [(Box(3, 5, 30, 24), 16), (Box(0, 0, 20, 20), 32), (Box(1, 2, 16, 16), 16)])
def test_crop_and_scale_equal_the_slow_reference(box: Box, size: int) -> None:
    frames = frames_of(40, 50)
    clip = crop_resize(frames, box, size)
    assert clip.dtype == torch.uint8
    assert clip.shape == (3, 2, size, size)
    assert clip.is_contiguous()
    for t, frame in enumerate(frames.numpy()):
        cut = frame[box.top : box.top + box.height, box.left : box.left + box.width]
        expected = slow_resize(cut, size, size)
        assert np.abs(clip[:, t].permute(1, 2, 0).numpy() - expected).max() <= 1.1  # grey levels


def test_multi_scale_boxes_are_those_of_the_original() -> None:
    rng, seen, places = np.random.default_rng(0), set(), set()
    for _ in range(4000):
        box = multi_scale_box(100, 140, rng)
        assert 0 <= box.top <= 100 - box.height
        assert 0 <= box.left <= 140 - box.width
        seen.add((box.height, box.width))
        if (box.height, box.width) == (66, 66):
            places.add((box.top, box.left))
    sides = [int(100 * s) for s in MULTI_SCALES]
    assert seen == {(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1}
    grid = {(r, c) for r in (0, 17, 34) for c in (0, 37, 74)}
    assert places == grid | {(r, c) for r in (8, 25) for c in (18, 55)}


def test_random_resized_boxes_keep_their_bounds() -> None:
    rng = np.random.default_rng(0)
    boxes = [random_resized_box(60, 100, rng, min_side=0.5) for _ in range(2000)]
    for box in boxes:
        assert 0 <= box.top <= 60 - box.height
        assert 0 <= box.left <= 100 - box.width
        assert box.height * box.width >= 0.24 * 60 * 60
        assert 0.7 < box.width / box.height < 1.45
    areas = np.array([box.height * box.width for box in boxes]) / 3600
    assert areas.min() < 0.3
    assert areas.max() > 0.9


def test_centre_box() -> None:
    assert centre_box(10, 21) == Box(0, 5, 10, 10)


@pytest.mark.parametrize("crop", ["multi-scale", "random-resized", "centre"])
def test_draws_follow_the_generator_and_the_smallest_crop(crop: str) -> None:
    boxes = [draw_box(crop, 90, 70, np.random.default_rng(i), min_crop=0.8) for i in range(50)]  # type: ignore[arg-type]
    again = [draw_box(crop, 90, 70, np.random.default_rng(i), min_crop=0.8) for i in range(50)]  # type: ignore[arg-type]
    assert boxes == again
    assert all(box.height * box.width >= (0.79 * 70) ** 2 for box in boxes)
    assert (len(set(boxes)) > 5) == (crop != "centre")


def test_unknown_crops_are_refused() -> None:
    with pytest.raises(InputError, match="choose multi-scale"):
        draw_box("diagonal", 90, 70, np.random.default_rng(0), min_crop=PairConfig().min_crop)  # type: ignore[arg-type]


def test_eval_crops_stand_in_the_documented_order() -> None:
    assert (eval_short_side(128), eval_short_side(224), eval_short_side(64)) == (146, 256, 73)
    frames = frames_of(20, 31)
    crops = cut_eval_crops(frames, 16, 10)
    assert crops.shape == (10, 3, 2, 16, 16)
    places = [(0, 0), (0, 15), (4, 0), (4, 15), (2, 7)]
    for i, (y, x) in enumerate(places):
        expected = frames[:, y : y + 16, x : x + 16].permute(3, 0, 1, 2)
        assert torch.equal(crops[i], expected)
        assert torch.equal(crops[i + 5], flip(expected))
    assert torch.equal(cut_eval_crops(frames, 16, 5), crops[:5])
    assert torch.equal(cut_eval_crops(frames, 16, 2), crops[[4, 9]])
    assert torch.equal(cut_eval_crops(frames, 16, 1), crops[4:5])


def test_short_side_is_scaled_up_and_down() -> None:
    frames = frames_of(20, 30)
    assert resize_short_side(frames, 20) is frames
    assert resize_short_side(frames, 10).shape == (2, 10, 15, 3)
    larger = resize_short_side(frames, 40)
    assert larger.shape == (2, 40, 60, 3)
    assert np.abs(larger[0].numpy() - slow_resize(frames[0].numpy(), 40, 60)).max() <= 1.1


def test_flip_mirrors_columns() -> None:
    clip = frames_of(4, 4).permute(3, 0, 1, 2)
    assert torch.equal(flip(clip)[..., 0], clip[..., -1])
    assert torch.equal(flip(flip(clip)), clip)
