"""The measurement itself is measured: an oracle, a blind looker, plain loops; then models and bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tested
import torch

from mv2mae.cli import main
from mv2mae.config import GeometryConfig, ModelConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.files import write_json
from mv2mae.model.attention_maps import cross_attention_maps
from mv2mae.model.pretraining import MV2MAE
from mv2mae.runs import start_run
from mv2mae.studies.geometry.measure import (
    MEASURES,
    MODEL,
    PERSON,
    PLACE,
    TRUE_PLACE,
    UNIFORM,
    UNTRAINED,
    Measured,
    ask,
    blind_lookers,
    drawing,
    measure,
    score,
)
from mv2mae.studies.geometry.results import GeometryResult, Mean
from mv2mae.studies.geometry.summary import BEST, MEAN, geometry, place_rows, summarise
from mv2mae.studies.geometry.two_views import draw_pairs, token_truth
from mv2mae.synthetic.data_set import SyntheticSet
from mv2mae.weights import PRETRAINING, load_pretrained, save_weights

GRID, TUBELET, SIZE = (2, 8, 8), (2, 12, 12), 96
EVERY = torch.arange(math.prod(GRID))
CLOSE = SyntheticSet(
    cameras="free", num_cameras=2, azimuth_ranges=((-10, 10),), difficulty="easy", num_frames=4, fps=10, size=SIZE
)


def asked_of(config: SyntheticSet, number: int, masked=EVERY, visible=EVERY, tubelet=TUBELET):
    a, b = draw_pairs(config, number)[0].views
    target, source = token_truth(a, b, tubelet, 0.2), token_truth(b, a, tubelet, 0.2)
    grid = (config.num_frames // tubelet[0], SIZE // tubelet[1], SIZE // tubelet[2])
    return ask(target, source, masked, visible, grid, tubelet[1:]), target, source


@pytest.fixture(scope="module")
def partly():
    """Queries with masks: some source tokens are hidden."""
    order = torch.randperm(len(EVERY), generator=torch.Generator().manual_seed(0))
    return *asked_of(replace(CLOSE, cameras="ntu", num_cameras=None), 0, order[:90], order[40:]), order[40:]


def means(weights, asked) -> dict[str, float]:
    return pd.DataFrame(score(weights, asked).numpy(), columns=list(MEASURES)).mean().to_dict()


def test_an_oracle_that_looks_at_the_true_projection_scores_one():
    """With tokens that are small beside the parts of the body; at the edge of a part a large one shows another too."""
    every, found = torch.arange(2 * 24 * 24), []
    for number in range(3):
        asked, target, _ = asked_of(CLOSE, number, every, every, (2, 4, 4))
        column, row = (target.place[asked.tokens] / 4).long().T
        at = asked.tokens // (24 * 24) * 24 * 24 + row * 24 + column
        oracle = torch.nn.functional.one_hot(at, len(every)).float()
        found.append(means(oracle, asked))
        assert len(at) > 60
        assert found[-1]["near_hit"] == found[-1]["moment_hit"] == 1
        assert found[-1]["distance"] <= math.sqrt(0.5)  # within the token
    for name in ("part_hit", "part_mass", "person_hit"):
        # what is left are limbs that hide each other in one of the views, 12 to 14 degrees apart
        assert np.mean([each[name] for each in found]) > 0.93


def test_uniform_attention_scores_chance_exactly(partly):
    asked, target, source, visible = partly
    found, maps = score(torch.full(asked.gap.shape, 1 / len(visible)), asked), blind_lookers(asked)
    torch.testing.assert_close(found, score(maps[UNIFORM], asked), equal_nan=True)
    for q, token in enumerate(asked.tokens.tolist()):
        shows = [bool(source.shows[v, target.part[token]]) for v in visible.tolist()]
        chance = np.mean(shows) if any(shows) else np.nan
        assert found[q, 0].item() == pytest.approx(chance, nan_ok=True)
        assert found[q, 2].item() == pytest.approx(chance, nan_ok=True)
    on_person = score(maps[PERSON], asked)
    assert torch.allclose(on_person[:, 1], torch.ones(len(on_person)))
    assert np.nanmean(on_person[:, 0]) > 2 * np.nanmean(found[:, 0])


def test_scores_equal_plain_loops(partly):
    asked, target, source, visible = partly
    weights = torch.rand(2, *asked.gap.shape, generator=torch.Generator().manual_seed(1)).softmax(dim=-1)
    found = score(weights, asked)
    assert asked.tokens.tolist() == sorted(t for t in asked.tokens.tolist() if target.part[t] > 0)
    for h in range(2):
        for q, token in enumerate(asked.tokens.tolist()):
            row, part = weights[h, q].tolist(), int(target.part[token])
            peak = row.index(max(row))
            off = [distance_by_hand(target.place[token].tolist(), v) for v in visible.tolist()]
            shows = [bool(source.shows[v, part]) for v in visible.tolist()]
            expected = [
                float(shows[peak]) if any(shows) else np.nan,
                float(source.shows[visible[peak], 0]),
                sum(w for w, s in zip(row, shows, strict=True) if s) if any(shows) else np.nan,
                off[peak],
                float(off[peak] <= 1) if min(off) <= 1 else np.nan,
                float(int(visible[peak]) // 64 == token // 64),
                float(off[peak] <= min(off) + 1e-4),
                float(off[peak] <= 1)
                if min(off) <= 1 and distance_by_hand(target.place[token].tolist(), token) > 1
                else np.nan,
            ]
            np.testing.assert_allclose(found[h, q].numpy(), expected, rtol=1e-4)


def distance_by_hand(place: list[float], token: int) -> float:
    row, column = token % 64 // 8, token % 8
    return math.hypot(place[0] / 12 - column - 0.5, place[1] / 12 - row - 0.5)


def test_blind_lookers_look_where_they_say(partly):
    asked, target, _, visible = partly
    maps = blind_lookers(asked)
    for weights in maps.values():
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(len(weights)))
    for q, token in enumerate(asked.tokens.tolist()):
        off = [distance_by_hand(target.place[token].tolist(), v) for v in visible.tolist()]
        assert off[int(maps[TRUE_PLACE][q].argmax())] == pytest.approx(min(off), abs=2e-3)
        if token in visible.tolist():
            assert visible[maps[PLACE][q].argmax()] == token
            assert maps[PLACE][q].max() == 1


def test_the_same_place_never_hits_what_has_moved_and_the_true_place_always_does():
    every = torch.arange(2 * 24 * 24)
    asked, *_ = asked_of(replace(CLOSE, azimuths=(0.0, 90.0), num_cameras=None), 1, every, every, (2, 4, 4))
    maps = blind_lookers(asked)
    found = {name: means(maps[name], asked) for name in (PLACE, TRUE_PLACE)}
    assert (asked.shift > 1).sum() > 5
    assert found[PLACE]["moved_hit"] == 0
    assert found[TRUE_PLACE]["moved_hit"] == 1
    assert found[TRUE_PLACE]["exact_hit"] == 1 > found[PLACE]["exact_hit"]


def test_places_outside_of_the_picture_do_not_count(partly):
    asked, *_ = partly
    outside = replace(asked, distance=torch.full_like(asked.distance, float("nan")))
    found = score(blind_lookers(outside)[UNIFORM], outside)
    assert found[:, [3, 4, 6, 7]].isnan().all()
    assert not found[:, 5].isnan().any()


# --- models ----------------------------------------------------------------------------------------------


def tiny_run(folder: Path, config: ModelConfig) -> Path:
    torch.manual_seed(7)
    save_weights(folder / "model.safetensors", MV2MAE(config), PRETRAINING, config, frame_stride=3)
    return folder


@pytest.fixture
def run(tmp_path: Path, tiny: ModelConfig) -> Path:
    return tiny_run(tmp_path / "run", tiny)


FEW = GeometryConfig(performances=2, untrained=2, min_share=0.1)


def test_asked_for_angles_are_each_measured_against_the_same_place(run: Path):
    config = replace(FEW, cameras="free", angles=(20.0, 90.0))
    rows = measure(run, config).rows
    assert set(rows["at"]) == {20.0, 90.0}
    assert rows.groupby("at")["performance"].nunique().tolist() == [2, 2]
    assert (rows["angle"] - rows["at"]).abs().max() < 10  # heights differ
    result = geometry(run, config)
    best = next(entry for entry in result.lookers if (entry.looker, entry.map) == ("model", "best head"))
    assert [found.angle for found in best.by_angle] == [20.0, 90.0]
    for found, cells in zip(best.by_angle, place_rows(result), strict=True):
        assert found.against is not None
        near = found.against[PLACE].near_hit
        assert cells[0] == f"{found.angle:g}"
        assert cells[3].startswith(f"{near.value:+.3f} (")
    assert GeometryResult.from_json(result.to_json()).to_json() == result.to_json()


def test_a_model_with_rays_is_measured_with_cameras_or_without(tmp_path: Path, tiny: ModelConfig):
    torch.manual_seed(7)
    config = replace(tiny, cameras="rays", source_mask_ratio=0.0, directions="one")
    model = MV2MAE(config)
    torch.nn.init.normal_(model.ray_embedding.mlp[2].weight)
    save_weights(tmp_path / "model.safetensors", model, PRETRAINING, config, frame_stride=3)
    told, untold = (measure(tmp_path, replace(FEW, known_cameras=known)).maps["model"] for known in (True, False))
    assert not np.allclose(told, untold, equal_nan=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"angles": (20.0,)}, "are those of free cameras; give cameras=free"),
        ({"angles": (20.0,), "cameras": "free", "num_cameras": 3}, "are those of free cameras"),
        ({"angles": (0.0, 20.0), "cameras": "free"}, "expected degrees above 0 and up to 180, each once"),
    ],
)
def test_angles_that_cannot_be_are_refused(settings, message: str):
    with pytest.raises(InputError, match=message):
        GeometryConfig(**settings)


def test_a_model_is_measured_where_it_looks_for_both_directions(run: Path, tiny: ModelConfig):
    found = measure(run, FEW)
    drawn = drawing(run, FEW)
    assert drawn.fps == 10
    assert drawn.num_frames == 4
    assert drawn.size == 32
    assert found.maps[MODEL].shape == (1, 2, 3, len(found.rows), len(MEASURES))
    assert found.maps[UNTRAINED].shape == (2, 2, 3, len(found.rows), len(MEASURES))
    (a, b), _ = draw_pairs(drawn, 1)[0]
    seeds = torch.from_numpy(np.random.default_rng((FEW.seed, 1, 1)).integers(2**60, size=2))
    expected = []
    for target, source, seed in ((a, b, seeds[0]), (b, a, seeds[1])):
        maps = cross_attention_maps(
            load_pretrained(run), source.clip[None], target.clip[None], seeds=seed[None], layer=2
        )
        truths = (token_truth(x, y, tiny.tubelet_size, 0.1) for x, y in ((target, source), (source, target)))
        asked = ask(*truths, maps.masks.masked_idx[0, 0], maps.masks.visible_idx[0, 1], tiny.grid, (8, 8))
        expected.append(score(maps.weights[0, 1][asked.tokens], asked))
    last = found.maps[MODEL][0, 1, 1, found.rows["performance"].to_numpy() == 1]
    np.testing.assert_allclose(last, torch.cat(expected).numpy(), rtol=1e-4, atol=1e-5)


def measured(hits: np.ndarray, performance: np.ndarray) -> Measured:
    """Made-up hits [models, layers, heads+1, q] on the same part; chance 0.25 everywhere."""
    values = np.repeat(hits[..., None], len(MEASURES), axis=-1)
    q = hits.shape[-1]
    rows = pd.DataFrame(
        {"performance": performance, "angle": np.where(performance < 4, 40.0, 95.0), "at": np.nan, "part": 1}
    )
    blind = {name: np.full((q, len(MEASURES)), 0.25) for name in (UNIFORM, PERSON, PLACE, TRUE_PLACE)}
    return Measured(rows, blind, {MODEL: values, UNTRAINED: np.stack([values[0] * 0.5, values[0] * 0])})


def entries(summary, looker: str, kind: str):
    return [entry for entry in summary.lookers if entry.looker == looker and entry.map == kind]


def test_the_best_head_is_chosen_on_the_other_half():
    """Luck does not count: a head that hits in the even performances alone, and one in the odd ones alone."""
    performance = np.repeat(np.arange(8), 5)
    lucky = np.stack([performance % 2 == 0, performance % 2 == 1, np.full(40, 0.5)]).astype(float)[None, None]
    summary = summarise(measured(lucky, performance))
    assert summary.best_head == ((1, 1), (1, 2))
    assert entries(summary, MODEL, BEST)[0].overall.part_hit.value == 0
    good = np.stack([np.full(40, 0.4), performance % 2 == 1, np.full(40, 0.2)]).astype(float)[None, None]
    good[0, 0, 1] *= 0.3
    assert entries(summarise(measured(good, performance)), MODEL, BEST)[0].overall.part_hit.value == 0.4


def test_figures_by_angle_and_block_with_intervals_over_performances():
    performance = np.repeat(np.arange(8), 5)
    hits = np.zeros((1, 2, 2, 40))
    hits[0, 1] = performance < 4
    hits[0, 1, :, 0] = np.nan
    summary = summarise(measured(hits, performance))
    first, second = entries(summary, MODEL, MEAN)
    assert (first.block, second.block) == (1, 2)
    assert first.overall.part_hit == Mean(value=0, interval=(0, 0), num=40)
    overall = second.overall.part_hit
    assert overall.value == pytest.approx(19 / 39)
    assert overall.num == 39
    assert overall.interval[0] < 0.25
    assert overall.interval[1] > 0.75
    assert [(cell.angle, cell.performances, cell.part_hit.value) for cell in second.by_angle] == [
        (45.0, 4, 1.0),
        (90.0, 4, 0.0),
    ]
    assert list(second.by_part) == ["head"]
    assert second.against[UNIFORM].part_hit.value == pytest.approx(19 / 39 - 0.25)
    assert entries(summary, UNTRAINED, MEAN)[1].overall.part_hit.value == pytest.approx(19 / 39 / 4)


@pytest.mark.slow
def test_the_verb_writes_figures_and_a_picture(run: Path, tiny: ModelConfig, capsys: pytest.CaptureFixture[str]):
    start_run(run, PretrainConfig(model=tiny))
    options = "--performances 2 --untrained 1 --cameras free --num_cameras 2 --min_share 0.1"
    assert main(["geometry", str(run), *options.split()]) == 0
    said = capsys.readouterr().out
    assert "model, best head" in said
    assert "2 performances, cameras free, easy" in said
    assert (run / "geometry" / "geometry.json").exists()
    assert (run / "geometry" / "geometry.png").stat().st_size > 10_000
    page = (run / "report.html").read_text(encoding="utf-8")  # of the run, with what was measured of it
    figures = json.loads((run / "geometry" / "geometry.json").read_text())
    hit = figures["lookers"][0]["overall"]["part_hit"]["value"]
    assert "Where the cross-attention looks" in page
    assert f">{hit:.3f}<" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--cameras dome", "cameras='dome' is not a preset; choose from ntu, etri, ring, free"),
        ("--cameras free --num_cameras 1", "cameras=free with 1 view(s); give at least 2"),
        ("--difficulty brutal", "difficulty='brutal' is unknown; choose from easy, normal, hard, crowded"),
        ("--performances 1", "performances=1; expected 2 to 9999"),
        ("--frame_stride 0", "frame_stride=0.0; expected more than 0"),
        ("--performances 2 --min_share 1", "no masked token shows 100% of a body part; give a smaller min_share"),
    ],
)
def test_bad_options(run: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["geometry", str(run), *options.split()]) == 1
    assert capsys.readouterr().err == f"mv2mae geometry: error: {message}\n"


def test_a_folder_that_cannot_be_written_is_said_before_the_work(run: Path, monkeypatch, capsys):
    monkeypatch.setattr("mv2mae.studies.geometry.summary.geometry", lambda *_, **__: pytest.fail("measured"))
    (run / "taken").touch()
    assert main(["geometry", str(run), "--out", str(run / "taken")]) == 1
    assert "taken cannot be written (File exists); give another folder as --out" in capsys.readouterr().err
    assert main(["geometry", str(run / "nowhere"), "--out", str(run / "made")]) == 1
    assert "no such run folder" in capsys.readouterr().err
    assert not (run / "made").exists()


def test_models_that_cannot_be_measured(tmp_path: Path, tiny: ModelConfig):
    single = tiny_run(tmp_path / "single", replace(tiny, cross_view_weight=0.0))
    with pytest.raises(InputError, match="no cross-view decoder"):
        measure(single, FEW)
    with pytest.raises(InputError, match="classifier without decoders; give a pre-training run"):
        measure(tested.make_run(tmp_path / "tuned"), FEW)
    odd = tiny_run(tmp_path / "odd", replace(tiny, image_size=35, tubelet_size=(2, 7, 7)))
    with pytest.raises(InputError, match="clips of 35 pixels; only even sizes from 32 to 480"):
        measure(odd, FEW)
    write_json(tmp_path / "empty" / "summary.json", {})
    with pytest.raises(InputError, match="no model.safetensors in this folder"):
        measure(tmp_path / "empty", FEW)
