"""`mv2mae evaluate` as a user meets it."""

import json

import pytest
from tested import make_manifest, make_run

from mv2mae.cli import main


@pytest.fixture
def words(frame, tmp_path):
    data = make_manifest(tmp_path, frame)
    options = {"manifest": data.manifest, "test_query": data.test_query, "frame_stride": 2}
    return [f"--data.{name}={value}" for name, value in options.items()] + ["--test.num_clips=1", "--test.num_crops=2"]


def test_a_test_its_figures_made_again_and_a_comparison(run, words, tmp_path, capsys):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1)
    for where in (a, b):
        assert main(["evaluate", str(where), *words]) == 0
    said = capsys.readouterr().out
    assert "wrote evaluation.json, scores.parquet, crops.parquet, confusion.png, reliability.png, views.png" in said
    before = (a / "evaluation" / "evaluation.json").read_text()
    (a / "model.safetensors").unlink()  # the scores are enough
    (a / "evaluation" / "evaluation.json").unlink()
    assert main(["evaluate", "--scores", str(a), "--against", str(b), "--pictures", "false"]) == 0
    assert (a / "evaluation" / "evaluation.json").read_text() == before
    found = json.loads((a / "evaluation" / "comparison.json").read_text())
    assert found["single_view"]["num"] == 6
    assert "paired over 3 groups" in capsys.readouterr().out


def test_what_is_missing_is_told_before_the_work(run, words, tmp_path, capsys):
    for options, message in (
        ([str(run), "--against", str(tmp_path / "nowhere"), *words], "no scores at"),
        ([], "give either a run to test, or --scores"),
        ([str(run), "--scores", str(run)], "give either a run to test, or --scores"),
        (["--scores", str(tmp_path)], "no scores at"),
        ([str(run), "--fusion", "early"], "fusion"),
        ([str(run), "--test.batch_size", "0"], "batch_size=0 must be at least 1"),
    ):
        assert main(["evaluate", *options]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
    assert not (run / "evaluation").exists()


def test_the_run_whose_settings_count_is_not_the_one_to_compare_with(run, tmp_path, capsys):
    for name, query in (("a", "view == 8"), ("b", "view == 9")):
        make_run(tmp_path / name)
        (tmp_path / name / "config.yaml").write_text(json.dumps({"data": {"test_query": query}}))
    (tmp_path / "scores.csv").write_text("path,group,view,label,p0,p1\nx,g,1,0,0.5,0.5\n")
    against = str(tmp_path / "b")
    (tmp_path / "b" / "scores.parquet").write_bytes(b"")
    assert main(["evaluate", "--against", str(tmp_path / "scores.csv"), str(tmp_path / "a")]) == 1
    assert "view == 8" in capsys.readouterr().err
    assert main(["evaluate", "--against", against, str(tmp_path / "a")]) == 1
    assert "cannot be read as a table" in capsys.readouterr().err


def test_learned_fusion_is_compared_with_late_fusion(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mv2mae.evaluate.fusion._EPOCHS", 2)
    monkeypatch.setattr("mv2mae.evaluate.fusion._LEAST_STEPS", 2)
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1)
    assert main(["evaluate", str(b), *words, "--pictures", "false"]) == 0
    learn = ["--fusion", "attention", "--data.train_query=view == view", "--pictures", "false"]
    assert main(["evaluate", str(a), "--against", str(b), *learn, *words]) == 0
    assert "attention, mean: views fused by attention in A" in capsys.readouterr().out
    assert compared(a) == ["single_view", "fused", "attention_late"]
    assert main(["evaluate", "--scores", str(a), "--against", str(a), "--pictures", "false"]) == 0
    assert compared(a) == ["single_view", "fused", "attention", "attention_late", "late_attention"]
    # what it is compared with was read before it is written over
    assert main(["evaluate", str(a), "--against", str(a), *words, "--pictures", "false"]) == 0
    assert compared(a) == ["single_view", "fused", "late_attention"]


def compared(run):
    """The rows of a run's comparison."""
    found = json.loads((run / "evaluation" / "comparison.json").read_text())
    return [name for name in found if name not in ("a", "b")]
