"""Testing a classifier: batches, raw scores, what is refused and what is counted."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tested import CLASSES, MODEL, DeadlyDataset, make_dataset, make_manifest, make_run

from mv2mae.config import EvalConfig
from mv2mae.data import room
from mv2mae.errors import InputError
from mv2mae.evaluate.evaluate import evaluate, print_result, result_from
from mv2mae.evaluate.metrics import score_matrix, summarise
from mv2mae.evaluate.results import TestResult
from mv2mae.evaluate.scores import average_crops, numbered, read_crops, read_scores
from mv2mae.evaluate.scoring import crop_logits, item_logits, score_videos
from mv2mae.model.pretraining import MV2MAE
from mv2mae.weights import ENCODER, PRETRAINING, load_classifier_model, save_weights

TEST = EvalConfig(num_clips=2, num_crops=5)


def one_by_one(model, dataset):
    """The obvious way: crop after crop."""
    rows = []
    for index in range(len(dataset)):
        crops = dataset[index]["clips"]
        with torch.inference_mode():
            rows.append(torch.stack([model(crop[None]).softmax(dim=1)[0] for crop in crops]).mean(dim=0))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("batch_size", [1, 3, 10, 25, 1000])
def test_batches_score_as_crop_after_crop_does(run, frame, batch_size):
    model, _ = load_classifier_model(run)
    dataset = make_dataset(frame, TEST)
    scores = score_videos(model, dataset, batch_size, progress=False)
    np.testing.assert_allclose(score_matrix(scores), one_by_one(model, dataset), atol=2e-6)
    assert scores["path"].tolist() == dataset.paths


def test_batches_are_few_and_full(run, frame):
    model, _ = load_classifier_model(run)
    sizes = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    dataset = make_dataset(frame, EvalConfig(num_clips=1, num_crops=2))  # six videos of two crops
    items = [dataset[index] for index in range(len(dataset))]
    items.insert(2, {"index": 9, "label": 0, "error": "cut off"})
    found = list(item_logits(model, items, batch_size=8))
    assert sizes == [8, 4]
    assert [item["index"] for item, _ in found] == [0, 1, 9, 2, 3, 4, 5]  # in order, the broken one too
    assert [logits is None for _, logits in found] == [False, False, True, False, False, False, False]


@pytest.mark.slow
def test_crops_that_do_not_fit_into_the_memory_are_told_of():
    class Full(torch.nn.Linear):
        def forward(self, crops):
            raise torch.OutOfMemoryError("CUDA out of memory")

    crops = torch.zeros(4, 3, 2, 4, 4, dtype=torch.uint8)
    with pytest.raises(
        InputError, match=r"4 crops at a time do not fit .* test.batch_size, such as 1 \(the scores stay"
    ):
        crop_logits(Full(1, 1), crops, batch_size=4)


def test_reading_processes_change_nothing(run, frame, monkeypatch, capsys):
    model, _ = load_classifier_model(run)
    dataset = make_dataset(frame, TEST)
    alone = score_videos(model, dataset, 10, num_workers=0, progress=False)
    beside = score_videos(model, dataset, 10, num_workers=1)
    pd.testing.assert_frame_equal(alone, beside)
    assert "  readers 1 process, about " in capsys.readouterr().out
    with pytest.raises(InputError, match="a process that reads videos has died"):
        score_videos(model, make_dataset(frame, TEST, DeadlyDataset), 10, num_workers=1, progress=False)
    monkeypatch.setattr(room, "known_free_memory", lambda: 1 << 30)
    with pytest.raises(InputError, match=r"test.num_workers=40 means 40 processes, .*; give test.num_workers=\d"):
        score_videos(model, dataset, 10, num_workers=40, progress=False)
    assert room.readers_that_fit(8, None, 100 << 20, in_memory=False) == 1
    assert room.readers_that_fit(8, None, 0, in_memory=False) == 5


def test_every_figure_can_be_made_again_from_the_scores(run, frame, tmp_path):
    out = tmp_path / "evaluation"
    result = evaluate(run, make_manifest(tmp_path, frame), TEST, out, progress=False)
    assert result == result_from(out / "scores.parquet") == TestResult.read(out / "evaluation.json")
    for source in (out, tmp_path):
        assert summarise(read_scores(source)) == result
    assert result.classes == tuple(CLASSES)
    assert (result.single_view.num, result.fused.num) == (6, 3)
    assert set(result.per_subject) == {"0", "1"}
    assert result.per_view_num == {"1": 3, "2": 2, "3": 1}


def test_scores_can_be_made_again_from_those_of_the_crops(run, frame, tmp_path):
    data = make_manifest(tmp_path, frame)
    evaluate(run, data, EvalConfig(num_clips=3, num_crops=5), tmp_path / "many", progress=False)
    scores, crops = read_scores(tmp_path / "many"), read_crops(tmp_path / "many")
    assert len(crops) == 6 * 15
    assert crops.groupby(["group", "view"])[["clip", "crop"]].max().to_numpy().tolist() == [[2, 4]] * 6
    np.testing.assert_allclose(score_matrix(average_crops(crops, scores)), score_matrix(scores), atol=1e-6)
    evaluate(run, data, EvalConfig(num_clips=1, num_crops=1), tmp_path / "one", progress=False)
    middle = average_crops(crops.query("clip == 1 and crop == 4"), scores)
    np.testing.assert_allclose(score_matrix(middle), score_matrix(read_scores(tmp_path / "one")), atol=1e-6)
    with pytest.raises(InputError, match=r"has none of these crops \(6 such videos\)"):
        average_crops(crops.query("clip == 7"), scores)


def test_broken_videos_and_missing_ones_are_errors_and_listed(run, frame, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(frame["path"][0]).read_bytes()[:900])
    rows = frame.copy()
    rows.loc[0, "path"], rows.loc[5, "path"] = str(broken), str(tmp_path / "gone.mp4")
    result = evaluate(run, make_manifest(tmp_path, rows), TEST, tmp_path / "out", progress=False)
    assert [Path(path).name for path, _ in result.broken] == ["broken.mp4", "gone.mp4"]
    assert result.broken[1][1] == "no such file"
    assert (result.single_view.num, result.single_view.num_broken) == (6, 2)
    assert result.single_view.per_class[2] == 0.0  # c had one view, and it is gone
    assert (result.fused.num, result.fused.num_broken, result.fused.incomplete) == (3, 1, 2)
    assert sum(map(sum, result.confusion)) == 4
    assert len(read_crops(tmp_path / "out")) == 4 * 10


def test_a_view_without_a_video_that_can_be_read_is_counted(run, frame, tmp_path):
    rows = frame.copy()
    rows.loc[rows["view"] == 2, "path"] = [str(tmp_path / "gone1.mp4"), str(tmp_path / "gone2.mp4")]
    result = evaluate(run, make_manifest(tmp_path, rows), TEST, tmp_path / "out", progress=False)
    assert (result.per_view["2"], result.per_view_num["2"]) == (0, 2)
    assert (result.fused.num_broken, result.fused.incomplete) == (0, 2)
    assert len(result.broken) == 2


def test_a_test_of_broken_videos_alone_has_its_figures(run, frame, tmp_path):
    rows = frame.assign(path=[str(tmp_path / f"{i}.mp4") for i in range(6)])
    result = evaluate(run, make_manifest(tmp_path, rows), TEST, tmp_path / "out", progress=False)
    assert result.single_view.top1 == result.fused.top1 == 0
    assert result.single_view.ece is None
    again = summarise(read_scores(tmp_path / "out"))
    assert json.loads(json.dumps(again.to_json(), allow_nan=False))["fused"]["num_broken"] == 3


def test_a_video_shorter_than_the_clip_is_tested(run, frame, tmp_path):
    only = frame[frame["group"] == "c"].reset_index(drop=True)
    result = evaluate(run, make_manifest(tmp_path, only), TEST, tmp_path / "out", progress=False)
    assert result.broken == ()
    assert result.fused is None


@pytest.mark.parametrize(
    ("rows", "label", "message"),
    [
        ([2], None, r"1 of 6 videos have no label \(first: .*3.mp4\); fill the manifest's column"),
        (range(6), 9, r"none of the 6 test videos shows a class .*labels 9, trained were walk, .*wave\)"),
    ],
)
def test_labels_that_cannot_be_tested_are_refused(run, frame, tmp_path, rows, label, message):
    wrong = frame.copy()
    wrong.loc[list(rows), "label"] = label
    with pytest.raises(InputError, match=message):
        evaluate(run, make_manifest(tmp_path, wrong), TEST, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["late", "attention"])
@pytest.mark.parametrize("other", [2, 9])  # a gap between the labels that were trained, and a number beyond them
def test_videos_of_classes_that_were_never_trained_are_errors_and_told(frame, tmp_path, capsys, fusion, other):
    run = make_run(tmp_path / "run", labels=[0, 1, 5])
    rows = frame.copy()
    rows.loc[rows["group"] == "c", "label"] = other
    data = dataclasses.replace(make_manifest(tmp_path, rows), train_query="view == view")
    names = {"0": "walk", "1": "sit, down", "2": "jump", "9": "fall"}
    (tmp_path / "manifest.classes.json").write_text(json.dumps(names))
    result = evaluate(run, data, TEST, tmp_path / "out", progress=False, fusion=fusion)
    scores = read_scores(tmp_path / "out")
    assert numbered(scores, "p") == ["p0", "p1", "p5"]
    assert numbered(read_crops(tmp_path / "out"), "l") == ["l0", "l1", "l5"]
    assert (result.classes, result.labels) == (tuple(CLASSES), (0, 1, 5))
    assert result.untrained == (("jump" if other == 2 else "fall"),)
    for scored in (result.single_view, result.fused):
        assert scored.num_untrained == 1
        assert scored.per_class[other] == 0
    assert result.single_view.top1 <= 5 / 6
    assert sum(map(sum, result.confusion)) == 5
    print_result(result, "test")
    said = capsys.readouterr().out
    assert f"1 video shows a class that nothing was trained on ({result.untrained[0]}): counted as errors" in said
    assert "chance 0.333" in said
    assert summarise(scores).single_view == result.single_view


def test_classes_are_matched_by_name_whatever_their_numbers(run, frame, tmp_path):
    told = evaluate(run, make_manifest(tmp_path, frame), TEST, tmp_path / "out", progress=False)
    # the same videos indexed together with two more classes, one of which is tested
    names = ["climb", "Sit, down ", "fall", "walk", "wave"]
    shifted = frame.assign(label=frame["label"].map({0: 3, 1: 1, 2: 4}).astype("Int64"))
    (tmp_path / "more").mkdir()
    data = make_manifest(tmp_path / "more", shifted)
    (tmp_path / "more" / "manifest.classes.json").write_text(json.dumps(names))
    again = evaluate(run, data, TEST, tmp_path / "again", progress=False)
    assert again.single_view == told.single_view
    assert again.untrained == ()
    a, b = read_scores(tmp_path / "out"), read_scores(tmp_path / "again")
    assert a["label"].tolist() == b["label"].tolist()
    pd.testing.assert_frame_equal(a[numbered(a, "p")], b[numbered(b, "p")])
    shifted.loc[shifted["group"] == "c", "label"] = 0  # climb, which the model numbers nowhere: 0 is its walk
    other = evaluate(run, make_and_name(tmp_path / "other", shifted, names), TEST, tmp_path / "o", progress=False)
    assert (other.untrained, other.single_view.num_untrained) == (("climb",), 1)
    assert other.untrained_labels[0] not in (0, 1, 2)


def make_and_name(folder, frame, names):
    folder.mkdir()
    data = make_manifest(folder, frame)
    (folder / "manifest.classes.json").write_text(json.dumps(names))
    return data


def test_a_manifest_of_its_own_holds_the_test_and_needs_no_query(frame, tmp_path):
    run = make_run(tmp_path / "run")
    train = make_and_name(tmp_path / "train", frame[frame["group"] == "a"], ["walk"])
    test = make_and_name(tmp_path / "test", frame[frame["group"] != "a"].assign(label=[1, 1, 0]), ["wave", "sit, down"])
    data = dataclasses.replace(train, test_query="", test_manifest=test.manifest)
    result = evaluate(run, data, TEST, tmp_path / "out", progress=False)
    assert read_scores(tmp_path / "out")["label"].tolist() == [1, 1, 2]
    assert result.split == test.manifest
    # and where the run tells what it learnt from, another manifest alone is enough
    (run / "training_videos.json").write_text(json.dumps(frame["path"][frame["group"] == "a"].tolist()))
    alone = dataclasses.replace(test, test_query="")
    assert evaluate(run, alone, TEST, tmp_path / "alone", progress=False).single_view == result.single_view
    with pytest.raises(InputError, match="training ones must not be among them"):
        evaluate(run, dataclasses.replace(train, test_query=""), TEST, tmp_path / "no", progress=False)


def test_numbers_without_names_clash_with_names(run, frame, tmp_path):
    data = make_manifest(tmp_path, frame)
    (tmp_path / "manifest.classes.json").unlink()
    with pytest.raises(InputError, match=r"class 0 is a number without a name, and the model's class 0 is 'walk'"):
        evaluate(run, data, TEST, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_people_with_names_keep_them(run, frame, tmp_path):
    rows = frame.assign(subject=["P01", "s10", None, "P01", "P02", None])
    data = make_manifest(tmp_path, rows)
    result = evaluate(run, data, EvalConfig(num_clips=1, num_crops=1), tmp_path / "out", progress=False)
    assert set(result.per_subject) == {"P01", "P02", "s10"}
    assert read_crops(tmp_path / "out")["subject"].fillna("").tolist() == ["P01", "s10", "", "P01", "P02", ""]


def test_nothing_to_test_on_is_refused(run, frame, tmp_path):
    data = make_manifest(tmp_path, frame)
    for change, message in (
        ({"test_query": "view == 9"}, "picks none of 6 videos"),
        ({"test_query": "", "split": "folder/test"}, "is unknown"),
        ({"test_query": "", "split": "synthetic/xset"}, "the test part of synthetic/xset .* picks none of 6 videos"),
        ({"test_query": ""}, "nothing says which videos to test on"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(run, type(data)(**{**vars(data), **change}), TEST, tmp_path / "out", progress=False)


def test_weights_without_a_classifier_or_an_encoder_are_refused(run, frame, tmp_path):
    data = make_manifest(tmp_path, frame)
    model, about = load_classifier_model(run)
    save_weights(tmp_path / "p" / "model.safetensors", MV2MAE(MODEL), PRETRAINING, MODEL)
    save_weights(tmp_path / "e" / "model.safetensors", model.encoder, ENCODER, MODEL)
    save_weights(tmp_path / "h" / "model.safetensors", model.head, "classifier", MODEL, **about)
    for name, message in (("p", "no classifier"), ("e", "holds a encoder, no classifier"), ("h", "no tensor encoder")):
        with pytest.raises(InputError, match=message):
            evaluate(tmp_path / name, data, TEST, tmp_path / "out", progress=False)


def test_tables_that_are_no_scores_are_refused(tmp_path, frame):
    with pytest.raises(InputError, match="no scores at .*nowhere; test the run first"):
        read_scores(tmp_path / "nowhere")
    frame.to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"is no table of scores \(it lacks p0, p1"):
        read_scores(tmp_path / "a.csv")
    frame.assign(p0=0.5, p1=0.5).to_csv(tmp_path / "b.csv")
    assert read_scores(tmp_path / "b.csv")["label"].tolist() == [0, 0, 0, 1, 1, 2]  # 2 counts as an error
    frame.assign(p7=0.5).to_csv(tmp_path / "d.csv")
    with pytest.raises(InputError, match=r"d.csv: none of the 6 test videos shows a class that was trained"):
        read_scores(tmp_path / "d.csv")
    frame.assign(p0="high", p1=0.5, p2=0.1).to_csv(tmp_path / "c.csv")
    with pytest.raises(InputError, match="must be numbers"):
        read_scores(tmp_path / "c.csv")


@pytest.mark.parametrize("values", [[np.nan, 0.5], [np.inf, 0.0], [-np.inf, 1.0], [-3.0, 4.0], [1.0, 0.9], [0.2, 0.2]])
def test_what_are_no_probabilities_is_refused(tmp_path, frame, values):
    table = frame.assign(p0=0.25, p1=0.75)
    table.loc[2, ["p0", "p1"]] = values
    table.to_csv(tmp_path / "s.csv")
    with pytest.raises(InputError, match=r"s.csv: 1 of 6 videos have no probabilities.*first: .*: p0="):
        read_scores(tmp_path / "s.csv")


def test_videos_without_probabilities_have_a_reason_or_are_told(tmp_path, frame, caplog):
    table = frame.assign(p0=0.2501, p1=0.75, error="")
    table.loc[2, ["p0", "p1", "error"]] = [np.nan, np.nan, "cut off"]
    table.to_csv(tmp_path / "s.csv")
    read_scores(tmp_path / "s.csv")
    assert not caplog.messages
    table.assign(error="").to_csv(tmp_path / "s.csv")
    read_scores(tmp_path / "s.csv")
    assert "1 of 6 videos have no probabilities and no reason why" in caplog.text


@pytest.mark.parametrize("label", [np.inf, 0.5])
def test_labels_of_scores_are_whole_numbers(tmp_path, frame, label):
    table = frame.assign(p0=0.25, p1=0.75).astype({"label": float})
    table.loc[0, "label"] = label
    table.to_csv(tmp_path / "s.csv")
    with pytest.raises(InputError, match=rf"s.csv: label {label:g} is no whole number"):
        read_scores(tmp_path / "s.csv")
