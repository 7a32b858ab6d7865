"""Predictions for files, folders and manifests; timelines of long videos; the verb."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tested import CLASSES, MODEL, make_dataset
from tiny_videos import even_times, write_video

from mv2mae import load_classifier
from mv2mae.cli import main
from mv2mae.config import EvalConfig
from mv2mae.data.clips import EvalDataset
from mv2mae.data.manifest import write_manifest
from mv2mae.data.video import read_frames, read_info
from mv2mae.data.videos import Videos
from mv2mae.data.windows import ClipSpec, video_span
from mv2mae.errors import InputError
from mv2mae.evaluate.inputs import performances
from mv2mae.evaluate.metrics import score_matrix
from mv2mae.evaluate.scoring import score_videos
from mv2mae.evaluate.timeline import Timeline, clip_times, place_windows
from mv2mae.model.classifier import Classifier
from mv2mae.weights import CLASSIFIER, save_weights


def wave(time):
    """Frames whose pattern changes with time, so that a classifier's answer does too."""
    y, x = np.mgrid[:48, :64]
    grey = 128 + 100 * np.sin(x / (3 + 2 * time) + y * time / 9)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def takes(tmp_path_factory):
    """Two long views of one take, of 6 and 4 seconds, and a broken third."""
    folder = tmp_path_factory.mktemp("takes")
    left = write_video(folder / "left.mp4", even_times(150, 25), image=wave)
    right = write_video(folder / "right.mp4", even_times(80, 20), image=wave)
    broken = folder / "middle.mp4"
    broken.write_bytes(b"no video")
    return left, right, broken


@pytest.fixture(scope="session")
def classifier(run):
    return load_classifier(run)


def test_a_prediction_is_what_the_test_scores(classifier, frame):
    scores = score_matrix(score_videos(classifier.model, make_dataset(frame, EvalConfig()), 50, progress=False))
    prediction = classifier.predict(frame["path"][:3].tolist())
    np.testing.assert_allclose(prediction.per_view, scores[:3], atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities, scores[:3].mean(axis=0), atol=1e-6)
    assert prediction.files == frame["path"][:3].tolist()
    assert prediction.broken == []


def test_performances_are_files_folders_or_a_manifest(classifier, frame, tmp_path):
    folder = Path(frame["path"][0]).parents[1]
    assert performances([folder])["group"].tolist() == ["a/1", "a/2", "a/3", "b/1", "b/2", "c/1"]
    assert performances(frame["path"][:2].tolist())["group"].tolist() == ["1+2"] * 2
    alike = performances(frame["path"][[0, 3]].tolist(), each=True)
    assert alike["group"].tolist() == frame["path"][[0, 3]].tolist()  # both are called 1.mp4
    manifest = write_manifest(frame.assign(label=None), tmp_path / "m.csv")
    rows = performances([manifest])
    found, broken = classifier.predict_each(rows, EvalConfig(num_clips=1, num_crops=1), progress=False)
    assert [(p.name, len(p.files)) for p in found] == [("a", 3), ("b", 2), ("c", 1)]
    assert broken == []
    with pytest.raises(InputError, match="no video in this folder"):
        performances([tmp_path])
    with pytest.raises(InputError, match="give one manifest alone"):
        performances([manifest, frame["path"][0]])
    with pytest.raises(InputError, match="no video given"):
        classifier.predict([])


@pytest.fixture(scope="session")
def trained_at_30(tmp_path_factory):
    """Weights whose training counted frames at each video's own rate, mostly 30."""
    torch.manual_seed(0)
    about = {"classes": CLASSES, "frame_stride": 4, "fps": None, "video_fps": 30.0}
    file = tmp_path_factory.mktemp("rate") / "model.safetensors"
    save_weights(file, Classifier(MODEL, len(CLASSES)), CLASSIFIER, MODEL, **about)
    return file


@pytest.fixture(scope="session")
def rates(tmp_path_factory):
    """The same three seconds at 15, 30 and 60 frames a second."""
    folder = tmp_path_factory.mktemp("rates")
    return [write_video(folder / f"{fps}.mp4", even_times(3 * fps, fps), image=wave) for fps in (15, 30, 60)]


def windows_of(classifier, videos, monkeypatch, **options):
    """Times that a prediction and a timeline read: [videos, clips, frames] each."""
    read, seen = Videos.read, []

    def watched(self, path, times, **how):
        seen.append(np.asarray(times))
        return read(self, path, times, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Videos, "read", watched)
        classifier.predict(videos, num_clips=3, num_crops=1)
        predicted, seen[:] = np.stack(seen).reshape(len(videos), 3, -1), []
        classifier.timeline(videos, window=1.0, hop=1.0, num_clips=1)
        return predicted, np.stack(seen).reshape(len(videos), 3, -1)


