"""The demo, as short as it goes: every part runs and the page has them all."""

import dataclasses
import json
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest

from mv2mae.cli.looking import VERBS
from mv2mae.config import EvalConfig, FinetuneConfig, PretrainConfig
from mv2mae.demo.budget import Budget, Speed, kept_budget, measure_speed
from mv2mae.demo.demo import FINETUNED, MINUTES, MULTI_VIEW, demo
from mv2mae.demo.report import verdict
from mv2mae.errors import InputError, RunStopped
from mv2mae.evaluate.evaluate import evaluate
from mv2mae.recipes import load_recipe


@pytest.mark.slow
def test_the_demo_ends_with_a_page_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    one_crop = EvalConfig(num_clips=1, num_crops=1)
    monkeypatch.setattr("mv2mae.demo.demo.evaluate", lambda run, data, test, out: evaluate(run, data, one_crop, out))
    budget = Budget(pretrain_steps=4, finetune_steps=4, scratch=True, seconds=6.0)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "plan.json").write_text(json.dumps(dataclasses.asdict(budget)))
    report = demo(tmp_path / "demo", minutes=0.1)
    page = report.read_text(encoding="utf-8")
    for words in ("What it scored", "How it learnt", "What it sees", "What it confuses", "times the uniform share"):
        assert words in page
    assert "from scratch" in capsys.readouterr().out
    log = (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes()
    demo(tmp_path / "demo", minutes=0.1)
    assert (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes() == log


@pytest.mark.slow
def test_the_long_form_compares_four_encoders(tmp_path, monkeypatch):
    one_crop = EvalConfig(num_clips=1, num_crops=1)
    monkeypatch.setattr("mv2mae.demo.demo.evaluate", lambda run, data, test, out: evaluate(run, data, one_crop, out))
    page = demo(tmp_path / "demo", minutes=0.1, full=True).read_text(encoding="utf-8")
    assert all(name in page for name in FINETUNED)
    with pytest.raises(InputError, match=r"holds a demo of the long form \(--full\); add --fresh true"):
        demo(tmp_path / "demo", minutes=0.1)


def test_the_command_keeps_to_the_forms_minutes(tmp_path, monkeypatch):
    parser = ArgumentParser()
    VERBS["demo"].options(parser)
    chosen = parser.parse_args([])
    assert (chosen.minutes, chosen.full) == (None, False)
    asked = []
    monkeypatch.setattr("mv2mae.demo.demo._go_on", lambda out, seconds, console: asked.append(seconds) or stop())
    monkeypatch.setattr("mv2mae.demo.demo._compare", lambda out, scale, console: asked.append(scale) or stop())
    for full in (False, True):
        with pytest.raises(RunStopped):
            demo(tmp_path, full=full)
    assert asked == [60 * MINUTES, 1.0]


FAST, SLOW = Speed(pretrain=0.3, finetune=0.2, test=10), Speed(pretrain=3.0, finetune=2.5, test=120)


def test_a_fast_machine_does_it_all_and_a_slow_one_what_it_can():
    fast, slow = Budget.of(300, FAST, 400), Budget.of(300, SLOW, 400)
    assert (fast.finetune_steps, fast.scratch, fast.pretrain_steps) == (400, True, 60)
    assert not slow.scratch
    assert 4 <= slow.finetune_steps < 100
    assert fast.seconds <= 300
    assert slow.seconds <= 300
    assert Budget.of(1200, SLOW, 400).finetune_steps > slow.finetune_steps
    assert Budget.of(1, SLOW, 400).finetune_steps == Budget.of(1, SLOW, 400).pretrain_steps == 4


def test_a_demo_that_goes_on_keeps_its_budget(tmp_path):
    first = kept_budget(tmp_path / "plan.json", 300, lambda: FAST, 400)
    assert kept_budget(tmp_path / "plan.json", 300, lambda: SLOW, 400) == first
    assert "60 steps of pre-training, 400 of fine-tuning, and as many from scratch" in first.describe()


def test_speed_is_measured_on_the_recipes(tmp_path):
    pretraining, finetuning = (
        load_recipe("sample-pretrain", PretrainConfig),
        load_recipe("sample-finetune", FinetuneConfig),
    )
    speed = measure_speed(pretraining, finetuning, num_test_clips=72)
    assert 0 < speed.pretrain < 60
    assert speed.test == pytest.approx(speed.finetune)  # 72 clips forward, 24 clips a step


@pytest.mark.parametrize("name", ["thesis.tex", "pretrain-mine", "finetune-mine", "report.pdf"])
def test_the_demo_removes_nothing_but_its_own(tmp_path, name):
    (tmp_path / MULTI_VIEW).mkdir()
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"holds {name}, which no demo wrote"):
        demo(tmp_path, minutes=1, fresh=True)
    assert (tmp_path / name).exists()
    assert (tmp_path / MULTI_VIEW).exists()


def stop(*_):
    raise RunStopped("stopped at step 3", status=130)


def test_a_fresh_demo_removes_an_earlier_one(tmp_path, monkeypatch):
    for name in (MULTI_VIEW, *FINETUNED.values()):
        (tmp_path / name).mkdir()
    (tmp_path / "report.json").write_text('{"seconds": 500.0}')
    (tmp_path / "report.html").touch()
    monkeypatch.setattr("mv2mae.demo.demo.pretrain", stop)
    monkeypatch.setattr("mv2mae.demo.demo.measure_speed", lambda *_: FAST)
    with pytest.raises(RunStopped):
        demo(tmp_path, minutes=1, fresh=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["seconds"] < 100


def test_the_time_before_a_stop_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("mv2mae.demo.demo.pretrain", stop)
    monkeypatch.setattr("mv2mae.demo.demo.measure_speed", lambda *_: FAST)
    clock = iter([0.0, 100.0, 1000.0, 1020.0])
    monkeypatch.setattr("mv2mae.demo.demo.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for seconds in (100.0, 120.0):
        with pytest.raises(RunStopped):
            demo(tmp_path, minutes=1)
        assert json.loads((tmp_path / "report.json").read_text())["seconds"] == seconds


class Fake:
    def __init__(self, name, top1, low, high):
        self.name, self.values = name, (top1, low, high, 80)
        self.result = SimpleNamespace(chance=0.1)

    def on_unseen_view(self):
        return self.values


def test_the_verdict_follows_from_the_intervals():
    said = verdict(
        [
            Fake("scratch", 0.2, 0.1, 0.3),
            Fake("a", 0.6, 0.5, 0.7),
            Fake("b", 0.25, 0.15, 0.35),
            Fake("c", 0.1, 0.0, 0.2),
        ]
    )
    assert "A pre-training pays" in said
    assert "B pre-training scores higher than training from scratch, but the intervals overlap" in said
    assert "C pre-training does not pay here" in said
    assert "no time for an encoder to compare" in verdict([Fake("packaged", 0.6, 0.5, 0.7)])
