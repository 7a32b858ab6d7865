"""The demo, as short as it goes: every part runs and the page has them all."""

import pytest

from mv2mae.config import EvalConfig
from mv2mae.demo import demo
from mv2mae.demo_report import verdict
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate


@pytest.mark.slow
def test_the_demo_ends_with_a_page_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    one_crop = EvalConfig(num_clips=1, num_crops=1)
    monkeypatch.setattr("mv2mae.demo.evaluate", lambda run, data, test, out: evaluate(run, data, one_crop, out))
    report = demo(tmp_path / "demo", minutes=0.1)
    page = report.read_text(encoding="utf-8")
    for words in ("What it scored", "How it learnt", "What it sees", "What it confuses", "times the uniform share"):
        assert words in page
    assert "from scratch" in capsys.readouterr().out
    log = (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes()
    demo(tmp_path / "demo", minutes=0.1)
    assert (tmp_path / "demo" / "pretrain-multi-view" / "log.csv").read_bytes() == log


def test_the_demo_removes_nothing_but_its_own(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis.tex, which no demo wrote"):
        demo(tmp_path, minutes=1, fresh=True)
    assert (tmp_path / "thesis.tex").exists()


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
