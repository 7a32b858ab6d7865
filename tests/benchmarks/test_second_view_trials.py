"""The trials of the second view: what they are tested on, and that their figures are the model's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.second_view import bank, trials
from benchmarks.second_view.ceiling import ANGLES
from benchmarks.second_view.report import trials_figure, trials_table
from mv2mae.data.manifest import read_manifest
from mv2mae.model.pretraining import MV2MAE

SEEN = next(trial for trial in trials.TRIALS if trial.name == "source visible, RoPE, rays")
SMALL = replace(trials.SMALL, encoder_depth=1, decoder_depth=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(autouse=True)
def few_performances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "SETS", {"free": ("free", 48, 4, 2, 2)})


def test_people_and_rooms_of_the_test_are_not_those_of_training(data: Path) -> None:
    train, test = (read_manifest(bank.make_bank(data, "free", part)) for part in (bank.TRAIN, bank.TEST))
    for column in ("subject", "group"):
        assert not set(train[column]) & set(test[column])
    assert train["setup"].nunique() == train["group"].nunique() == 2
    poses = [(Path(frame["path"].iloc[0]).parents[1] / "cameras.json").read_text() for frame in (train, test)]
    assert poses[0] != poses[1]


def test_every_trial_is_a_valid_model_and_tests_pairs_that_its_rig_has() -> None:
    for trial in trials.TRIALS:
        assert trial.model.cross_view_weight > 0
        views = {view for pairs in trial.tests().values() for pair in pairs for view in pair}
        assert views <= set(range(1, 4 if trial.bank == "ntu" else len(ANGLES) + 1))


def test_losses_are_the_models_own_and_a_wrong_source_is_another_rooms(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    trial = replace(SEEN, base=SMALL)
    model = MV2MAE(trial.model)
    batches = []
    forward = MV2MAE.forward

    def watched(self: MV2MAE, *args: torch.Tensor, **options: object) -> object:
        batches.append((args, options))
        return forward(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MV2MAE, "forward", watched)
    rows = trials.measure(model, trial, data)
    assert sorted(set(rows["at"])) == list(ANGLES[1:])
    assert len(rows) == 2 * 2 * len(ANGLES[1:])
    (sources, target), options = batches[0]
    assert options["cameras"] is not None
    options = {**options, "with_reconstructions": False}
    out = forward(model, sources, target, **options)  # type: ignore[arg-type]
    first = rows[:2]
    for name in ("self", "cross", "baseline"):
        wanted = getattr(out, f"{name}_target").item()
        assert first[name].mean() / trial.model.num_masked == pytest.approx(wanted, rel=1e-4)
    swapped = forward(model, sources.flip(0), target, **options)  # type: ignore[arg-type]
    wanted = swapped.cross_target.item()
    assert first["other_room"].mean() / trial.model.num_masked == pytest.approx(wanted, rel=1e-4)


def test_a_finished_trial_is_not_repeated(data: Path, tmp_path: Path) -> None:
    task = (replace(SEEN, base=SMALL, batch=2), tmp_path, data, 2, 0)
    result = trials.run_quietly(task)
    assert (result["trial"], result["steps"]) == (SEEN.name, 2)
    assert list(result["angles"]) == [f"{angle:g}" for angle in ANGLES[1:]]
    for file in data.rglob("manifest.csv"):
        file.unlink()
    assert trials.run_quietly(task) == result


def test_the_control_is_tested_on_the_very_same_video(data: Path) -> None:
    trial = next(trial for trial in trials.TRIALS if trial.own_source)
    frame = read_manifest(bank.as_own_source(bank.make_bank(data, "free", bank.TEST)))
    contents = [Path(path).read_bytes() for path in frame.sort_values("view")["path"]]
    assert contents[:2] == contents[2:]
    assert trial.tests() == {0.0: [(1, 2)]}


def test_gain_is_the_share_that_the_source_takes_off_the_self_view_loss() -> None:
    rows = pd.DataFrame(
        {"at": 5.0, "angle": 6.0, "group": ["a", "b"], "tokens": "all", "weight": 1.0, "self": [0.75, 1.25],
         "cross": [0.6, 1.0], "other_room": [0.9, 1.5], "same_room": np.nan, "empty": 1.0, "mask_tokens": 1.0,
         "baseline": [1.0, 1.0]}
    )  # fmt: skip
    found = trials.summary(rows)
    cell = found["angles"]["5"]
    assert found["self"] == pytest.approx(1.0)
    assert cell["gain"] == pytest.approx(0.2)
    assert cell["wrong_over_cross"] == pytest.approx(1.5)
    assert cell["interval"] == pytest.approx([0.2, 0.2])
    result = {"trial": "one", "seed": 0, "steps": 1, **found}
    assert "| one | 1.000 | 0.800, +20.0 % (+20.0 to +20.0) | 1.50 |" in trials_table([result], {5.0: 0.4})
    gains = trials_figure([result], {5.0: 0.4}).axes[0]
    assert gains.get_lines()[0].get_ydata()[0] == pytest.approx(20.0)
