import numpy as np
import torch

from mv2mae.visualize.heads import Overview, choose

WEIGHTS = np.random.default_rng(0).random((3, 2, 1, 4, 2, 2))
NAMES = ["layer 1", "layer 2", "layer 3"]


def test_layers_and_heads_are_chosen_or_averaged():
    ((name, row),) = choose(WEIGHTS, NAMES, layer="mean", heads="mean")
    assert name == "mean of layers\nmean of heads"
    np.testing.assert_allclose(row, WEIGHTS.mean(axis=(0, 1)))
    every = choose(WEIGHTS, NAMES, layer="all", heads="all")
    assert [name for name, _ in every][:3] == ["layer 1\nhead 1", "layer 1\nhead 2", "layer 2\nhead 1"]
    np.testing.assert_array_equal(every[5][1], WEIGHTS[2, 1])
    ((name, row),) = choose(WEIGHTS[1:2], ["layer 2"], layer=2, heads=1)
    assert name == "layer 2\nhead 1"
    np.testing.assert_array_equal(row, WEIGHTS[1, 0])


def test_overview_has_a_cell_for_each_layer_and_head_and_one_for_their_mean():
    weights = WEIGHTS[:, :, 0].copy()
    weights[:, :, :3, 0, 0] = np.nan  # visible at the last moment alone
    weights[:, :, :, 1, 1] = np.nan  # never visible
    clip = torch.full((3, 8, 16, 16), 90, dtype=torch.uint8)
    overview = Overview(clip, weights, NAMES, (2, 8, 8), query=5, over="the source view")
    figure = overview.still()
    assert len(figure.axes) == 3 * 3 + 1
    assert [axis.get_title() for axis in figure.axes[:3]] == ["mean of heads", "head 1", "head 2"]
    cell = np.asarray(figure.axes[1].images[0].get_array()).astype(int)
    pale = np.ptp(cell, axis=-1) == 0
    assert pale[8:, 8:].all()
    assert not pale[:8].any()
    assert "moment 2, row 1, column 2" in " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert next(overview.moving()).shape[2] == 3


def test_a_still_overview_lies_over_the_frame_of_the_querys_moment():
    clip = torch.zeros(3, 8, 16, 16, dtype=torch.uint8)
    clip[:, 2] = 200  # the first frame of moment 1, where token 5 lies
    of_moments = [
        Overview(clip, WEIGHTS[:, :, 0], NAMES, (2, 8, 8), query=query, over="the source view").still()
        for query in (5, 1)
    ]
    bright, dark = (np.asarray(figure.axes[0].images[0].get_array()).mean() for figure in of_moments)
    assert bright > dark + 50
