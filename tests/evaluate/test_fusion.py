"""Fusion of views by attention: what it starts from, what it learns, how a run keeps it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tested import MODEL, make_manifest, make_run

from mv2mae.config import EvalConfig, VideosConfig
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate, result_from, trained_on
from mv2mae.evaluate.fusion import FUSION_NAME, GroupFuser, GroupTokens, ViewAttention, fit_view_attention
from mv2mae.evaluate.metrics import fuse_views, score_matrix
from mv2mae.evaluate.results import TestResult
from mv2mae.evaluate.scores import read_scores
from mv2mae.weights import read_weights, save_weights

WIDTH, TIMES = MODEL.encoder_width, 2
TEST = EvalConfig(num_clips=2, num_crops=2)


@pytest.fixture
def quickly(monkeypatch):
    """Fusions are learned in two steps: for tests of from what, not of how well."""
    monkeypatch.setattr("mv2mae.evaluate.fusion._EPOCHS", 2)
    monkeypatch.setattr("mv2mae.evaluate.fusion._LEAST_STEPS", 2)


def trained_by_chance():
    """A module that is not at its start."""
    torch.manual_seed(0)
    module = ViewAttention(MODEL, 3).eval()
    torch.nn.init.normal_(module.head.weight, std=0.3)
    return module


def groups_of(num, *, seed, views=(1, 2, 3)):
    """Groups whose class shows in the tokens of one of their views alone, and not in the class scores."""
    rng = np.random.default_rng(seed)
    found = GroupTokens(range(3), WIDTH)
    for group in range(num):
        label, num_views = group % 3, int(rng.choice(views))
        telling = int(rng.integers(num_views))
        for view in range(num_views):
            tokens = rng.normal(size=(4, TIMES, WIDTH))
            if view == telling:
                tokens[..., label] += 6
            outputs = np.concatenate([rng.normal(size=(4, 3)), tokens.reshape(4, -1)], axis=1)
            found.add({"group": f"g{group}", "label": label}, torch.tensor(outputs, dtype=torch.float32))
    return found


def test_the_order_of_views_and_padding_do_not_matter():
    module = trained_by_chance()
    logits, tokens = torch.randn(5, 3, 3), torch.randn(5, 3, TIMES, WIDTH)
    there = torch.zeros(5, 3, dtype=torch.bool)
    out = module(logits, tokens, there)
    torch.testing.assert_close(module(logits.flip(1), tokens.flip(1), there), out)
    padded = [torch.cat([x, 100 * torch.ones_like(x[:, :2])], dim=1) for x in (logits, tokens)]
    torch.testing.assert_close(module(*padded, torch.tensor([[False] * 3 + [True] * 2] * 5)), out)
    assert not torch.allclose(module(logits[:, :2], tokens[:, :2], there[:, :2]), out)


def test_attention_finds_the_view_that_tells():
    train, test = groups_of(240, seed=0), groups_of(60, seed=1)
    module, found = fit_view_attention(train, MODEL, epochs=25)
    assert found["nll"] < 0.6 * found["nll_late"]
    assert (found["groups"], found["held_out"]) == (192, 48)
    logits, tokens, is_missing = test.batch(list(range(60)))
    labels = torch.tensor([about["label"] for about in test.abouts])
    hits = module(logits[:, :, 0], tokens[:, :, 0], is_missing).argmax(dim=1) == labels
    assert hits.float().mean() > 0.8  # late fusion is at chance, 1/3


def test_where_there_is_nothing_to_learn_late_fusion_stays():
    groups = groups_of(30, seed=0)
    for about in groups.abouts:
        about["label"] = int(np.random.default_rng(int(about["group"][1:])).integers(3))
    found = fit_view_attention(groups, MODEL, epochs=3)[1]
    assert found["nll"] <= found["nll_late"]
    with pytest.raises(InputError, match="1 readable training groups are too few"):
        fit_view_attention(groups_of(1, seed=0), MODEL)


def test_groups_are_fused_one_after_the_other_and_broken_views_left_out():
    module, train = trained_by_chance(), groups_of(4, seed=0, views=(3,))
    fuser = GroupFuser(module, range(3), WIDTH)
    for about, views in zip(train.abouts, train.views, strict=True):
        for outputs in views:
            fuser.add(about, outputs)
        fuser.add(about, None)
    fuser.add({"group": "lost", "label": 1}, None)
    table = fuser.table()
    assert table["num_views"].tolist() == [4, 4, 4, 4, 1]
    assert table["num_fused"].tolist() == [3, 3, 3, 3, 0]
    assert table["error"].tolist() == ["", "", "", "", "none of its views can be read"]
    logits, tokens, is_missing = train.batch([0, 1, 2, 3])
    each = [module(logits[:, :, k], tokens[:, :, k], is_missing).softmax(dim=1) for k in range(4)]
    np.testing.assert_allclose(score_matrix(table)[:4], torch.stack(each).mean(dim=0).detach(), atol=1e-6)


def test_a_run_learns_its_fusion_once_and_anew_for_other_weights(quickly, frame, tmp_path, capsys):
    run = make_run(tmp_path / "run")
    data = make_manifest(tmp_path, frame)
    with pytest.raises(InputError, match="nothing says on which videos to learn the fusion"):
        evaluate(run, data, TEST, tmp_path / "out", progress=False, fusion="attention")
    data = VideosConfig(**{**vars(data), "train_query": "view == view"})
    result = evaluate(run, data, TEST, tmp_path / "out", fusion="attention")
    assert "learned a fusion on 2 training groups" in capsys.readouterr().out
    assert (result.fused.num, result.late.num) == (3, 3)
    again = result_from(tmp_path / "out" / "scores.parquet")
    assert again == result == TestResult.read(tmp_path / "out" / "evaluation.json")
    evaluate(run, data, TEST, tmp_path / "out", fusion="attention")
    assert "learned" not in capsys.readouterr().out
    evaluate(run, data, TEST, tmp_path / "out")
    assert not (tmp_path / "out" / "fused.parquet").exists()
    make_run(run, seed=1)
    evaluate(run, data, TEST, tmp_path / "out", fusion="attention")
    assert "learned a fusion" in capsys.readouterr().out


def test_an_untrained_fusion_is_late_fusion(run, frame, tmp_path, monkeypatch):
    untrained = ViewAttention(MODEL, 3).eval()
    monkeypatch.setattr("mv2mae.evaluate.evaluate.fusion_of", lambda *args, **options: untrained)
    shuffled = frame.iloc[[3, 0, 5, 1, 4, 2]].reset_index(drop=True)
    data = make_manifest(tmp_path, shuffled)
    evaluate(run, data, TEST, tmp_path / "out", progress=False, fusion="attention")
    scores, fused = read_scores(tmp_path / "out"), read_scores(tmp_path / "out" / "fused.parquet")
    assert scores["path"].tolist() == shuffled["path"].tolist()
    np.testing.assert_allclose(score_matrix(fused), score_matrix(fuse_views(scores)), atol=1e-5)


def learned_on(run, data, out, capsys):
    """How many groups a test's fusion was learned on, training and held out; 0 where a saved one served."""
    evaluate(run, data, TEST, out, fusion="attention")
    if "learned a fusion" not in capsys.readouterr().out:
        return 0
    about = read_weights(run / FUSION_NAME).about
    return about["groups"] + about["held_out"]


