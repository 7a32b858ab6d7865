"""`mv2mae report`, and the pages that other commands leave, as a user meets them."""

import json

from tested import make_manifest, make_run, make_videos

from mv2mae.cli import main

SMALL = {
    "model.num_frames": 4, "model.image_size": 32, "model.tubelet_size": "[2,8,8]", "model.encoder_width": 32,
    "model.encoder_depth": 1, "model.encoder_heads": 2, "model.decoder_width": 24, "model.decoder_depth": 1,
    "model.decoder_heads": 2, "data.split": "", "data.train_query": "subject == 1 and label == 5",
    "data.frame_stride": 8, "optim.batch_size": 2, "optim.steps": 2, "optim.warmup_steps": 1, "log.held_out_pairs": 2,
    "log.log_every": 1,
}  # fmt: skip


def test_a_pre_training_ends_with_its_page(tmp_path, capsys):
    run = tmp_path / "run"
    options = [f"--{name}={value}" for name, value in SMALL.items()]
    assert main(["pretrain", "--recipe", "sample-pretrain", "--run", str(run), *options]) == 0
    assert f"wrote {run / 'report.html'}" in capsys.readouterr().out
    page = (run / "report.html").read_text()
    assert "Reconstructions over time" in page
    assert "It ended after 2 steps" in page


def test_a_test_ends_with_its_page_and_a_failing_page_is_a_warning(tmp_path, capsys, monkeypatch):
    frame = make_videos(tmp_path / "videos")
    data = make_manifest(tmp_path, frame)
    run = make_run(tmp_path / "run")
    words = [f"--data.manifest={data.manifest}", f"--data.test_query={data.test_query}", "--data.frame_stride=2"]
    words += ["--test.num_clips=1", "--test.num_crops=1", "--pictures", "false"]
    assert main(["evaluate", str(run), *words]) == 0
    assert f"wrote {run / 'evaluation' / 'report.html'}" in capsys.readouterr().out
    page = (run / "evaluation" / "report.html").read_text()
    assert "Test evaluation: worst mistakes" in page
    assert "data:image/webp;base64," in page
    about = json.loads((run / "evaluation" / "environment.json").read_text())
    assert "torch" in about["versions"]

    def fail(*args):
        raise RuntimeError("no page\ntoday")

    monkeypatch.setattr("mv2mae.reports.write.write_report", fail)
    assert main(["evaluate", "--scores", str(run), "--pictures", "false"]) == 0
    error = capsys.readouterr().err
    assert error.strip() == (
        f"warning: no page was written (RuntimeError: no page today); try `mv2mae report {run / 'evaluation'}`"
    )


def test_bad_input_is_one_line(tmp_path, capsys):
    for words, message in (
        ([str(tmp_path)], "holds neither a run"),
        ([str(tmp_path / "nowhere")], "is no folder"),
        ([], "runs"),
    ):
        assert main(["report", *words]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
