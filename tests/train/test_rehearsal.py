"""Every recipe, rehearsed on a made-up index of its data set."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from tiny_runs import FINETUNING, PRETRAINING

from mv2mae.cli import main
from mv2mae.config import FinetuneConfig, PretrainConfig
from mv2mae.data import room
from mv2mae.data.protocols import PROTOCOLS, select
from mv2mae.data.rehearsal import made_up_rows
from mv2mae.errors import InputError
from mv2mae.recipes import find_recipe, list_recipes, load_recipe
from mv2mae.train.forecast import forecast

SHALLOW = ("--model.encoder_depth", "1", "--model.decoder_depth", "1")
OVERLAYS = [name for name in list_recipes() if name.startswith("as-")]
PUBLIC = [f"{name}/{split}" for name, p in PROTOCOLS.items() if p.class_names for split in p.splits]


@pytest.mark.parametrize("config", [PRETRAINING, FINETUNING])
def test_what_reading_will_take_is_told(config, monkeypatch):
    config = dataclasses.replace(config, compute=dataclasses.replace(config.compute, num_workers=3))
    monkeypatch.setattr(room, "known_free_memory", lambda: 1)  # here; the real run may have another machine
    assert "readers 3 processes, about 0.2 GB in all" in forecast(config)


def verb_of(recipe: str) -> str:
    return "finetune" if recipe.endswith("-finetune") else "pretrain"


@pytest.mark.parametrize("recipe", [name for name in list_recipes() if name not in OVERLAYS])
def test_every_recipe_makes_two_steps_and_leaves_nothing(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    depth = SHALLOW if recipe.startswith("paper") else ()
    assert main([verb_of(recipe), "--recipe", recipe, "--dry_run", *depth]) == 0
    said = capsys.readouterr().out
    whole, small = said.split("Two small steps of it")
    assert whole.startswith("The whole run\n")
    assert "dry run done: 2 small steps" in small
    assert "wrote" not in said
    assert "at its peak" in whole
    assert any(said in whole for said in ("weights worth", "all tokens count alike", "drop path"))
    split = yaml.safe_load(find_recipe(recipe).read_text()).get("data", {}).get("split", "")
    if recipe.startswith("paper"):
        classes = len(PROTOCOLS[split.split("/")[0]].class_names)
        assert (f"{classes} classes" if verb_of(recipe) == "finetune" else f"{classes - 1} groups") in said
        assert f", training part of {split}\n" in said or f", training part of {split};" in said
    # torch's compiler makes a folder of its own wherever temporary files go
    assert [path for path in tmp_path.iterdir() if "torchinductor" not in path.name] == []


@pytest.mark.parametrize(
    ("recipe", "lines"),
    [
        (
            "paper-ntu60-xsub",
            [
                "data    40,320 pairs an epoch (training part of ntu60/xsub as published; here it is made up)",
                "steps   126,000 of 1,024 pairs = 3200.0 epochs, 12,600 of them warm-up",
                "rate    0.004 at its peak (0.001 x 1024 pairs / 256), weight decay 0.05, bf16-mixed",
                "clips   16 x 128 x 128, every 4 frames, crop multi-scale",
                "masks   random, 358 of 512 tokens",
                "motion  weights worth 0.5 of the tokens",
                "readers 14 processes, about 107.1 GB in all",
                "cost    1.0e+19 operations (counted): 8.1 hours of an H100 at 35 % (assumed)",
            ],
        ),
        (
            "paper-ntu60-xsub-finetune",
            [
                "data    40,320 videos an epoch (training part of ntu60/xsub as published; here it is made up)",
                "steps   1,378 of 1,024 videos x 6 augmentations = 35.0 epochs, 197 of them warm-up",
                "rate    0.004 at its peak (0.001 x 1024 videos / 256), bf16-mixed",
                "decay   of weights 0.1, of the rate from layer to layer 0.9; drop path 0.1, label smoothing 0.1",
                "clips   16 x 128 x 128, every 4 frames, crop multi-scale, flip, RandAugment (4 x, magnitude 7 ± 0.5)",
                "readers 14 processes, about 317.1 GB in all",
                "cost    6.9e+17 operations (counted): 0.55 hours of an H100 at 35 % (assumed)",
            ],
        ),
    ],
)
def test_the_forecast_is_of_the_whole_run(recipe, lines):
    kind = FinetuneConfig if recipe.endswith("-finetune") else PretrainConfig
    assert forecast(load_recipe(recipe, kind)) == lines


def test_the_forecast_counts_what_a_manifest_has():
    config = load_recipe("sample-pretrain", PretrainConfig)
    assert "(from sample, training part of synthetic/xsub-xview)" in forecast(config)[0]
    videos = int(forecast(load_recipe("sample-finetune", FinetuneConfig))[0].split()[1])
    assert videos == 240


@pytest.mark.parametrize(
    "words",
    [
        *(["--augment.mixup", "0.8"], ["--augment.cutmix", "1"]),
        *(["--data.labels_per_class", "5"], ["--data.label_fraction", "0.1"]),
    ],
)
def test_what_the_real_run_can_do_is_not_refused(words, capsys):
    tiny = ("--model.encoder_depth", "1", "--model.encoder_width", "96", "--model.image_size", "32")
    few = ("--test.num_clips", "1", "--test.num_crops", "1")
    assert main(["finetune", "--recipe", "paper-nucla-finetune", "--dry_run", *tiny, *few, *words]) == 0
    assert "dry run done: 2 small steps" in capsys.readouterr().out


def test_a_batch_that_the_devices_do_not_divide_is_refused(capsys):
    words = ["finetune", "--recipe", "paper-ntu60-xsub-finetune", "--dry_run", "--compute.devices", "5"]
    assert main(words) == 1
    assert "does not divide by the 5 devices" in capsys.readouterr().err


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_change_the_recipe_below(overlay, capsys):
    verb = verb_of(overlay)
    below = {"pretrain": "sample-pretrain", "finetune": "sample-finetune"}[verb]
    assert main([verb, "--recipe", below, "--recipe", overlay, "--dry_run", "true"]) == 0
    said = capsys.readouterr().out
    wanted = {
        "as-videomae": ("single-view", "228 of them masked"),  # tubes: 4 moments x int(0.9 x 64) places of 256 tokens
        "as-single-view": ("single-view", "weights are worth 192.0"),  # three quarters of 256
        "as-contrastive": ("contrastive", "no decoders"),
        "as-videomae-finetune": ("crop random-resized", "erasing 0.25, mixup 0.8, cutmix 1"),
    }[overlay]
    for words in wanted:
        assert words in said


@pytest.mark.parametrize("recipe", list_recipes())
def test_a_recipe_s_head_tells_its_command_and_its_cost(recipe):
    head = [line for line in find_recipe(recipe).read_text().splitlines() if line.startswith("#")]
    command = next(line for line in head if line.startswith("# command: "))
    assert f"mv2mae {verb_of(recipe)} " in command
    assert f"--recipe {recipe}" in command
    assert any(line.startswith("# cost: ") for line in head)
    if recipe.startswith("paper"):
        assert any(line.startswith("# paper: ") and "Not measured by this project" in line for line in head)


@pytest.mark.parametrize("split", PUBLIC)
def test_a_made_up_index_has_every_class_in_both_parts(split):
    rows = made_up_rows(split)
    classes = len(PROTOCOLS[split.split("/")[0]].class_names)
    train, test = (select(rows, split=split, part=part) for part in ("train", "test"))
    assert set(train["label"]) == set(test["label"]) == set(range(classes))
    assert not rows.duplicated(["group", "view"]).any()


def test_what_cannot_be_made_up_is_said():
    with pytest.raises(InputError, match="a dry run knows etri, ntu120, ntu60"):
        made_up_rows("folder/all")


def test_without_a_folder_there_is_no_run(capsys):
    assert main(["pretrain", "--recipe", "sample-pretrain"]) == 1
    assert "give --run FOLDER (or --dry_run" in capsys.readouterr().err


def test_a_named_manifest_is_rehearsed_itself(capsys):
    words = ["--recipe", "sample-finetune", "--data", "nowhere.csv", "--dry_run", "true"]
    assert main(["finetune", *words]) == 1
    assert "no manifest at nowhere.csv" in capsys.readouterr().err
    assert not Path("nowhere.csv").exists()
