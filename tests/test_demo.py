"""The demo, as short as it goes: every part runs and the page has them all."""

import json
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest

from mv2mae.cli.looking import VERBS
from mv2mae.config import EvalConfig
from mv2mae.demo.demo import FINETUNED, FULL_MINUTES, MULTI_VIEW, demo
from mv2mae.demo.report import verdict
from mv2mae.errors import InputError, RunStopped
from mv2mae.evaluate.evaluate import evaluate


@pytest.mark.slow
def test_the_demo_ends_with_a_page_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    one_crop = EvalConfig(num_clips=1, num_crops=1)
    monkeypatch.setattr("mv2mae.demo.demo.evaluate", lambda run, data, test, out: evaluate(run, data, one_crop, out))
    report = demo(tmp_path / "demo", minutes=0.1)
    page = report.read_text(encoding="utf-8")
    for words in ("What it scored", "How it learnt", "What it sees", "What it confuses", "times the uniform share"):
        assert words in page
    assert "from scratch" in capsys.readouterr().out
    log = (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes()
    demo(tmp_path / "demo", minutes=0.1)
    assert (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes() == log


def test_the_command_takes_the_recipes_steps_as_they_are():
    parser = ArgumentParser()
    VERBS["demo"].options(parser)
    assert parser.parse_args([]).minutes == FULL_MINUTES


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
    with pytest.raises(RunStopped):
        demo(tmp_path, minutes=1, fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["seconds"] < 100


def test_the_time_before_a_stop_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("mv2mae.demo.demo.pretrain", stop)
    clock = iter([0.0, 100.0, 1000.0, 1020.0])
    monkeypatch.setattr("mv2mae.demo.demo.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for seconds in (100.0, 120.0):
        with pytest.raises(RunStopped):
            demo(tmp_path, minutes=1)
        assert json.loads((tmp_path / "report.json").read_text()) == {"seconds": seconds}


class Fake:
    def __init__(self, name, top1, low, high):
        self.name, self.values = name, (top1, low, high, 80)
        self.figures = {"classes": list(range(10))}

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
