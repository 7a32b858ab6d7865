import matplotlib.text
import numpy as np
import torch

from mv2mae.visualize.strips import Mark, Strip, Strips, tinted, whole
from mv2mae.visualize.style import Bar

SIZE = (2, 8, 8)


def make_strips(rows: int = 3, frames: int = 8) -> Strips:
    clip = torch.arange(frames, dtype=torch.uint8)[None, :, None, None].expand(3, -1, 16, 24) * 20
    strips = [Strip(f"row {i}", whole(clip), "one\ntwo" if i else "", [Mark((1, 0, 2))]) for i in range(rows)]
    return Strips(strips, SIZE, 0.5, "what is to be said", Bar("weight", {0: "0", 1: "7"}), columns=2)


def test_still_and_moving_show_the_same_frames():
    strips = make_strips()
    figure = strips.still()
    assert len(figure.axes) == 3 * 4 + 1
    first = [np.asarray(axis.images[0].get_array()) for axis in figure.axes[:4]]
    assert [int(frame[0, 0, 0]) for frame in first] == [0, 40, 80, 120]
    frames = list(strips.moving())
    assert len(frames) == 8
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert all(side % 2 == 0 for side in frames[0].shape[:2])
    assert not np.array_equal(frames[0], frames[1])


def test_marks_appear_at_their_moment_alone():
    figure = make_strips(rows=1).still()
    assert [len(axis.patches) for axis in figure.axes[:4]] == [0, 2, 0, 0]
    box = figure.axes[1].patches[0]
    centre = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
    np.testing.assert_allclose(centre, (19.5, 3.5))
    cyan = [int(((frame == (0, 229, 255)).all(axis=-1)).sum()) for frame in make_strips(rows=1).moving()]
    assert [count > 0 for count in cyan] == [False, False, True, True, False, False, False, False]


def test_both_say_the_same():
    strips = make_strips()
    still = {text.get_text() for text in strips.still().findobj(matplotlib.text.Text)}
    stage = {text.get_text() for text in strips._stage()[0].findobj(matplotlib.text.Text)}
    words = {"row 0", "row 1", "row 2", "one\ntwo", "what is to be said", "weight", "7"}
    assert words <= still
    assert words <= stage


def test_weights_are_spread_over_their_tubelets():
    clip = torch.full((3, 4, 16, 16), 100, dtype=torch.uint8)
    weights = np.zeros((2, 2, 2))
    weights[1, 0, 1] = 1
    shown = tinted(clip, weights, SIZE)
    bright = shown.sum(axis=-1) > 400
    assert bright[2:, :8, 8:].all()
    assert bright.sum() == 2 * 8 * 8
