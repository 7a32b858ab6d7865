"""What a second view is worth: on drawn pairs with truth, on videos, and in figures with intervals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from mv2mae.cli import main
from mv2mae.config import PairConfig, SecondViewConfig
from mv2mae.errors import InputError
from mv2mae.model.pretraining import MV2MAE
from mv2mae.studies.second_view.figure import second_view_figure
from mv2mae.studies.second_view.measure import LOSSES, UNKNOWN, measure, nearest, second_view, summarise
from mv2mae.studies.second_view.pairs import co_visible, drawn_pairs, video_pairs
from mv2mae.weights import PRETRAINING, save_weights

SMALL = SecondViewConfig(performances=2, angles=(10.0, 90.0))


@pytest.fixture
def weights(tiny, tmp_path):
    """First weights whose cross-attention says something."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny, positions="sincos-3d")
    model = MV2MAE(config)
    with torch.no_grad():
        for block in model.cross_decoder.blocks:
            block.cross_attention.proj.weight.mul_(20)
    file = tmp_path / "model.safetensors"
    save_weights(file, model, PRETRAINING, config, frame_stride=4)
    return file


def test_drawn_pairs_are_one_target_from_all_angles(weights):
    first, second = drawn_pairs(weights, SMALL)
    assert first.batch["sources"].shape[:2] == (2, 1)
    assert torch.equal(first.batch["target"][0], first.batch["target"][1])
    assert first.batch["seed"].unique().numel() == 1
    assert first.angles == pytest.approx([10, 90], abs=6)
    assert torch.equal(second.wrong["other_room"], first.batch["sources"])  # the same angles of another room
    cameras = first.batch["cameras"].numpy()
    for k, angle in enumerate(first.angles):  # the cameras that the model is told of are those of the pictures
        axes = cameras[k, 0, 10:13] @ cameras[k, 1, 10:13]
        assert np.degrees(np.arccos(axes)) == pytest.approx(angle, abs=0.01)


def test_what_both_cameras_see_shrinks_with_the_angle_and_is_all_of_ones_own_view(weights):
    shares = []
    for asked in drawn_pairs(weights, dataclasses.replace(SMALL, performances=4)):
        shares.append(asked.seen.float().mean(dim=1).tolist())
    near, far = np.mean(shares, axis=0)
    assert near > far + 0.2
    assert near > 0.6


def test_a_camera_sees_all_of_its_own_view():
    from mv2mae.studies.geometry.two_views import draw_pairs
    from mv2mae.synthetic.data_set import SyntheticSet

    views, _ = draw_pairs(SyntheticSet(num_frames=4, size=32, difficulty="easy"), 0)[0]
    assert co_visible(views[0], views[0], (2, 8, 8)).all()


def test_rows_add_up_and_the_kinds_of_tokens_too(weights):
    rows = measure(weights, PairConfig(), SMALL)
    assert len(rows) == 2 * 2 * 3
    assert rows["group"].nunique() == 2
    wide = rows.pivot(index=["group", "angle"], columns="tokens", values=["weight", "self", "cross", "other_room"])
    for name in ("weight", "self", "cross", "other_room"):
        np.testing.assert_allclose(wide[name]["seen"] + wide[name]["hidden"], wide[name]["all"], rtol=1e-9)
    assert rows["same_room"].isna().all()
    # the self-view decoder does not know where the source stands: the same target, the same masks, the same loss
    whole = rows[rows["tokens"] == "all"]
    assert whole["at"].tolist() == [10.0, 90.0] * 2
    assert whole.groupby("group")["self"].nunique().eq(1).all()
    assert (whole["cross"] - whole["other_room"]).abs().max() > 1e-4