def test_clips_span_the_same_time_at_any_rate(trained_at_30, rates, monkeypatch):
    for times in windows_of(load_classifier(trained_at_30), rates, monkeypatch):
        np.testing.assert_allclose(np.diff(times), 4 / 30, atol=1e-6)  # as in training, whatever the file's rate
        assert np.ptp(times, axis=0).max() <= 1 / 15 + 1e-6  # a clip begins on a frame of its file


def test_rate_and_stride_can_be_chosen(trained_at_30, run, rates, monkeypatch, capsys):
    def steps(weights, **chosen):
        predicted, _ = windows_of(load_classifier(weights, **chosen), rates, monkeypatch)
        return np.diff(predicted).mean(axis=(1, 2))

    np.testing.assert_allclose(steps(trained_at_30, fps=15), 4 / 15, atol=1e-6)
    np.testing.assert_allclose(steps(trained_at_30, frame_stride=2), 2 / 30, atol=1e-6)
    np.testing.assert_allclose(steps(run), 2 / np.array([15, 30, 60]), atol=1e-6)  # weights that tell no rate
    seen = []
    monkeypatch.setattr(EvalDataset, "times", lambda self, index, offset: seen.append(self.clip) or np.zeros(4))
    words = ["predict", str(trained_at_30), str(rates[0]), "--num_crops", "1"]
    assert main([*words, "--fps", "25", "--frame_stride", "2.5"]) == 0
    assert {(clip.fps, clip.frame_stride) for clip in seen} == {(25.0, 2.5)}
    assert main([*words, "--fps", "0"]) == 1
    assert "fps=0.0 must be positive" in capsys.readouterr().err


def test_broken_files_are_listed_and_the_rest_goes_on(classifier, takes):
    left, _, broken = takes
    prediction = classifier.predict([broken, left], num_clips=1, num_crops=1)
    assert prediction.files == [str(left)]
    assert [path for path, _ in prediction.broken] == [str(broken)]
    torch.testing.assert_close(
        prediction.probabilities, classifier.predict([left], num_clips=1, num_crops=1).probabilities
    )
    with pytest.raises(InputError, match=r"middle.mp4 cannot be read: .*\(nor 1 others\)"):
        classifier.predict([broken, "nowhere.mp4"])
    with pytest.raises(InputError, match=r"middle.mp4 cannot be read"):
        classifier.timeline([broken])


def test_windows_cover_the_whole_video():
    assert place_windows(0, 6, 4, 1) == [(0, 4), (1, 5), (2, 6)]
    assert place_windows(0, 6.5, 4, 1) == [(0, 4), (1, 5), (2, 6), (2.5, 6.5)]
    assert place_windows(1, 3, 4, 1) == [(1, 3)]
    assert place_windows(0, 1, 0.1, 0.1)[-1] == pytest.approx((0.9, 1.0))
    assert len(place_windows(0, 1, 0.1, 0.1)) == 10


def test_a_window_s_clips_lie_within_it_on_frames(takes):
    span = video_span(read_info(takes[0]))  # 25 frames a second, 6 s
    clip = ClipSpec(num_frames=4, size=32, frame_stride=2)
    times = clip_times(2.0, 3.0, span, clip, num_clips=3).reshape(3, 4)
    np.testing.assert_allclose(times[0], [2.0, 2.08, 2.16, 2.24], atol=1e-6)
    assert times[2][-1] == pytest.approx(2.96)  # the last frame before the window's end
    short = clip_times(2.0, 2.2, span, replace(clip, num_frames=8), num_clips=1)
    assert (short[0], short[-1]) == (pytest.approx(2.0), pytest.approx(2.16))
    assert len(clip_times(5.4, 7.4, span, clip, num_clips=1)) == 0  # less than half of it is there


def test_a_timeline_is_what_each_window_alone_gives(classifier, takes):
    left, right, _ = takes
    timeline = classifier.timeline([left, right], window=1.0, hop=0.5, num_clips=2, num_crops=2)
    assert timeline.starts.tolist() == [k / 2 for k in range(11)]
    assert timeline.num_views.tolist() == [2] * 8 + [1] * 3  # the right one ends after 4 s
    span = video_span(read_info(left))
    for k in (0, 3, 10):
        times = clip_times(k / 2, k / 2 + 1, span, classifier.clip, 2)
        clips = read_frames(left, times, short_side=37).unflatten(0, (2, 4))[:, :, 2:34, 8:40]
        clips = torch.cat([clips, clips.flip(3)]).permute(0, 4, 1, 2, 3)
        with torch.inference_mode():
            wanted = classifier.model(clips).softmax(dim=1).mean(dim=0)
        np.testing.assert_allclose(timeline.per_view[0, k], wanted, atol=1e-5)
    fused = timeline.probabilities
    np.testing.assert_allclose(fused[:8], timeline.per_view[:, :8].mean(axis=0))
    np.testing.assert_allclose(fused[8:], timeline.per_view[0, 8:])
    np.testing.assert_allclose(fused.sum(axis=1), 1, atol=1e-6)