def test_a_fusion_learns_from_the_groups_that_the_run_was_trained_on(quickly, frame, tmp_path, capsys):
    run = make_run(tmp_path / "run")
    data = replace(make_manifest(tmp_path, frame), train_query="view == view")
    paths = frame["path"].tolist()
    (run / "training_videos.json").write_text(json.dumps([paths[1], paths[3]]))  # a view of a, one of b, none of c
    assert learned_on(run, data, tmp_path / "out", capsys) == 2
    assert learned_on(run, data, tmp_path / "out", capsys) == 0
    (run / "training_videos.json").unlink()
    assert learned_on(run, data, tmp_path / "out", capsys) == 3
    (run / "training_videos.json").write_text(json.dumps(["/moved/1.mp4"]))
    with pytest.raises(InputError, match=r"none of the 6 videos is among the 1 .* there /moved/1.mp4\); give the man"):
        evaluate(run, data, TEST, tmp_path / "out", progress=False, fusion="attention")


def test_the_list_of_training_videos_is_found_from_the_weights_too(frame, tmp_path):
    run = make_run(tmp_path / "run")
    assert trained_on(run, frame["path"].tolist()) == 0
    (run / "training_videos.json").write_text(json.dumps(frame["path"].tolist()[:2]))
    assert trained_on(run, frame["path"].tolist()) == trained_on(run / "model.safetensors", frame["path"].tolist()) == 2


def test_a_fusion_is_learned_anew_for_another_training_part(quickly, frame, tmp_path, capsys):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    data = replace(make_manifest(tmp_path, frame), train_query="view == view")
    fewer = replace(data, train_query="group != 'c'", test_query="group == 'c'")
    assert learned_on(run, data, out, capsys) == 3
    assert learned_on(run, fewer, out, capsys) == 2  # else group c would be tested with what was learned from it
    assert learned_on(run, replace(fewer, train_query="view == view and group < 'c'"), out, capsys) == 0
    assert learned_on(run, replace(fewer, frame_stride=fewer.frame_stride + 1), out, capsys) == 2
    relabelled = make_manifest(tmp_path / "other", frame.assign(label=[1, 1, 1, 0, 0, 2]))
    assert learned_on(run, replace(relabelled, train_query="group != 'c'"), out, capsys) == 2
    with pytest.raises(InputError, match="nothing says on which videos to learn the fusion"):
        evaluate(run, replace(data, train_query=""), TEST, out, progress=False, fusion="attention")


def test_a_fusion_of_an_older_version_is_learned_anew(quickly, frame, tmp_path, capsys):
    run, out = make_run(tmp_path / "run"), tmp_path / "out"
    data = replace(make_manifest(tmp_path, frame), train_query="view == view")
    assert learned_on(run, data, out, capsys) == 3
    stored = read_weights(run / FUSION_NAME)
    module = ViewAttention(stored.config, 3)
    module.load_state_dict(stored.tensors)
    del stored.about["learned_from"]
    save_weights(run / FUSION_NAME, module, stored.kind, stored.config, **stored.about)
    assert learned_on(run, data, out, capsys) == 3