def test_figures_are_ratios_of_sums_with_intervals_over_performances():
    rng = np.random.default_rng(0)
    groups = 40
    rows = pd.DataFrame(
        {"group": [f"g{k}" for k in range(groups)], "angle": 11.0, "at": 10.0, "tokens": "all", "weight": 1.0}
    )
    rows["self"], rows["baseline"] = rng.uniform(0.5, 1.5, groups), 2.0
    rows["cross"] = rows["self"] * rng.normal(0.9, 0.02, groups)
    rows["empty"], rows["other_room"], rows["same_room"] = rows["cross"] * 1.2, np.nan, np.nan
    rows["mask_tokens"] = rows["cross"] * 1.1
    rows.loc[:9, "same_room"] = rows["cross"][:10] * 1.05
    assert set(LOSSES) <= set(rows)
    (found,) = summarise(rows, SMALL.angles)
    assert (found.angle, found.performances, found.share) == ("10", 40, 1.0)
    gain = 1 - rows["cross"].sum() / rows["self"].sum()
    assert found.gain.value == pytest.approx(gain)
    low, high = found.gain.interval
    assert low < gain < high
    by_item = (1 - rows["cross"] / rows["self"]).std() / np.sqrt(groups)
    assert high - low == pytest.approx(2 * 1.96 * by_item, rel=0.4)
    assert found.empty.value == pytest.approx(0.2)
    assert found.mask_tokens.value == pytest.approx(0.1)
    assert found.with_source("mask_tokens") == pytest.approx(1.1 * found.cross)
    assert found.same_room.value == pytest.approx(0.05)
    assert found.other_room is found.with_source("other_room") is None


def test_videos_are_measured_with_their_cameras(weights):
    data = PairConfig(split="synthetic/xsub", frame_stride=8)
    asked = list(video_pairs(weights, data, dataclasses.replace(SMALL, performances=6, batch_size=4)))
    assert sum(len(part.groups) for part in asked) == 6
    assert all(set(part.has) == {"other_room", "same_room"} for part in asked)
    assert all(30 < angle < 120 for part in asked for angle in part.angles)  # the sample's cameras
    result, rows = second_view(weights, data, dataclasses.replace(SMALL, on="videos", performances=6))
    assert set(rows["tokens"]) == {"all"}
    assert result.on.startswith("videos")
    assert set(rows["at"]) <= {10.0, 90.0}
    unknown = rows.assign(angle=np.nan, at=nearest(np.full(len(rows), np.nan), SMALL.angles))
    assert [row.angle for row in summarise(unknown, SMALL.angles)] == [UNKNOWN]


def test_the_command_prints_and_writes(weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["second-view", str(weights), "--performances", "2", "--angles", "[20]", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "rooms never seen" in said
    assert "believe it only as far as another room's source costs" in said
    found = json.loads((out / "second_view.json").read_text())
    assert [row["tokens"] for row in found["angles"]] == ["all", "seen", "hidden"]
    assert len(pd.read_csv(out / "second_view.csv")) == 2 * 3
    assert (out / "second_view.png").stat().st_size > 10_000
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "What the source view is worth" in page
    assert f">{found['angles'][0]['cross']:.3f}<" in page


def test_the_picture_has_losses_with_every_source_and_gains_apart(weights):
    result, _ = second_view(weights, PairConfig(), SMALL)
    losses, gains = second_view_figure(result).axes
    labels = [text.get_text() for text in losses.get_legend().get_texts()]
    assert labels == [
        "target alone (self-view)",
        "with the source (cross-view)",
        "another room's source",
        "mask tokens for the source",
    ]
    assert [tick.get_text() for tick in losses.get_xticklabels()] == ["10", "90"]
    drawn = [line.get_ydata() for line in losses.get_lines()]
    whole = [row for row in result.angles if row.tokens == "all"]
    np.testing.assert_allclose(drawn[1], [row.cross for row in whole])
    np.testing.assert_allclose(drawn[2], [row.cross * (1 + row.other_room.value) for row in whole])
    assert [text.get_text() for text in gains.get_legend().get_texts()] == [
        "all masked tokens",
        "seen by the source",
        "hidden from it",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"performances": 1}, "performances=1"),
        ({"angles": ()}, r"angles=\[\]"),
        ({"angles": (200.0,)}, "up to 180"),
        ({"angles": (5.0, 5.0)}, "repeats one"),
        ({"on": "paper"}, "choose drawn or videos"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        SecondViewConfig(**change)


def test_a_model_without_cross_view_decoder_is_refused(tiny, tmp_path):
    config = dataclasses.replace(tiny, cross_view_weight=0.0)
    save_weights(tmp_path / "m.safetensors", MV2MAE(config), PRETRAINING, config)
    with pytest.raises(InputError, match="no cross-view decoder"):
        measure(tmp_path / "m.safetensors", PairConfig(), SMALL)
