"""Models for the hub: what is written and read again, the card, and what `--push` hands over."""

import pytest
import torch
import yaml
from tested import CLASSES, make_run
from tiny_runs import PRETRAINING

from mv2mae.cli.main import main
from mv2mae.evaluate.results import FusedScored, Scored, TestResult
from mv2mae.interop.card import model_card
from mv2mae.interop.hub_model import HubModel
from mv2mae.train.pretrain import pretrain
from mv2mae.weights import load_classifier_model, load_encoder, read_weights

CLIP = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
RESULT = TestResult(
    classes=tuple(CLASSES),
    single_view=Scored(num=80, top1=0.5, top1_interval=(0.4, 0.6), mean_class=0.5, per_class={}),
    fused=FusedScored(num=20, top1=0.75, top1_interval=(0.6, 0.9), mean_class=0.75, per_class={}),
    confusion=(),
)


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


@torch.no_grad()
def test_a_classifier_is_written_and_read_again(tmp_path):
    run = make_run(tmp_path / "run")
    optim = "optim: {batch_size: 4, optimizer: adamw}"
    data = "data: {manifest: /home/someone/kitchen.parquet}"
    (run / "config.yaml").write_text(f"{optim}\n{data}\ninit: /home/someone/runs/start\nseed: 3\n")
    (run / "evaluation").mkdir()
    RESULT.write(run / "evaluation" / "evaluation.json")
    model = HubModel(str(run))
    model.save_pretrained(tmp_path / "kitchen")
    written = {file.name: file for file in (tmp_path / "kitchen").iterdir()}
    assert set(written) == {"README.md", "config.json", "config.yaml", "model.safetensors"}
    assert not any(b"/home/someone" in file.read_bytes() for file in written.values())
    assert str(tmp_path) not in written["config.json"].read_text()
    again = HubModel.from_pretrained(str(tmp_path / "kitchen"))
    assert torch.equal(again(CLIP), model(CLIP))
    assert load_classifier_model(tmp_path / "kitchen")[1]["classes"] == CLASSES
    card = (tmp_path / "kitchen" / "README.md").read_text()
    assert header(card)["pipeline_tag"] == "video-classification"
    results = header(card)["model-index"][0]["results"][0]
    assert results["dataset"]["name"] == "kitchen"
    assert [metric["value"] for metric in results["metrics"]] == [0.5, 0.75]
    assert "| views fused | 0.750 | 0.600 to 0.900 | 20 |" in card
    assert "| Start | weights of start |" in card
    assert "walk, sit, down, wave" in card


def test_the_card_of_a_real_pretraining(tmp_path):
    run = pretrain(PRETRAINING, tmp_path / "run")
    card = model_card(read_weights(run), run, "tiny")
    assert "| Length | 12 steps with batches of 4 |" in card
    assert "| Data | sample, " in card
    assert "| Labels | not used |" in card
    assert "No test was made." in card
    assert "pipeline_tag" not in header(card)


@torch.no_grad()
def test_the_command_writes_and_pushes(tmp_path, monkeypatch, capsys):
    pushed = {}

    def push(self, name, **options):
        pushed.update(options, name=name)
        return "URL"

    monkeypatch.setattr(HubModel, "push_to_hub", push)
    out = tmp_path / "out"
    words = ["export", "synthetic-small", "--format", "hub", "--out", str(out)]
    assert main(words) == 0
    assert pushed == {}
    assert main([*words, "--push", "someone/small"]) == 0
    assert pushed == {"name": "someone/small", "private": True}
    assert "pushed to URL" in capsys.readouterr().out
    assert read_weights(out).kind == "pretraining"
    clip = torch.rand(1, 3, 16, 64, 64)
    assert torch.equal(load_encoder(out)(clip), load_encoder("synthetic-small")(clip))


def test_what_a_killed_export_left_is_not_handed_over(tmp_path, capsys):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    for name in (".model.safetensors.0123456789ab.tmp", ".notes.tmp"):  # the latter is somebody else's
        (out / name).touch()
    assert main(["export", str(run), "--format", "hub", "--out", str(out)]) == 0
    assert sorted(file.name for file in out.glob(".*")) == [".notes.tmp"]
    assert ".tmp" not in capsys.readouterr().out.replace(".notes.tmp", "")


def test_what_goes_wrong_there_is_one_line(tmp_path, monkeypatch, capsys):
    def refuse(self, name, **options):
        raise RuntimeError("401 Client Error\nLog in first")

    monkeypatch.setattr(HubModel, "push_to_hub", refuse)
    words = ["export", "synthetic-small", "--out", str(tmp_path / "out"), "--push", "a/b", "--format"]
    assert main([*words, "hub"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mv2mae export: error: a/b: 401 Client Error (what was to be pushed lies in")
    assert main([*words, "torch"]) == 1
    assert "--push goes with --format hub" in capsys.readouterr().err


def test_a_damaged_evaluation_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "evaluation").mkdir()
    (run / "evaluation" / "evaluation.json").write_text("{")
    with pytest.raises(ValueError, match="evaluation.json cannot be read"):
        model_card(read_weights(run), run)
