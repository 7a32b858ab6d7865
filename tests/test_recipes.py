"""Recipes: a base and what differs from it, printed whole."""

import re
from pathlib import Path

import pytest
import yaml

from mv2mae.cli import main
from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.errors import InputError
from mv2mae.model.flops import classifier_flops, step_flops
from mv2mae.recipes import find_recipe, list_recipes, load_recipe, read_recipe
from mv2mae.train.forecast import forecast


def write(folder: Path, **recipes: str) -> None:
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text)


def test_values_take_the_place_of_the_bases_section_by_section(tmp_path: Path):
    write(
        tmp_path,
        ground="model: {image_size: 64, encoder_depth: 2}\nseed: 3\n",
        middle="base: ground.yaml\nmodel: {image_size: 96}\ndata: {split: a/b}\n",
        top="base: middle.yaml\nseed: 5\n",
    )
    assert read_recipe(tmp_path / "top.yaml") == {
        "model": {"image_size": 96, "encoder_depth": 2},
        "seed": 5,
        "data": {"split": "a/b"},
    }


def test_the_papers_recipes_differ_where_the_paper_does():
    base = read_recipe("_paper-pretrain")
    for name, split, epochs in (("ntu60-xview", "ntu60/xview", 3200), ("etri-xsub", "etri/xsub", 1600)):
        optim = {**base["optim"], "epochs": epochs, "warmup_epochs": epochs // 10}
        assert read_recipe(f"paper-{name}") == {**base, "data": {**base["data"], "split": split}, "optim": optim}
    transferred = load_recipe("paper-nucla-finetune", FinetuneConfig)
    assert (transferred.optim.batch_size, transferred.batch_counts, transferred.optim.betas) == (
        240,
        "clips",
        (0.9, 0.999),
    )
    assert not any(name.startswith("_") for name in list_recipes())


def test_a_base_serves_on_the_command_line_and_options_override_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, mine="base: sample-pretrain\noptim: {lr: 0.1}\n")
    seen = []
    monkeypatch.setattr("mv2mae.train.pretrain.pretrain", lambda config, path: seen.append(config))
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "--recipe", "mine.yaml", "--run", "r", "--optim.batch_size", "6"]) == 0
    assert seen == [load_recipe("sample-pretrain", PretrainConfig, optim={"lr": 0.1, "batch_size": 6})]


def test_several_recipes_lie_over_one_another_as_on_the_command_line(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("mv2mae.train.pretrain.pretrain", lambda config, path: seen.append(config))
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "--recipe", "sample-pretrain", "--recipe", "as-videomae", "--run", "r"]) == 0
    assert seen == [load_recipe(("sample-pretrain", "as-videomae"), PretrainConfig)]
    assert (seen[0].model.encoder_width, seen[0].model.masking, seen[0].data.synchronised) == (128, "tube", False)


@pytest.mark.parametrize("name", [name for name in list_recipes() if name.startswith("paper-")])
def test_the_head_of_a_recipe_says_what_its_forecast_counts(name):
    lines = find_recipe(name).read_text(encoding="utf-8").splitlines()
    head = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    config = load_recipe(name, FinetuneConfig if name.endswith("-finetune") else PretrainConfig)
    said = forecast(config)
    num_items = re.search(r"data +([\d,]+)", said[0])[1]
    assert re.search(rf"cost: +{num_items} (pairs|videos|actions)", head)
    assert float(re.search(r"so (\S+) in all", head)[1]) == float(re.search(r"cost +(\S+)", said[-1])[1])
    one = step_flops(config.model, 2).total if isinstance(config, PretrainConfig) else classifier_flops(config.model)
    told = re.search(r"one \w+ is (\S+) GFLOP", head)[1]
    assert float(told) == round(one / 1e9, len(told.partition(".")[2]))


def test_a_recipe_is_shown_whole(capsys: pytest.CaptureFixture[str]):
    assert main(["recipes", "show", "paper-ntu60-xsub-finetune"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# Fine-tuning on NTU RGB+D 60, cross-subject")
    assert yaml.safe_load(said) == read_recipe("paper-ntu60-xsub-finetune")
    assert main(["recipes", "paper-ntu60-xsub"]) == 1
    assert "give nothing, or `show` and the name of a recipe" in capsys.readouterr().err


def test_bases_that_cannot_be(tmp_path: Path):
    write(tmp_path, a="base: b.yaml\n", b="base: a.yaml\n", c="base: nowhere\n", d="- a\n", e="a: [\n")
    for name, message in {
        "a": "base a.yaml goes round in a circle|base .*a.yaml goes round in a circle",
        "c": "nowhere is neither a recipe nor a file",
        "d": "d.yaml is no table of settings",
        "e": "e.yaml: while parsing",
    }.items():
        with pytest.raises(InputError, match=message):
            read_recipe(tmp_path / f"{name}.yaml")
