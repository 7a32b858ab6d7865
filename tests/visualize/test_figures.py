import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mv2mae.config import ModelConfig
from mv2mae.model.attention_maps import cross_attention_maps
from mv2mae.model.motion import effective_number, motion_weights
from mv2mae.model.pretraining import MV2MAE
from mv2mae.visualize.charts import AccuracyRow, accuracy_figure, confusion_figure
from mv2mae.visualize.curves import curves_figure
from mv2mae.visualize.figures import attention_figure, motion_figure, reconstruction_figure
from mv2mae.visualize.reconstruct import reconstruct
from mv2mae.visualize.style import chosen_times, overlaid

LOSSES = ("self_target", "self_source", "cross_target", "cross_source")


@pytest.fixture
def clips(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    source, target = ((clip[0] * 255).round().to(torch.uint8) for clip in pair)
    return source, target


@pytest.fixture
def model(tiny: ModelConfig) -> MV2MAE:
    torch.manual_seed(0)
    return MV2MAE(tiny).eval()


def words(figure: Figure) -> str:
    """All text of a figure, on one line."""
    return " ".join(" ".join(text.get_text().split()) for text in figure.findobj(matplotlib.text.Text))


def fake_log(*, cross: bool = True, steps: int = 30) -> pd.DataFrame:
    step = np.arange(1, steps + 1) * 10
    values: dict[str, np.ndarray] = {"train/lr": step * 1e-5, "train/effective_tokens": step * 0 + 20.0}
    for stage in ("train", "held_out"):
        values |= {f"{stage}/baseline_{view}": np.full(steps, 2.0) for view in ("target", "source")}
        values |= {f"{stage}/{name}": np.full(steps, 1.5 if cross or "self" in name else 0.0) for name in LOSSES}
    values |= {"speed/clips_per_s": step * 0 + 90.0, "speed/data_wait_share": step * 0 + 0.1}
    if cross:
        values["held_out/source_gain"] = step * 1e-4
    return pd.DataFrame(values, index=step)


def titles(figure: Figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes]


def test_motion_figure_names_each_temperature_and_its_effective_tokens(clips, tiny: ModelConfig):
    figure = motion_figure(clips[1], tiny.tubelet_size, [0.5, 60.0, None], frame_seconds=0.1)
    assert len(figure.axes) == 4 * 2 + 1  # the clip and three temperatures, two tubelet times, a colour bar
    effective = float(effective_number(motion_weights(clips[1][None], tiny.tubelet_size, 0.5)))
    text = words(figure)
    assert f"temperature 0.5 effective tokens {effective:.0f} of 32" in text
    assert "uniform effective tokens 32 of 32" in text
    assert "frame 3, 0.20 s" in text


def test_reconstruction_figure_says_what_is_true_in_it(model: MV2MAE, clips, tiny: ModelConfig):
    made = reconstruct(model, *clips, seed=0, wrong_source=clips[0].flip(-1))
    figure = reconstruction_figure(made, tiny.tubelet_size)
    assert len(figure.axes) == 8 * 2  # target, masked; three predictions; masked source, source, wrong source
    text = words(figure)
    for part in ("target", "masked target", "self-view", "cross-view", "wrong source", "source", "frame 3"):
        assert part in text
    assert "true mean and contrast of each tubelet" in text
    assert f"error {made.predictions['cross-view'].error:.3f}" in text
    plain = reconstruction_figure(reconstruct(model, *clips, seed=0, statistics="visible"), tiny.tubelet_size)
    assert "nothing of a masked tubelet was used" in words(plain)
    assert "true mean" not in words(plain)


def test_attention_figure_outlines_query_and_peak(model: MV2MAE, clips, tiny: ModelConfig):
    source, target = clips
    maps = cross_attention_maps(model, source[None], target[None], seeds=torch.tensor([0]))
    figure = attention_figure(source, target, maps, tiny.tubelet_size, query=17, head=1)
    assert len(figure.axes) == 4 * 2 + 1
    outlined = [axis for axis in figure.axes[:-1] if axis.patches]
    rows = {figure.axes.index(axis) // 2 for axis in outlined}
    assert rows == {0, 1, 3}  # target, masked target, attention
    # token 17 of a grid of 2x4x4 is the second column's frame, first row, second place
    box = figure.axes[1].patches[0]
    x, y = box.get_x() + box.get_width() / 2 + 0.5, box.get_y() + box.get_height() / 2 + 0.5
    assert (x // 8, y // 8) == (1, 0)
    assert "head 2" in words(figure)


def test_attention_figure_shows_every_source(model: MV2MAE, clips, tiny: ModelConfig):
    source, target = clips
    sources = torch.stack([source, source.flip(-1)])
    maps = cross_attention_maps(model, sources[None], target[None], seeds=torch.tensor([0]))
    made = reconstruct(model, source, target, seed=0).predictions["cross-view"].clip
    figure = attention_figure(sources, target, maps, tiny.tubelet_size, reconstruction=made)
    assert len(figure.axes) == (3 + 2 * 2) * 2 + 1
    assert "true mean and contrast" in words(figure)


def test_long_clips_show_eight_times_the_query_among_them():
    assert chosen_times(8) == list(range(8))
    assert len(chosen_times(16)) == 8
    for query in range(16):
        times = chosen_times(16, keep=query)
        assert query in times
        assert times == sorted(set(times))


def test_overlay_leaves_masked_places_without_colour():
    frames = np.full((1, 4, 4, 3), 100, dtype=np.uint8)
    shown = overlaid(frames, np.array([[[1.0, np.nan], [0.0, 0.5]]]), (2, 2, 2))
    masked = shown[0, :2, 2:]
    assert (masked == masked[..., :1]).all()
    assert shown[0, 0, 0].sum() > shown[0, 3, 0].sum()


def test_curves_are_relative_to_the_baseline():
    figure = curves_figure({"multi-view": fake_log(), "single-view": fake_log(cross=False)})
    assert len(figure.axes) == 10
    panel = figure.axes[titles(figure).index("cross-view loss, target")]
    drawn = [line for line in panel.lines if len(line.get_xdata()) == 30]
    assert len(drawn) == 2  # training and held-out of the first run; the other has no cross-view decoder
    for line in drawn:
        np.testing.assert_allclose(line.get_ydata(), 0.75)
    assert {"multi-view", "single-view", "held out", "predicting the mean"} <= {
        text.get_text() for text in figure.legends[0].get_texts()
    }
    assert all(axis.get_ylabel() and axis.get_xlabel() == "step" for axis in figure.axes)


def test_curves_of_other_runs_have_their_own_panels():
    log = pd.DataFrame({"train/loss": [2.0, 1.0], "train/top1": [0.1, 0.5], "train/lr": [1.0, 2.0]}, index=[10, 20])
    figure = curves_figure({"fine-tuning": log})
    assert titles(figure) == ["training loss", "training top-1", "learning rate"]
    assert "predicting the mean" not in words(figure)


def test_an_interval_without_width_has_no_whisker():
    rows = [AccuracyRow("all right", 1, 1, 1, 8), AccuracyRow("some right", 0.5, 0.2, 0.8, 8)]
    axis = accuracy_figure(rows, chance=0.125).axes[0]
    (whiskers,) = axis.collections
    assert [line[:, 0].tolist() for line in whiskers.get_segments() if len(line)] == [[pytest.approx(0.2), 0.8]]
    assert [pd.isna(caps.get_xdata()).tolist() for caps in axis.lines[:2]] == [[True, False]] * 2
    assert axis.texts[0].get_position()[0] == pytest.approx(1.015)


def test_accuracy_figure_has_bars_intervals_and_chance():
    rows = [
        AccuracyRow("scratch", 0.2, 0.1, 0.3, 40, "single view"),
        AccuracyRow("scratch", 0.25, 0.1, 0.4, 20, "fused views"),
        AccuracyRow("pre-trained", 0.6, 0.5, 0.7, 40, "single view"),
    ]
    figure = accuracy_figure(rows, chance=0.125)
    (axis,) = figure.axes
    assert [round(bar.get_width(), 3) for bar in axis.patches] == [0.2, 0.25, 0.6]
    assert any(np.allclose(line.get_xdata(), 0.125) for line in axis.lines)
    text = words(figure)
    for part in ("0.600 (40 test items)", "chance, 0.125", "single view", "fused views"):
        assert part in text


def test_confusion_figure_is_coloured_by_the_share_of_the_true_class():
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ["wave", "clap"])
    axis = figure.axes[0]
    np.testing.assert_allclose(axis.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["wave", "clap"]


def test_no_setting_of_matplotlib_leaks():
    before = dict(matplotlib.rcParams)
    curves_figure({"run": fake_log()})
    assert dict(matplotlib.rcParams) == before