def test_a_damaged_spot_is_a_gap_in_the_timeline(classifier, takes, tmp_path):
    def noisy(time):
        noise = np.random.default_rng(round(1000 * time)).normal(0, 20, (48, 64, 1))
        return np.clip(wave(time) + noise, 0, 255).astype(np.uint8)

    path = write_video(tmp_path / "v.mp4", even_times(150, 25), image=noisy)
    whole = classifier.timeline([path], window=1.0, hop=0.5)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 12_000] = bytes(12_000)
    path.write_bytes(data)
    timeline = classifier.timeline([path], window=1.0, hop=0.5)
    gap = np.isnan(timeline.per_view[0, :, 0])
    assert 0 < gap.sum() < 6
    assert not gap[:4].any()
    assert not gap[-4:].any()
    np.testing.assert_allclose(timeline.per_view[0, :4], whole.per_view[0, :4], atol=1e-5)
    ((file, reason),) = timeline.broken
    assert file == str(path)
    assert f"{gap.sum()} of 11 windows are left out: frames at" in reason


def test_reading_in_parts_changes_nothing(classifier, takes, monkeypatch):
    whole = classifier.timeline([takes[0]], window=1.0, hop=0.25)
    monkeypatch.setattr("mv2mae.evaluate.timeline._WINDOWS_AT_ONCE", 3)
    parts = classifier.timeline([takes[0]], window=1.0, hop=0.25)
    np.testing.assert_allclose(whole.per_view, parts.per_view, atol=1e-6)


def test_neighbouring_windows_of_one_class_are_a_segment():
    wins = np.array([0, 0, 1, 1, 1, 0])
    p = np.where(np.arange(2) == wins[:, None], 0.9, 0.1)[None]
    p[:, 5] = np.nan
    starts = np.arange(6.0)
    found = Timeline(["a", "b"], starts, starts + 2, p).segments()
    assert [(part["start"], part["end"], part["label"]) for part in found] == [
        (0.0, 2.5, "a"),
        (2.5, 5.5, "b"),
        (5.5, 7.0, ""),
    ]
    assert found[0]["probability"] == pytest.approx(0.9)


@pytest.mark.parametrize(("window", "hop"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_windows_must_be_positive(classifier, takes, window, hop):
    with pytest.raises(InputError, match="must be positive"):
        classifier.timeline([takes[0]], window=window, hop=hop)


def test_the_verb_names_one_performance_and_many(run, takes, tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left, right, broken = map(str, takes)
    assert main(["predict", str(run), left, right, "--num_clips", "1", "--num_crops", "1"]) == 0
    assert any(name in capsys.readouterr().out for name in CLASSES)
    assert list(tmp_path.iterdir()) == []
    status = main(["predict", str(run), left, right, broken, "--each", "--num_clips", "1", "--num_crops", "1"])
    said = capsys.readouterr()
    assert status == 1
    assert "1 of 3 videos could not be read" in said.err
    assert (said.err + caplog.text).count("middle.mp4: ") == 1
    table = pd.read_csv(tmp_path / "predictions" / "predictions.csv")
    assert table.columns.tolist() == ["name", "label", "probability", "num_views", "num_broken", *CLASSES]
    assert table["name"].tolist() == ["left", "right"]
    stored = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert stored[0]["label"] == table["label"][0]


def test_the_verb_writes_timelines(run, takes, tmp_path, capsys):
    words = [*map(str, takes), "--window", "1", "--hop", "1", "--num_clips", "1", "--out", str(tmp_path / "out")]
    assert main(["predict", str(run), *words]) == 1  # one file is broken
    said = capsys.readouterr()
    assert "middle.mp4: " in said.err
    stem = "left+right+middle.timeline"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{stem}.{ending}" for ending in ("csv", "json", "png")
    }
    table = pd.read_csv(tmp_path / "out" / f"{stem}.csv")
    assert table["num_views"].tolist() == [2, 2, 2, 2, 1, 1]
    stored = json.loads((tmp_path / "out" / f"{stem}.json").read_text())
    assert [window["label"] for window in stored["windows"]] == table["label"].tolist()
    assert stored["segments"][-1]["end"] == pytest.approx(6.0)
    assert main(["predict", str(run), str(takes[0]), "--window", "1", "--hop", "-1"]) == 1
    assert "hop=-1.0 must be positive" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_clips", "0"], "num_clips=0 must be at least 1"),
        (["--num_crops", "3", "--window", "1"], "num_crops=3 must be 1, 2, 5 or 10"),
        (["--device", "cuda:9"], "device 'cuda:9' is not there"),
        (["--hop", "soon"], "hop"),
    ],
)
def test_the_verb_refuses_what_cannot_be(run, takes, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(run), str(takes[0]), *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
