"""Pages about runs: made from folders as trainings and tests leave them, whole or cut off."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mv2mae.config import FinetuneConfig, OptimConfig, PretrainConfig
from mv2mae.data.video import VideoError
from mv2mae.errors import InputError
from mv2mae.evaluate.compare import compare
from mv2mae.evaluate.evaluate import result_from
from mv2mae.evaluate.metrics import fuse_views, summarise
from mv2mae.evaluate.scores import numbered, read_scores, write_table
from mv2mae.reports.folder import read_folder, short_names
from mv2mae.reports.training import highlights, lead
from mv2mae.reports.write import report
from mv2mae.runs import plain

NASTY = "<script>alert('x')</script>"
LOSSES = ("self_target", "self_source", "cross_target", "cross_source")


def write_log(run, values):
    """Rows as trainings append them: name -> value at steps 10, 20, ..."""
    rows = [(10 * (k + 1), name, value) for name, list_ in values.items() for k, value in enumerate(list_)]
    pd.DataFrame(rows, columns=["step", "name", "value"]).to_csv(run / "log.csv", index=False)


def pretraining(run, *, share=0.6, gain=0.04, steps=3, ended=True, unseen=None):
    """`gain` = by how much cross lies below self, held out; `unseen` the same in unseen rooms."""
    run.mkdir(parents=True)
    config = plain(PretrainConfig(optim=OptimConfig(lr=0.00123, batch_size=12, steps=30, warmup_steps=2), seed=4))
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    values = {"train/lr": np.linspace(1e-3, 0, steps), "speed/clips_per_s": [24.0] * steps}
    for stage in ("train", "held_out"):
        values |= {f"{stage}/baseline_{view}": [2.0] * steps for view in ("target", "source")}
        values |= {f"{stage}/{name}": np.linspace(2.0, 2 * share, steps) for name in LOSSES}
    for check, below in (("held_out", gain), ("unseen", unseen)):
        if below is not None:
            values[f"{check}/self_target"] = np.linspace(2.0, 2 * share, steps)
            values[f"{check}/cross_target"] = (1 - below) * values[f"{check}/self_target"]
            values[f"{check}/source_gain"] = 3 * below * values[f"{check}/cross_target"]
    write_log(run, values)
    about = {"command": f"mv2mae pretrain {NASTY}", "git": "abc1234", "processor": "a processor", "cpus": 2}
    (run / "environment.json").write_text(json.dumps({**about, "python": "3.11", "versions": {"torch": "2.13.0"}}))
    if ended:
        summary = {"data": {"groups": 7, "videos": 14, "set_aside": 0}, "steps": 30, "set_aside": [["a.mp4", "torn"]]}
        (run / "summary.json").write_text(json.dumps(summary))
    return run


def finetuning(run, *, right=0.5, seed=0, paths="gone/{}-{}.mp4"):
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(plain(FinetuneConfig())))
    write_log(run, {"train/loss": [2.0, 1.5, 1.0], "train/top1": [0.1, 0.3, 0.5], "train/lr": [1e-3, 5e-4, 0]})
    rng = np.random.default_rng(seed)
    rows = []
    for group in range(20):
        for view in (1, 2):
            label = group % 3
            taken = label if rng.random() < right else (label + 1) % 3
            scores = np.full(3, 0.1)
            scores[taken] = 0.5 + 0.02 * group
            about = {"path": paths.format(group, view), "group": f"g{group}", "view": view, "label": label}
            probabilities = {f"p{k}": p for k, p in enumerate(scores / scores.sum())}
            rows.append({**about, "subject": group % 4, "setup": 1, "error": "", **probabilities})
    table = pd.DataFrame(rows)
    table.attrs.update(classes=["walk", NASTY, "$5 or $6"], run=str(run), split="a/split", num_clips=2, num_crops=3)
    folder = run / "evaluation"
    folder.mkdir()
    table.to_parquet(folder / "scores.parquet")
    summarise(table).write(folder / "evaluation.json")
    return run


def read(path):
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"https?://", page)
    assert not re.search(r'(src|href|srcset)="(?!data:image/|#)', page)
    return page


def test_the_page_of_a_pre_training_holds_the_numbers_of_its_files(tmp_path):
    page = read(report([pretraining(tmp_path / "run")]))
    assert (tmp_path / "run" / "report.html").exists()
    assert "stands at 0.600 of predicting each tubelet&#39;s mean; it has left the mean baseline" in page
    assert "the cross-view loss lies 4.00% below it: the model makes use of the other camera" in page
    assert "whether rooms and people are trained on is not recorded" in page
    assert "With the source of another performance the cross-view loss rises by 12.00%" in page
    assert "7 groups, 14 videos)" in page
    assert "<td>held_out/cross_source</td>" in page
    assert re.search(r"optim.lr</td>\s*<td[^>]*>0.00123</td>", page)
    assert "a.mp4: torn" in page
    for fact in ("abc1234", "a processor, 2 cores", "torch 2.13.0", "&lt;script&gt;"):
        assert fact in page
    for title in ("self-view loss, target", "source gain", "learning rate", "clips / s"):
        assert f">{title}<" in page
    assert "1.0, the dashed line, is the mean baseline: nothing learnt" in page


def test_a_model_that_has_not_learnt_or_does_not_use_its_source_is_said_to(tmp_path):
    early, alone = (
        " ".join(lead(read_folder(run)))
        for run in (pretraining(tmp_path / "early", share=0.99), pretraining(tmp_path / "alone", gain=1e-4))
    )
    assert "still at the mean baseline (1.0): next to nothing learnt" in early
    assert "of the other camera" not in early
    assert "makes next to no use of the other camera" in alone


def test_a_gain_of_unseen_rooms_counts_before_one_of_rooms_learnt_by_heart(tmp_path):
    run = pretraining(tmp_path / "run", gain=0.3, unseen=-0.002)
    summary = json.loads((run / "summary.json").read_text())
    apart = {"held_out": [], "unseen": ["setup", "subject"]}
    (run / "summary.json").write_text(json.dumps({**summary, "apart": apart}))
    said = " ".join(lead(read_folder(run)))
    assert "lies 0.20% above it: the model makes next to no use of the other camera" in said
    assert "(rooms and people not trained on)" in said
    assert ("-0.20%", "cross-view loss below self-view, unseen; 0 = camera not used") in highlights(read_folder(run))
    seen = pretraining(tmp_path / "seen", gain=0.3)
    (seen / "summary.json").write_text(json.dumps({**summary, "apart": {"held_out": []}}))
    assert "(rooms and people trained on or not known: it may be rooms learnt by heart)" in lead(read_folder(seen))[-1]


def test_a_gain_that_a_wrong_source_does_not_lose_is_none(tmp_path):
    run = pretraining(tmp_path / "run", unseen=0.02)
    log = (run / "log.csv").read_text()
    lines = [
        line if "unseen/source_gain" not in line else line.rpartition(",")[0] + ",0.0" for line in log.splitlines()
    ]
    (run / "log.csv").write_text("\n".join(lines) + "\n")
    assert "makes next to no use of the other camera" in " ".join(lead(read_folder(run)))


def test_a_run_that_is_cut_off_has_a_page_of_what_there_is(tmp_path):
    run = pretraining(tmp_path / "run", steps=2, ended=False)
    with (run / "log.csv").open("a") as log:
        log.write("30,train/lo")  # a line that was being written
    (run / "snapshots.json").write_text(
        '{"frames": [0], "pairs": 1, "decoders": ["self-view"], "baseline": [1.0], '
        '"steps": {"0": {"self-view": [1.0]}}}'
    )
    page = read(report([run]))
    assert "It has not ended: the log goes to step 20 of 30" in page
    assert "The pictures that snapshots.json lists cannot be read" in page
    (run / "environment.json").write_text("{")
    (run / "log.csv").write_text("")
    page = read(report([run]))
    assert "It has not logged anything yet" in page
    assert "environment.json cannot be read" in page
    assert "How it learnt" not in page


def test_reconstructions_are_put_together_from_the_pictures_of_the_run(tmp_path):
    run = pretraining(tmp_path / "run")
    steps = {str(step): {"self-view": [0.9, 0.7], "cross-view": [0.8, 0.4]} for step in (0, 30)}
    about = {"frames": [0, 8], "pairs": 2, "decoders": ["self-view", "cross-view"], "baseline": [1.0, 0.5]}
    (run / "snapshots.json").write_text(json.dumps({**about, "steps": steps}))
    (run / "snapshots").mkdir()
    for name, rows in (("clips", 8), ("step=00000000", 4), ("step=00000030", 4)):
        Image.new("RGB", (2 * 16, rows * 16), "teal").save(run / "snapshots" / f"{name}.webp")
    page = read(report([run]))
    assert "Clips of held-out performances" in page  # nothing tells how many were
    for number, words in ((3, "performances that are never trained on"), (0, "training performances (none was held")):
        (run / "summary.json").write_text(json.dumps({"data": {"held_out_groups": number}, "steps": 30}))
        page = read(report([run]))
        assert f"Clips of {words}" in page
        assert ("its circles are training performances" in page) == (number == 0)
        assert ("never trained on" in page) == (number == 3)
    assert "Reconstructions over time" in page
    assert re.search(r"cross-view</td>\s*<td[^>]*>0.600</td>", page)
    assert "predicting the mean scores 0.750" in page
    assert "data:image/png;base64," in page


def test_the_page_of_a_test_has_its_figures_and_says_which_clips_are_gone(tmp_path):
    run = finetuning(tmp_path / "run")
    figures = json.loads((run / "evaluation" / "evaluation.json").read_text())
    page = read(report([run]))
    for key in ("single_view", "fused"):
        found = figures[key]
        assert f"<dd>{found['top1']:.3f}</dd>" in page
        assert "{:.3f} to {:.3f}".format(*found["top1_interval"]) in page
    assert "40 videos of the test part of a/split; 2 clips x 3 crops of each" in page
    for section in ("accuracy", "by class", "confusions", "worst mistakes"):
        assert f"Test evaluation: {section}</h2>" in page
    assert "&lt;script&gt;" in page
    assert "$5 or $6" in page
    assert "Not shown, since it cannot be read: gone/" in page
    alone = read(report([run / "evaluation"]))
    assert f"Of the run {run}." in alone
    assert (run / "evaluation" / "report.html").exists()


def test_a_class_whose_answers_are_all_alike_has_no_interval(tmp_path):
    page = read(report([finetuning(tmp_path / "run", right=1.0)]))
    assert "A bar without a whisker has too few videos, or all alike, to tell." in page
    assert "1.000 to 1.000" not in page
    assert "1.00 to 1.00" not in page
    assert re.search(r"<td>walk</td>\s*<td[^>]*>1.000</td>\s*<td[^>]*>-</td>", page)


def test_the_part_of_a_video_that_was_tested_is_shown(tmp_path, monkeypatch):
    run = finetuning(tmp_path / "run", right=0.0, paths=f"{tmp_path}/{{}}-{{}}.mp4")
    scores = pd.read_parquet(run / "evaluation" / "scores.parquet")
    cut = scores[["path", "group", "view"]].assign(start=1.5, end=2.5)
    config = {**plain(FinetuneConfig()), "data": {"manifest": str(tmp_path / "manifest.csv")}}
    cut.to_csv(tmp_path / "manifest.csv", index=False)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    shown = []

    def moving_picture(path, start, end):
        shown.append((start, end))
        raise VideoError(path, "seen enough")

    monkeypatch.setattr("mv2mae.reports.mistakes.moving_picture", moving_picture)
    for folder in (run, run / "evaluation"):
        report([folder])
        assert set(shown) == {(1.5, 2.5)}
        shown.clear()


def test_runs_are_compared_with_the_paired_test_of_evaluate(tmp_path):
    a, b = finetuning(tmp_path / "a", right=0.2), finetuning(tmp_path / "b", right=0.9, seed=1)
    found = compare(*(pd.read_parquet(run / "evaluation" / "scores.parquet") for run in (b, a)))
    path = report([a, b])
    assert path == tmp_path / "comparison.html"
    page = read(path)
    assert re.search(r"<td>b - a</td>\s*<td>single view</td>", page)
    for row in found.values():
        assert f">{row.difference:+.3f}<" in page
        assert f">{row.p:.4f}<" in page
    assert "All settings are the same." in page
    assert page.count(">training loss<") == 1  # one set of axes for both


def test_fusion_by_attention_is_not_set_against_the_mean_unsaid(tmp_path):
    a, b = finetuning(tmp_path / "a", right=0.2), finetuning(tmp_path / "b", right=0.9, seed=1)
    folder = b / "evaluation"
    scores = read_scores(folder)
    learned = fuse_views(scores)
    right = learned["label"].astype(int)
    for name in numbered(learned, "p"):
        learned[name] = (right == int(name[1:])).astype(float)
    write_table(learned.assign(path=learned["group"]), folder / "fused.parquet")
    result = result_from(folder / "scores.parquet")
    result.write(folder / "evaluation.json")
    assert result.fused.top1 == 1 > result.late.top1
    page = read(report([a, b]))
    for words in ("fused by the mean", "fused by attention", "by attention in the first, by the mean in the second"):
        assert words in page
    late = compare(scores, read_scores(a / "evaluation"))["fused"]
    difference = re.escape(f"{late.difference:+.3f}")
    assert re.search(rf"fused by mean</td>\s*<td[^>]*>{difference}<", page)
    assert re.search(r"<td>b</td>(\s*<td[^>]*>[^<]*</td>){4}\s*<td[^>]*>1.000</td>", page)


def test_runs_of_several_kinds_are_compared_as_far_as_they_can_be(tmp_path):
    first, second = pretraining(tmp_path / "x" / "run", share=0.7), pretraining(tmp_path / "y" / "run", ended=False)
    text = (second / "config.yaml").read_text().replace("mask_ratio: 0.7", "mask_ratio: 0.9")
    (second / "config.yaml").write_text(text)
    other = finetuning(tmp_path / "z")
    shorter = finetuning(tmp_path / "w")
    scores = pd.read_parquet(shorter / "evaluation" / "scores.parquet")
    scores[scores["group"] != "g3"].to_parquet(shorter / "evaluation" / "scores.parquet")
    page = read(report([first, second, other, shorter], tmp_path / "out" / "page.html"))
    assert re.search(r"model.mask_ratio</td>\s*<td[^>]*>0.7</td>\s*<td[^>]*>0.9</td>", page)
    assert "How they learnt: pre-training" in page
    assert "How they learnt: fine-tuning" in page
    assert "y/run: It has not ended" in page
    assert page.count("Accuracy: evaluation</h2>") == 2  # not tested on the same videos
    assert "Paired test" not in page


def test_the_page_of_probes_sets_the_encoder_against_the_untrained_one(tmp_path):
    found = {"top1": 0.44, "top1_interval": [0.41, 0.47], "num": 40, "mean_class": 0.43, "fused_top1": 0.51}
    floor = {**found, "top1": 0.21, "top1_interval": [0.18, 0.24]}
    encoders = {"synthetic-small": {"linear": found, "knn": found}, "untrained": {"linear": floor, "knn": floor}}
    figures = {"run": "synthetic-small", "manifest": "sample", "split": "a/split", "num_train": 80, "num_test": 40,
               "chance": 0.1, "most_frequent_class": 0.12, "encoders": encoders, "left_out": {"attentive": "too large"},
               "broken": [["a.mp4", "torn"]]}  # fmt: skip
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "probe.json").write_text(json.dumps(figures))
    page = read(report([tmp_path / "probe"]))
    assert "Of the run synthetic-small." in page
    for part in ("0.440", "0.180 to 0.240", "0.510", "attentive left out: too large", "a.mp4 cannot be read: torn"):
        assert part in page
    assert "Chance is 0.100" in page


def test_folders_that_are_no_runs(tmp_path):
    run = pretraining(tmp_path / "runs" / "one")
    with pytest.raises(InputError, match=f"is no run but holds some; give one or more of them: {run}"):
        report([tmp_path / "runs"])
    with pytest.raises(InputError, match="holds neither a run"):
        report([tmp_path])
    with pytest.raises(InputError, match="is no folder"):
        report([run / "log.csv"])
    with pytest.raises(InputError, match="given twice"):
        report([run, tmp_path / "runs" / "." / "one"])
    with pytest.raises(InputError, match="is a folder; give the page a name"):
        report([run], tmp_path)
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"config.yaml cannot be read"):
        report([run])


def test_names_are_as_short_as_they_can_be(tmp_path):
    paths = [tmp_path / name for name in ("a/x", "b/x", "b/y")]
    assert short_names(paths) == ["a/x", "b/x", "b/y"]
    assert short_names(paths[1:]) == ["x", "y"]


def test_steps_come_from_the_summary_or_else_from_the_settings(tmp_path):
    assert read_folder(pretraining(tmp_path / "a")).total_steps == 30
    cut = read_folder(pretraining(tmp_path / "b", ended=False, steps=1))
    assert (cut.total_steps, cut.last_step) == (30, 10)
